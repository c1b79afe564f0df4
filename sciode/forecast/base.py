"""What every forecaster is: ``fit`` learns from series, ``predict`` goes on from a history."""

from abc import ABC, abstractmethod
from inspect import signature
from typing import Any, Self

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.forecast.design import Design, windows
from sciode.forecast.frame import Channels, Frame, Scale, values
from sciode.forecast.output import dataset
from sciode.forecast.rollout import OneStep, mean_path, roll


class Forecaster(ABC):
    """A probabilistic forecaster of one target, with other sensors and plans as inputs.

    ``__init__`` stores settings, ``fit`` learns attributes that end in an underscore. A new forecaster says in
    :meth:`learn` what the next tick is; scales, windows, sampling and the result are shared.

    Parameters
    ----------
    design : Design
        What it looks at.
    """

    def __init__(self, design: Design | None = None) -> None:
        self.design = design or Design()

    @abstractmethod
    def learn(self, frame: Frame, validation: Frame | None) -> OneStep:
        """Return the one-step model of series on the model's scale."""

    def fit(self, series: xr.Dataset, validation: xr.Dataset | None = None) -> Self:
        """Learn from series, see :func:`sciode.data.series.read_series`; what was learned before is forgotten.

        Parameters
        ----------
        series : xarray.Dataset
            ``(series, time)``: a variable for each channel, whose attributes are ``units`` and ``role``; masks
            ``NAME_good`` and ages ``NAME_age`` where there are any; attribute ``sample_rate``, Hz.
        validation : xarray.Dataset, optional
            Of other runs; what to stop by.

        Raises
        ------
        InputError
            For no or several targets, a target without good values, series shorter than the design looks back,
            and runs that are in both parts.
        """
        channels = Channels.of(series)
        for name in (*self.design.log, *self.design.deaf):
            lookup(name, dict.fromkeys(channels.names), "channel of the design")
        channels.check(series, channels.names)
        scales = {}
        for name in channels.names:
            x, good = values(series, name)
            if name != channels.target and not good.any():
                raise InputError(f"{name} has no good value in the training series: leave it out")
            scales[name] = Scale.of(x[good], name in self.design.log, name)
        if validation is not None:
            channels.check(validation, channels.names)
            _no_leak(series, validation)
        self.channels_, self.scales_ = channels, scales
        frame = self._frame(series)
        windows(frame, self.design)
        held = None if validation is None else self._frame(validation)
        self.step_ = self.learn(frame, held)
        self.stretch_: Tensor | None = None
        return self

    def predict(
        self,
        history: xr.Dataset,
        *,
        horizon: int | None = None,
        samples: int = 200,
        seed: int = 0,
        future: xr.Dataset | None = None,
    ) -> xr.Dataset:
        """Return sampled futures that go on from the last tick of a history.

        Parameters
        ----------
        history : xarray.Dataset
            ``(series, time)``, like what ``fit`` got. Missing values are fine, missing channels are not.
        horizon : int, optional
            Ticks; the design's unless told.
        samples : int
            Paths for each series; members take turns.
        seed : int
            Of the noise.
        future : xarray.Dataset, optional
            The planned signals over the horizon, ``(series, time)``; needed where the model was fitted with any.

        Returns
        -------
        xarray.Dataset
            The target, ``(sample, series, time)`` in its unit; ``NAME_aleatoric`` and ``NAME_epistemic``,
            ``(series, time)``: standard deviations, of the logarithm where that is modelled.

        Raises
        ------
        InputError
            Before ``fit``, for channels, units or rates that do not match, saying which, a history or a future
            that is too short, and fewer than two samples for each member.
        """
        self._fitted()
        channels, ahead = self.channels_, self.design.horizon if horizon is None else horizon
        members = self.step_.members
        if ahead < 1 or samples < 2 * members:
            raise InputError(
                f"a forecast has a horizon from 1 up and two samples or more for each of {members} members, found "
                f"{ahead} and {samples}"
            )
        frame = self.frame(history, future, ahead)
        device = _device(self.step_)
        origin = torch.full((len(frame.target),), self.design.history - 1, device=device)
        with torch.no_grad():
            draws = self.paths(frame.to(device), origin, ahead, -(-samples // members), seed).cpu()
        if self.stretch_ is not None and ahead > len(self.stretch_):
            raise InputError(f"the forecaster is calibrated for {len(self.stretch_)} ticks, asked are {ahead}")
        if self.stretch_ is not None:
            middle = draws.mean((0, 1))
            draws = middle + self.stretch_[:ahead] * (draws - middle)
        return dataset(draws, history, channels, self.scales_[channels.target], samples, seed)

    def paths(self, frame: Frame, origin: Tensor, ahead: int, each: int, seed: int) -> Float[Tensor, "m p s h"]:
        """Return ``each`` sampled paths of every member, on the model's scale; from the last measured tick on."""
        return roll(self.step_, self.design, frame, origin, ahead, each, seed)

    def mean_path(self, frame: Frame, origin: Tensor, ahead: int) -> Float[Tensor, "m s h"]:
        """Return the path of every member without noise; differentiable in the frame."""
        return mean_path(self.step_, self.design, frame, origin, ahead)

    def frame(self, history: xr.Dataset, future: xr.Dataset | None, ahead: int) -> Frame:
        """Return the end of a history and the plan beyond it as tensors; raises what :meth:`predict` does."""
        self._fitted()
        self.channels_.check(history, self.channels_.names)
        if history.sizes["time"] < self.design.history:
            raise InputError(
                f"the history is {history.sizes['time']} ticks long, the model looks {self.design.history} back"
            )
        return self._frame(self._joined(history, future, ahead))

    def _joined(self, history: xr.Dataset, future: xr.Dataset | None, ahead: int) -> xr.Dataset:
        """Return the end of the history and, beyond it, the plan alone."""
        known = list(self.channels_.known)
        recent = history.isel(time=slice(-self.design.history, None))
        if known and future is None:
            raise InputError(f"the model knows the plan ahead: give future= with {', '.join(known)}")
        later = recent.isel(time=[0] * ahead).copy(deep=True)
        for name in [str(n) for n in later.data_vars]:
            later[name].values[...] = False if later[name].dtype == bool else float("nan")
        if known:
            assert future is not None
            self.channels_.check(future, self.channels_.known)
            if future.sizes["time"] < ahead or future.sizes["series"] != history.sizes["series"]:
                raise InputError(
                    f"the plan covers {future.sizes['time']} ticks of {future.sizes['series']} series, the "
                    f"forecast {ahead} of {history.sizes['series']}"
                )
            for name in [n for n in [*known, *(f"{k}_good" for k in known)] if n in future and n in later]:
                later[name].values[...] = future[name].isel(time=slice(0, ahead)).transpose(*later[name].dims)
        return xr.concat([recent, later], dim="time", coords="minimal", compat="override", join="override")

    def _frame(self, series: xr.Dataset) -> Frame:
        return Frame.of(series, self.channels_, self.scales_, torch.float32, self.design.deaf)

    def settings(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as they were stored."""
        return {name: getattr(self, name) for name in signature(type(self).__init__).parameters if name != "self"}

    def _fitted(self) -> None:
        if not hasattr(self, "step_"):
            raise InputError(f"fit this {type(self).__name__} first")


def _device(step: Any) -> torch.device:
    for tensor in getattr(step, "parameters", lambda: iter(()))():
        found: torch.device = tensor.device
        return found
    return torch.device("cpu")


def _no_leak(series: xr.Dataset, validation: xr.Dataset) -> None:
    if "run" in series.coords and "run" in validation.coords:
        both = sorted({str(x) for x in series.run.values} & {str(x) for x in validation.run.values})
        same_file = series.attrs.get("log") == validation.attrs.get("log")
        if both and same_file:
            raise InputError(f"runs {', '.join(both)} are in training and in validation: that is a leak")
