"""From one layout to another, streaming."""

from collections.abc import Sequence
from pathlib import Path

from sciode.core.errors import InputError
from sciode.data.trajectories import open_trajectories
from sciode.data.write import write_trajectories


def convert(
    source: str | Path,
    target: str | Path,
    schema: str | None = None,
    *,
    fields: Sequence[str] | None = None,
    compression: str | None = None,
    quiet: bool = True,
) -> Path:
    """Write the trajectories of ``source`` to ``target`` in another layout; values, names and parameters stay.

    Values become float32, missing axes (a force that is constant in time) are filled in. Memory is bounded.

    Parameters
    ----------
    source, target
        Files of any readable schema, and the file to make.
    schema
        ``"pdebench-a"``, ``"pdebench-b"``, ``"pdebench-c"`` or ``"well"``; chosen by shape if None.
    fields
        Channels to keep; all by default. Schema A holds one.
    compression
        ``"gzip"``, ``"lzf"`` or none.
    quiet
        Show no progress.
    """
    source, target = Path(source), Path(target)
    if target.exists() and source.samefile(target):
        raise InputError(f"convert needs a target other than its source {source}")
    with open_trajectories(source, fields=fields) as data:
        name = str(data.layout.parameters.get("name") or target.stem)
        return write_trajectories(target, schema, source=data, name=name, compression=compression, quiet=quiet)
