"""Poseidon: a multiscale operator transformer that gives the state at any lead time in one evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.nn import ConvNeXtBlock, PatchEmbedding, PatchMerging, PatchRecovery, PatchUnmerging, SwinBlock
from sciode.surrogate.emulator import Emulator, Sized, sizes_of

Output = Literal["solution", "residual", "derivative"]

_LEVELS = {"heads": (3, 6, 12, 24), "window": 16, "skips": (2, 2, 2, 0)}
SIZES: dict[str, dict[str, Any]] = {
    "nano": {"width": 32, "depths": (2, 2), "heads": (2, 4), "window": 8, "skips": (1, 0)},
    "tiny": {"width": 48, "depths": (4, 4, 4, 4), **_LEVELS},
    "small": {"width": 48, "depths": (8, 8, 8, 8), **_LEVELS},
    "base": {"width": 96, "depths": (8, 8, 8, 8), **_LEVELS},
    "large": {"width": 192, "depths": (8, 8, 8, 8), **_LEVELS},
}
"""The published sizes (20.8, 39.9, 157.7 and 628.6 million parameters), and one for CPUs."""

OUTPUTS: dict[str, Output] = {"solution": "solution", "residual": "residual", "derivative": "derivative"}
_SPREAD = 0.02


class Poseidon(Emulator):
    """scOT, a U-shaped Swin transformer whose norms know the lead time. For fields on 2D grids.

    Parameters
    ----------
    channels, dimensions : int
        Channels of the state; space dimensions, 2.
    size : {"nano", "tiny", "small", "base", "large"}
        See :data:`SIZES`; the arguments that follow override its numbers.
    width : int
        Channels of the finest level; each coarser one has twice as many.
    depths, heads, skips : tuple of int
        By level, the finest first: Swin blocks of encoder and of decoder each, heads of attention, and ConvNeXt
        blocks between the two.
    window, patch : int
        Side of a window in tokens, and of a token in points. Grids need not be divisible by either.
    output : {"solution", "residual", "derivative"}
        What the network gives: the later state (as published), its difference from the state, or that over the
        lead time.
    horizon : float
        Lead time that counts as one, in reference leads of the data.
    checkpointing : bool
        Compute the blocks again in the backward pass, in place of keeping what they hold.

    Raises
    ------
    InputError
        For dimensions other than 2, and levels that do not match.

    References
    ----------
    Herde et al., *Poseidon: efficient foundation models for PDEs* (arXiv:2405.19101), section 2 and appendix A.

    Examples
    --------
    >>> model = Poseidon(channels=2)
    >>> model(torch.zeros(3, 2, 32, 32), torch.ones(3)).shape
    torch.Size([3, 2, 32, 32])
    """

    def __init__(
        self,
        channels: int,
        dimensions: int = 2,
        size: str = "nano",
        width: int | None = None,
        depths: Sequence[int] | None = None,
        heads: Sequence[int] | None = None,
        skips: Sequence[int] | None = None,
        window: int | None = None,
        patch: int = 4,
        output: str = "solution",
        horizon: float = 20.0,
        checkpointing: bool = False,
    ) -> None:
        given = {"width": width, "depths": depths, "heads": heads, "skips": skips, "window": window}
        chosen = {**lookup(size, SIZES, "size of Poseidon"), **{k: v for k, v in given.items() if v is not None}}
        chosen = {k: list(v) if isinstance(v, Sequence) else v for k, v in chosen.items()}
        self.output = lookup(output, OUTPUTS, "output")
        fixed = {"patch": patch, "output": output, "horizon": horizon, "checkpointing": checkpointing}
        kept = {"channels": channels, "dimensions": dimensions, "size": size, **chosen, **fixed}
        super().__init__({**kept, "residual": output == "derivative"})
        del self.config["residual"]
        _check(dimensions, chosen, horizon)
        self.horizon = float(horizon)
        self.network = OperatorTransformer(channels, patch=patch, checkpointing=checkpointing, **chosen)

    def tendency(self, v: Float[Tensor, "b c *n"], tau: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Return what the network says of the normalised state ``v``."""
        out = self.network(v, tau / self.horizon)
        return v + out if self.output == "residual" else out

    def rate_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the weights that fine-tuning gives learning rates of their own: "ends" and "norms"."""
        named = dict(self.network.named_parameters())
        ends = {name for name in named if name.startswith(ENDS)}
        norms = {name for name in named if name.endswith((".slope", ".offset"))} - ends
        return {"ends": [named[n] for n in sorted(ends)], "norms": [named[n] for n in sorted(norms)]}

    def undecayed(self) -> list[nn.Parameter]:
        """Return the matrices that weight decay spares: those of the norms."""
        return [p for name, p in self.network.named_parameters() if name.endswith((".slope", ".offset"))]

    @classmethod
    def for_data(cls, data: Sized, **config: Any) -> Self:
        """Build a model for the channels of ``data``, of size "nano" unless told otherwise."""
        return cls(**{**sizes_of(data), **config})

    def adapted(self, channels: int) -> Self:
        """Return a model for other fields: embedding and recovery are new, everything else is a copy.

        Examples
        --------
        >>> model = Poseidon(channels=4)
        >>> other = model.adapted(2)
        >>> a, b = (m.network.encoder[0].blocks[0].mix[0].weight for m in (model, other))
        >>> other.channels, bool((a == b).all())
        (2, True)
        """
        twin = type(self)(**{**self.config, "channels": channels})
        own = {name: t for name, t in self.network.state_dict().items() if not name.startswith(ENDS)}
        twin.network.load_state_dict(own, strict=False)
        return twin.to(self.reference_dt.device)


ENDS = ("embed.", "recover.")
"""Names of what depends on the fields."""


class OperatorTransformer(nn.Module):
    """The network of :class:`Poseidon`: normalised fields ``"b f x y"`` and times ``[b]`` to fields."""

    def __init__(
        self,
        fields: int,
        width: int,
        depths: Sequence[int],
        heads: Sequence[int],
        skips: Sequence[int],
        window: int,
        patch: int,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        levels = range(len(depths))
        widths = [width * 2**level for level in levels]
        stages = list(zip(widths, depths, heads, strict=True))
        self.embed = PatchEmbedding(fields, width, patch)
        self.encoder = nn.ModuleList(_Stage(*stage, window, range(stage[1]), checkpointing) for stage in stages)
        self.merge = nn.ModuleList(PatchMerging(w) for w in widths[:-1])
        self.bridge = nn.ModuleList(
            nn.ModuleList(ConvNeXtBlock(w) for _ in range(count)) for w, count in zip(widths, skips, strict=True)
        )
        self.decoder = nn.ModuleList(
            _Stage(*stage, window, range(stage[1])[::-1], checkpointing) for stage in stages
        )
        self.unmerge = nn.ModuleList(PatchUnmerging(w) for w in widths[1:])
        self.recover = PatchRecovery(fields, width, patch)
        self.apply(_begin)

    def forward(self, u: Float[Tensor, "b f x y"], time: Float[Tensor, " b"]) -> Float[Tensor, "b f x y"]:
        """Return fields."""
        x = self.embed(u, time)
        skips = []
        for level, stage in enumerate(self.encoder):
            seen = stage(x, time)
            skip = seen
            for block in self.bridge[level]:  # type: ignore[attr-defined]
                skip = block(skip, time)
            skips.append(skip)
            if level < len(self.merge):
                x = self.merge[level](seen + x, time)
        x = skips[-1]
        for level in reversed(range(len(skips))):
            x = self.decoder[level](x, time)
            if level:
                finer = skips[level - 1]
                x = self.unmerge[level - 1](x, time, finer.shape[1:3]) + finer
        return self.recover(x, (u.shape[2], u.shape[3]))


class _Stage(nn.Module):
    """The Swin blocks of a level; those with odd numbers shift their windows."""

    def __init__(self, width: int, depth: int, heads: int, window: int, order: range, checkpointing: bool) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.blocks = nn.ModuleList(SwinBlock(width, heads, window, number % 2 == 1) for number in order)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, time, use_reentrant=False)
            else:
                x = block(x, time)
        return x


@torch.no_grad()
def _begin(module: nn.Module) -> None:
    """Start as published: small weights, no biases; norms scale by what is proportional to the lead time.

    All branches are nearly off then, and at lead time 0 the network gives exactly zero.
    """
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=_SPREAD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    slope = getattr(module, "slope", None)
    if isinstance(slope, nn.Parameter):
        nn.init.normal_(slope, std=_SPREAD)


def _check(dimensions: int, chosen: Mapping[str, Any], horizon: float) -> None:
    if dimensions != 2:
        raise InputError(f"Poseidon is for fields on 2D grids, got dimensions={dimensions}")
    if len({len(chosen[name]) for name in ("depths", "heads", "skips")}) != 1:
        found = ", ".join(f"{name}={chosen[name]}" for name in ("depths", "heads", "skips"))
        raise InputError(f"depths, heads and skips take one number a level, got {found}")
    for level, heads in enumerate(chosen["heads"]):
        if heads < 1 or (chosen["width"] * 2**level) % heads:
            raise InputError(f"{chosen['width'] * 2**level} channels of level {level} take no {heads} heads")
    if min(chosen["depths"]) < 1 or min(chosen["skips"]) < 0 or not horizon > 0.0:
        raise InputError(f"depths >= 1, skips >= 0 and horizon > 0 must hold, got {chosen}, horizon={horizon}")
