"""One call that trains a model, on one process or many."""

import copy
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import AutocastKwargs, DistributedDataParallelKwargs
from torch import nn

import sciode
from sciode.core.errors import InputError
from sciode.data import Families, Split
from sciode.data import split as split_ids
from sciode.nn.tensors import load_tensors
from sciode.train.config import FitConfig
from sciode.train.objective import Keep, Loss, Objective, relative_l2
from sciode.train.run import Run
from sciode.train.task import Task, TaskObjective, check_task
from sciode.train.trainable import check_trainable
from sciode.train.windows import Pairs, Source, source


@dataclass(frozen=True)
class History:
    """What a training left behind.

    Attributes
    ----------
    records : tuple of dict
        One an epoch: epoch, step, train_loss, learning_rate, windows_per_second and, where one was made,
        validation (relative error of one step, over the leads of the training).
    best, best_epoch : float, int
        The smallest validation error (training loss where nothing is held out), and its epoch.
    stopped : str
        "finished" or "patience".
    steps : int
        Optimizer steps.
    checkpoint : Path or None
        The best weights, for :func:`sciode.surrogate.load_surrogate`.
    """

    records: tuple[dict[str, Any], ...]
    best: float
    best_epoch: int
    stopped: str
    steps: int
    checkpoint: Path | None


def fit(
    model: nn.Module,
    data: Any,
    *,
    split: Split | None = None,
    directory: str | Path | None = None,
    resume: bool = True,
    loss: Loss = relative_l2,
    task: Task | None = None,
    constraint: Keep | None = None,
    device: str | None = None,
    quiet: bool = False,
    **config: Any,
) -> History:
    """Train ``model`` on trajectories, to predict the state a lead time later or for another task.

    The model is left with its best weights; with ``sharded`` also on the device that it was on.

    The call is the same on one process and under ``accelerate launch`` or ``torchrun``: ``batch`` counts over
    all processes, so more of them do the same training faster. On the CPU a run that was killed and called
    again ends with the same bits as one that was not.

    Parameters
    ----------
    model : Trainable
        Or what :class:`Task` says. Changed in place; its normaliser and reference lead are fitted on the
        training ids only.
    data : Trajectories
        From :func:`sciode.data.open_trajectories`, or :class:`sciode.data.Families` of them.
    split : Split, optional
        Default ``sciode.data.split(data)``. With no validation ids the training loss chooses the best.
    directory : path, optional
        Gets ``metrics.jsonl`` and ``checkpoints/best.safetensors``, ``checkpoints/last.safetensors``.
    resume : bool
        Go on from ``last``; a finished run returns at once. False removes what the directory holds of a run.
        A longer training is not a continued one, since the learning rate depends on the end: to go on from
        trained weights, load them and fit in a new directory.
    loss : callable
        Of normalised prediction and target, ``"b c *n"`` each.
    task : Task, optional
        Another thing to learn than the next state, such as to denoise; then ``loss`` is not used, and validation
        is the task's mean loss.
    constraint : callable, optional
        Of the state that a window begins with, ``"b c *n"``: what the predicted states are projected to before the
        loss, such as ``partial(sciode.constraints.conserving, rows)``. Give the same to :func:`rollout`
        afterwards.
    device : {"cpu", "cuda", "cuda:N"}, optional
        Default: a GPU if there is one.
    **config
        See :class:`FitConfig`.

    Raises
    ------
    UnknownName
        For an option that does not exist.
    InputError
        For a value that cannot work, or a saved run that differs, naming what differs.
    DivergedError
        When the loss is no longer finite; the last good checkpoint stays.

    Examples
    --------
    >>> import tempfile
    >>> from sciode.data import open_trajectories, write_trajectories
    >>> from sciode.surrogate import UNet
    >>> x, t = torch.arange(16) / 16, torch.arange(6) / 10
    >>> waves = [torch.sin(6.2832 * (x - t[:, None] + k / 9))[None, :, None] for k in range(9)]
    >>> file = write_trajectories(
    ...     Path(tempfile.mkdtemp()) / "waves.hdf5", source=waves, shape=(9, 6, 1, 16),
    ...     fields=["u"], times=t, grid=[x],
    ... )
    >>> data = open_trajectories(file)
    >>> history = fit(UNet.for_data(data, width=4, depth=1), data, epochs=2, batch=5, quiet=True)
    >>> history.stopped, len(history.records)
    ('finished', 2)
    """
    settings = FitConfig.of(config)
    if task is None:
        check_trainable(model)
    else:
        check_task(model, settings)
    ids = (data.split() if isinstance(data, Families) else split_ids(data)) if split is None else split
    if settings.patience is not None and len(ids.validation) == 0:
        raise InputError("patience needs validation ids; this split has none")
    accelerator = _accelerator(settings, device)
    folder = None if directory is None else Path(directory)
    if constraint is not None and (task is not None or hasattr(model, "losses")):
        raise InputError("a constraint is for predicted states; with a loss of its own or task= leave it out")
    card = _card(model, data, ids, settings, _name(loss) if task is None else repr(task))
    if constraint is not None:
        card["constraint"] = _name(constraint)
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        # What is spread stays so: a copy is, and the caller's model gets the best weights at the end.
        own = copy.deepcopy(model) if settings.sharded else model
        run = Run(_objective(own, loss, task, settings, constraint), settings, accelerator, card, folder)
        _train(run, data, ids, resume, quiet)
    if run.best is not None and own is not model:
        load_tensors(model, run.best)
        model.eval()
    at = run.at
    if at.best is None or at.best_epoch is None or at.stopped is None:
        raise InputError("the run ended before its first epoch")
    best = None if folder is None else folder / "checkpoints/best.safetensors"
    return History(tuple(at.records), at.best, at.best_epoch, at.stopped, at.step, best)


