"""Every adaptive method on the 25 problems of DETEST, against scipy's DOP853 at 1e-13."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from sciode.solve import KVAERNO5, Implicit, Pid, RungeKutta, Solver, Term, solve, tableaus
from tests.problems import DETEST, Problem

TIGHT = Pid(rtol=1e-10, atol=1e-12)
# The largest error over all asked times, in units of rtol (1 + largest |y|): everywhere, and on the orbits of
# class D, whose error grows with time. The implicit method has a looser tolerance, to be fast enough for a test.
METHODS: dict[str, tuple[Solver, Pid, float, float]] = {
    "dopri5": (RungeKutta(tableaus.DOPRI5), TIGHT, 10, 200),
    "tsit5": (RungeKutta(tableaus.TSIT5), TIGHT, 10, 200),
    "dopri8": (RungeKutta(tableaus.DOPRI8), TIGHT, 25, 25),
    "bosh3": (RungeKutta(tableaus.BOSH3), Pid(rtol=1e-6, atol=1e-8), 80, 200),
    "kvaerno5": (Implicit(KVAERNO5), Pid(rtol=1e-7, atol=1e-9), 100, 2000),
}
_KNOWN: dict[str, torch.Tensor] = {}


def reference(name: str, problem: Problem, times: np.ndarray) -> torch.Tensor:
    """Return the states ``[k, n]``; made once per problem."""
    if name not in _KNOWN:

        def drift(s: float, y: np.ndarray) -> np.ndarray:
            return problem.drift(torch.tensor(s, dtype=torch.float64), torch.from_numpy(y)).numpy()

        rows = solve_ivp(drift, (0, problem.end), problem.y0, "DOP853", times, rtol=1e-13, atol=1e-15).y.T
        _KNOWN[name] = torch.from_numpy(rows)
    return _KNOWN[name]


@pytest.mark.parametrize("problem", DETEST)
@pytest.mark.parametrize("method", METHODS)
def test_detest(method: str, problem: str) -> None:
    case = DETEST[problem]
    solver, controller, bound, orbit = METHODS[method]
    times = np.linspace(0.0, case.end, 6)
    with torch.no_grad():
        found = solve(Term(case.drift), case.x0(), torch.from_numpy(times), solver=solver, controller=controller)
    want = reference(problem, case, times)
    assert found.message == ""
    error = ((found.y[0] - want).abs().amax(0) / (1 + want.abs().amax(0))).max().item()
    assert error < (orbit if problem.startswith("D") else bound) * controller.rtol
