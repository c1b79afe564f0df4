"""HDF5 attributes as plain Python values, and back."""

import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import h5py
import numpy as np

from sciode.core.errors import InputError

MARK = "sciode_version"
"""Root attribute that says: this file was written by sciode."""

RESERVED = frozenset({MARK, "fields", "lengths", "name", "parameters", "config"})
_LARGEST = 60_000  # HDF5 keeps attributes in the object header, which holds 64 KiB.


def plain(value: Any) -> Any:
    """Turn an attribute (numpy scalar, array, bytes, empty) into a JSON-able value.

    >>> plain(np.float32(0.5)), plain(np.array([1, 2])), plain(b"periodic")
    (0.5, [1, 2], 'periodic')
    """
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray):
        return [plain(entry) for entry in value.tolist()] if value.ndim else plain(value[()])
    if isinstance(value, np.generic):
        return plain(value.item())
    return value


def attributes(node: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Return all attributes of a group or dataset as plain values, sorted by name."""
    return {name: plain(node.attrs[name]) for name in sorted(node.attrs)}


def parameters(root: h5py.Group, config: Any = None, skip: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the physical parameters: sciode's own JSON record, or the attributes with ``config`` merged in."""
    found = attributes(root)
    if MARK in found and isinstance(found.get("parameters"), str):
        return dict(json.loads(found["parameters"]))
    merged = {name: value for name, value in found.items() if name not in RESERVED | skip}
    parsed = parse_config(found["config"] if config is None and "config" in found else config)
    if isinstance(parsed, Mapping):
        return merged | {str(key): value for key, value in parsed.items()}
    return merged if parsed is None else merged | {"config": parsed}


def parse_config(text: Any) -> Any:
    """Parse YAML text; without a YAML parser, or where it is not YAML, keep the text.

    >>> parse_config("sim: {k: 0.005}")
    {'sim': {'k': 0.005}}
    """
    if not isinstance(text, str) or find_spec("yaml") is None:
        return text
    yaml = import_module("yaml")
    try:
        return _jsonable(yaml.safe_load(text))
    except yaml.YAMLError:
        return text


def dump_config(values: Mapping[str, Any]) -> str:
    """Write ``values`` as YAML text, keys sorted; as JSON (which YAML readers read too) without a YAML parser."""
    clean = json.loads(dump_parameters(values))
    if find_spec("yaml") is None:
        return json.dumps(clean, sort_keys=True)
    return str(import_module("yaml").safe_dump(clean, sort_keys=True))


def dump_parameters(values: Mapping[str, Any]) -> str:
    """Write ``values`` as JSON text that fits in one attribute."""
    try:
        text = json.dumps(_jsonable(dict(values)), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"parameters must be JSON-able (numbers, text, lists, mappings): {error}") from error
    if len(text.encode()) > _LARGEST:
        raise InputError(f"parameters take {len(text)} bytes; an HDF5 attribute holds at most {_LARGEST}")
    return text


def mark(root: h5py.Group, version: str, values: Mapping[str, Any]) -> None:
    """Put the format mark and the parameters on ``root``: plain ones as attributes of their own, all as JSON."""
    root.attrs[MARK] = version
    for name, value in sorted(values.items()):
        simple = isinstance(value, (bool, int, float, str)) and len(str(value)) < _LARGEST
        if simple and name not in RESERVED and name not in root.attrs:
            root.attrs[name] = value
    root.attrs["parameters"] = dump_parameters(values)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(entry) for entry in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value)
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
