"""The command tree, and what an error looks like."""

import sys
from typing import Annotated

import typer

from sciode import __version__
from sciode.cli import bench, data, forecast, log
from sciode.cli.doctor import doctor
from sciode.cli.generate import generate
from sciode.cli.train import train
from sciode.core.errors import SciodeError

app = typer.Typer(
    name="sciode",
    help="Scientific machine learning for PDEs: make data, train surrogates, compare them with solvers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data", help="Make, look at, check and convert files of trajectories.")
app.add_typer(log.app, name="log", help="Look at, check, convert and generate sensor logs.")
app.add_typer(bench.app, name="bench", help="Run a suite of data sets and models, and compare runs.")
app.add_typer(forecast.app, name="forecast", help="From sensor logs to calibrated forecasts, reports and alarms.")
app.command()(doctor)
app.command()(train)
app.command()(generate)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sciode {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Scientific machine learning for PDEs: make data, train surrogates, compare them with solvers."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error that sciode raises on purpose is one line on stderr and exit status 2."""
    try:
        app(args=arguments, prog_name="sciode")
    except SciodeError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(2)
