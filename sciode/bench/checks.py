"""Values of a TOML file, checked one by one, so that a mistake is named by the key where it stands."""

import re
from collections.abc import Mapping
from typing import Any

from sciode.core.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


def table(value: Any, where: str) -> dict[str, Any]:
    """Return ``value`` if it is a table.

    >>> table(3, "models.fno")
    Traceback (most recent call last):
    sciode.core.errors.InputError: models.fno: expected a table, found 3
    """
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected a table, found {value!r}")
    return dict(value)


def text(value: Any, where: str) -> str:
    """Return ``value`` if it is a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise InputError(f"{where}: expected a string, found {value!r}")
    return value


def count(value: Any, where: str, least: int = 1) -> int:
    """Return ``value`` if it is an integer, at least ``least``.

    >>> count(0, "datasets.kdv.lead")
    Traceback (most recent call last):
    sciode.core.errors.InputError: datasets.kdv.lead: expected an integer of at least 1, found 0
    """
    if type(value) is not int or value < least:
        raise InputError(f"{where}: expected an integer of at least {least}, found {value!r}")
    return value


def counts(value: Any, where: str, least: int = 1) -> tuple[int, ...]:
    """Return a list of different integers as a tuple; it may not be empty."""
    if not isinstance(value, list | tuple) or not value:
        raise InputError(f"{where}: expected a list of integers, found {value!r}")
    numbers = tuple(count(item, where, least) for item in value)
    if len(set(numbers)) != len(numbers):
        raise InputError(f"{where}: the same number twice in {list(numbers)}")
    return numbers


def texts(value: Any, where: str) -> tuple[str, ...]:
    """Return a list of strings as a tuple."""
    if not isinstance(value, list | tuple):
        raise InputError(f"{where}: expected a list of strings, found {value!r}")
    return tuple(text(item, where) for item in value)


def name(value: Any, where: str) -> str:
    """Return ``value`` if it can be part of a file name; two hyphens in a row are kept for cells.

    >>> name("my data", "suite name")
    Traceback (most recent call last):
    sciode.core.errors.InputError: suite name: 'my data' is not a name; use letters, digits, '_', '-' and '.'
    """
    if not isinstance(value, str) or not _NAME.match(value) or "--" in value:
        raise InputError(f"{where}: {value!r} is not a name; use letters, digits, '_', '-' and '.'")
    return value
