"""Names from the command line and from TOML files, looked up with help for typing mistakes."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from sciode.core.errors import MissingExtra, UnknownName

Value = TypeVar("Value")


def unknown(name: str, known: Iterable[str], kind: str) -> UnknownName:
    """Build the error for a name that is in no table.

    >>> str(unknown("burgres", ["burgers", "kdv"], "equation"))
    "unknown equation 'burgres'; did you mean 'burgers'? Known: burgers, kdv"
    """
    choices = sorted(known)
    near = get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return UnknownName(f"unknown {kind} {name!r}{hint} Known: {', '.join(choices)}")


def lookup(name: str, table: Mapping[str, Value], kind: str) -> Value:
    """Return ``table[name]``, or raise :class:`UnknownName` with the nearest known name.

    >>> lookup("kdv", {"burgers": 1, "kdv": 2}, "equation")
    2
    """
    if name not in table:
        raise unknown(name, table, kind)
    return table[name]


def check_keys(given: Iterable[str], known: Iterable[str], kind: str) -> None:
    """Raise :class:`UnknownName` for the first key of ``given`` that is not in ``known``.

    >>> check_keys(["steps"], ["steps", "seed"], "key of [train]")
    """
    table = list(known)
    for name in given:
        if name not in table:
            raise unknown(name, table, kind)


def require(module: str, extra: str) -> ModuleType:
    """Import an optional ``module``, or say which extra brings it.

    >>> require("json", "data").__name__
    'json'
    """
    try:
        return import_module(module)
    except ImportError as error:
        message = f'{module} is needed here and is not installed: pip install "sciode[{extra}]"'
        raise MissingExtra(message) from error
