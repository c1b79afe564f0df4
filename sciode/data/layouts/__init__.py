"""The schemas that are read, told apart by content: names and extensions lie."""

import h5py

from sciode.core.errors import LayoutError
from sciode.data.layout import Layout, describe
from sciode.data.layouts.arrays import is_tensor, is_variables, read_tensor, read_variables
from sciode.data.layouts.groups import is_groups, read_groups
from sciode.data.layouts.incompressible import is_incompressible, read_incompressible
from sciode.data.layouts.well import is_well, read_well

# The order matters only for the last entry: a file of loose arrays is what is left.
READERS = (
    (is_tensor, read_tensor),
    (is_well, read_well),
    (is_incompressible, read_incompressible),
    (is_groups, read_groups),
    (is_variables, read_variables),
)


def read_layout(file: h5py.File) -> Layout:
    """Return the layout of an open file; :class:`LayoutError` if none fits or the file contradicts itself."""
    try:
        for fits, read in READERS:
            if fits(file):
                return read(file)
        raise _unknown(file)
    except LayoutError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        # All five are what h5py raises on headers, names and types that a bad disk or a cut transfer has spoilt.
        raise LayoutError(f"{file.filename} is damaged: {type(error).__name__}: {error}") from error


def _unknown(file: h5py.File) -> LayoutError:
    return LayoutError(
        f"{file.filename} has no layout that sciode knows. Expected one of: tensor (A), tensor + nu (A'), "
        f"density/pressure/Vx/... arrays of one shape (B), groups 0000/data (C), velocity + particles (D), "
        f"t0_fields + dimensions (The Well). Found: {describe(file)}"
    )


__all__ = ["read_layout"]
