"""The view: indexing against numpy, strides, resampling, pickling, processes, the specification."""

import json
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sciode.core.errors import InputError
from sciode.data import Trajectories, decimate, open_trajectories, reading, resample, write_trajectories
from tests.data import files

B, T = 7, 9


@pytest.fixture(scope="module", params=["a", "c"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trajectories, np.ndarray]:
    path = tmp_path_factory.mktemp("view") / "f.h5"
    if request.param == "a":
        expected = files.make_a(path, B, T, (6,))
    else:
        expected = files.make_c(path, tuple(range(B)), T, (4,), 2)
    return open_trajectories(path), expected


def indices(size: int) -> st.SearchStrategy:
    place = st.integers(-size, size - 1)
    several = st.lists(place, max_size=6)
    bounds = st.none() | st.integers(-size - 2, size + 2)
    steps = st.sampled_from([None, 1, 2, 3, -1, -2])
    return (
        place
        | several
        | several.map(lambda entries: np.asarray(entries, dtype=np.int32))
        | several.map(lambda entries: torch.tensor(entries, dtype=torch.int64))
        | st.lists(st.booleans(), min_size=size, max_size=size).map(np.asarray)
        | st.builds(slice, bounds, bounds, steps)
    )


def outer(u: np.ndarray, b: object, t: object) -> np.ndarray:
    """What numpy gives one axis at a time, the second axis first so that an integer drops nothing under it."""

    def plain(index: object) -> object:
        index = index.numpy() if isinstance(index, torch.Tensor) else index
        return np.asarray(index, dtype=np.int64) if isinstance(index, list) else index

    return u[:, plain(t)][plain(b)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(b=indices(B), t=indices(T))
def test_indexing_is_that_of_numpy(pair: tuple[Trajectories, np.ndarray], b: object, t: object) -> None:
    data, expected = pair
    np.testing.assert_array_equal(data[b, t].numpy(), outer(expected, b, t))
    np.testing.assert_array_equal(data[b].numpy(), outer(expected, b, slice(None)))


def test_indices_out_of_bounds_and_of_wrong_kind(pair: tuple[Trajectories, np.ndarray]) -> None:
    data, expected = pair
    for index in (B, -B - 1, [0, B], (0, T)):
        with pytest.raises(IndexError, match="out of bounds"):
            data[index]
    for wrong in (1.5, "a", (0, 0, 0), np.zeros((2, 2), int)):
        with pytest.raises(InputError):
            data[wrong]
    assert sum(1 for _ in data) == B
    np.testing.assert_array_equal(data[...].numpy(), expected)


@pytest.mark.parametrize("make", [files.make_a, files.make_c, files.make_d, files.make_well])
def test_decimate_is_plain_strides_on_every_axis(tmp_path: Path, make: object) -> None:
    expected = make(tmp_path / "f.h5")
    data = open_trajectories(tmp_path / "f.h5")
    view = data.decimate(trajectories=2, time=2, space=2)
    rank = expected.ndim - 3
    strided = expected[(slice(None, None, 2), slice(None, None, 2), slice(None), *[slice(None, None, 2)] * rank)]
    assert view.shape == strided.shape
    np.testing.assert_array_equal(view[:].numpy(), strided)
    np.testing.assert_array_equal(decimate(data[::2], time=2, space=2).numpy(), strided)
    np.testing.assert_array_equal(view.times, data.times[::2])
    for kept, axis in zip(view.grid, data.grid, strict=True):
        np.testing.assert_array_equal(kept, axis[::2])


def test_decimations_compose_and_axes_may_differ(tmp_path: Path) -> None:
    expected = files.make_b(tmp_path / "b.h5", ("density", "Vx"), b=6, t=9, n=(8, 6))
    data = open_trajectories(tmp_path / "b.h5").decimate(2, 2, (2, 1)).decimate(2, 2, (2, 3))
    np.testing.assert_array_equal(data[:].numpy(), expected[::4, ::4, :, ::4, ::3])
    assert data.lengths == pytest.approx((1.0, 1.0), rel=1e-6)
    assert data.dt == pytest.approx(0.2, rel=1e-6)


def test_a_stride_that_does_not_divide_leaves_no_periodic_box(tmp_path: Path) -> None:
    files.make_a(tmp_path / "a.h5", n=(16,))
    view = open_trajectories(tmp_path / "a.h5").decimate(space=3)
    assert view.shape[-1] == 6 and view.lengths == pytest.approx((18 / 16,), rel=1e-6)
    with pytest.raises(InputError, match="no periodic grid"):
        view.resample(8)


def wave(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Band-limited: at most 3 waves along each axis of the box 2 x 1."""
    return 0.3 + np.sin(2 * np.pi * 3 * x / 2) * np.cos(2 * np.pi * 2 * y) + np.cos(2 * np.pi * (x / 2 + y))


@pytest.mark.parametrize("points", [(8, 8), (7, 9), (16, 12), (32, 30), (21, 25)])
def test_resample_is_exact_for_band_limited_fields(tmp_path: Path, points: tuple[int, int]) -> None:
    x, y = np.arange(16) / 8 + 0.0625, np.arange(12) / 12
    u = wave(x[:, None], y[None])[None, None, None].astype("f4")
    write_trajectories(tmp_path / "f.h5", source=[u], shape=u.shape, fields=["u"], times=[0.0], grid=[x, y])
    view = open_trajectories(tmp_path / "f.h5").resample(points)
    assert view.shape[3:] == points and view.lengths == pytest.approx((2.0, 1.0))
    expected = wave(view.grid[0][:, None], view.grid[1][None])
    np.testing.assert_allclose(view[0, 0].numpy()[0], expected, atol=2e-6)
    np.testing.assert_array_equal(resample(torch.from_numpy(u), points).numpy(), view[:].numpy())


def test_resample_up_and_down_returns_the_nyquist_mode(tmp_path: Path) -> None:
    u = files.noise(1, 1, 1, 16)
    write_trajectories(
        tmp_path / "f.h5", source=[u], shape=u.shape, fields=["u"], times=[0.0], grid=[np.arange(16)]
    )
    data = open_trajectories(tmp_path / "f.h5")
    np.testing.assert_allclose(data.resample(48).resample(16)[:].numpy(), u, atol=1e-6)
    np.testing.assert_allclose(data.resample(48).decimate(space=3)[:].numpy(), u, atol=1e-6)
    # cos(pi j) sampled on 16 points is the Nyquist mode itself: between its points it is cos(pi j / 3).
    edge = torch.cos(torch.pi * torch.arange(16, dtype=torch.float64))[None, None, None]
    fine = torch.cos(torch.pi * torch.arange(48, dtype=torch.float64) / 3)[None, None, None]
    torch.testing.assert_close(resample(edge, 48), fine, atol=1e-12, rtol=0)


def test_resample_refuses_a_grid_that_is_not_uniform(tmp_path: Path) -> None:
    u = files.noise(1, 2, 1, 8)
    write_trajectories(
        tmp_path / "f.h5", source=[u], shape=u.shape, fields=["u"], times=[0, 1], grid=[np.arange(8) ** 2]
    )
    with pytest.raises(InputError, match="uniform"):
        open_trajectories(tmp_path / "f.h5").resample(4)


@pytest.mark.parametrize("make", [files.make_a, files.make_d])
def test_reads_in_small_pieces_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object) -> None:
    expected = make(tmp_path / "f.h5")
    data = open_trajectories(tmp_path / "f.h5")
    for limit in (1, 4 * expected[0, 0].size * 2, 4 * expected[0].size * 2):
        monkeypatch.setattr(reading.pieces, "__defaults__", (limit,))
        np.testing.assert_array_equal(data[:].numpy(), expected)
        np.testing.assert_array_equal(data[[1, 0, 1], ::-1].numpy(), expected[[1, 0, 1], ::-1])
        assert all(block.nbytes <= max(limit, expected[0, 0].nbytes) for _, _, block in data.blocks())


def child(data: Trajectories, queue: "multiprocessing.Queue[tuple[int, bytes]]") -> None:
    queue.put((id(data.store.file), data[2].numpy().tobytes()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_opens_the_file_for_itself(tmp_path: Path, method: str) -> None:
    expected = files.make_a(tmp_path / "a.h5")
    data = open_trajectories(tmp_path / "a.h5")
    before = data.store.file
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=child, args=(data, queue))
    process.start()
    _, read = queue.get(timeout=60)
    process.join()
    assert process.exitcode == 0 and read == expected[2].tobytes()
    # The parent's handle has survived the child's closing of what it inherited.
    assert data.store.file is before
    np.testing.assert_array_equal(data[1].numpy(), expected[1])


def test_pickle_keeps_the_view(tmp_path: Path) -> None:
    files.make_c(tmp_path / "c.h5")
    view = open_trajectories(tmp_path / "c.h5", fields=["v"]).decimate(time=2).resample(4)
    again = pickle.loads(pickle.dumps(view))
    assert again.shape == view.shape == (3, 3, 1, 4, 4) and again.fields == ("v",)
    assert torch.equal(again[:], view[:])


def test_close_is_final_and_with_closes(tmp_path: Path) -> None:
    files.make_a(tmp_path / "a.h5")
    with open_trajectories(tmp_path / "a.h5") as data:
        view = data.decimate(time=2)
    for closed in (data, view):
        with pytest.raises(InputError, match="was closed"):
            closed[0]


def test_spec_is_json_and_tells_files_apart(tmp_path: Path) -> None:
    files.make_a(tmp_path / "a.h5")
    files.make_a(tmp_path / "b.h5", b=5)
    one, other = open_trajectories(tmp_path / "a.h5"), open_trajectories(tmp_path / "b.h5")
    found = json.loads(json.dumps(one.decimate(time=2, space=4).spec()))
    assert found["file"] == "a.h5" and found["shape"] == [4, 3, 1, 4] and found["dt"] == pytest.approx(0.1)
    assert found["view"]["space"] == [{"stride": [4]}] and found["parameters"] == {"beta": 0.1}
    assert one.spec()["fingerprint"] != other.spec()["fingerprint"]


def test_repr_says_what_it_is(tmp_path: Path) -> None:
    files.make_a(tmp_path / "a.h5")
    text = repr(open_trajectories(tmp_path / "a.h5"))
    assert text == "Trajectories(a.h5: PDEBench tensor file (schema A), 4 x 5 x 1 x 16, fields u)"
