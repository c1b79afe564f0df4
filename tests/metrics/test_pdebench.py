import math

import pytest
import torch

from sciode.core.errors import InputError
from sciode.metrics import nrmse, pdebench_metrics, rmse, vrmse
from tests.metrics import plain
from tests.metrics.fields_of import GRIDS, noise, noisy_pair, wave

KEYS = ["rmse", "nrmse", "crmse", "max", "brmse", "frmse_low", "frmse_mid", "frmse_high"]
MODES = ["pdebench", "pdebench-legacy", "sciode"]


def scores(result, keys=KEYS):
    return [result[key] for key in keys]


@pytest.mark.parametrize("dimensions", [1, 2])
def test_constant_error_gives_published_values(dimensions):
    target = noise(4, 3, 2, *GRIDS[dimensions])
    found = pdebench_metrics(target + 0.1, target)
    assert scores(found, ["rmse", "crmse", "max", "brmse"]) == pytest.approx([0.1] * 4, rel=1e-5)
    assert found["frmse"] == pytest.approx((0.025, 0, 0), abs=1e-6)
    assert found["frmse"] == (found["frmse_low"], found["frmse_mid"], found["frmse_high"])


@pytest.mark.parametrize("dimensions", [1, 2])
def test_sine_error_gives_published_values(dimensions):
    target = torch.zeros_like(wave(dimensions))
    found = pdebench_metrics(target + wave(dimensions), target)
    assert found["rmse"] == pytest.approx(0.1 / math.sqrt(2), rel=1e-5)
    assert found["crmse"] == pytest.approx(0, abs=1e-8)
    assert found["max"] == pytest.approx(0.1, rel=1e-5)
    assert found["frmse"] == pytest.approx((0, 0.00625, 0), abs=1e-7)


def test_3d_boundary_error_is_pooled_over_channels_in_legacy_only():
    target = torch.zeros(4, 1, 3, 6, 6, 6)
    legacy = pdebench_metrics(target + 0.1, target, "pdebench-legacy", batch=1)
    corrected = pdebench_metrics(target + 0.1, target, "pdebench", batch=1)
    assert legacy["brmse"] * 3 / 4 == pytest.approx(0.1 * math.sqrt(3), rel=1e-6)
    assert corrected["brmse"] == pytest.approx(0.1, rel=1e-6)
    assert pdebench_metrics(target + 0.1, target, "sciode")["brmse"] == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("mode", ["pdebench", "pdebench-legacy"])
@pytest.mark.parametrize(
    ("cells", "empty"),
    [((23,), True), ((24,), False), ((24, 32), True), ((26, 32), False), ((16,), True)],
)
def test_bands_without_shells_are_nan(mode, cells, empty):
    pred, target = noisy_pair(4, 1, 1, *cells)
    assert math.isnan(pdebench_metrics(pred, target, mode, batch=2)["frmse_high"]) is empty


@pytest.mark.parametrize("mode", ["pdebench", "sciode"])
def test_zero_field_gives_infinite_nrmse_unless_epsilon(mode):
    target = torch.zeros(2, 1, 1, 32)
    assert pdebench_metrics(target + 0.1, target, mode)["nrmse"] == math.inf
    assert pdebench_metrics(target + 0.1, target, mode, epsilon=1.0)["nrmse"] == pytest.approx(0.1)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("initial_step", [0, 1])
def test_legacy_equals_plain_loops_to_the_last_bit(dimensions, dtype, initial_step):
    pred, target = noisy_pair(5, 3, 2, *GRIDS[dimensions], dtype=dtype)
    lengths = (1.5, 0.7, 3.0)[:dimensions]
    found = pdebench_metrics(pred, target, "pdebench-legacy", lengths, initial_step, batch=2)
    assert scores(found) == plain.legacy(pred, target, 2, lengths, initial_step)


def test_legacy_does_not_depend_on_memory_layout():
    pred, target = noisy_pair(4, 3, 2, 32, 32)
    strided = [torch.movedim(torch.movedim(u, 1, -1).contiguous(), -1, 1) for u in (pred, target)]
    assert pdebench_metrics(*strided, "pdebench-legacy", batch=2) == pdebench_metrics(
        pred, target, "pdebench-legacy", batch=2
    )


def test_legacy_with_one_batch_is_infinite_and_a_perfect_one_is_nan():
    pred, target = noisy_pair(3, 2, 1, 32)
    assert scores(pdebench_metrics(pred, target, "pdebench-legacy")) == [math.inf] * 8
    assert math.isnan(pdebench_metrics(target, target, "pdebench-legacy")["rmse"])


def test_legacy_loop_fault_is_the_only_difference_for_equal_batches():
    pred, target = noisy_pair(6, 2, 2, 32, 32)
    legacy = scores(pdebench_metrics(pred, target, "pdebench-legacy", batch=2))
    corrected = scores(pdebench_metrics(pred, target, "pdebench", batch=2))
    assert legacy == pytest.approx([value * 3 / 2 for value in corrected], rel=1e-5)


