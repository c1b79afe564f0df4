"""One HDF5 file, opened when first read, once per process.

A handle that crosses ``fork`` shares its file offset and its library state with the parent: reads then
return other readers' bytes. So a store remembers the process that opened its file; in another process it
closes what was inherited (which leaves the parent's handle alone) and opens the file afresh.
"""

import os
import weakref
from pathlib import Path
from typing import Any

import h5py

from sciode.core.errors import InputError, LayoutError

_STORES: "weakref.WeakSet[Store]" = weakref.WeakSet()
_CACHE = 8 * 2**20


def open_file(path: Path, cache: int = _CACHE, live: bool = False) -> h5py.File:
    """Open ``path`` for reading, or say in one line why it is no HDF5 file.

    ``cache`` is the size of the chunk cache per dataset, bytes; ``live`` reads a file while its writer appends.
    Raises :class:`InputError` where there is no file, :class:`LayoutError` for an empty, foreign or truncated one.
    """
    if not path.is_file():
        raise InputError(f"no file at {path}")
    if path.stat().st_size == 0:
        raise LayoutError(f"{path} is empty (0 bytes); expected an HDF5 file")
    if not h5py.is_hdf5(path):
        raise LayoutError(f"{path} is not an HDF5 file (no HDF5 signature)")
    try:
        return h5py.File(path, "r", rdcc_nbytes=cache, **({"swmr": True, "libver": "latest"} if live else {}))
    except OSError as error:
        raise LayoutError(f"{path} cannot be opened (damaged, truncated or being written): {error}") from error


class Store:
    """A picklable handle on one file.

    Parameters
    ----------
    path
        The file.
    cache
        Chunk cache per dataset, bytes: at least one chunk, or every read decompresses it again.
    live
        Read while a writer appends; :meth:`refresh` shows what is new.
    """

    def __init__(self, path: str | Path, cache: int = _CACHE, live: bool = False) -> None:
        self.path = Path(path).absolute()
        self.cache, self.live = cache, live
        self.stamp: tuple[int, int] | None = None
        self._reset()

    def _reset(self) -> None:
        self._file: h5py.File | None = None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._process = self._inode = -1
        self._closed = False
        _STORES.add(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "cache": self.cache, "live": self.live, "stamp": self.stamp}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    @property
    def file(self) -> h5py.File:
        """The open file of this process."""
        if self._closed:
            raise InputError(f"{self.path} was closed; open it again with open_trajectories")
        if self._file is None or self._process != os.getpid():
            _drop_inherited()
            self._inode = self.path.stat().st_ino if self.path.exists() else -1
            self._file, self._process = open_file(self.path, self.cache, self.live), os.getpid()
            if not self.live:
                self._check_stamp()
        return self._file

    def dataset(self, name: str) -> h5py.Dataset:
        """Return the dataset ``name``, kept open: its chunk cache lives as long as it does."""
        file = self.file
        if name not in self._datasets:
            self._datasets[name] = file[name]
        return self._datasets[name]

    def _check_stamp(self) -> None:
        # A worker opens the file later than the process that read its layout.
        status = self.path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        if self.stamp is not None and self.stamp != stamp:
            self.close()
            raise LayoutError(f"{self.path} was rewritten since it was opened; open it again")
        self.stamp = stamp

    def refresh(self) -> None:
        """Show what a writer has appended since; a file that was replaced is opened anew."""
        if self._file is None:
            return
        if self.path.stat().st_ino != self._inode:
            self.drop()
            return
        for dataset in self._datasets.values():
            dataset.refresh()

    def drop(self) -> None:
        """Close the handle if there is one; the next read opens the file again."""
        if self._file is not None:
            self._datasets.clear()
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Close for good: later reads raise :class:`InputError`."""
        self.drop()
        self._closed = True


def _drop_inherited() -> None:
    for store in list(_STORES):
        if store._file is not None and store._process != os.getpid():
            store.drop()
