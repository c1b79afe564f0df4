"""What refining costs and buys, in a finished run of a suite with a refiner.

sciode bench run refiner-smoke && python benchmarks/refiner.py runs/refiner-smoke

Tables: every model and seed of the suite; the refiner's samplers, with fewer calls of the network; the equation's
own solver on coarser grids, at its own cost; the loop beside its calls; a stream beside rollouts.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from harness import interleave, machine, table, write
from torch import Tensor

from sciode.bench.cells import Cell, cells_of, finished
from sciode.bench.config import Suite
from sciode.bench.problems import Guarded, Problem, prepare
from sciode.bench.store import read_suite
from sciode.core.files import read_json
from sciode.metrics import correlation, crossing_time
from sciode.surrogate import Refiner, Surrogate, load_surrogate, rollout, stepper, stream
from sciode.train import fit

METRICS = {
    "one_step_nrmse": "one-step nRMSE",
    "correlation_time": "T(corr > 0.8)",
    "correlation_time_90": "T(corr > 0.9)",
    "correlation_time_mean": "T(mean corr > 0.8)",
    "energy_drift": "energy drift",
    "mass_drift": "mean drift",
    "one_step_low": "one step, low",
    "one_step_mid": "mid",
    "one_step_high": "high",
    "spread_skill": "spread/error",
    "spread_error": "corr(spread, error)",
    "warning_time": "warned at",
    "warning_correlation": "corr(warned, lost)",
    "rollout_ms": "ms a step",
}
STUDENT = "refiner's student"
CHOICES = [("ddpm", 4), ("ddim", 4), ("dpm++", 4), ("dpm++", 3), ("ddim", 2), ("dpm++", 2), ("ddim", 1)]


def comparison(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each model of the suite: all seeds of every metric."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(record["model"], []).append(record["metrics"])
    return [
        {
            "model": model,
            **{
                head: ", ".join(_number(cell.get(name)) for cell in cells if name in cell)
                for name, head in METRICS.items()
            },
            "weights": cells[0]["parameters"],
            "training s": fmean(cell["train_seconds"] for cell in cells),
        }
        for model, cells in groups.items()
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


class Tested:
    """Test trajectories, and how long a forecast follows them."""

    def __init__(self, problem: Problem, device: str) -> None:
        self.u = problem.data[problem.split.test][:, :: problem.entry.lead].to(device)
        self.step, self.steps = problem.step, problem.rollout
        self.truth = self.u[:, 1 : self.steps + 1]

    def time(self, model: Surrogate, threshold: float = 0.8) -> Tensor:
        """Return the time at which each forecast loses the truth, ``[b]``."""
        with torch.no_grad():
            path = rollout(model, self.u[:, 0], self.steps, self.step)
        return crossing_time(correlation(path, self.truth), threshold, self.step)

    def call(self, model: Surrogate) -> Callable[[], Tensor]:
        """Return one step of the test states, to be timed."""
        u, dt = self.u[:, 0], torch.full((len(self.u),), self.step, device=self.u.device)

        def step() -> Tensor:
            with torch.no_grad():
                return model(u, dt)

        return step


def samplers(models: Mapping[str, list[Any]], tested: Tested, device: str) -> list[dict[str, Any]]:
    """Return accuracy and cost of every model's samplers, and of the models without one."""
    choices: dict[tuple[str, str, int], list[Any]] = {}
    for name, group in models.items():
        if not isinstance(group[0], Refiner) or name == STUDENT:
            choices[name, "-", 1] = group
            continue
        for sampler, calls in CHOICES:
            if calls <= group[0].config["steps"] + 1:
                choices[name, sampler, calls] = [model.resampled(sampler, calls).eval() for model in group]
    taken = interleave({key: tested.call(group[0]) for key, group in choices.items()}, 9, device)
    rows = []
    for (name, sampler, calls), group in choices.items():
        times = [tested.time(model) for model in group]
        rows.append(
            {
                "model": name,
                "sampler": sampler,
                "calls": calls,
                "T(corr > 0.8), by seed": ", ".join(f"{t.mean():.1f}" for t in times),
                "T(corr > 0.9), by seed": ", ".join(f"{tested.time(model, 0.9).mean():.1f}" for model in group),
                "standard error over trajectories": float(times[0].std() / len(times[0]) ** 0.5),
                "ms a step": 1e3 * taken[name, sampler, calls][0],
            }
        )
    return rows


def solvers(problem: Problem, tested: Tested, device: str) -> list[dict[str, Any]]:
    """Return accuracy and cost of the equation's own solver, on coarser and coarser grids."""
    assert problem.recipe is not None
    fine, rows = problem.data.shape[-1], []
    for coarsen in (1, 1.5, 2, 3):
        for substeps in (1, 2, 5, 20):
            points = int(fine / coarsen)
            own = problem.recipe.term(points)
            model = Guarded(stepper(own, substeps=substeps, points=None if coarsen == 1 else (points,)))
            taken, _ = interleave({"step": tested.call(model)}, 9, device)["step"]
            time = tested.time(model)
            rows.append(
                {"points": points, "steps of ETDRK4": substeps, "T(corr > 0.8)": float(time.mean())}
                | {"standard error": float(time.std() / len(time) ** 0.5), "ms a step": 1e3 * taken}
            )
    return rows


