"""The cost of a step that does not depend on the machine: kernels beyond the drift, and waits for the device."""

import pytest
import torch
from torch import Tensor

from sciode.pde import kuramoto_sivashinsky
from sciode.solve import Adams, Diagonal, Pid, RungeKutta, Solver, Term, solve, tableaus
from tests.solve.counting import Counting, per_step

X0 = torch.stack([torch.linspace(0.5, 2.0, 32), torch.linspace(0.6, 1.5, 32)], dim=1).double()


def lotka_volterra(s: Tensor, y: Tensor) -> Tensor:
    prey, predator = y.unbind(1)
    return torch.stack([prey * (1.5 - predator), predator * (prey - 3.0)], dim=1)


def adaptive(per_sample: bool) -> tuple[float, float]:
    """Return kernels and waits per try, of the Dormand--Prince pair."""

    def run(counting: Counting, size: int) -> int:
        term = Term(counting.without(lotka_volterra))
        controller = Pid(rtol=1e-6, atol=1e-8, per_sample=per_sample)
        solution = solve(term, X0, [0.0, 2.0 * size], solver=RungeKutta(tableaus.DOPRI5), controller=controller)
        # Six stages per try, the first for free; per-sample tries of samples that are done included.
        return solution.stats.evaluations // 6

    kernels, waits, _ = per_step(run, (2, 8))
    return kernels, waits


def fixed(solver: Solver, linear: Diagonal | None = None, step: float = 0.01) -> tuple[float, float]:
    def run(counting: Counting, size: int) -> int:
        term = Term(counting.without(lotka_volterra), linear)
        return solve(term, X0, [0.0, step * size], solver=solver, dt=step).stats.steps

    kernels, waits, _ = per_step(run, (20, 60))
    return kernels, waits


def test_the_counter_counts_kernels_only() -> None:
    x = torch.ones(3, 4)
    with Counting() as counting:
        y = x.view(4, 3).t()[1:] + 1.0  # one kernel behind three views
        y.add_(x[0])  # a second, in place
        torch.empty(3)
        y.sum().item()  # a third, and a wait
        counting.without(lambda s, z: z.exp())(x, x)
    assert counting.total == 3 and counting.waits == 1, counting.kernels


def test_a_shared_step_of_dopri5() -> None:
    kernels, waits = adaptive(per_sample=False)
    assert kernels <= 25
    assert waits <= 1


def test_a_step_of_dopri5_per_sample() -> None:
    kernels, waits = adaptive(per_sample=True)
    assert kernels <= 60
    assert waits <= 1 / 8


@pytest.mark.parametrize(
    ("table", "most"),
    [(tableaus.EULER, 1), (tableaus.HEUN, 3), (tableaus.RK4, 7), (tableaus.DOPRI5, 20)],
    ids=["euler", "heun", "rk4", "dopri5"],
)
def test_fixed_steps_cost_one_kernel_per_nonzero_weight(table: tableaus.Tableau, most: int) -> None:
    kernels, waits = fixed(RungeKutta(table))
    assert kernels <= most
    assert waits == 0


@pytest.mark.parametrize("linear", [None, Diagonal(-1.0)], ids=["plain", "scalar"])
def test_a_multistep_sampler_of_order_two(linear: Diagonal | None) -> None:
    kernels, waits = fixed(Adams(2), linear)
    assert kernels <= 5
    assert waits == 0


def test_kuramoto_sivashinsky_by_etdrk4_with_its_transforms() -> None:
    term = kuramoto_sivashinsky(64, 22.0)
    u0 = torch.cos(2 * torch.pi * torch.arange(64) / 64).expand(4, 1, 64)

    def run(counting: Counting, size: int) -> int:
        return solve(term, u0, [0.0, 0.05 * size], solver=RungeKutta(tableaus.KROGSTAD4), dt=0.05).stats.steps

    solve(term, u0, [0.0, 0.05], dt=0.05)  # tables of the equation are made once
    kernels, waits, kinds = per_step(run, (4, 12))
    assert kernels <= 24, kinds
    assert waits == 0
