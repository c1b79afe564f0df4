from pathlib import Path

import numpy as np
import pytest
import torch

from sciode.core.errors import InputError
from sciode.data import Channelwise, open_trajectories, reading, write_trajectories
from tests.data import files


def test_fit_is_that_of_numpy_on_the_given_ids_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    u = files.make_b(tmp_path / "b.h5", ("density", "Vx", "Vy"), b=5)
    u[:, :, 1] = u[:, :, 1] * 1e-3 + 1000.0  # a small spread on a large mean, where one-pass sums fail
    u[4] = 1e6  # not among the ids
    grid = [np.arange(8.0), np.arange(6.0)]
    write_trajectories(
        tmp_path / "f.h5", source=[u], shape=u.shape, fields=["a", "b", "c"], times=np.arange(4), grid=grid
    )
    data = open_trajectories(tmp_path / "f.h5")
    ids = [3, 0, 2]
    mean = u[ids].astype("f8").mean(axis=(0, 1, 3, 4))
    std = u[ids].astype("f8").std(axis=(0, 1, 3, 4))
    for limit in (1, 2**25):
        monkeypatch.setattr(reading.pieces, "__defaults__", (limit,))
        normaliser = Channelwise(3).fit(data, ids)
        np.testing.assert_allclose(normaliser.mean.numpy(), mean, rtol=1e-6)
        np.testing.assert_allclose(normaliser.std.numpy(), std, rtol=1e-5)
    again = Channelwise(3).fit(torch.from_numpy(u), ids)
    torch.testing.assert_close(again.std, normaliser.std, rtol=1e-6, atol=0)


def test_normalise_and_restore_are_inverse_on_states_and_trajectories() -> None:
    u = torch.from_numpy(files.noise(4, 3, 2, 5, 6)) * 3 + 1
    normaliser = Channelwise(2).fit(u, range(4))
    z = normaliser.normalise(u, axis=2)
    torch.testing.assert_close(z.mean((0, 1, 3, 4)), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(z.std((0, 1, 3, 4), correction=0), torch.ones(2))
    torch.testing.assert_close(normaliser.restore(z, axis=2), u)
    assert torch.equal(normaliser.normalise(u[:, 0]), z[:, 0]) and torch.equal(normaliser(u[:, 0]), z[:, 0])
    with pytest.raises(InputError, match="expected 2 channels on axis 1"):
        normaliser.normalise(u)


def test_a_constant_channel_becomes_zero_and_comes_back() -> None:
    u = torch.stack([torch.full((2, 3, 8), 0.1), torch.zeros(2, 3, 8), torch.randn(2, 3, 8) * 1e-9], dim=2)
    normaliser = Channelwise(3).fit(u, [0, 1])
    assert normaliser.std[:2].tolist() == [1.0, 1.0] and 0 < float(normaliser.std[2]) < 1e-8
    z = normaliser.normalise(u, axis=2)
    assert z.isfinite().all() and z[:, :, :2].abs().max() < 1e-7
    torch.testing.assert_close(normaliser.restore(z, axis=2), u)


def test_state_and_dict_round_trips() -> None:
    normaliser = Channelwise(2).fit(torch.from_numpy(files.noise(2, 3, 2, 5)), [0, 1])
    again = Channelwise(2)
    again.load_state_dict(normaliser.state_dict())
    for copy in (again, Channelwise.from_dict(normaliser.to_dict())):
        assert torch.equal(copy.mean, normaliser.mean) and torch.equal(copy.std, normaliser.std)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="positive"):
        Channelwise(0)
    with pytest.raises(InputError, match="at least one trajectory"):
        Channelwise(1).fit(torch.zeros(2, 2, 1, 4), [])
    with pytest.raises(InputError, match="expected 3 channels, found 1"):
        Channelwise(3).fit(torch.zeros(2, 2, 1, 4), [0])