def test_corrected_weighs_batches_by_size():
    pred, target = noisy_pair(5, 2, 1, 32)
    whole = [pdebench_metrics(pred[a:b], target[a:b]) for a, b in ((0, 3), (3, 5))]
    expected = [(3 * first[key] + 2 * last[key]) / 5 for key in KEYS for first, last in [whole]]
    assert scores(pdebench_metrics(pred, target, batch=3)) == pytest.approx(expected, rel=1e-6)


def test_corrected_means_do_not_depend_on_batch_but_the_largest_error_does():
    pred, target = noisy_pair(5, 2, 1, 32)
    one, all_ = (pdebench_metrics(pred, target, batch=batch) for batch in (1, None))
    assert scores(one, ["rmse", "nrmse", "brmse"]) == pytest.approx(
        scores(all_, ["rmse", "nrmse", "brmse"]), rel=1e-5
    )
    assert one["max"] < all_["max"]


@pytest.mark.parametrize("mode", MODES)
def test_initial_steps_are_dropped(mode):
    pred, target = noisy_pair(4, 5, 1, 32)
    found = pdebench_metrics(pred, target, mode, initial_step=2, batch=2)
    # Not to the bit: a view without the first steps may be summed in another order.
    assert scores(found) == pytest.approx(
        scores(pdebench_metrics(pred[:, 2:], target[:, 2:], mode, batch=2)), rel=1e-5
    )


def test_lengths_multiply_the_spectral_error_alone():
    pred, target = noisy_pair(3, 2, 1, 32, 32)
    one, long = pdebench_metrics(pred, target), pdebench_metrics(pred, target, lengths=(2.0, 3.0))
    assert scores(long)[5:] == pytest.approx([6 * value for value in scores(one)[5:]], rel=1e-6)
    assert scores(long)[:5] == scores(one)[:5]


def test_modes_agree_where_their_definitions_do():
    pred, target = noisy_pair(4, 3, 2, 32)
    a, b = pdebench_metrics(pred, target), pdebench_metrics(pred, target, "sciode")
    same = ["rmse", "nrmse", "crmse", "max", "brmse"]
    assert scores(a, same) == pytest.approx(scores(b, same), rel=1e-5)
    fields = [rmse(pred, target), nrmse(pred, target), vrmse(pred, target)]
    assert scores(b, ["rmse", "nrmse", "vrmse"]) == pytest.approx([float(x) for x in fields], rel=1e-5)


def test_half_precision_is_raised_and_results_are_python_floats():
    pred, target = noisy_pair(4, 2, 1, 32, dtype=torch.float16)
    found = pdebench_metrics(pred, target)
    assert found == pdebench_metrics(pred.float(), target.float())
    assert all(type(value) is float for key, value in found.items() if key != "frmse")


def bad(**change):
    arguments = dict(pred=torch.zeros(2, 3, 1, 8), target=torch.zeros(2, 3, 1, 8))
    return {**arguments, **change}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (bad(pred=torch.zeros(2, 3, 1, 9)), "8 cells.*found.*9 cells"),
        (bad(pred=torch.zeros(2, 3, 8)), "pred: expected 'b t c"),
        (bad(target=torch.zeros(2, 3, 1, 8).fill_(math.nan)), "target holds 48 NaN"),
        (bad(target=torch.zeros(2, 3, 1, 8, dtype=torch.long)), "floating-point.*int64"),
        (bad(target=torch.zeros(0, 3, 1, 8)), "no data"),
        (bad(mode="pdebnch"), "did you mean 'pdebench'"),
        (bad(lengths=(1.0, 2.0)), "lengths: expected 1, one per space axis, found 2"),
        (bad(lengths=(-1.0,)), "positive"),
        (bad(initial_step=3), "initial_step: expected 0 to 2 for 3 steps, found 3"),
        (bad(initial_step=-1), "initial_step"),
        (bad(batch=0), "batch: expected at least 1"),
        (bad(mask=torch.ones(8, dtype=torch.bool)), 'use mode="sciode"'),
        (bad(mask=torch.ones(7, dtype=torch.bool), mode="sciode"), r"broadcasts to \(2, 3, 1, 8\).*found \(7,\)"),
        (bad(mask=torch.ones(8), mode="sciode"), "mask: expected a boolean"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        pdebench_metrics(**arguments)


def test_a_diverged_prediction_is_a_result_and_no_error():
    pred, target = noisy_pair(2, 3, 1, 32)
    pred[0, 1] = math.nan
    for mode in MODES:
        assert math.isnan(pdebench_metrics(pred, target, mode, batch=1)["nrmse"])
