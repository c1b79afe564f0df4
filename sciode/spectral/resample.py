"""Band-limited interpolation between periodic grids."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sciode.core.errors import InputError


def resample(u: Tensor, points: Sequence[int]) -> Tensor:
    """Resample the last ``len(points)`` axes of a periodic field onto ``points`` points, by its Fourier series.

    Exact for fields that both grids resolve; a coarser grid keeps the modes below its own Nyquist mode.

    Parameters
    ----------
    u
        ``"... *n"``, real.
    points
        New number of points per axis.

    Examples
    --------
    >>> x = torch.arange(8, dtype=torch.float64) / 8
    >>> y = torch.arange(20, dtype=torch.float64) / 20
    >>> u = torch.sin(2 * torch.pi * x)
    >>> torch.allclose(resample(u, [20]), torch.sin(2 * torch.pi * y))
    True
    """
    if not points or u.dim() < len(points) or any(n < 1 for n in points):
        raise InputError(f"cannot resample {list(u.shape)} to {list(points)} points")
    for axis, new in enumerate(points, start=-len(points)):
        u = _resample_axis(u, axis, int(new))
    return u


def _resample_axis(u: Tensor, axis: int, new: int) -> Tensor:
    old = u.shape[axis]
    if old == new:
        return u
    spectrum = torch.fft.rfft(u, dim=axis)
    kept = min(old, new)
    part = spectrum.narrow(axis, 0, kept // 2 + 1).clone()
    if kept % 2 == 0:
        # The Nyquist mode stands for both +k and -k: halve it going up, double (and make real) going down.
        edge = part.select(axis, kept // 2)
        edge.mul_(0.5) if new > old else edge.copy_((2.0 * edge.real).to(edge.dtype))
    return torch.fft.irfft(part * (new / old), n=new, dim=axis)
