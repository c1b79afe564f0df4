"""Memory and time of a gradient through a solve, by each adjoint.

    python benchmarks/adjoints.py [--rounds 9] [--device cpu]

A neural field (64-128-128-64, tanh), batch 256, float64, 64 Runge--Kutta steps of order 4 over [0, 1]; the loss is
the mean square of the last state. Bytes are those of all tensors alive at once, found by weak references to their
storages, less what lived before: held between the passes, and at the peak of both.
"""

import argparse
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from harness import machine, seconds, write
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sciode.solve import Checkpointed, Continuous, Direct, Reversible, ReversibleAdjoint, RungeKutta, Term, solve
from sciode.solve.tableaus import RK4

STEPS = 64


class LiveBytes(TorchDispatchMode):
    """Bytes of the storages made since the start that are alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and note what it made."""
        before = {
            part.untyped_storage()._cdata for part in tree_leaves((args, kwargs)) if isinstance(part, Tensor)
        }
        made = function(*args, **(kwargs or {}))
        for part in tree_leaves(made):
            if isinstance(part, Tensor):
                self._note(part.untyped_storage(), before)
        return made

    def _note(self, storage: Any, before: set[int]) -> None:
        name, size = storage._cdata, storage.nbytes()
        if name in self.known or name in before:
            return
        self.known.add(name)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._gone, name, size)

    def _gone(self, name: int, size: int) -> None:
        self.known.discard(name)
        self.live -= size


class Problem:
    """The field, the first state, and the gradient by each way."""

    def __init__(self, device: str) -> None:
        torch.manual_seed(0)
        parts = [nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 64)]
        self.net = nn.Sequential(*parts).to(device, torch.float64)
        self.x0 = torch.randn(256, 64, dtype=torch.float64, device=device, requires_grad=True)
        self.inputs = (self.x0, *self.net.parameters())

    def ours(self, adjoint: Any, reversible: bool = False) -> Tensor:
        """Return the loss by this library."""
        solver: Any = Reversible(RungeKutta(RK4)) if reversible else RungeKutta(RK4)
        term = Term(lambda s, y: self.net(y), parameters=tuple(self.net.parameters()))
        solution = solve(term, self.x0, [0.0, 1.0], solver=solver, dt=1.0 / STEPS, adjoint=adjoint)
        return solution.y[:, 1].square().mean()

    def theirs(self, name: str, **options: Any) -> Tensor:
        """Return the loss by torchdiffeq."""
        import torchdiffeq

        class Field(nn.Module):
            def __init__(self, net: nn.Module) -> None:
                super().__init__()
                self.net = net

            def forward(self, t: Tensor, y: Tensor) -> Tensor:
                return self.net(y)

        t = torch.tensor([0.0, 1.0], dtype=torch.float64, device=self.x0.device)
        return getattr(torchdiffeq, name)(Field(self.net), self.x0, t, **options)[1].square().mean()

    def gradient(self, loss: Callable[[], Tensor]) -> Tensor:
        """Return all gradients as one vector."""
        found = torch.autograd.grad(loss(), self.inputs)
        return torch.cat([part.reshape(-1) for part in found])

    def bytes(self, loss: Callable[[], Tensor]) -> tuple[float, float]:
        """Return MiB held between the passes, and at the peak."""
        with LiveBytes() as count:
            value = loss()
            held = count.live
            torch.autograd.grad(value, self.inputs)
        return held / 2**20, count.peak / 2**20


def entries(problem: Problem) -> dict[str, Callable[[], Tensor]]:
    """Return the ways to a gradient, by name."""
    rk4 = {"method": "rk4", "options": {"step_size": 1.0 / STEPS}}
    ways: dict[str, Callable[[], Tensor]] = {"Direct()": partial(problem.ours, Direct())}
    for segment in (None, 1, 2, 4, 8):
        ways[f"Checkpointed({segment or ''})"] = partial(problem.ours, Checkpointed(segment))
    for resolve in ("stored", "backsolve"):
        ways[f"Continuous({resolve!r})"] = partial(problem.ours, Continuous(resolve))  # type: ignore[arg-type]
    ways["Direct(), Reversible(RK4)"] = partial(problem.ours, Direct(), reversible=True)
    ways["ReversibleAdjoint(), Reversible(RK4)"] = partial(problem.ours, ReversibleAdjoint(), reversible=True)
    ways["torchdiffeq odeint rk4"] = partial(problem.theirs, "odeint", **rk4)
    ways["torchdiffeq odeint_adjoint rk4"] = partial(problem.theirs, "odeint_adjoint", **rk4)
    tight = {"method": "dopri5", "rtol": 1e-6, "atol": 1e-6}
    ways["torchdiffeq odeint_adjoint dopri5 1e-6"] = partial(problem.theirs, "odeint_adjoint", **tight)
    return ways


def main() -> None:
    """Measure all, interleaved, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    if chosen.device == "cpu":
        torch.set_num_threads(1)
    problem = Problem(chosen.device)
    ways = entries(problem)
    want = problem.gradient(ways["Direct()"])
    memory = {name: problem.bytes(loss) for name, loss in ways.items()}
    off = {name: ((problem.gradient(loss) - want).norm() / want.norm()).item() for name, loss in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(chosen.rounds):
        for name, loss in ways.items():
            taken[name].append(seconds(partial(problem.gradient, loss), 1, chosen.device, warm=turn == 0)[0])
    base, peak = taken["Direct()"], memory["Direct()"][1]
    rows = [
        {
            "way": name,
            "held, MiB": memory[name][0],
            "peak, MiB": memory[name][1],
            "peak of direct / peak": peak / memory[name][1],
            "time, ms": 1e3 * sorted(taken[name])[chosen.rounds // 2],
            "time / direct": sorted(a / b for a, b in zip(taken[name], base, strict=True))[chosen.rounds // 2],
            "gradient off by": off[name],
        }
        for name in ways
    ]
    where = machine(chosen.device, ["torchdiffeq"])
    notes = (
        f"{' '.join(__doc__.split('[--device cpu]')[1].split())} Medians of {chosen.rounds} interleaved rounds; "
        "ratios are medians of the rounds' own. The difference is to the gradient of Direct(), relative. Target: "
        "Checkpointed() at 1/10 of the peak of Direct() or less, and at most 1.7 of its time."
    )
    write(f"adjoints-{chosen.device}", "Gradients: memory and time", notes, where, rows)


if __name__ == "__main__":
    main()
