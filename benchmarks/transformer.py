"""Swin blocks of ours beside those of transformers: the same weights, forward, and forward with backward.

    OMP_NUM_THREADS=1 python -m benchmarks.transformer [--device cuda] [--batch 8]

Each row is the four blocks of a level of the tiny Poseidon at 128 x 128 points (every other block shifts its
windows), float32; ``transformers`` builds its layers with the attention it takes by default. On a GPU there are
rows in bfloat16 too. Outputs must agree to 1e-4.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.swinv2 import modeling_swinv2 as theirs

from benchmarks.harness import interleave, machine, write
from sciode.nn import SwinBlock

LEVELS = ((48, 3, 32), (96, 6, 16), (192, 12, 8), (384, 24, 4))
"""Channels, heads, tokens a side."""
WINDOW, DEPTH = 16, 4


class Ours(nn.Module):
    """Blocks whose norms are fixed at scale 1, as those of ``transformers`` begin."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SwinBlock(channels, heads, WINDOW, i % 2 == 1) for i in range(DEPTH))
        for name, p in self.named_parameters():
            if name.endswith((".slope", ".offset")):
                p.data.zero_()
            if name.endswith(".offset"):
                p.data[0] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens."""
        time = x.new_ones(len(x))
        for block in self.blocks:
            x = block(x, time)
        return x


class Theirs(nn.Module):
    """The same layers of ``transformers``, with the weights of ours."""

    def __init__(self, ours: Ours, channels: int, heads: int, side: int) -> None:
        super().__init__()
        config = theirs.Swinv2Config(window_size=WINDOW, hidden_dropout_prob=0.0)
        self.side = side
        self.layers = nn.ModuleList(
            theirs.Swinv2Layer(config, channels, (side, side), heads, shift_size=WINDOW // 2 * (i % 2))
            for i in range(DEPTH)
        )
        for block, layer in zip(ours.blocks, self.layers, strict=True):
            self._copy(block, layer)

    @staticmethod
    @torch.no_grad()
    def _copy(block: Any, layer: Any) -> None:
        own, other = block.attention, layer.attention.self
        parts = other.query, other.key, other.value
        for part, weight in zip(parts, own.read.weight.chunk(3), strict=True):
            part.weight.copy_(weight)
        other.query.bias.copy_(own.query_bias)
        other.value.bias.copy_(own.value_bias)
        other.continuous_position_bias_mlp.load_state_dict(own.position.state_dict())
        layer.attention.output.dense.load_state_dict(own.write.state_dict())
        layer.intermediate.dense.load_state_dict(block.mix[0].state_dict())
        layer.output.dense.load_state_dict(block.mix[2].state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens."""
        flat = x.flatten(1, 2)
        for layer in self.layers:
            flat = layer(flat, (self.side, self.side))[0]
        return flat.view(x.shape)


def rows_of(level: int, batch: int, device: str, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Time both, taking turns."""
    channels, heads, side = LEVELS[level]
    torch.manual_seed(0)
    ours = Ours(channels, heads)
    both: dict[str, nn.Module] = {"sciode": ours, "transformers": Theirs(ours, channels, heads, side)}
    both = {name: module.to(device, dtype).eval() for name, module in both.items()}
    x = torch.randn(batch, side, side, channels, device=device, dtype=dtype)
    with torch.no_grad():
        difference = (both["sciode"](x) - both["transformers"](x)).abs().max().item()
    if dtype is torch.float32 and difference > 1e-4:
        raise RuntimeError(f"the two differ by {difference:.1e}")
    rows = []
    for what, make in (("forward", forward), ("forward, backward", training)):
        taken = interleave({name: make(module, x) for name, module in both.items()}, 7, device)
        times = {name: seconds for name, (seconds, _) in taken.items()}
        row = {"level": f"{side} x {side} x {channels}", "dtype": str(dtype).removeprefix("torch."), "what": what}
        row |= {f"{name}, samples / s": batch / seconds for name, seconds in times.items()}
        rows.append({**row, "ratio": times["transformers"] / times["sciode"], "difference": difference})
        print(rows[-1], flush=True)
    return rows


def forward(module: nn.Module, x: Tensor) -> Callable[[], Any]:
    """Return a forward pass."""

    def run() -> Tensor:
        with torch.no_grad():
            return module(x)

    return run


def training(module: nn.Module, x: Tensor) -> Callable[[], Any]:
    """Return a forward and a backward pass."""

    def run() -> None:
        module.zero_grad(set_to_none=True)
        module(x).square().sum().backward()

    return run


def main() -> None:
    """Measure all levels."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    dtypes = [torch.float32] if options.device == "cpu" else [torch.float32, torch.bfloat16]
    rows = [
        row
        for dtype in dtypes
        for level in range(len(LEVELS))
        for row in rows_of(level, options.batch, options.device, dtype)
    ]
    notes = f"Four blocks of each level of the tiny size at 128 x 128 points, batch {options.batch}; same weights."
    write(f"transformer-{options.device}", "Swin blocks", notes, machine(options.device, ["transformers"]), rows)


if __name__ == "__main__":
    main()
