"""A view in JSON-able terms, with a fingerprint of its file."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciode.data import coordinates

if TYPE_CHECKING:
    from sciode.data.trajectories import Trajectories

_SAMPLE = 2**20


def fingerprint(path: Path) -> str:
    """Return a hash of the size, the first and the last MiB of a file: quick, at any size.

    Equal files have equal fingerprints. Files that differ only in between do too: it tells data sets apart, it
    does not prove them whole.
    """
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE))
        file.seek(max(0, size - _SAMPLE))
        digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def spec(data: "Trajectories") -> dict[str, Any]:
    """Describe ``data``: file, shape, names, times, grid, parameters, and how the view differs from the file."""
    rows = data.run_times
    return {
        "file": data.path.name,
        "bytes": data.path.stat().st_size,
        "fingerprint": fingerprint(data.path),
        "schema": data.schema,
        "shape": list(data.shape),
        "fields": list(data.fields),
        "dt": coordinates.spacing(rows[0]) if (rows == rows[0]).all() else None,
        "times": [float(rows[0, 0]), float(rows[0, -1])],
        "grid": [[float(axis[0]), float(axis[-1])] for axis in data.grid],
        "lengths": list(data.lengths),
        "parameters": data.parameters,
        "view": {
            "trajectories": [data.trajectories.start, data.trajectories.step],
            "steps": [data.steps.start, data.steps.step],
            "space": [{type(op).__name__.lower(): list(*vars(op).values())} for op in data.operations],
        },
    }
