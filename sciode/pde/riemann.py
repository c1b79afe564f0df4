r"""Approximate Riemann solvers: the flux between two states, along the direction of channel 1.

Symbols: ``u`` velocity along the axis, ``s`` wave speed, ``a`` speed of sound, ``p`` pressure; ``left`` and
``right`` are states ``"b c ..."`` on either side of a face.
"""

import torch
from torch import Tensor


def hllc(left: Tensor, right: Tensor, gamma: float) -> Tensor:
    r"""Return the HLLC flux of the Euler equations: three waves, exact for a contact at rest.

    .. math::
        F = F_k + s_k (U^*_k - U_k), \qquad
        U^*_k = \rho_k \frac{S_k - u_k}{S_k - S_m} \left(1, S_m, v_k,
        \frac{E_k}{\rho_k} + (S_m - u_k) \left(S_m + \frac{p_k}{\rho_k (S_k - u_k)}\right)\right)

    where k is the side on which the face lies and :math:`s_k` is :math:`S_k` cut at zero. Outer speeds are
    Einfeldt's, from both states and Roe's average: the first-order scheme then keeps density and pressure
    positive.

    Parameters
    ----------
    left, right
        Conserved, ``"b c ..."`` with c = 2 + d: density, momenta (the first along the axis), energy.
    gamma
        Ratio of specific heats, > 1.

    References
    ----------
    Toro, Spruce and Speares, Shock Waves 4 (1994), 25; Batten et al., SIAM J. Sci. Comput. 18 (1997), 1553,
    equations (12)--(16) and the proof of positivity.

    Examples
    --------
    >>> contact = torch.tensor([[1.0, 0.0, 2.5]]), torch.tensor([[0.1, 0.0, 2.5]])
    >>> hllc(*contact, gamma=1.4)
    tensor([[0., 1., 0.]])
    """
    (u1, p1, a1), (u2, p2, a2) = _speeds(left, gamma), _speeds(right, gamma)
    low, high = _outer(left, right, (u1, p1, a1), (u2, p2, a2), gamma)
    mass1, mass2 = left[:, 0] * (low - u1), right[:, 0] * (high - u2)  # below zero, above zero
    middle = (p2 - p1 + mass1 * u1 - mass2 * u2) / (mass1 - mass2)
    on_left = middle >= 0
    u, p = torch.where(on_left, u1, u2), torch.where(on_left, p1, p2)
    outer, mass = torch.where(on_left, low, high), torch.where(on_left, mass1, mass2)
    state = torch.where(on_left.unsqueeze(1), left, right)
    speed = torch.where(on_left, low.clamp(max=0.0), high.clamp(min=0.0))
    density = mass / (outer - middle)
    energy = state[:, -1] / state[:, 0] + (middle - u) * (middle + p / mass)
    star = torch.cat(
        [
            torch.stack([density, density * middle], dim=1),
            (density / state[:, 0]).unsqueeze(1) * state[:, 2:-1],
            (density * energy).unsqueeze(1),
        ],
        dim=1,
    )
    return _euler_flux(state, u, p) + speed.unsqueeze(1) * (star - state)


def _speeds(state: Tensor, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return velocity along the axis, pressure and speed of sound."""
    density, momentum = state[:, 0], state[:, 1:-1]
    p = (gamma - 1) * (state[:, -1] - 0.5 * momentum.square().sum(1) / density)
    return momentum[:, 0] / density, p, (gamma * p / density).sqrt()


def _outer(
    left: Tensor, right: Tensor, one: tuple[Tensor, ...], two: tuple[Tensor, ...], gamma: float
) -> tuple[Tensor, Tensor]:
    (u1, p1, a1), (u2, p2, a2) = one, two
    root1, root2 = left[:, 0].sqrt(), right[:, 0].sqrt()
    share = root1 / (root1 + root2)
    velocity = share.unsqueeze(1) * (left[:, 1:-1] / left[:, :1])
    velocity = velocity + (1 - share).unsqueeze(1) * (right[:, 1:-1] / right[:, :1])
    enthalpy = share * (left[:, -1] + p1) / left[:, 0] + (1 - share) * (right[:, -1] + p2) / right[:, 0]
    # For physical states Roe's sound speed exceeds the smaller of the two; round-off must not break the root.
    sound = ((gamma - 1) * (enthalpy - 0.5 * velocity.square().sum(1))).clamp_min(1e-30).sqrt()
    u = velocity[:, 0]
    return torch.minimum(u1 - a1, u - sound), torch.maximum(u2 + a2, u + sound)


def _euler_flux(state: Tensor, u: Tensor, p: Tensor) -> Tensor:
    flux = u.unsqueeze(1) * state
    push = [torch.zeros_like(p), p, *[torch.zeros_like(p)] * (state.shape[1] - 3), p * u]
    return flux + torch.stack(push, dim=1)


def hll(left: Tensor, right: Tensor, gravity: float) -> Tensor:
    r"""Return the HLL flux of the shallow-water equations: two waves, Einfeldt's speeds.

    .. math::
        F = \frac{S_R F_L - S_L F_R + S_L S_R (U_R - U_L)}{S_R - S_L}, \qquad S_L \le 0 \le S_R

    Parameters
    ----------
    left, right
        ``"b c ..."`` with c = 1 + d: depth, discharges (the first along the axis).
    gravity
        g > 0, length per time^2.

    References
    ----------
    Harten, Lax and van Leer, SIAM Rev. 25 (1983), 35; Einfeldt, SIAM J. Numer. Anal. 25 (1988), 294.

    Examples
    --------
    >>> still = torch.tensor([[2.0, 0.0]])
    >>> hll(still, still, gravity=1.0)
    tensor([[0., 2.]])
    """
    h1, h2 = left[:, 0], right[:, 0]
    u1, u2 = left[:, 1] / h1, right[:, 1] / h2
    c1, c2 = (gravity * h1).sqrt(), (gravity * h2).sqrt()
    u = (h1.sqrt() * u1 + h2.sqrt() * u2) / (h1.sqrt() + h2.sqrt())
    c = (0.5 * gravity * (h1 + h2)).sqrt()
    low = torch.minimum(u1 - c1, u - c).clamp(max=0.0).unsqueeze(1)
    high = torch.maximum(u2 + c2, u + c).clamp(min=0.0).unsqueeze(1)
    flux1, flux2 = _shallow_flux(left, u1, gravity), _shallow_flux(right, u2, gravity)
    return (high * flux1 - low * flux2 + low * high * (right - left)) / (high - low)


def _shallow_flux(state: Tensor, u: Tensor, gravity: float) -> Tensor:
    push = [torch.zeros_like(u), 0.5 * gravity * state[:, 0] ** 2, *[torch.zeros_like(u)] * (state.shape[1] - 2)]
    return u.unsqueeze(1) * state + torch.stack(push, dim=1)
