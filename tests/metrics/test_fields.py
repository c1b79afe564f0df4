import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciode.core.errors import InputError
from sciode.metrics import nrmse, pdebench_metrics, relative_l1, relative_l2, rmse, vrmse
from tests.metrics.fields_of import GRIDS, noise, noisy_pair

ALL = [rmse, nrmse, vrmse, relative_l1, relative_l2]


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_kept_axes_average_to_the_scalar(metric, dimensions):
    pred, target = noisy_pair(2, 3, 4, *GRIDS[dimensions][:dimensions])
    names = ["trajectory", "time", "channel"]
    whole = metric(pred, target)
    assert whole.shape == ()
    for count in range(4):
        for keep in itertools.combinations(names, count):
            kept = metric(pred, target, keep=keep[::-1])
            assert kept.shape == tuple(dict(zip(names, (2, 3, 4), strict=True))[name] for name in keep)
            torch.testing.assert_close(kept.mean(), whole)
    torch.testing.assert_close(metric(pred, target, keep="time")[1], metric(pred[:, 1:2], target[:, 1:2]))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_nrmse_is_that_of_pdebench(dimensions):
    pred, target = noisy_pair(3, 2, 2, *GRIDS[dimensions])
    assert float(nrmse(pred, target)) == pytest.approx(pdebench_metrics(pred, target)["nrmse"], rel=1e-6)


def test_vrmse_is_that_of_the_well():
    well = pytest.importorskip("the_well.benchmark.metrics")
    pred, target = noisy_pair(3, 2, 2, 16, 12)
    last = [torch.movedim(u, 2, -1) for u in (pred, target)]
    theirs = well.VRMSE.eval(*last, SimpleNamespace(n_spatial_dims=2))
    torch.testing.assert_close(vrmse(pred, target, keep=("trajectory", "time", "channel")), theirs)


def test_joint_axes_enter_the_norm():
    pred, target = noisy_pair(3, 4, 2, 32)
    torch.testing.assert_close(relative_l2(pred, target), nrmse(pred, target))
    whole = torch.linalg.vector_norm((pred - target).flatten(1), dim=1) / torch.linalg.vector_norm(
        target.flatten(1), dim=1
    )
    torch.testing.assert_close(relative_l2(pred, target, joint=("channel", "time"), keep="trajectory"), whole)
    sums = (pred - target).abs().sum((2, 3)) / target.abs().sum((2, 3))
    torch.testing.assert_close(relative_l1(pred, target, joint="channel", keep=("trajectory", "time")), sums)


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 1e3), st.permutations(range(4)))
def test_scale_and_order_of_trajectories_do_not_matter(scale, order):
    pred, target = noisy_pair(4, 2, 1, 16, dtype=torch.float64)
    for metric in (nrmse, relative_l1, relative_l2):
        torch.testing.assert_close(metric(scale * pred, -scale * target * -1), metric(pred, target))
    torch.testing.assert_close(rmse(scale * pred, scale * target), scale * rmse(pred, target))
    for metric in ALL:
        torch.testing.assert_close(metric(pred[order], target[order]), metric(pred, target))


@pytest.mark.parametrize("metric", ALL)
def test_masks_equal_the_subset_cut_out_by_hand(metric):
    pred, target = noisy_pair(3, 2, 2, 8, 10, dtype=torch.float64)
    mask = torch.zeros(8, 10, dtype=torch.bool)
    mask[1:5, 2:9] = True
    pred[..., 0, 0], target[..., 7, 7] = math.nan, math.inf
    torch.testing.assert_close(metric(pred, target, mask=mask), metric(pred[..., 1:5, 2:9], target[..., 1:5, 2:9]))
    each = torch.zeros(3, 2, 1, 1, 1, dtype=torch.bool)
    each[[0, 2], :] = True
    torch.testing.assert_close(
        metric(pred, target, mask=mask & each), metric(pred[[0, 2]], target[[0, 2]], mask=mask)
    )
    kept = metric(pred, target, mask=mask & each, keep="trajectory")
    assert kept.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_match_finite_differences(metric, masked):
    pred, target = noisy_pair(2, 2, 2, 3, 4, dtype=torch.float64)
    mask = None
    if masked:
        mask = noise(2, 2, 2, 3, 4, seed=5) > 0
        mask[0, 1, 0] = False  # a field without a cell must not send NaN into the others
    inputs = [u.requires_grad_() for u in (pred, target)]
    assert torch.autograd.gradcheck(lambda p, y: metric(p, y, mask=mask), inputs)


@pytest.mark.parametrize("metric", ALL)
def test_gradient_at_a_perfect_prediction_is_zero(metric):
    target = noise(1, 1, 1, 8)
    pred = target.clone().requires_grad_()
    metric(pred, target).backward()
    assert pred.grad.tolist() == torch.zeros_like(target).tolist()


@pytest.mark.parametrize("metric", ALL)
def test_single_and_double_precision_agree(metric):
    pred, target = noisy_pair(2, 3, 1, 64, dtype=torch.float64)
    single = metric(pred.float(), target.float())
    assert single.dtype == torch.float32
    assert float(single) == pytest.approx(float(metric(pred, target)), rel=1e-5)


def test_vrmse_of_the_mean_is_about_one_whatever_the_offset():
    target = noise(2, 2, 1, 256, dtype=torch.float64)
    for offset in (0.0, 100.0):
        guess = (target + offset).mean(dim=-1, keepdim=True).expand_as(target)
        assert float(vrmse(guess, target + offset)) == pytest.approx(math.sqrt(255 / 256), rel=1e-6)


def test_a_diverged_prediction_is_nan_and_not_perfect():
    pred, target = noisy_pair(2, 2, 1, 8)
    pred[0, 1, 0, 3] = math.nan
    assert rmse(pred, target, keep="time").isnan().tolist() == [False, True]


@pytest.mark.parametrize("metric", ALL)
def test_unknown_axis_is_named(metric):
    u = torch.ones(1, 1, 1, 4)
    with pytest.raises(InputError, match="did you mean 'time'"):
        metric(u, u, keep="tim")


def test_an_axis_cannot_be_kept_and_joint():
    u = torch.ones(1, 1, 1, 4)
    with pytest.raises(InputError, match="both kept and joint"):
        relative_l2(u, u, keep="time", joint=("time", "channel"))
