"""One-step errors of a finished run of the smoke suite, seed by seed, and the gain over persistence.

sciode bench run smoke && python benchmarks/smoke.py runs/smoke
"""

import argparse
from pathlib import Path

from harness import RESULTS, machine, write

from sciode.core.files import read_json


def rows_of(results: dict) -> list[dict]:
    """Return a row for each data set and model."""
    found: dict[tuple[str, str], list[float]] = {}
    for cell in results["cells"]:
        found.setdefault((cell["dataset"], cell["model"]), []).append(cell["metrics"]["one_step_nrmse"])
    rows = []
    for (dataset, model), errors in found.items():
        (base,) = found[dataset, "persistence"]
        rows.append(
            {
                "data set": dataset,
                "model": model,
                "one-step nRMSE, each seed": ", ".join(f"{error:.3g}" for error in errors),
                "smallest gain over persistence": base / max(errors),
            }
        )
    return rows


def main() -> None:
    """Read a run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    results, environment = read_json(run / "results.json"), read_json(run / "env.json")
    if not results["complete"]:
        raise SystemExit(f"{run} is not complete: {results['missing']}")
    device = environment["device"]
    notes = (
        f"`sciode bench run {results['suite']}`, then `python benchmarks/smoke.py {run.name}`: seeds "
        f"{results['seeds']}, {environment['jobs']} processes, {environment['seconds']:.0f} s for generation, "
        "training, evaluation and report."
    )
    write(
        f"smoke-{device}", "The smoke suite", notes, machine(device, ["neuraloperator", "numpy"]), rows_of(results)
    )
    print(f"written to {RESULTS.name}/smoke-{device}.md")


if __name__ == "__main__":
    main()
