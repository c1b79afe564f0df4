"""``sciode data``: make, look at, check and convert files of trajectories."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A PDEBench or Well HDF5 file.")]


@app.command("generate")
def generate(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (see `sciode data list`), or a recipe.toml.")],
    size: Annotated[str, typer.Option(help="smoke, small or pdebench.")] = "smoke",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File or folder to write; default: data/NAME-SIZE.hdf5.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the initial states; default: the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, ...")] = "cpu",
    force: Annotated[bool, typer.Option(help="Replace a file that another recipe made.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Solve an equation for many initial states and write the trajectories; a killed run continues."""
    from sciode.generate import generate as run

    typer.echo(run(recipe, size, out, seed=seed, device=device, force=force, quiet=quiet))


@app.command("list")
def show_recipes() -> None:
    """List the recipes that `sciode data generate` knows, with their sizes (b, t, c, *n)."""
    from sciode.bench.console import print_table
    from sciode.generate import SIZES, load_recipe, recipe_names

    rows = []
    for name in recipe_names():
        made = [load_recipe(name, size) for size in SIZES]
        rows.append([name, made[0].title, *("×".join(map(str, recipe.shape)) for recipe in made)])
    print_table(["recipe", "what", *SIZES], rows)


@app.command("inspect")
def inspect(file: File) -> None:
    """Say what a file holds: layout, shape, fields, times, grid, parameters."""
    from sciode.data import inspect as describe

    typer.echo(describe(file))


@app.command("validate")
def validate(file: File) -> None:
    """Check a file from end to end; exit status 1 where an error, not just a warning, is found."""
    from sciode.bench.console import print_table
    from sciode.data import validate as problems_of

    problems = problems_of(file, quiet=False)
    if not problems:
        typer.echo(f"{file}: no problems found")
        return
    print_table(["severity", "dataset", "problem"], [list(problem) for problem in problems])
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(1)


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(help="File to read.")],
    target: Annotated[Path, typer.Argument(help="File to write.")],
    schema: Annotated[
        str, typer.Option(help="Layout to write: well, pdebench-a, pdebench-b or pdebench-c.")
    ] = "well",
) -> None:
    """Write a file again in another layout."""
    from sciode.data import convert as run

    run(source, target, schema, quiet=False)
    typer.echo(target)
