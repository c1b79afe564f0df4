from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sciode.core.errors import InputError
from sciode.data import Windows, open_trajectories
from tests.data import files


def test_windows_are_those_of_a_plain_double_loop(tmp_path: Path) -> None:
    u = torch.from_numpy(files.make_c(tmp_path / "c.h5", seeds=(0, 1, 2, 3), t=11))
    windows = Windows(open_trajectories(tmp_path / "c.h5"), [3, 1], length=3, stride=2, lead=2)
    plain = [u[i, s : s + 5 : 2] for i in (3, 1) for s in range(0, 11 - 4, 2)]
    assert len(windows) == len(plain) == 8
    for item, expected in enumerate(plain):
        found = windows[item]
        assert torch.equal(found["u"], expected) and found["u"].dtype == torch.float32
        assert found["dt"].shape == () and found["dt"].dtype == torch.float32
        assert float(found["dt"]) == pytest.approx(0.1, rel=1e-6)
    assert torch.equal(windows[-1]["u"], plain[-1])
    with pytest.raises(IndexError):
        windows[8]


def test_several_leads_give_their_own_dt(tmp_path: Path) -> None:
    u = torch.from_numpy(files.make_a(tmp_path / "a.h5", b=2, t=6))
    windows = Windows(open_trajectories(tmp_path / "a.h5"), [0, 1], length=2, leads=(1, 3))
    assert len(windows) == 2 * 5 + 2 * 3
    seen = [windows.locate(item) for item in range(len(windows))]
    assert seen == [(i, s, k) for k, starts in ((1, 5), (3, 3)) for i in (0, 1) for s in range(starts)]
    for item, (i, s, k) in enumerate(seen):
        assert torch.equal(windows[item]["u"], u[i, [s, s + k]])
        assert float(windows[item]["dt"]) == pytest.approx(0.05 * k, rel=1e-6)


def test_a_view_is_windowed_as_it_shows(tmp_path: Path) -> None:
    u = torch.from_numpy(files.make_a(tmp_path / "a.h5", b=3, t=9))
    windows = Windows(open_trajectories(tmp_path / "a.h5").decimate(time=2, space=4), [2], length=2)
    assert torch.equal(windows[1]["u"], u[2, [2, 4], :, ::4])
    assert float(windows[1]["dt"]) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_what_one_process_reads(tmp_path: Path, method: str) -> None:
    files.make_a(tmp_path / "a.h5", b=6, t=8, n=(64,))
    data = open_trajectories(tmp_path / "a.h5")
    windows = Windows(data, np.arange(6), length=3)
    alone = torch.stack([windows[i]["u"] for i in range(len(windows))])
    assert data.store.file  # open in the parent, so that forked workers inherit a live handle
    loader = DataLoader(windows, batch_size=5, num_workers=2, multiprocessing_context=method)
    batches = list(loader)
    assert torch.equal(torch.cat([batch["u"] for batch in batches]), alone)
    assert batches[0]["dt"].shape == (5,)
    assert torch.equal(windows[0]["u"], alone[0])


def test_what_is_refused(tmp_path: Path) -> None:
    files.make_a(tmp_path / "a.h5", b=2, t=5)
    data = open_trajectories(tmp_path / "a.h5")
    with pytest.raises(InputError, match="spans 7 steps; the trajectories have 5"):
        Windows(data, [0], length=4, lead=2)
    for ids in ([], [2], [-1]):
        with pytest.raises(InputError, match="ids must name"):
            Windows(data, ids, length=2)
    for wrong in ({"length": 0}, {"length": 2, "stride": 0}, {"length": 2, "lead": 0}, {"length": 2, "leads": ()}):
        with pytest.raises(InputError, match="must be positive"):
            Windows(data, [0], **wrong)
