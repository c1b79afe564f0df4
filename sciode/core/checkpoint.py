"""One checkpoint format: tensors in a safetensors file, with a JSON card in its header. No pickle.

The card travels inside the tensor file, so the pair cannot be torn apart by a kill; a copy of it lies
beside the file as ``.json`` for people and scripts to read.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.files import atomic_path, write_json

_CARD = "sciode"


def save_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write ``tensors`` and the JSON-able ``card`` to ``path`` (``.safetensors``), atomically.

    >>> import tempfile, torch
    >>> path = Path(tempfile.mkdtemp()) / "last.safetensors"
    >>> save_checkpoint(path, {"weight": torch.ones(2)}, {"step": 3})
    >>> tensors, card = load_checkpoint(path)
    >>> tensors["weight"].tolist(), card["step"]
    ([1.0, 1.0], 3)
    """
    path = Path(path)
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header = {_CARD: json.dumps(card, allow_nan=False)}
    with atomic_path(path) as partial:
        save_file(plain, partial, metadata=header)
    write_json(path.with_suffix(".json"), card)


def load_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_checkpoint` wrote: tensors on the CPU, and the card.

    Raises :class:`InputError` for a file that is missing, damaged, or not a sciode checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if _CARD not in header:
                raise InputError(f"{path} is a safetensors file without a sciode card")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(header[_CARD])  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from error
