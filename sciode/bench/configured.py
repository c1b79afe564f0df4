"""A training that a file describes: pre-training on several data sets, or fine-tuning on one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from sciode.bench import checks
from sciode.bench.config import Pretraining
from sciode.bench.parse import parse_pretraining, read_toml
from sciode.bench.pretrain import continued, joined, training
from sciode.bench.problems import Problem, prepare
from sciode.bench.suites import anchored
from sciode.core.errors import InputError
from sciode.core.names import check_keys
from sciode.core.random import derive_seed
from sciode.data import Split, subset
from sciode.surrogate import build
from sciode.train import History, fit

_KEYS = ("name", "model", "datasets", "config", "train", "start", "trajectories", "seed")


def train_from(
    path: str | Path,
    directory: str | Path | None = None,
    *,
    device: str | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> History:
    """Train as a TOML file says; called again, it goes on where it stopped.

    Keys of the file: ``name``; ``model`` and its arguments ``config``, or ``start``, a checkpoint to continue;
    tables ``[datasets.NAME]`` as in a suite, several for pre-training; ``train``, options of
    :func:`sciode.train.fit` with ``leads = "all"`` and ``loss = "relative_l1"``; ``trajectories``, how many of
    the training part to use; ``seed``. Paths count from the file's own folder.

    Parameters
    ----------
    path
        The TOML file.
    directory
        Gets checkpoints and metrics; default ``runs/NAME``.
    device, resume, quiet
        As for :func:`sciode.train.fit`.

    Raises
    ------
    UnknownName
        For a key, model, recipe or option that does not exist, with the nearest one that does.
    InputError
        For values that cannot work, and data sets that do not fit each other or the model.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file at {path}")
    given = read_toml(path)
    check_keys(given, _KEYS, f"key of {path.name}")
    entry = _entry(given, path)
    seed = checks.count(given.get("seed", 0), "seed", least=0)
    with PartialState(cpu=device == "cpu").local_main_process_first():  # one of them makes the data
        problems = {part.name: prepare(anchored(part, path.parent), "cpu", quiet=True) for part in entry.datasets}
    several = len(problems) > 1
    data: Any = joined(problems) if several else next(iter(problems.values())).data
    options, loss = training({**entry.train, "seed": seed}, data.shape)
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, "weights"))
        if "start" in given:
            model: Any = continued((path.parent / given["start"]).resolve(), data)
        else:
            model = build(entry.model, data, **entry.config)
    folder = Path("runs") / entry.name if directory is None else Path(directory)
    parts = _split(given, problems, data)
    return fit(
        model, data, split=parts, directory=folder, loss=loss, resume=resume, device=device, quiet=quiet, **options
    )


def _entry(given: Mapping[str, Any], path: Path) -> Pretraining:
    if "start" in given and (wrong := {"model", "config"} & set(given)):
        raise InputError(
            f"{path.name}: start brings the model and its config; {min(wrong)} has no place beside it"
        )
    table = {key: given[key] for key in ("model", "datasets", "config", "train") if key in given}
    return parse_pretraining(str(given.get("name", path.stem)), table, "")


def _split(given: Mapping[str, Any], problems: Mapping[str, Problem], data: Any) -> Split:
    parts: Split = data.split() if len(problems) > 1 else next(iter(problems.values())).split
    if "trajectories" not in given:
        return parts
    return subset(parts, checks.count(given["trajectories"], "trajectories"))
