"""Samplers against loops written from the papers' formulas, in numpy letters and without the library's weights."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from sciode.generative import EDM, VP, Grid, presets, sample_seeds
from sciode.generative.noise_source import EachSample
from sciode.solve import Steps
from sciode.solve.increment import NOTHING
from tests.generative.laws import mixture

SCHEDULE = VP()
LAW = mixture(SCHEDULE)
NOISE = torch.randn(5, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def eps(x: Tensor, t: Tensor) -> Tensor:
    return (x - SCHEDULE.alpha(t) * LAW(x, t)) / SCHEDULE.sigma(t)


def test_heun_is_edm_algorithm_one() -> None:
    law = mixture(EDM())
    n = 9
    place = torch.arange(n, dtype=torch.float64) / (n - 1)
    sigmas = (80.0 ** (1 / 7) + place * (0.002 ** (1 / 7) - 80.0 ** (1 / 7))) ** 7
    sigmas = torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])
    x = 80.0 * NOISE
    for i in range(n):
        d = (x - law(x, EDM().at(sigmas[i]))) / sigmas[i]
        moved = x + (sigmas[i + 1] - sigmas[i]) * d
        if sigmas[i + 1] > 0:
            other = (moved - law(moved, EDM().at(sigmas[i + 1]))) / sigmas[i + 1]
            moved = x + (sigmas[i + 1] - sigmas[i]) * 0.5 * (d + other)
        x = moved
    assert (presets.heun(EDM(), n).sample(law, NOISE) - x).abs().max() < 1e-12


def unipc_by_hand(grid: Grid, order: int, variant: str, data: bool) -> Tensor:
    """arXiv:2302.04867, algorithms 1 and 2: predictor and corrector from the system of equation (5)."""
    lam, alpha, sigma = grid.lam.tolist(), grid.alpha.tolist(), grid.sigma.tolist()
    model: Callable[[Tensor, Tensor], Tensor] = LAW if data else eps
    x, past = NOISE.clone(), [(lam[0], model(NOISE, grid.t[0]))]

    def update(x: Tensor, i: int, p: int, extra: Tensor | None) -> Tensor:
        h = lam[i + 1] - lam[i]
        z = -h if data else h
        s0, f0 = past[-1]
        B = z if variant == "bh1" else math.expm1(z)
        nodes = [((s - s0) / h, f - f0) for s, f in past[-2 : -p - 1 : -1]]
        if extra is not None:
            nodes.append((1.0, extra - f0))
        psi = math.expm1(z) / z - 1.0
        rows, right = [], []
        for k in range(1, len(nodes) + 1):
            rows.append([r ** (k - 1) for r, _ in nodes])
            right.append(math.factorial(k) * psi / B)
            psi = psi / z - 1.0 / math.factorial(k + 1)
        if len(nodes) == 1:
            rho = np.array([0.5])
        else:
            rho = np.linalg.solve(np.array(rows), np.array(right)) if nodes else np.array([])
        change = sum((w * d / r for w, (r, d) in zip(rho, nodes, strict=True)), torch.zeros_like(x))
        if data:
            return sigma[i + 1] / sigma[i] * x - alpha[i + 1] * (math.expm1(z) * f0 + B * change)
        return alpha[i + 1] / alpha[i] * x - sigma[i + 1] * (math.expm1(z) * f0 + B * change)

    for i in range(grid.steps):
        p = min(order, i + 1)
        predicted = update(x, i, p, None)
        if i + 1 == grid.steps:
            return predicted
        f = model(predicted, grid.t[i + 1])
        x = update(x, i, p, f)
        past.append((lam[i + 1], f))
    raise AssertionError


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("spacing", ["lam", "quadratic"])
def test_unipc_is_the_papers(variant: str, order: int, prediction: str, spacing: str) -> None:
    sampler = presets.unipc(
        SCHEDULE, order, 8, spacing, end=1e-3, variant=variant, prediction=prediction, final="keep"
    )
    wanted = unipc_by_hand(sampler.grid, order, variant, prediction == "data")
    assert (sampler.sample(LAW, NOISE) - wanted).abs().max() < 1e-9


def test_tab_deis_is_the_papers_integral() -> None:
    """arXiv:2204.13902, equations (14) and (15), in diffusion time, by adaptive quadrature."""
    order, sampler = 2, presets.deis(SCHEDULE, 2, 6, "quadratic", end=1e-3)
    taus = SCHEDULE.tau(sampler.grid.t).tolist()
    alpha, sigma = sampler.grid.alpha.tolist(), sampler.grid.sigma.tolist()

    def weight(tau: float, i: int, j: int, count: int) -> float:
        at = torch.tensor(tau, dtype=torch.float64)
        beta = 0.1 + tau * 19.9
        psi = alpha[i + 1] / SCHEDULE.log_alpha_at(at).exp().item()
        basis = math.prod((tau - taus[i - m]) / (taus[i - j] - taus[i - m]) for m in range(count) if m != j)
        return psi * beta / (2 * SCHEDULE.log_sigma_at(at).exp().item()) * basis

    x, past = NOISE.clone(), []
    for i in range(6):
        past = [eps(x, sampler.grid.t[i]), *past][: order + 1]
        x = alpha[i + 1] / alpha[i] * x
        for j, f in enumerate(past):
            c, _ = quad(weight, taus[i], taus[i + 1], (i, j, len(past)), epsabs=1e-13, epsrel=1e-12, limit=200)
            x = x + c * f
    assert len(sigma) == 7
    assert (sampler.sample(LAW, NOISE) - x).abs().max() < 1e-9


def transfer(x: Tensor, e: Tensor, t: Tensor, to: Tensor) -> Tensor:
    """PNDM's phi (arXiv:2202.09778, equation (11)) is DDIM."""
    return SCHEDULE.alpha(to) * (x - SCHEDULE.sigma(t) * e) / SCHEDULE.alpha(t) + SCHEDULE.sigma(to) * e


