"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO


class Bar(Protocol):
    """What long work calls as it goes."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Say that ``count`` more units are done; ``note`` is a short state, such as a loss."""
        ...


class _Silent:
    def advance(self, count: int = 1, note: str = "") -> None:
        """Say nothing."""


class _Lines:
    """One line every ``every`` seconds, and one at the end: readable in a log file."""

    def __init__(self, label: str, total: int, stream: TextIO, every: float = 10.0) -> None:
        self.label, self.total, self.stream, self.every = label, total, stream, every
        self.done, self.start, self.last = 0, time.monotonic(), time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        now = time.monotonic()
        if self.done >= self.total or now - self.last >= self.every:
            self.last = now
            tail = f"  {note}" if note else ""
            line = f"{self.label}: {self.done}/{self.total} in {now - self.start:.1f} s{tail}"
            print(line, file=self.stream, flush=True)


class _Rich:
    def __init__(self, label: str, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.view = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        self.task = self.view.add_task(label, total=total, note="")

    def advance(self, count: int = 1, note: str = "") -> None:
        self.view.update(self.task, advance=count, note=note)


@contextmanager
def progress(label: str, total: int, *, quiet: bool = False, stream: TextIO | None = None) -> Iterator[Bar]:
    """Show progress of ``total`` units of work: a ``rich`` bar on a terminal, plain lines otherwise.

    >>> with progress("generating burgers", 2, quiet=True) as bar:
    ...     bar.advance(2)
    """
    stream = sys.stderr if stream is None else stream
    if quiet:
        yield _Silent()
    elif stream is sys.stderr and stream.isatty():
        bar = _Rich(label, total)
        with bar.view:
            yield bar
    else:
        yield _Lines(label, total, stream)
