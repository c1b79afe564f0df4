"""A suite from start to report; a killed run goes on at its first missing cell."""

import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from sciode.bench.cells import Cell, choose
from sciode.bench.config import Suite
from sciode.bench.store import missing, open_run, put_aside, record_data, record_session, write_results
from sciode.bench.suites import load_suite
from sciode.core.progress import progress

if TYPE_CHECKING:
    from sciode.bench.problems import Problem

# torch and matplotlib are imported where work begins: a finished run answers at once.


def run_suite(
    suite: str | Path,
    out: str | Path | None = None,
    *,
    device: str = "cpu",
    seeds: Sequence[int] | None = None,
    only: Sequence[str] = (),
    fresh: bool = False,
    jobs: int | None = None,
    quiet: bool = False,
) -> Path:
    """Run a suite: make the data, train, evaluate, report. Called again, it goes on where it stopped.

    A cell is a data set, a model and a seed. Its result is written when it is finished; a training under way
    resumes from its last checkpoint. A finished run is left as it is.

    Parameters
    ----------
    suite
        Name of a shipped suite, or path of a TOML file.
    out
        Run directory; by default ``runs/NAME`` under the working directory.
    device
        Where to compute.
    seeds
        In place of those in the suite.
    only
        Cells to run: "DATASET", "DATASET/MODEL" or "*/MODEL"; all by default.
    fresh
        Put an earlier run in that directory aside and start again.
    jobs
        Processes that work side by side; by default one on an accelerator and up to four on a CPU.
    quiet
        Show no progress.

    Returns
    -------
    Path
        The run directory: ``config.toml``, ``env.json``, ``data.json``, ``results.json``, ``results.csv``,
        ``cells/``, ``rollouts/``, ``figures/``, ``overview.png``, ``report.html``.

    Raises
    ------
    InputError
        Where the directory holds a run of another suite, or the data have changed; it names what differs.
    """
    chosen = load_suite(suite, None if seeds is None else tuple(seeds))
    wanted = choose(chosen, only)
    folder = Path("runs") / chosen.name if out is None else Path(out)
    if fresh and (aside := put_aside(folder)) is not None and not quiet:
        print(f"the earlier run is now {aside}", file=sys.stderr)
    open_run(folder, chosen)
    todo = missing(folder, wanted)
    if todo:
        _work(folder, chosen, todo, device, jobs, quiet)
    elif not quiet:
        print(f"{folder}: nothing left to run; --fresh starts again", file=sys.stderr)
    if todo or not (folder / "report.html").is_file():
        _finish(folder, chosen)
    return folder


def _work(folder: Path, suite: Suite, todo: list[Cell], device: str, jobs: int | None, quiet: bool) -> None:
    from sciode.bench.cell import check_device
    from sciode.bench.environment import environment
    from sciode.bench.pool import jobs_for, workers

    check_device(device)
    count = jobs_for(device, len(todo)) if jobs is None else jobs
    clock, here, before = time.perf_counter(), environment(device) | {"jobs": count}, len(todo)
    try:
        with workers(count) as pool:
            problems = _prepare(folder, suite, todo, device, pool, quiet)
            _pretrain(folder, suite, todo, device, pool, quiet)
            _run(folder, suite, todo, problems, device, pool, quiet)
    finally:
        done = before - len(missing(folder, todo))
        record_session(folder, here, time.perf_counter() - clock, done)


def _prepare(
    folder: Path, suite: Suite, todo: list[Cell], device: str, pool: Executor, quiet: bool
) -> dict[str, "Problem"]:
    from sciode.bench.cell import check_model
    from sciode.bench.problems import prepare

    names = list(dict.fromkeys(cell.dataset for cell in todo))
    with progress("data", len(names), quiet=quiet) as bar:
        futures = {pool.submit(prepare, suite.dataset(name), device, quiet=True): name for name in names}
        found = {}
        for future in as_completed(futures):
            found[futures[future]] = future.result()
            bar.advance(1, futures[future])
    for name in names:
        record_data(folder, name, found[name].describe())
        for model in dict.fromkeys(cell.model for cell in todo if cell.dataset == name):
            check_model(suite.model(model), found[name])
    return found


def _pretrain(folder: Path, suite: Suite, todo: list[Cell], device: str, pool: Executor, quiet: bool) -> None:
    from sciode.bench.pretrain import pretrain, weights_path
    from sciode.bench.problems import prepare

    pairs = [(suite.model(cell.model).start, cell.seed or 0) for cell in todo]
    wanted = [(name, seed) for name, seed in dict.fromkeys(pairs) if name is not None]
    wanted = [(name, seed) for name, seed in wanted if not weights_path(folder, name, seed).is_file()]
    if not wanted:
        return
    parts = [part for entry in suite.pretraining if entry.name in dict(wanted) for part in entry.datasets]
    for made in [pool.submit(prepare, part, device, quiet=True) for part in parts]:
        made.result()
    with progress("pre-training", len(wanted), quiet=quiet) as bar:
        futures = {pool.submit(pretrain, suite.start(name), seed, folder, device): name for name, seed in wanted}
        for future in as_completed(futures):
            bar.advance(1, f"{futures[future]} {future.result():.3g}")


def _run(
    folder: Path,
    suite: Suite,
    todo: list[Cell],
    problems: Mapping[str, "Problem"],
    device: str,
    pool: Executor,
    quiet: bool,
) -> None:
    from sciode.bench.cell import run_cell

    with progress(f"suite {suite.name}", len(todo), quiet=quiet) as bar:
        futures = {}
        for cell in todo:
            job = (cell, suite.model(cell.model), problems[cell.dataset], folder, device)
            futures[pool.submit(run_cell, *job)] = cell
        for future in as_completed(futures):
            error = future.result().get("metrics", {}).get("one_step_nrmse")
            said = "failed" if error is None else f"nRMSE {error:.3g}"
            bar.advance(1, f"{futures[future].id} {said}")


def _finish(folder: Path, suite: Suite) -> None:
    from sciode.bench.report import write_report

    write_results(folder, suite)
    write_report(folder)
