"""Every deterministic preset under one signature, for tests that hold for all of them."""

from collections.abc import Callable
from typing import Any

from sciode.generative import Sampler, Schedule, presets

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
