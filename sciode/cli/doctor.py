"""``sciode doctor``: what is installed, and on what machine."""

import os
import platform
from importlib.util import find_spec
from pathlib import Path

import typer

from sciode import __version__

_EXTRAS = {
    "bench": ("diffusers", "exponax", "torchode"),
    "data": ("dask", "zarr"),
    "explain": ("captum",),
    "gp": ("gpytorch",),
    "graph": ("torch_geometric",),
    "ot": ("ot",),
}


def doctor() -> None:
    """Show versions, devices and extras: what to paste into a report of a problem."""
    from sciode.bench.console import print_table
    from sciode.bench.environment import PACKAGES, commit, package_version, processor

    rows = [["sciode", __version__], ["python", platform.python_version()], ["platform", platform.platform()]]
    rows += [["processor", f"{processor()}, {os.cpu_count()} cores"]]
    if found := commit(Path(__file__).parent):
        rows.append(["commit", found])
    rows += [[name, package_version(name) or "MISSING"] for name in PACKAGES]
    rows += [["device", text] for text in _devices()]
    rows += [[f"extra [{name}]", _extra(name)] for name in _EXTRAS]
    print_table(["what", "found"], rows)
    if missing := [name for name in PACKAGES if package_version(name) is None]:
        typer.echo(f"missing: {', '.join(missing)}; pip install sciode brings them", err=True)
        raise typer.Exit(1)


def _extra(name: str) -> str:
    missing = [module for module in _EXTRAS[name] if find_spec(module) is None]
    if not missing:
        return "yes"
    return f'{", ".join(missing)} missing: pip install "sciode[{name}]"'


def _devices() -> list[str]:
    try:
        import torch
    except ImportError as error:
        return [f"torch cannot be imported: {error}"]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [_cuda(index) for index in range(count)]
    return [f"cpu, {torch.get_num_threads()} threads", *names]


def _cuda(index: int) -> str:
    import torch

    memory = torch.cuda.get_device_properties(index).total_memory / 2**30
    return f"cuda:{index}, {torch.cuda.get_device_name(index)}, {memory:.0f} GiB"
