"""TOML out: the standard library reads it and does not write it.

Only what a resolved suite needs, written so that reading it back gives an equal value: tables, arrays (of
anything, also of tables), strings, integers, floats and booleans. A ``None`` has no TOML; its key is left out.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sciode.core.errors import InputError

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def dumps(table: Mapping[str, Any]) -> str:
    """Write ``table`` as a TOML document; raises :class:`InputError` for what TOML cannot hold.

    >>> print(dumps({"name": "smoke", "seeds": [0, 1], "models": {"fno": {"width": 8, "lr": 1e-3}}}), end="")
    name = "smoke"
    seeds = [0, 1]
    <BLANKLINE>
    [models.fno]
    width = 8
    lr = 0.001
    """
    return "\n".join(_table(table, ())).lstrip("\n") + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    present = {key: value for key, value in table.items() if value is not None}
    plain = {key: value for key, value in present.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in present.items() if isinstance(value, Mapping)}
    # A table that only holds tables is implied by their headers.
    if path and (plain or not nested):
        yield ""
        yield f"[{'.'.join(map(_key, path))}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in nested.items():
        yield from _table(value, (*path, key))


def _key(key: str) -> str:
    if not isinstance(key, str):
        raise InputError(f"a TOML key is a string, got {key!r}")
    return key if _BARE.match(key) else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise InputError(f"TOML cannot hold {value!r} of type {type(value).__name__}")


def _float(value: float) -> str:
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return repr(value)


def _string(text: str) -> str:
    # A JSON string is a TOML basic string, except that TOML also wants DEL escaped
    # and has no surrogate pairs, hence the characters themselves.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
