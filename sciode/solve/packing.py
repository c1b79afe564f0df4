"""A state of any structure as one real matrix ``[b, n]``, and back: what norms and step control work on."""

import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.typing import State, leaves, like


class Packing:
    """The layout of a state. Unpacking makes views, so a packed state costs nothing to look into.

    >>> packing = Packing((torch.zeros(2, 3), torch.zeros(2, 4, dtype=torch.complex64)))
    >>> packing.width, packing.unpack(torch.arange(22.0).view(2, 11))[0].shape
    (11, torch.Size([2, 3]))
    """

    def __init__(self, y: State) -> None:
        self.pattern = y
        parts = leaves(y)
        self.batch = parts[0].shape[0]
        self.dtype = parts[0].real.dtype if parts[0].is_complex() else parts[0].dtype
        for part in parts:
            real = part.real.dtype if part.is_complex() else part.dtype
            if part.shape[0] != self.batch or real != self.dtype or part.device != parts[0].device:
                found = [(list(p.shape), str(p.dtype), str(p.device)) for p in parts]
                raise InputError(
                    f"step control takes tensors of one batch size, precision and device; found {found}"
                )
        self.shapes = [part.shape for part in parts]
        self.complex = [part.is_complex() for part in parts]
        self.widths = [(part[0].numel() if self.batch else 0) * (2 if part.is_complex() else 1) for part in parts]
        self.width = sum(self.widths)
        self.plain = len(parts) == 1 and not self.complex[0] and not isinstance(y, tuple)
        self.flat = self.plain and parts[0].dim() == 2  # such a state is its own packed form

    def pack(self, y: State) -> Tensor:
        """Return ``[b, n]``; a view where the structure allows it."""
        if self.flat:
            return y  # type: ignore[return-value]
        if self.plain:
            assert isinstance(y, Tensor)
            return y.reshape(self.batch, self.width)
        flat = [
            (torch.view_as_real(part.resolve_conj()) if part.is_complex() else part).reshape(self.batch, -1)
            for part in leaves(y)
        ]
        return flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)

    def unpack(self, flat: Tensor) -> State:
        """Return the state that ``flat`` holds."""
        if self.flat:
            return flat
        if self.plain:
            return flat.view(self.shapes[0])
        parts, first = [], 0
        for shape, width, is_complex in zip(self.shapes, self.widths, self.complex, strict=True):
            part = flat[:, first : first + width]
            first += width
            parts.append(_complex(part, shape) if is_complex else part.reshape(shape))
        return like(self.pattern, tuple(parts))


def _complex(part: Tensor, shape: torch.Size) -> Tensor:
    # A complex view needs an even offset and even strides; where a neighbour is odd, a copy provides them.
    if part.storage_offset() % 2 or part.stride(0) % 2:
        part = part.contiguous()
    return torch.view_as_complex(part.reshape(*shape, 2))
