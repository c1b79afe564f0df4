"""``sciode log``: look at, check, convert and generate sensor logs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A sciode-log HDF5 file.")]


@app.command("inspect")
def inspect(file: File) -> None:
    """Say what a log holds: runs, channels, units, rates, conditions."""
    from sciode.bench.console import print_table
    from sciode.data.logs import SensorLog

    log = SensorLog(file)
    rows = []
    for run in log.runs.values():
        for name, signal in run.signals.items():
            first, last = signal.span
            channel, clock = signal.channel, signal.clock
            rate = f"{1 / clock.step:.6g} Hz" if len(signal) > 1 else "-"
            regular = "" if clock.times is None else " (irregular)"
            rows.append(
                [
                    run.name,
                    name,
                    channel.units or "-",
                    channel.role,
                    rate + regular,
                    f"{len(signal)}",
                    f"{first:.4g} to {last:.4g} s" if len(signal) else "-",
                ]
            )
        if not run.signals:
            rows.append([run.name, *["-"] * 6])
    print_table(["run", "channel", "unit", "role", "rate", "samples", "time"], rows)
    for run in log.runs.values():
        told = ", ".join(f"{key} = {value:g} {units}".strip() for key, (value, units) in run.conditions.items())
        state = "" if run.status == "ok" else f", {run.status}"
        typer.echo(
            f"{run.name}: {run.start}{state}, split {run.split or 'undecided'}{'; ' + told if told else ''}"
        )


@app.command("demo")
def demo(
    file: Annotated[Path, typer.Argument(help="File to write.")] = Path("engine.h5"),
    runs: Annotated[int, typer.Option(help="Engine runs.")] = 16,
    duration: Annotated[float, typer.Option(help="Length of a run, s.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Of plans, turbulence and faults.")] = 0,
    faults: Annotated[bool, typer.Option(help="Let sensors fail.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Write a log of generated engine runs, some of which go unstable."""
    from sciode.generate.engine_log import EngineLog, engine_log

    settings = EngineLog(runs=runs, duration=duration, seed=seed, faults=faults)
    typer.echo(engine_log(file, settings, quiet=quiet))


@app.command("infer")
def infer(
    file: Annotated[Path, typer.Argument(help="HDF5 file of another layout.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="TOML file to write; else shown.")] = None,
    profile: Annotated[str | None, typer.Option(help="tdms, asammdf, gwpy, ...; by content unless told.")] = None,
    time: Annotated[str | None, typer.Option(help="Dataset of times, where several could be.")] = None,
    start: Annotated[str, typer.Option(help="When runs began, ISO 8601, where the file has relative times.")] = "",
    target: Annotated[str, typer.Option(help="Channel to forecast.")] = "",
) -> None:
    """Propose a spec for convert; exit status 1, and the lines to add, where the file leaves something open."""
    from sciode.core.files import atomic_path
    from sciode.data.logs import infer_log

    found = infer_log(file, profile=profile, time=time, start=start, target=target)
    if output is None:
        typer.echo(found.text, nl=False)
    else:
        with atomic_path(output) as partial:
            partial.write_text(found.text, encoding="utf-8")
        typer.echo(output)
    for what, lines in found.undecided:
        typer.echo(f"undecided: {what}; add {'one of' if len(lines) > 1 else 'a line such as'}", err=True)
        for line in lines:
            typer.echo(f"  {line.strip()}", err=True)
    if found.undecided:
        raise typer.Exit(1)


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(help="HDF5 file of another layout.")],
    spec: Annotated[Path, typer.Argument(help="TOML file that says where its runs, times and channels are.")],
    target: Annotated[Path, typer.Argument(help="File to write.")],
    repair: Annotated[
        bool, typer.Option(help="Sort times that do not rise, drop what was stamped twice.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Write a file of another layout as sciode-log."""
    from sciode.data.logs import LogSpec, convert_log

    typer.echo(convert_log(source, LogSpec.read(spec), target, repair=repair, quiet=quiet))


@app.command("validate")
def validate(file: File) -> None:
    """Check a log from end to end; exit status 1 where an error, not just a warning, is found."""
    from sciode.bench.console import print_table
    from sciode.data.logs import validate_log

    problems = validate_log(file, quiet=False)
    if not problems:
        typer.echo(f"{file}: no problems found")
        return
    print_table(["severity", "where", "what"], [list(problem) for problem in problems])
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(1)
