"""How a neural process learns from trajectories: points of each, some given and some asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import lookup

Residual = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def _heat(u: Tensor, rate: Tensor, slope: Tensor, bend: Tensor, value: Tensor) -> Tensor:
    return rate - value * bend


def _porous(u: Tensor, rate: Tensor, slope: Tensor, bend: Tensor, value: Tensor) -> Tensor:
    u = u.clamp_min(1e-6)  # where a mean is below zero k(u) has no meaning
    return rate - u**value * bend - value * u ** (value - 1.0) * slope.square()


def _stefan(u: Tensor, rate: Tensor, slope: Tensor, bend: Tensor, value: Tensor) -> Tensor:
    return rate - (u >= value) * bend  # the derivative of the step itself is lost, as in the published baseline


def _step(u: Tensor, rate: Tensor, slope: Tensor, bend: Tensor, value: Tensor) -> Tensor:
    return rate + value * slope


RESIDUALS: dict[str, Residual] = {"heat": _heat, "porous_medium": _porous, "stefan": _stefan, "linear_step": _step}
"""Equation -> what u, u_t, u_x, u_xx and the parameter leave of it, in physical units."""


@dataclass(frozen=True)
class FieldPoints:
    """Task of :func:`sciode.train.fit`: the likelihood of points of a trajectory, given others.

    Context points lie on a random grid of ``times`` by ``points``, one time in each of as many equal spans;
    targets on another, all at random. A window is a whole trajectory; its first field is learnt, the second
    is the parameter.

    Parameters
    ----------
    states : int
        Stored times of a trajectory, all of them.
    times, points : int
        Of context and targets, along time and space.
    equation : str, optional
        A key of :data:`RESIDUALS`: adds the mean square of what the mean leaves of that equation (SoftC).
    weight : float
        Of that term.
    length, duration : float
        Of the box and the trajectory, for the derivatives.
    collocation : int
        Targets at which derivatives are taken.

    References
    ----------
    Hansen et al. (arXiv:2302.11002), section 4 and appendix: the training of ANP and SoftC-ANP.

    Examples
    --------
    >>> from sciode.processes import AttentiveProcess
    >>> model = AttentiveProcess(width=8, heads=2, decoder=16)
    >>> FieldPoints(states=11).losses(model, torch.rand(3, 11, 1, 16), torch.ones(3)).shape
    torch.Size([3])
    """

    states: int
    times: int = 10
    points: int = 10
    equation: str | None = None
    weight: float = 1.0
    length: float = 1.0
    duration: float = 1.0
    collocation: int = 20

    def __post_init__(self) -> None:
        if self.equation is not None:
            lookup(self.equation, RESIDUALS, "equation with a residual")
        if min(self.times, self.points, self.collocation) < 1 or self.states < self.times:
            raise InputError(f"a trajectory of {self.states} times cannot give {self.times} of them")

    def losses(self, model: Any, u: Float[Tensor, "b t c n"], dt: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Return minus the sum of log-likelihoods plus the divergence of z, of every trajectory."""
        at, y = self._context(u[:, :, 0])
        to, target = self._targets(u[:, :, 0])
        predicted, divergence = model(at, y, to, target)
        loss: Tensor = divergence - predicted.log_prob(target[..., 0]).sum(-1)
        if self.equation is None:
            return loss
        return loss + self.weight * self._residual(model, at, y, to, target, u)

    def _context(self, u: Float[Tensor, "b t n"]) -> tuple[Tensor, Tensor]:
        b, t, n = u.shape
        edges = torch.linspace(0, t, self.times + 1, device=u.device)
        span = edges.diff().min()
        when = (edges[:-1] + span * torch.rand(b, self.times, device=u.device)).long().clamp_max(t - 1)
        return _grid(u, when, torch.randint(n, (b, self.points), device=u.device))

    def _targets(self, u: Float[Tensor, "b t n"]) -> tuple[Tensor, Tensor]:
        b, t, n = u.shape
        when = torch.randint(t, (b, self.times), device=u.device)
        return _grid(u, when, torch.randint(n, (b, self.points), device=u.device))

    def _residual(self, model: Any, at: Tensor, y: Tensor, to: Tensor, target: Tensor, u: Tensor) -> Tensor:
        """Return the sum of squares of the equation's residual, scaled to all targets, ``[b]``."""
        assert self.equation is not None
        if u.shape[2] < 2:
            raise InputError("the equation's parameter is the second field of the data, which has one field only")
        total = to.shape[1]
        chosen = torch.randperm(total, device=to.device)[: self.collocation]
        with torch.enable_grad():
            some = to[:, chosen].detach().requires_grad_()
            mean = _mean(model, at, y, some, to, target)
            first = torch.autograd.grad(mean.sum(), some, create_graph=True)[0]
            rate, slope = first[..., 0] / self.duration, first[..., 1] / self.length
            second = torch.autograd.grad(slope.sum(), some, create_graph=True)[0]
            bend = second[..., 1] / self.length
            value = u[:, 0, 1, :1].to(mean)
            left = RESIDUALS[self.equation](mean, rate, slope, bend, value)
        return left.square().mean(1) * total


def _mean(model: Any, at: Tensor, y: Tensor, some: Tensor, to: Tensor, target: Tensor) -> Tensor:
    """Return the mean at some points, in physical units, z at its mean given all targets."""
    scale, shift = model.units()
    seen, goal = (y - shift) / scale, (target - shift) / scale
    mean, _ = model.decode(model.attended(at, seen, some), model.latent(to, goal).mean, some)
    out: Tensor = mean * scale + shift
    return out


def _grid(u: Tensor, when: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Return points ``"b c 2"`` and values ``"b c 1"`` of all chosen times at all chosen places."""
    _b, t, n = u.shape
    lines = u.gather(1, when[:, :, None].expand(-1, -1, n))
    values = lines.gather(2, where[:, None, :].expand(-1, when.shape[1], -1))
    time = (when / (t - 1))[:, :, None].expand_as(values)
    place = (where / (n - 1))[:, None, :].expand_as(values)
    return torch.stack([time, place], dim=-1).flatten(1, 2).to(u), values.flatten(1)[..., None]
