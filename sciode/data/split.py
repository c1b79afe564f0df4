"""Which trajectories are for training, validation and test. Always by trajectory, never by window."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.core.random import derive_seed
from sciode.data.trajectories import Trajectories

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Trajectory ids of each part, int64.

    A trajectory in two parts is refused. The one exception is rule ``"pdebench"``, which has no validation part
    of its own: there ``validation`` is ``test``, as in PDEBench's own training scripts.
    """

    train: Ids
    validation: Ids
    test: Ids
    rule: str
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            ids = np.asarray(getattr(self, name), dtype=np.int64)
            if ids.ndim != 1 or len(np.unique(ids)) != len(ids) or (ids < 0).any():
                raise InputError(
                    f"{name}: expected different non-negative trajectory ids, found {ids.tolist()[:10]}"
                )
            object.__setattr__(self, name, ids)
        pairs = [("train", "validation"), ("train", "test")]
        if self.rule != "pdebench":
            pairs.append(("validation", "test"))
        for one, other in pairs:
            shared = np.intersect1d(getattr(self, one), getattr(self, other))
            if shared.size:
                raise InputError(
                    f"{one} and {other} share {shared.size} trajectories, first {int(shared[0])}: a leak"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able contents, for run cards."""
        parts = {name: getattr(self, name).tolist() for name in ("train", "validation", "test")}
        return {"rule": self.rule, "seed": self.seed, **parts}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what :meth:`to_dict` returned, leakage checked again."""
        parts = {name: np.asarray(values[name], dtype=np.int64) for name in ("train", "validation", "test")}
        return cls(**parts, rule=str(values["rule"]), seed=int(values["seed"]))


def split(data_or_count: Trajectories | int, rule: str = "sciode", seed: int = 0) -> Split:
    """Split trajectories into train, validation and test.

    Parameters
    ----------
    data_or_count
        The data, or how many trajectories there are.
    rule
        ``"sciode"``: 80/10/10, drawn from ``seed``, no part empty.
        ``"pdebench"``: as PDEBench's loaders do. For schemas A and B the FIRST tenth is the test set, for schema C
        (a group per seed) the LAST; the rest is for training. They have no validation set and select models on
        the test set: ``validation`` is ``test`` here, so numbers from this rule are optimistic. A count alone is
        taken as schema A.
    seed
        Of the draw; the same on every platform and every numpy.

    Examples
    --------
    >>> parts = split(10, seed=1)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (8, 1, 1)
    >>> split(20, "pdebench").test.tolist()
    [0, 1]
    """
    count = len(data_or_count) if isinstance(data_or_count, Trajectories) else int(data_or_count)
    last = isinstance(data_or_count, Trajectories) and data_or_count.schema == "pdebench-c"
    rules = {"sciode": lambda: _sciode(count, seed), "pdebench": lambda: _pdebench(count, last, seed)}
    return lookup(rule, rules, "split rule")()


def _sciode(count: int, seed: int) -> Split:
    if count < 3:
        raise InputError(f"80/10/10 needs at least 3 trajectories, found {count}")
    # Sorting by hash, not a numpy permutation: numpy may change its streams between versions.
    order = np.asarray(sorted(range(count), key=lambda i: derive_seed(seed, "split", i)), dtype=np.int64)
    part = max(1, round(count / 10))
    return Split(
        train=np.sort(order[2 * part :]),
        validation=np.sort(order[part : 2 * part]),
        test=np.sort(order[:part]),
        rule="sciode",
        seed=seed,
    )


def _pdebench(count: int, last: bool, seed: int) -> Split:
    ids = np.arange(count, dtype=np.int64)
    if last:
        # Their expressions, rounding included: int(n * (1 - 0.1)) and int(n * 0.1).
        edge = int(count * (1 - 0.1))
        train, test = ids[:edge], ids[edge:]
    else:
        edge = int(count * 0.1)
        train, test = ids[edge:], ids[:edge]
    if not (len(train) and len(test)):
        raise InputError(f"rule 'pdebench' leaves a part empty with {count} trajectories; it needs at least 10")
    return Split(train, test.copy(), test, rule="pdebench", seed=seed)
