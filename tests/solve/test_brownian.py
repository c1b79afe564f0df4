import math

import pytest
import torch
from scipy import stats

from sciode.core.errors import InputError
from sciode.solve import BrownianTree, EulerMaruyama, Noise, Pid, ReversibleHeun, StochasticHeun, Term, solve
from sciode.solve.counter import counter_keys, mix, mixed, normals
from sciode.solve.increment import Increment, join

F64 = torch.float64
CPU = torch.device("cpu")


def tree(shape=(4, 3), start=0.0, end=1.0, seed=0, dtype=F64, **options):
    return BrownianTree(**options).path(torch.zeros(*shape, dtype=dtype), start, end, seed)


def test_the_hash_is_a_bijection_and_moves_half_the_bits():
    numbers = torch.arange(4096)
    assert mix(numbers).unique().numel() == 4096
    assert mix(torch.tensor([7])).item() == mixed(7)
    assert mix(torch.tensor([-3])).item() == mixed(-3)
    for bit in (0, 13, 40, 63):
        flip = torch.tensor(1 << bit if bit < 63 else -(1 << 63))
        changed = mix(numbers) ^ mix(numbers ^ flip)
        counts = sum(((changed >> k) & 1).double().mean() for k in range(64)) / 64
        assert counts.item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("node", [0, 1, 77])
def test_numbers_are_normal_and_independent(node):
    keys = counter_keys((500, 40), seed=3, offset=0, leaf=0, device=CPU)
    first, second = normals(keys, node)
    following, _ = normals(keys, node + 1)
    for sample in (first, second):
        assert stats.kstest(sample.reshape(-1).numpy(), "norm").pvalue > 1e-3
        assert sample.mean().abs().item() < 4.0 / math.sqrt(20000)
        assert sample.pow(4).mean().item() == pytest.approx(3.0, abs=4.0 * math.sqrt(96 / 20000))
    pairs = [(first, second), (first, following), (first[:-1], first[1:]), (first[:, :-1], first[:, 1:])]
    for a, b in pairs:
        assert abs(torch.corrcoef(torch.stack([a.reshape(-1), b.reshape(-1)]))[0, 1].item()) < 4.0 / math.sqrt(
            19000
        )
    assert torch.equal(normals(keys, torch.full((500,), node))[0], first)


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.25, 0.5), (0.1, 0.7), (0.3331, 0.3399)])
def test_law_of_the_increment_and_its_area(a, b):
    made = tree((20000, 1)).increment(a, b, area=True)
    h, W, H = b - a, made.W[:, 0], made.H[:, 0]
    assert stats.kstest((W / math.sqrt(h)).numpy(), "norm").pvalue > 1e-3
    assert stats.kstest((H / math.sqrt(h / 12)).numpy(), "norm").pvalue > 1e-3
    assert abs(torch.corrcoef(torch.stack([W, H]))[0, 1].item()) < 4.0 / math.sqrt(20000)


def test_disjoint_increments_are_independent_and_the_law_holds_in_a_shallow_tree():
    """Off the cells' ends the last bridge alone gives the law: a depth of 2 shows it."""
    path = tree((40000, 1), depth=2)
    parts = [path.increment(a, b, area=True) for a, b in ((0.05, 0.3), (0.3, 0.65), (0.65, 0.9))]
    columns = torch.cat(
        [
            torch.cat([p.W / math.sqrt(h), p.H / math.sqrt(h / 12)], 1)
            for p, h in zip(parts, (0.25, 0.35, 0.25), strict=True)
        ],
        dim=1,
    )
    torch.testing.assert_close(torch.cov(columns.T), torch.eye(6, dtype=F64), atol=0.03, rtol=0.0)


def test_increments_add_up_with_their_areas():
    path = tree()
    for a, b, c in ((0.1, 0.2, 0.9), (0.0, 1 / 3, 0.5), (0.7, 0.4, 0.9), (0.123456, 0.123457, 0.2)):
        whole = path.increment(a, c, area=True)
        joined = join([path.increment(a, b, area=True), path.increment(b, c, area=True)], [b - a, c - b])
        torch.testing.assert_close(joined.W, whole.W, rtol=0.0, atol=1e-14)
        torch.testing.assert_close(joined.H, whole.H, rtol=0.0, atol=1e-12)
    forth, back = path.increment(0.2, 0.6, area=True), path.increment(0.6, 0.2, area=True)
    torch.testing.assert_close(back.W, -forth.W)
    torch.testing.assert_close(back.H, forth.H, rtol=0.0, atol=1e-12)
    assert isinstance(whole, Increment)