@pytest.mark.parametrize("variant", ["S", "F"])
def test_pndm_is_the_papers(variant: str) -> None:
    sampler = presets.pndm(SCHEDULE, 8, end=1e-3, variant=variant)
    t = sampler.grid.t
    x, past = NOISE.clone(), []
    for i in range(8):
        e = eps(x, t[i])
        past = [e, *past]
        if variant == "S" and i == 0:
            e = 0.5 * (e + eps(transfer(x, e, t[i], t[i + 1]), t[i + 1]))
        elif variant == "S":
            e = 0.5 * (3 * past[0] - past[1])
        elif i < 3:
            middle = 0.5 * (t[i] + t[i + 1])
            e2 = eps(transfer(x, e, t[i], middle), middle)
            e3 = eps(transfer(x, e2, t[i], middle), middle)
            e4 = eps(transfer(x, e3, t[i], t[i + 1]), t[i + 1])
            e = (e + 2 * e2 + 2 * e3 + e4) / 6
        else:
            e = (55 * past[0] - 59 * past[1] + 37 * past[2] - 9 * past[3]) / 24
        x = transfer(x, e, t[i], t[i + 1])
    assert (sampler.sample(LAW, NOISE) - x).abs().max() < 1e-11


def test_third_order_singlestep_is_the_papers() -> None:
    """arXiv:2211.01095, algorithm for ++3S in data prediction, r1 = 1/3, r2 = 2/3."""
    sampler = presets.dpm_solver_pp(SCHEDULE, 3, 8, "lam", end=1e-3, multistep=False)
    grid = sampler.grid
    assert grid.steps == 3  # 3 + 3 + 2 evaluations
    x = NOISE.clone()
    for i, (r1, r2) in enumerate([(1 / 3, 2 / 3), (1 / 3, 2 / 3), (0.5, None)]):
        lam, h = grid.lam[i], (grid.lam[i + 1] - grid.lam[i]).item()
        f0 = LAW(x, grid.t[i])

        def moved(x: Tensor, r: float, f0: Tensor, i: int = i, lam: Tensor = lam, h: float = h) -> Tensor:
            t = SCHEDULE.time(lam + r * h)
            return SCHEDULE.sigma(t) / grid.sigma[i] * x - SCHEDULE.alpha(t) * math.expm1(-r * h) * f0

        t1 = SCHEDULE.time(lam + r1 * h)
        f1 = LAW(moved(x, r1, f0), t1)
        if r2 is None:
            x = moved(x, 1.0, f0) - grid.alpha[i + 1] * math.expm1(-h) / (2 * r1) * (f1 - f0)
            continue
        t2 = SCHEDULE.time(lam + r2 * h)
        d = math.expm1(-r2 * h) / (r2 * h) + 1.0
        f2 = LAW(moved(x, r2, f0) + r2 / r1 * SCHEDULE.alpha(t2) * d * (f1 - f0), t2)
        x = moved(x, 1.0, f0) + grid.alpha[i + 1] / r2 * (math.expm1(-h) / h + 1.0) * (f2 - f0)
    assert (sampler.sample(LAW, NOISE) - x).abs().max() < 1e-11


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_sde_dpm_solver_pp_is_the_papers(eta: float) -> None:
    sampler = presets.dpm_solver_pp(SCHEDULE, 2, 9, "lam", end=1e-3, eta=eta)
    grid = sampler.grid
    steps = Steps(np.arange(9.0), np.ones(9), (0, 9))
    z = EachSample(sample_seeds(4, 5)).grid(NOISE, steps, 0, NOTHING)
    x, last = NOISE.clone(), None
    for i in range(9):
        h = (grid.lam[i + 1] - grid.lam[i]).item()
        f = LAW(x, grid.t[i])
        rise = -math.expm1(-(1 + eta) * h)
        moved = grid.sigma[i + 1] / grid.sigma[i] * math.exp(-eta * h) * x + grid.alpha[i + 1] * rise * f
        if last is not None:
            moved = moved + grid.alpha[i + 1] * rise / 2 * (f - last)
        drawn = z(i).W
        assert isinstance(drawn, Tensor)
        x, last = moved + grid.sigma[i + 1] * math.sqrt(-math.expm1(-2 * eta * h)) * drawn, f
    assert (sampler.sample(LAW, NOISE, seed=4) - x).abs().max() < 1e-11
