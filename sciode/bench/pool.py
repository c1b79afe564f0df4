"""Cells side by side: on a CPU small models gain more from processes than from threads.

Each process has its share of the cores and no more. Two threads of one process wait for each other at every
operator; on a machine that also does other things that costs a factor of ten to a hundred.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from threading import Thread
from typing import Any

_MOST = 4


class Here(Executor):
    """An executor that does the work at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn``; an error is raised here and now.

        >>> Here().submit(max, 1, 2).result()
        2
        """
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def jobs_for(device: str, cells: int) -> int:
    """Return how many processes to use by default: one on an accelerator, up to four on a CPU.

    >>> jobs_for("cuda", 100), jobs_for("cpu", 1)
    (1, 1)
    """
    return 1 if device != "cpu" else max(1, min(cores(), cells, _MOST))


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(count: int) -> Iterator[Executor]:
    """Yield an executor of ``count`` processes; with one, everything stays in this process."""
    if count == 1:
        yield Here()
        return
    context = multiprocessing.get_context("spawn")
    threads = max(1, cores() // count)
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(threads,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    # A parent that is killed outright cannot end its children, and a child that goes on alone
    # would write into a run directory that the next start already works in.
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
