"""PDEBench's metrics written a second time, as plainly as can be, from their description: an oracle for the bits.

Per batch, arrays "b *n t c" as the data files store them; the formulae are in the lines. Loops run over modes.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def legacy(pred: Tensor, target: Tensor, batch: int, lengths: tuple[float, ...], initial_step: int) -> list[float]:
    """Six published numbers, the last one threefold: sums over batches divided by the last batch's index."""
    stored = [(p, y) for p, y in zip(pred.split(batch), target.split(batch), strict=True)]
    running: list[Tensor] = []
    for index, (p, y) in enumerate(stored):
        scores = one_batch(
            stored_layout(p)[..., initial_step:, :], stored_layout(y)[..., initial_step:, :], lengths
        )
        running = scores if index == 0 else [a + b for a, b in zip(running, scores, strict=True)]
    final = [score / (len(stored) - 1) for score in running]
    return [*(float(score) for score in final[:5]), *final[5].tolist()]


def stored_layout(u: Tensor) -> Tensor:
    """ "b t c *n" to "b *n t c", contiguous."""
    return torch.movedim(u, (1, 2), (-2, -1)).contiguous()


def one_batch(pred: Tensor, target: Tensor, lengths: tuple[float, ...]) -> list[Tensor]:
    """RMSE, nRMSE, cRMSE, Max, bRMSE, fRMSE[3] of arrays "b *n t c"."""
    p, y = torch.movedim(pred, -1, 1), torch.movedim(target, -1, 1)
    b, c, t = y.shape[0], y.shape[1], y.shape[-1]
    n = y.shape[2:-1]
    flat_p, flat_y = p.view(b, c, -1, t), y.view(b, c, -1, t)
    per_field = torch.sqrt(torch.mean((flat_p - flat_y) ** 2, dim=2))
    size = torch.sqrt(torch.mean(flat_y**2, dim=2))
    budget = torch.sqrt(torch.mean((flat_p.sum(2) - flat_y.sum(2)) ** 2, dim=0)) / math.prod(n)
    worst = torch.abs(flat_p - flat_y).max(dim=2).values.max(dim=0).values
    boundary = {1: boundary_1d, 2: boundary_2d, 3: boundary_3d}[len(n)](p, y)
    waves = spectrum_1d(p, y) if len(n) == 1 else spectrum_nd(p, y)
    for length in lengths:
        waves = waves * length
    bands = torch.zeros(c, 3, t)
    for row, part in enumerate((waves[:, :4], waves[:, 4:12], waves[:, 12:])):
        bands[:, row] = part.mean(dim=1)
    over_batch = [per_field.mean(0), (per_field / size).mean(0), budget, worst, boundary]
    return [x.mean(dim=(0, -1)) for x in (*over_batch, bands)]


def boundary_1d(p: Tensor, y: Tensor) -> Tensor:
    left, right = (p[:, :, 0] - y[:, :, 0]) ** 2, (p[:, :, -1] - y[:, :, -1]) ** 2
    return torch.sqrt((left + right) / 2.0).mean(0)


def boundary_2d(p: Tensor, y: Tensor) -> Tensor:
    nx, ny = y.shape[2:4]
    x_sides = (p[:, :, 0] - y[:, :, 0]) ** 2 + (p[:, :, -1] - y[:, :, -1]) ** 2
    y_sides = (p[:, :, :, 0] - y[:, :, :, 0]) ** 2 + (p[:, :, :, -1] - y[:, :, :, -1]) ** 2
    return torch.sqrt((x_sides.sum(-2) + y_sides.sum(-2)) / (2 * nx + 2 * ny)).mean(0)


def boundary_3d(p: Tensor, y: Tensor) -> Tensor:
    """With the published fault: channels are summed and not divided by."""
    b, t = y.shape[0], y.shape[-1]
    nx, ny, nz = y.shape[2:5]
    at: tuple[Callable[[Tensor, int], Tensor], ...] = (
        lambda u, i: u[:, :, i],
        lambda u, i: u[:, :, :, i],
        lambda u, i: u[:, :, :, :, i],
    )
    sums = []
    for pick in at:
        faces = (pick(p, 0) - pick(y, 0)) ** 2 + (pick(p, -1) - pick(y, -1)) ** 2
        sums.append(faces.contiguous().view(b, -1, t).sum(-2))
    return torch.sqrt((sums[0] + sums[1] + sums[2]) / (2 * nx * ny + 2 * ny * nz + 2 * nz * nx))


def spectrum_1d(p: Tensor, y: Tensor) -> Tensor:
    difference = torch.fft.rfft(p, dim=2) - torch.fft.rfft(y, dim=2)
    return torch.sqrt(torch.mean(torch.abs(difference) ** 2, dim=0)) / y.shape[2]


def spectrum_nd(p: Tensor, y: Tensor) -> Tensor:
    n = y.shape[2:-1]
    axes = list(range(2, 2 + len(n)))
    power = torch.abs(torch.fft.fftn(p, dim=axes) - torch.fft.fftn(y, dim=axes)) ** 2
    shells = torch.zeros(y.shape[0], y.shape[1], min(n) // 2, y.shape[-1])
    ranges = [range(m // 2) for m in n] + [range(1)] * (3 - len(n))
    for i in ranges[0]:
        for j in ranges[1]:
            for k in ranges[2]:
                shell = math.floor(math.sqrt(i * i + j * j + k * k))
                if shell < shells.shape[2]:
                    shells[:, :, shell] += power[(slice(None), slice(None), i, j, k)[: 2 + len(n)]]
    return torch.sqrt(torch.mean(shells, dim=0)) / math.prod(n)
