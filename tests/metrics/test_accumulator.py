import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciode.core.errors import InputError
from sciode.metrics import PDEBenchMetrics, band_error, nrmse, pdebench_metrics, rmse, vrmse
from tests.metrics.fields_of import GRIDS, noise, noisy_pair, wave


def streamed(chunks, **options):
    meter = PDEBenchMetrics(**options)
    for chunk in chunks:
        meter.update(*chunk)
    return meter.compute()


def same(a, b, tolerance=1e-12):
    assert a.keys() == b.keys()
    assert all(a[key] == pytest.approx(b[key], rel=tolerance, nan_ok=True) for key in a)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)), st.lists(st.integers(1, 5), min_size=0, max_size=3, unique=True))
def test_streaming_equals_one_shot_in_any_order_and_chunking(order, cuts):
    pred, target = noisy_pair(6, 2, 2, 32)
    mask = noise(6, 2, 1, 32, seed=9) > -0.5
    order = torch.tensor(order)
    shuffled = [u[order].tensor_split(sorted(cuts)) for u in (pred, target, mask)]
    whole = pdebench_metrics(pred, target, "sciode", mask=mask)
    same(streamed(zip(*shuffled, strict=True)), whole)
    same(pdebench_metrics(pred, target, "sciode", mask=mask, batch=4), whole)


def test_merging_equals_seeing_everything():
    pred, target = noisy_pair(5, 2, 1, 32, 32)
    parts = [PDEBenchMetrics(lengths=[1, 2]) for _ in range(3)]
    parts[1].update(pred[:2], target[:2])
    parts[2].update(pred[2:], target[2:])
    for part in parts[1:]:
        parts[0].merge(part)
    same(parts[0].compute(), streamed([(pred, target)], lengths=(1, 2)))
    with pytest.raises(InputError, match="cannot merge"):
        parts[0].merge(PDEBenchMetrics())


def test_merging_into_an_empty_one_leaves_the_other_untouched():
    pred, target = noisy_pair(4, 2, 1, 32)
    empty, seen = PDEBenchMetrics(), PDEBenchMetrics()
    seen.update(pred[:2], target[:2])
    empty.merge(seen)
    empty.update(pred[2:], target[2:])
    same(seen.compute(), streamed([(pred[:2], target[:2])]))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_all_true_mask_changes_nothing(dimensions):
    pred, target = noisy_pair(2, 2, 2, *GRIDS[dimensions])
    mask = torch.ones(GRIDS[dimensions], dtype=torch.bool)
    same(pdebench_metrics(pred, target, "sciode", mask=mask), pdebench_metrics(pred, target, "sciode"))


def test_mask_equals_the_subset_cut_out_by_hand():
    pred, target = noisy_pair(3, 2, 2, 32)
    mask = torch.arange(32) < 20
    target[..., 25] = math.nan
    masked = pdebench_metrics(pred, target, "sciode", mask=mask)
    cut = pdebench_metrics(pred[..., :20], target[..., :20], "sciode")
    for key in ("rmse", "nrmse", "vrmse", "crmse", "max"):
        assert masked[key] == pytest.approx(cut[key], rel=1e-12)
    left = (pred[..., 0] - target[..., 0]).abs().mean()
    assert masked["brmse"] == pytest.approx(float(left), rel=1e-6)


def test_trajectories_masked_out_whole_do_not_count_even_in_a_chunk_of_their_own():
    pred, target = noisy_pair(4, 2, 1, 32)
    mask = torch.ones(4, 1, 1, 1, dtype=torch.bool)
    mask[2] = False
    keep = [0, 1, 3]
    expected = pdebench_metrics(pred[keep], target[keep], "sciode")
    same(pdebench_metrics(pred, target, "sciode", mask=mask), expected)
    same(pdebench_metrics(pred, target, "sciode", mask=mask, batch=1), expected)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_shells_see_all_orthants(dimensions):
    error = wave(dimensions)
    if dimensions == 2:
        # sin 2 pi (3 x - 4 y) lives in the orthants that the published code does not look at.
        x = torch.arange(32) / 32
        error = 0.1 * torch.sin(2 * torch.pi * (3 * x[:, None] - 4 * x)).reshape(1, 1, 1, 32, 32)
        assert pdebench_metrics(error, torch.zeros_like(error))["frmse_mid"] == pytest.approx(0, abs=1e-8)
    found = pdebench_metrics(error, torch.zeros_like(error), "sciode", epsilon=1.0)
    assert found["frmse_mid"] == pytest.approx(0.1 / math.sqrt(2) / 8, rel=1e-5)
    assert found["frmse_low"] == pytest.approx(0, abs=1e-8)
    assert float(band_error(error, torch.zeros_like(error))[1]) == pytest.approx(0.1 / math.sqrt(2), rel=1e-5)


def test_accumulates_in_float64():
    pred, target = noisy_pair(3, 2, 1, 32, dtype=torch.float64)
    wide = pdebench_metrics(pred, target, "sciode")
    single = pdebench_metrics(pred.float(), target.float(), "sciode")
    same(single, wide, tolerance=1e-6)
    exact = [float(metric(pred, target)) for metric in (rmse, nrmse, vrmse)]
    assert [wide[key] for key in ("rmse", "nrmse", "vrmse")] == pytest.approx(exact, rel=1e-12)


def test_misuse_is_named():
    with pytest.raises(InputError, match="no data yet"):
        PDEBenchMetrics().compute()
    meter = PDEBenchMetrics()
    meter.update(torch.zeros(1, 2, 1, 8), torch.ones(1, 2, 1, 8))
    with pytest.raises(InputError, match=r"\(2, 1, 8\) as before, found \(3, 1, 8\)"):
        meter.update(torch.zeros(1, 3, 1, 8), torch.ones(1, 3, 1, 8))
