"""Weights that the authors of Poseidon published, for those who have them: other names, the same numbers."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sciode.core.errors import InputError
from sciode.nn import load_tensors
from sciode.surrogate.poseidon import Poseidon

_BLOCK = {
    "attention.output.dense": "attention.write",
    "intermediate.dense": "mix.0",
    "output.dense": "mix.2",
}
_NORMS = {"layernorm_before": "norm_attention", "layernorm_after": "norm_mix"}


def load_published(path: str | Path, window: int = 16, horizon: float = 20.0) -> Poseidon:
    """Build a :class:`Poseidon` from a published checkpoint (safetensors); its size is read from the shapes.

    The licence of those weights is the authors'; they are not part of this package. The normaliser is not in the
    file: fit it, or set ``mean`` (.80, 0, 0, 0) and ``std`` (.31, .391, .356, .185) of the published data
    (density, two velocities, pressure).

    Parameters
    ----------
    window, horizon
        What the file does not say: side of a window in tokens, and reference leads that count as time one.

    Raises
    ------
    InputError
        For a file that is damaged, or whose tensors are not those of such a network.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}") from error
    return from_published(tensors, window, horizon)


def from_published(tensors: Mapping[str, Tensor], window: int = 16, horizon: float = 20.0) -> Poseidon:
    """Build a :class:`Poseidon` from tensors under their published names; see :func:`load_published`."""
    first = tensors.get("embeddings.patch_embeddings.projection.weight")
    if first is None:
        raise InputError("no tensor 'embeddings.patch_embeddings.projection.weight': not a published Poseidon")
    depths = _counts(tensors, r"encoder\.layers\.(\d+)\.blocks\.(\d+)\.")
    bridges = dict(enumerate(_counts(tensors, r"residual_blocks\.(\d+)\.(\d+)\.")))
    heads = [
        tensors[f"encoder.layers.{level}.blocks.0.attention.self.logit_scale"].shape[0]
        for level in range(len(depths))
    ]
    model = Poseidon(
        channels=first.shape[1],
        width=first.shape[0],
        depths=depths,
        heads=heads,
        skips=[bridges.get(level, 0) for level in range(len(depths))],
        window=window,
        patch=first.shape[2],
        horizon=horizon,
    )
    load_tensors(model.network, translated(tensors, len(depths)))
    return model


def translated(tensors: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """Return tensors under our names, fused as ours are."""
    made: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        ours = _plain(name, levels)
        match = re.fullmatch(r"(.*)\.self\.(query|key|value)\.(weight|bias)", ours)
        norm = re.fullmatch(r"(.*norm\w*)\.(weight|bias)\.(weight|bias)", ours)
        if match:
            parts.setdefault(match[1], {})[f"{match[2]}.{match[3]}"] = tensor
        elif norm:
            parts.setdefault(norm[1], {})[f"{norm[2]}.{norm[3]}"] = tensor
        elif ours.endswith(".self.logit_scale"):
            made[ours.replace(".self.logit_scale", ".sharpness")] = tensor.flatten()
        else:
            made[ours.replace(".self.continuous_position_bias_mlp.", ".position.")] = tensor
    for name, group in parts.items():
        made |= _fused(name, group)
    return made


def _fused(name: str, group: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        if "query.weight" in group:
            return {
                f"{name}.read.weight": torch.cat([group[f"{part}.weight"] for part in ("query", "key", "value")]),
                f"{name}.query_bias": group["query.bias"],
                f"{name}.value_bias": group["value.bias"],
            }
        return {
            f"{name}.slope": torch.stack([group["weight.weight"][:, 0], group["bias.weight"][:, 0]]),
            f"{name}.offset": torch.stack([group["weight.bias"], group["bias.bias"]]),
        }
    except KeyError as missing:
        raise InputError(f"the file has no tensor {missing} beside those of {name!r}") from missing


def _plain(name: str, levels: int) -> str:
    """Return our name of a module; what is fused keeps its last parts."""
    for theirs, ours in (
        ("embeddings.patch_embeddings.projection", "embed.project"),
        ("embeddings.norm", "embed.norm"),
        ("patch_recovery.projection", "recover.project"),
        ("patch_recovery.mixup", "recover.join"),
    ):
        name = name.replace(theirs, ours)
    if found := re.match(r"(encoder|decoder)\.layers\.(\d+)\.(blocks|downsample|upsample)\.(.*)", name):
        side, number, part, rest = found[1], int(found[2]), found[3], found[4]
        level = number if side == "encoder" else levels - 1 - number
        if part == "blocks":
            for theirs, ours in {**_BLOCK, **_NORMS}.items():
                rest = re.sub(rf"^(\d+)\.{re.escape(theirs)}\.", rf"\1.{ours}.", rest)
            return f"{side}.{level}.blocks.{rest}"
        inner = {"reduction": "reduce", "upsample": "expand", "mixup": "mix"}
        head, _, tail = rest.partition(".")
        where = f"merge.{level}" if part == "downsample" else f"unmerge.{level - 1}"
        return f"{where}.{inner.get(head, head)}.{tail}"
    if found := re.match(r"residual_blocks\.(\d+)\.(\d+)\.(.*)", name):
        rest = found[3].replace("dwconv.", "convolve.").replace("pwconv1.", "mix.0.").replace("pwconv2.", "mix.2.")
        return f"bridge.{found[1]}.{found[2]}.{'scale' if rest == 'weight' else rest}"
    return name


def _counts(tensors: Mapping[str, Tensor], pattern: str) -> list[int]:
    """Return how many second numbers there are for each first one."""
    found: dict[int, set[int]] = {}
    for name in tensors:
        if match := re.match(pattern, name):
            found.setdefault(int(match[1]), set()).add(int(match[2]))
    return [len(found.get(level, ())) for level in range(max(found, default=-1) + 1)]
