"""What a conservation law costs, and what it does to an ensemble of FNOs over 200 steps.

python benchmarks/constraints.py
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from harness import interleave, machine, table, write
from torch import Tensor

from sciode.constraints import Diagonal, LinearConstraint, LowRank, conserving, integral
from sciode.data import open_trajectories, split
from sciode.generate import generate, load_recipe
from sciode.metrics import nrmse
from sciode.surrogate import FNO, UNet, rollout
from sciode.train import fit

STEPS = 200


def fields(constraints: int, shape: tuple[int, ...], device: str) -> tuple[LinearConstraint, Tensor, Tensor]:
    """Return a law of several integrals over a grid, and a prediction with variances."""
    axes = [torch.arange(n, device=device) / n for n in shape]
    draw = torch.Generator(device).manual_seed(0)
    weights = torch.rand(constraints, *shape, generator=draw, device=device, dtype=torch.float64)
    rows = torch.cat([integral(axes, "periodic", density=weight) for weight in weights]).to(device)
    law = LinearConstraint(rows, torch.zeros(constraints, dtype=torch.float64, device=device))
    mean, variance = torch.rand(2, 1, *shape, generator=draw, device=device)
    return law, mean, variance + 0.1


def large(device: str) -> list[dict[str, Any]]:
    """Time an update by ten integrals of more and more unknowns: linear if it is O(M)."""
    rows = []
    for side in (256, 512, 1024):
        law, mean, variance = fields(10, (side, side), device)
        flat, spread = mean.flatten(1), variance.flatten(1)

        def update(law: LinearConstraint = law, flat: Tensor = flat, spread: Tensor = spread) -> Tensor:
            after, covariance = law.condition(flat, Diagonal(spread))
            return covariance.diagonal() + after

        taken = interleave({"update": update, "project": lambda law=law, flat=flat: law.project(flat)}, 5, device)
        rows.append(
            {
                "unknowns": side * side,
                "constraints": 10,
                "mean and variances, s": taken["update"][0],
                "projection, s": taken["project"][0],
            }
        )
    return rows


def beside_a_network(device: str) -> list[dict[str, Any]]:
    """Time four laws on a field of 256 by 256 beside the network that predicted it."""
    law, _mean, variance = fields(4, (256, 256), device)
    torch.manual_seed(0)
    model = UNet(2, 2).to(device).eval()
    u, dt = torch.rand(1, 2, 256, 256, device=device), torch.ones(1, device=device)

    def base() -> Tensor:
        with torch.no_grad():
            return model(u, dt)

    def constrained() -> Tensor:
        with torch.no_grad():
            out = model(u, dt)
            return law.condition(out[:, :1].flatten(1), Diagonal(variance.flatten(1)))[0]

    out = base()[:, :1].flatten(1)

    def only() -> Tensor:
        return law.condition(out, Diagonal(variance.flatten(1)))[0]

    taken = interleave({"network": base, "network and law": constrained, "law": only}, 25, device)
    alone = taken["network"][0]
    return [
        {"what": name, "ms": 1e3 * time, "times the network": time / alone} for name, (time, _) in taken.items()
    ]


def ensemble(device: str, members: int, steps: int) -> list[dict[str, Any]]:
    """Train FNOs on Burgers, roll them out over 200 steps with and without the law of the mean."""
    change = {"times": STEPS + 1, "trajectories": 96, "points": 64}
    with tempfile.TemporaryDirectory() as folder:
        data = open_trajectories(
            generate(load_recipe("burgers", change=change), out=Path(folder) / "b.hdf5", quiet=True)
        )
        ids, models = split(data), []
        for seed in range(members):
            torch.manual_seed(seed)
            model = FNO.for_data(data, modes=12, width=24, layers=3)
            fit(
                model,
                data,
                split=ids,
                steps=steps,
                batch=32,
                learning_rate=3e-3,
                seed=seed,
                device=device,
                quiet=True,
            )
            models.append(model.to(device).eval())
        truth = data[ids.test].to(device)
    u0, rest = truth[:, 0], truth[:, 1:].double()
    law = conserving(integral([torch.arange(64) / 64], "periodic").to(device), u0)
    with torch.no_grad():
        free = torch.stack([rollout(model, u0, STEPS, data.dt) for model in models]).double()
        held = torch.stack([rollout(model, u0, STEPS, data.dt, constraint=law) for model in models]).double()
    own = LinearConstraint(law.operator, law.value[:, None])  # for every state of a trajectory
    states = free.flatten(3)
    spread = LowRank.of_ensemble(states, variance=1e-8)
    after = own.condition(states.mean(0), spread)[0].reshape(rest.shape)
    rows = [_row(f"FNO, seed {seed}", free[seed], rest, own) for seed in range(members)]
    rows += [_row(f"FNO, seed {seed}, law at every step", held[seed], rest, own) for seed in range(members)]
    rows.append(_row("mean of the ensemble", free.mean(0), rest, own))
    rows.append(_row("mean of the ensemble, given the law", after, rest, own))
    rows.append(_row("mean of the ensemble, law at every step", held.mean(0), rest, own))
    return rows


def _row(name: str, path: Tensor, truth: Tensor, law: LinearConstraint) -> dict[str, Any]:
    drift = law.residual(path.flatten(2)).abs()
    error = nrmse(path, truth)
    return {"forecast": name, "largest drift of the mean": float(drift.max()), "nRMSE": float(error.mean())}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600, help="updates of each FNO")
    parsed = parser.parse_args()
    lines = [
        "`python benchmarks/constraints.py`. Update by ten integrals, float32 field, float64 inside:",
        "",
        table(large(parsed.device)),
        "",
        "Four laws on a field of 256 by 256, beside the U-Net (default width) that predicts it:",
        "",
        table(beside_a_network(parsed.device)),
        "",
        f"Burgers, {parsed.members} FNOs of {parsed.steps} updates each, seeds from 0 on, rollouts of {STEPS} "
        f"steps, test "
        "trajectories:",
    ]
    rows = ensemble(parsed.device, parsed.members, parsed.steps)
    where = machine(parsed.device, [])
    write(f"constraints-{parsed.device}", "What conservation laws cost and do", "\n".join(lines), where, rows)


if __name__ == "__main__":
    main()