def test_the_path_does_not_depend_on_order_batch_split_or_form_of_the_times():
    times = [0.9, 0.05, 0.5, 0.500001, 0.05, 0.33]
    path, other = tree((6, 5)), tree((6, 5))
    ordered = {t: other.increment(0.0, t).W for t in sorted(set(times))}
    for t in times:
        assert torch.equal(path.increment(0.0, t).W, ordered[t])
    halves = [tree((2, 5)), tree((4, 5), offset=2)]
    split = torch.cat([half.increment(0.2, 0.7, area=True).H for half in halves])
    assert torch.equal(split, path.increment(0.2, 0.7, area=True).H)
    starts, ends = torch.tensor([0.0, 0.3, 0.7, 1.0, 0.2, 0.5], dtype=F64), torch.full((6,), 0.8, dtype=F64)
    each = path.increment(starts, ends, area=True)
    for i, s in enumerate(starts.tolist()):
        one = path.increment(s, 0.8, area=True)
        torch.testing.assert_close(each.W[i], one.W[i], rtol=0.0, atol=1e-14)
        torch.testing.assert_close(each.H[i], one.H[i], rtol=0.0, atol=1e-11)
    shared = path.increment(torch.tensor(0.3, dtype=F64), torch.tensor(0.8, dtype=F64))
    torch.testing.assert_close(shared.W, path.increment(0.3, 0.8).W)


def test_an_empty_interval_is_nothing():
    time = torch.full((4,), 0.4, dtype=F64)
    made = tree().increment(time, time, area=True)
    assert made.W.abs().max() == 0.0 and made.H.abs().max() == 0.0


def test_seeds_samples_elements_and_leaves_differ():
    first, second = tree(seed=1).increment(0.0, 1.0).W, tree(seed=2).increment(0.0, 1.0).W
    assert torch.cat([first.reshape(-1), second.reshape(-1)]).unique().numel() == 24
    pair = BrownianTree().path((torch.zeros(2, 3), torch.zeros(2, 3)), 0.0, 1.0, 0).increment(0.0, 1.0).W
    assert not (pair[0] == pair[1]).any()


def test_complex_noise_is_circular():
    W = tree((20000, 2), dtype=torch.complex128).increment(0.0, 0.5).W
    assert W.abs().square().mean().item() == pytest.approx(0.5, rel=0.03)
    assert W.square().mean().abs().item() < 0.01


def geometric(driver, calculus="stratonovich"):
    return Term(lambda s, y: 0.1 * y, noise=Noise(lambda s, y: 0.4 * y, seed=4, calculus=calculus, driver=driver))


def test_fixed_steps_of_any_size_follow_one_path():
    start = torch.ones(200, 1, dtype=F64)
    W = BrownianTree().path(start, 0.0, 1.0, 4).increment(0.0, 1.0).W
    exact = torch.exp(0.1 + 0.4 * W)
    for dt, bound in ((1 / 30, 0.02), (1 / 240, 0.0025)):
        y = solve(geometric(BrownianTree()), start, [0.0, 1.0], solver=StochasticHeun(), dt=dt).y[:, 1]
        assert (y - exact).square().mean().sqrt().item() < bound


@pytest.mark.parametrize("per_sample", [False, True])
def test_steps_under_control_follow_the_same_path(per_sample):
    start = torch.ones(20, 1, dtype=F64)
    W = BrownianTree().path(start, 0.0, 1.0, 4).increment(0.0, 1.0).W
    exact = torch.exp(0.1 + 0.4 * W)
    errors = []
    for tolerance in (1e-1, 1e-2):
        control = Pid(rtol=tolerance, atol=tolerance, per_sample=per_sample)
        found = solve(geometric(BrownianTree()), start, [0.0, 1.0], solver=StochasticHeun(), controller=control)
        assert not found.status.any()
        errors.append((found.y[:, 1] - exact).square().mean().sqrt().item())
    assert errors[1] < 0.35 * errors[0]
    assert errors[1] < 0.01


def test_reversible_heun_runs_back_on_the_tree():
    start = torch.ones(3, 2, dtype=F64)
    driver = BrownianTree(span=(0.0, 1.0))
    forth = solve(geometric(driver), start, [0.0, 1.0], solver=ReversibleHeun(), dt=0.01).y[:, 1]
    back = solve(geometric(driver), forth, [1.0, 0.0], solver=ReversibleHeun(), dt=0.01).y[:, 1]
    torch.testing.assert_close(back, start, rtol=0.0, atol=0.01)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="depth"):
        BrownianTree(depth=0)
    with pytest.raises(InputError, match="offset"):
        BrownianTree(offset=-1)
    with pytest.raises(InputError, match="span"):
        BrownianTree(span=(1.0, 1.0))
    with pytest.raises(InputError, match="leaves the span"):
        term = geometric(BrownianTree(span=(0.0, 0.5)), calculus="ito")
        solve(term, torch.ones(1, 1), [0.0, 1.0], solver=EulerMaruyama(), dt=0.1)
