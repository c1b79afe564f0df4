"""What pre-training saved in a finished run of the suite poseidon-smoke or poseidon, seed by seed.

sciode bench run poseidon-smoke && python benchmarks/pretraining.py runs/poseidon-smoke

The table has every seed; the lines above it say what the run shows of lead times: the error at leads that no
training had, over the larger error of their neighbours, and at lead zero.
"""

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from harness import RESULTS, machine, write

from sciode.bench.cells import cells_of, finished
from sciode.bench.samples import gains
from sciode.bench.store import read_suite
from sciode.core.files import read_json

METRICS = {
    "direct_l1": "relative L1, one step",
    "final_l1": "relative L1, state by state",
    "rollout_nrmse": "rollout nRMSE",
}
IMAGES = RESULTS.parents[1] / "docs" / "images"


def rows_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each data set and model: all seeds of every metric."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["dataset"], record["model"]), []).append(record["metrics"])
    return [
        {
            "data set": dataset,
            "model": model,
            **{
                head: ", ".join(f"{cell[name]:.3f}" for cell in cells if cell.get(name) is not None) or "-"
                for name, head in METRICS.items()
            },
            "training s": fmean(cell["train_seconds"] for cell in cells),
        }
        for (dataset, model), cells in groups.items()
    ]


def unseen(record: Mapping[str, Any], leads: set[int]) -> list[float]:
    """Return the error at every lead that no training had, over the larger of its neighbours'."""
    error = dict(zip(record["curves"]["lead"], record["curves"]["direct"], strict=True))
    inner = [lead for lead in error if lead not in leads and {lead - 1, lead + 1} <= set(error)]
    return [error[lead] / max(error[lead - 1], error[lead + 1]) for lead in inner]


def main() -> None:
    """Read a run, write the table, and copy the plot of errors over trajectories."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    suite, environment = read_suite(run), read_json(run / "env.json")
    records = finished(run, cells_of(suite))
    if len(records) < len(cells_of(suite)):
        raise SystemExit(f"{run} is not complete")
    known = {m.name: m.settings(m.name)[1].get("leads") for m in suite.models}
    direct = [r for r in records if r.get("curves", {}).get("direct")]
    fractions = [
        f for r in direct if isinstance(known[r["model"]], list) for f in unseen(r, set(known[r["model"]]))
    ]
    lines = [
        f"`sciode bench run {suite.name}`, then `python benchmarks/pretraining.py {run.name}`: seeds "
        f"{list(suite.seeds)} in this order, {environment['jobs']} processes, {environment['seconds']:.0f} s.",
        "",
        *[
            f"- {name} beside {base} on {entry.name}: EG {efficiency}, AG by trajectories {', '.join(accuracy)}"
            for entry in suite.datasets
            for name, base, efficiency, *accuracy in gains(
                suite, [r for r in records if r["dataset"] == entry.name]
            )
        ],
        f"- largest error at lead 0, all models and seeds: {max(r['curves']['direct'][0] for r in direct):.3f}",
    ]
    if fractions:
        lines.append(f"- error at a lead of no training over its neighbours', largest: {max(fractions):.2f}")
    device = environment["device"]
    write(
        f"{suite.name}-{device}",
        f"The suite {suite.name}",
        "\n".join(lines),
        machine(device, []),
        rows_of(records),
    )
    for entry in suite.datasets:
        shutil.copy(run / "figures" / f"{entry.name}-samples.png", IMAGES / f"{suite.name}-{entry.name}.png")


if __name__ == "__main__":
    main()
