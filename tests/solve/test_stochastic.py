import pytest
import torch

from sciode.solve import (
    EulerMaruyama,
    Milstein,
    ReversibleHeun,
    StochasticHeun,
    StochasticRungeKutta,
    by_jvp,
    stochastic_tableaus,
)
from tests.order import measured_order
from tests.solve.stochastic_problems import (
    GEOMETRIC,
    GEOMETRIC_STRATONOVICH,
    TANH,
    TANH_STRATONOVICH,
    strong_errors,
)

F64 = torch.float64
SRI1 = StochasticRungeKutta(stochastic_tableaus.SRI1)
SRI2 = StochasticRungeKutta(stochastic_tableaus.SRI2)
ITO = [(EulerMaruyama(), 0.5), (Milstein(), 1.0), (Milstein(by_jvp), 1.0), (SRI1, 1.5), (SRI2, 1.5)]
# Reversible Heun has order 1 where the noise commutes; proved is 1/2.
STRATONOVICH = [(Milstein(), 1.0), (Milstein(by_jvp), 1.0), (StochasticHeun(), 1.0), (ReversibleHeun(), 1.0)]
CASES = [(p, s, o) for p in (GEOMETRIC, TANH) for s, o in ITO] + [
    (p, s, o) for p in (GEOMETRIC_STRATONOVICH, TANH_STRATONOVICH) for s, o in STRATONOVICH
]


@pytest.mark.parametrize("kind", ["diagonal", "scalar"])
@pytest.mark.parametrize(("problem", "solver", "order"), CASES)
def test_strong_order_against_the_solution_on_the_same_path(problem, solver, order, kind):
    errors = strong_errors(problem, solver, kind)
    assert errors[-1] < errors[0]
    assert measured_order(errors) == pytest.approx(order, abs=0.16)
