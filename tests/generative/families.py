"""Every deterministic preset under one signature, for tests that hold for all of them."""

from collections.abc import Callable
from typing import Any

import torch

from sciode.generative import Sampler, Schedule, fit_statistics, presets
from tests.generative.laws import gaussian

Make = Callable[..., Sampler]


def _with(make: Make, **fixed: Any) -> Make:
    def build(schedule: Schedule, steps: int, **grid: Any) -> Sampler:
        return make(schedule, steps=steps, **fixed, **grid)

    return build


MULTISTEP: dict[str, Make] = {
    "ddim": _with(presets.ddim),
    "euler": _with(presets.euler),
    "dpm++1": _with(presets.dpm_solver_pp, order=1),
    "dpm++2M": _with(presets.dpm_solver_pp, order=2),
    "dpm++2M taylor": _with(presets.dpm_solver_pp, order=2, form="taylor"),
    "dpm++3M": _with(presets.dpm_solver_pp, order=3),
    "dpm++3M published": _with(presets.dpm_solver_pp, order=3, form="published"),
    "dpm-2M": _with(presets.dpm_solver, order=2, multistep=True),
    "dpm-3M": _with(presets.dpm_solver, order=3, multistep=True),
    "unipc-1": _with(presets.unipc, order=1),
    "unipc-2": _with(presets.unipc, order=2),
    "unipc-2 bh1": _with(presets.unipc, order=2, variant="bh1"),
    "unipc-3": _with(presets.unipc, order=3),
    "unipc-3 noise": _with(presets.unipc, order=3, prediction="noise"),
    "tAB0": _with(presets.deis, order=0),
    "tAB3": _with(presets.deis, order=3),
    "rhoAB3": _with(presets.deis, order=3, variant="rhoAB"),
}
"""One evaluation a step."""

SINGLESTEP: dict[str, Make] = {
    "dpm-1": _with(presets.dpm_solver, order=1),
    "dpm-2": _with(presets.dpm_solver, order=2),
    "dpm-3": _with(presets.dpm_solver, order=3),
    "dpm++2S": _with(presets.dpm_solver_pp, order=2, multistep=False),
    "dpm++3S": _with(presets.dpm_solver_pp, order=3, multistep=False),
    "dpm++3S taylor": _with(presets.dpm_solver_pp, order=3, multistep=False, form="taylor"),
    "rhoRK2": _with(presets.deis, order=2, variant="rhoRK"),
    "rhoRK4": _with(presets.deis, order=4, variant="rhoRK"),
    "heun": _with(presets.heun),
    "rf_solver": _with(presets.rf_solver),
}
"""Stages within a step."""

EVERY: dict[str, Make] = {**MULTISTEP, **SINGLESTEP}
"""Those that take any spacing."""


def _shifted(schedule: Schedule, steps: int, **grid: Any) -> Sampler:
    plain = presets.dc_solver(schedule, None, 2, steps, **grid)
    ratios = (1.0,) * min(2, steps) + (0.8,) * (steps - 2)
    given = presets.Compensation(ratios, presets.fingerprint(plain.grid))
    return presets.dc_solver(schedule, given, 2, steps, **grid)


def _fitted(schedule: Schedule, steps: int, **grid: Any) -> Sampler:
    if schedule not in _STATISTICS:
        mean = torch.tensor([0.3, -0.2], dtype=torch.float64)
        z = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        law = gaussian(schedule, mean, 0.01)
        finite = torch.isfinite(schedule.lam(schedule.at(schedule.end)))
        end = schedule.end if finite else 2e-4 * schedule.begin
        _STATISTICS[schedule] = fit_statistics(law, mean + 0.1 * z, schedule, end=end, points=40, quiet=True)
    return presets.dpm_solver_v3(schedule, _STATISTICS[schedule], 3, steps, **grid)


_STATISTICS: dict[Schedule, Any] = {}


def _recorded(schedule: Schedule, steps: int, **grid: Any) -> Sampler:
    spacing, begin, end = grid.pop("spacing", None), grid.pop("begin", None), grid.pop("end", None)
    where = presets.ddim(schedule, steps, spacing, begin, end).grid
    return presets.usf(schedule, presets.records_of(where, 2, prediction="noise", corrector=True))


FITTED: dict[str, Make] = {
    "dc": _shifted,
    "v3": _fitted,
    "usf": _recorded,
    "pfgmpp": _with(presets.pfgmpp, extra=64.0),
}
"""Those that are fitted to a model or found by a search, and PFGM++."""

NOISY: dict[str, Make] = {
    "ddim, ancestral": _with(presets.ddim, eta=1.0),
    "sde-dpm++2M": _with(presets.dpm_solver_pp, order=2, eta=1.0),
    "seeds-1": _with(presets.seeds, order=1),
    "seeds-2": _with(presets.seeds, order=2),
    "seeds-3": _with(presets.seeds, order=3),
    "seeds-3 noise": _with(presets.seeds, order=3, prediction="noise"),
    "heun, churned": _with(presets.heun, churn=10.0),
    "reverse diffusion, langevin": _with(presets.predictor_corrector),
    "ancestral, langevin": _with(presets.predictor_corrector, predictor="ancestral"),
    "euler-maruyama": _with(presets.predictor_corrector, predictor="euler_maruyama", corrector="none"),
    "interpolant": _with(presets.interpolant_sde, epsilon=0.1),
}
"""Those that draw noise."""
