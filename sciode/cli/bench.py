"""``sciode bench``: run a suite, compare runs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.command("run")
def run(
    suite: Annotated[str, typer.Argument(help="A shipped suite (see `sciode bench list`), or a TOML file.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run directory; default: runs/SUITE.")] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, ...")] = "cpu",
    seeds: Annotated[str | None, typer.Option(help="Seeds in place of the suite's, such as 0,1,2.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="DATASET, DATASET/MODEL or */MODEL; may be given again.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Put an earlier run aside and start again.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes side by side; default: by device.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train and measure every model of a suite on every data set, and write a report.

    The run is resumable: started again, it goes on where it stopped.
    """
    from sciode.bench import run_suite
    from sciode.bench.table import print_run

    numbers = None if seeds is None else _numbers(seeds)
    chosen = tuple(only or ())
    print_run(
        run_suite(suite, out, device=device, seeds=numbers, only=chosen, fresh=fresh, jobs=jobs, quiet=quiet)
    )


@app.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(help="Run directory to compare with.")],
    second: Annotated[Path, typer.Argument(help="Run directory to look at.")],
    html: Annotated[Path | None, typer.Option(help="Write the comparison here as one HTML file, too.")] = None,
) -> None:
    """Put two runs side by side."""
    from sciode.bench import compare_runs
    from sciode.bench.compare import print_comparison, write_html

    comparison = compare_runs(first, second)
    print_comparison(comparison)
    if html is not None:
        write_html(comparison, html)
        typer.echo(f"report: {html}")


@app.command("list")
def show_suites() -> None:
    """List the shipped suites."""
    from sciode.bench import load_suite, suite_names
    from sciode.bench.console import print_table

    suites = [load_suite(name) for name in suite_names()]
    rows = [
        [suite.name, len(suite.datasets), len(suite.models), len(suite.seeds), suite.description]
        for suite in suites
    ]
    print_table(["suite", "data sets", "models", "seeds", "description"], rows)


def _numbers(text: str) -> tuple[int, ...]:
    from sciode.bench.checks import counts
    from sciode.core.errors import InputError

    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise InputError(f"--seeds takes numbers with commas between, such as 0,1,2; found {text!r}") from error
    return counts(numbers, "--seeds", least=0)