def _train(run: Run, data: Any, ids: Split, resume: bool, quiet: bool) -> None:
    if not resume:
        _forget(run)
    run.accelerator.wait_for_everyone()
    resumed = run.resume()
    if run.at.stopped is not None:
        run.take_best()
        return
    config, length = run.config, run.plain.states
    pairs = Pairs(config.leads, config.starts, config.stride)
    windows = _source(run, data, ids.train, length, pairs)
    validation = None
    if len(ids.validation):
        validation = _source(run, data, ids.validation, run.plain.validated, _validated(pairs))
    if not resumed:
        run.plain.set_units(data, ids.train)
    run.train(windows, validation, quiet=quiet)
    run.accelerator.wait_for_everyone()


def _objective(
    model: nn.Module, loss: Loss, task: Task | None, config: FitConfig, constraint: Keep | None
) -> Objective | TaskObjective:
    if task is not None:
        return TaskObjective(model, task, config.seed)
    return Objective(
        model,
        loss,
        config.pushforward,
        unroll=config.unroll,
        lead=config.reference,
        longest=max(config.leads),
        constraint=constraint,
    )


def _validated(pairs: Pairs) -> Pairs:
    """Return the windows of one step that validation looks at: of all leads but 0."""
    return pairs._replace(leads=tuple(lead for lead in pairs.leads if lead))


def _source(run: Run, data: Any, ids: Any, length: int, pairs: Pairs) -> Source:
    config = run.config
    device = run.accelerator.device
    return source(data, ids, length, pairs, device=device, memory=config.memory, workers=config.workers)


def _forget(run: Run) -> None:
    if run.folder is not None and run.accelerator.is_main_process:
        for name in ("checkpoints/last.safetensors", "checkpoints/best.safetensors", "metrics.jsonl"):
            (run.folder / name).unlink(missing_ok=True)


def _accelerator(settings: FitConfig, device: str | None) -> Accelerator:
    kind, _, number = (device or "").partition(":")
    if kind not in ("", "cpu", "cuda") or (number and not number.isdigit()):
        raise InputError(f"device is 'cpu', 'cuda', 'cuda:N' or None, got {device!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device={device!r}: torch sees no GPU here")
    if settings.precision == "fp16" and (kind == "cpu" or not torch.cuda.is_available()):
        raise InputError("precision='fp16' needs a GPU; on the CPU take 'bf16' or 'no'")
    if number:
        torch.cuda.set_device(int(number))
    # accelerate keeps the first device and precision of a process; a second fit may want others.
    AcceleratorState._reset_state(reset_partial_state=True)
    # Buffers never change during training, and a broadcast of them in place would break an unrolled graph.
    copies = DistributedDataParallelKwargs(broadcast_buffers=False)
    # Kept for the whole pass, the 16-bit weights of all blocks would be together on every device.
    casts = AutocastKwargs(cache_enabled=not settings.sharded)
    return Accelerator(cpu=kind == "cpu", mixed_precision=settings.precision, kwargs_handlers=[copies, casts])


def _name(function: Callable[..., Any]) -> str:
    if is_dataclass(function):
        return repr(function)
    if isinstance(function, partial):
        return _name(function.func)
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _card(model: Any, data: Any, ids: Split, settings: FitConfig, loss: str) -> dict[str, Any]:
    versions = {"sciode": sciode.__version__, "torch": torch.__version__, "python": platform.python_version()}
    card = {
        "model": {"name": type(model).__name__, "config": model.config},
        "config": settings.to_dict(),
        "loss": loss,
        "data": data.spec(),
        "fields": list(data.fields),
        "split": ids.to_dict(),
        "versions": versions,
    }
    # Through JSON, so that it compares equal to the same card read from a file.
    plain: dict[str, Any] = json.loads(json.dumps(card))
    return plain