def overhead(model: Refiner, name: str, tested: Tested, batch: int, device: str) -> str:
    """Return what the loop of a refiner costs beyond its calls of the network."""
    u, dt = tested.u[:batch, 0], torch.full((batch,), tested.step, device=device)
    v, tau = model.normalised(u), model.leads(dt)
    pair, level = torch.cat([v, v], dim=1), torch.ones_like(tau)

    def calls() -> None:
        with torch.no_grad():
            for _ in range(model.sampler.evaluations):
                model.body(pair, tau, level)

    def step() -> None:
        with torch.no_grad():
            model(u, dt)

    taken = interleave({"calls": calls, "step": step}, 21, device)
    once, whole = taken["calls"][0], taken["step"][0]
    return (
        f"- a step of {name}, batch {len(u)}: {1e3 * whole:.3g} ms, its {model.sampler.evaluations} calls of "
        f"the network alone {1e3 * once:.3g} ms: {whole / once:.3f} times as long (median of 21, turn by turn)"
    )


def streaming(model: Refiner, tested: Tested, device: str) -> list[str]:
    """Return how fast a stream is beside rollouts, of trajectories of equal and of different lengths."""
    u, lanes, lines = tested.u[:, 0], 8, []
    for name, counts in (
        ("equal lengths", [20] * len(u)),
        ("lengths from 1 to 40", [1 + 39 * i // (len(u) - 1) for i in range(len(u))]),
    ):
        batches = [range(i, min(i + lanes, len(u))) for i in range(0, len(u), lanes)]
        draw = torch.randperm(len(u), generator=torch.Generator().manual_seed(0)).tolist()
        counts = [counts[i] for i in draw]

        def sequential(counts: list[int] = counts, batches: list[range] = batches) -> None:
            with torch.no_grad():
                for batch in batches:
                    rollout(model, u[batch.start : batch.stop], max(counts[i] for i in batch), tested.step)

        def streamed(counts: list[int] = counts) -> None:
            for _ in stream(model, u, counts, tested.step, lanes=lanes):
                pass

        taken = interleave({"rollout": sequential, "stream": streamed}, 5, device)
        rate = {key: sum(counts) / value[0] for key, value in taken.items()}
        lines.append(
            f"- {name}, {lanes} lanes, {len(u)} trajectories: rollouts {rate['rollout']:.4g} states/s, stream "
            f"{rate['stream']:.4g} states/s, {rate['stream'] / rate['rollout']:.2f} times"
        )
    return lines


def students(models: list[Any], problem: Problem, seeds: tuple[int, ...], steps: int) -> list[Any]:
    """Return refiners of one call that learned to say what these say in all of theirs."""
    made = [model.student() for model in models]
    lead = (problem.entry.lead,)
    for student, seed in zip(made, seeds, strict=True):
        settings = {"steps": steps, "batch": 32, "learning_rate": 1e-3, "ema": 0.995, "seed": seed, "leads": lead}
        fit(student, problem.data, split=problem.split, quiet=True, **settings)
    return [student.eval() for student in made]


def models_of(suite: Suite, dataset: str, run: Path, device: str) -> dict[str, list[Any]]:
    """Return the trained models of one name, seed by seed: refiners and what they are compared with."""
    found: dict[str, list[Any]] = {}
    for entry in suite.models:
        if entry.deterministic:
            continue
        paths = [Cell(dataset, entry.name, seed).work(run) / "checkpoints" for seed in suite.seeds]
        models = [load_surrogate(path / "best.safetensors").to(device) for path in paths]
        if isinstance(models[0], Refiner) or entry.name == "one-step":
            found[entry.name] = models
    return found


def main() -> None:
    """Read a run, measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--distil", type=int, default=1000, help="updates of a student in one call; 0: none")
    parsed = parser.parse_args()
    run, device = parsed.run, parsed.device
    suite, environment = read_suite(run), read_json(run / "env.json")
    records = finished(run, cells_of(suite))
    if len(records) < len(cells_of(suite)):
        raise SystemExit(f"{run} is not complete")
    entry = suite.datasets[0]
    problem = prepare(entry, device, quiet=True)
    tested, models = Tested(problem, device), models_of(suite, entry.name, run, device)
    refiners = next(group for group in models.values() if isinstance(group[0], Refiner))
    refiner, sizes = refiners[0], {key: refiners[0].config[key] for key in ("channels", "dimensions")}
    published = Refiner(**sizes, body="modern-unet").to(device).eval()
    if parsed.distil:
        models[STUDENT] = students(refiners, problem, suite.seeds, parsed.distil)
    lines = [
        f"`sciode bench run {suite.name}`, then `python benchmarks/refiner.py {run.name}`: seeds "
        f"{list(suite.seeds)} in order, {environment['jobs']} processes, {environment['seconds']:.0f} s. Times "
        f"are in the unit of the equation, a step of a model is {tested.step:g}, forecasts run to "
        f"{tested.steps * tested.step:g}; means of {len(tested.u)} test trajectories.",
        "",
        f"Samplers on the same weights, and a student of one call trained for {parsed.distil} updates:",
        "",
        table(samplers(models, tested, device)),
        "",
        "The equation's own solver, the same test states in float32, same batch:",
        "",
        table(solvers(problem, tested, device)),
        "",
        overhead(refiner, "the suite's refiner", tested, len(tested.u), device),
        overhead(published, "a refiner with the published network, 54 million weights", tested, 4, device),
        *streaming(refiner, tested, device),
        "",
        "All models of the suite:",
    ]
    where = machine(device, [])
    write(f"{suite.name}-{device}", f"The suite {suite.name}", "\n".join(lines), where, comparison(records))


if __name__ == "__main__":
    main()
