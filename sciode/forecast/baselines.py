"""What a forecaster must beat: the last value, the last period, a ridge regression."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.forecast.base import Forecaster
from sciode.forecast.design import Design, windows
from sciode.forecast.frame import Frame
from sciode.forecast.learn import Draw, window_batch
from sciode.forecast.rollout import OneStep


class LinearStep(nn.Module):
    """A linear one-step model: mean ``x w + b``, and a standard deviation for each lead."""

    members = 1
    weight: Tensor
    bias: Tensor
    std: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, std: Tensor, lead: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("std", std)
        self.lead = lead

    def card(self) -> dict[str, Any]:
        """Return what :meth:`of` needs beside the tensors."""
        return {"kind": "linear", "inputs": len(self.weight), "leads": len(self.std), "lead": self.lead}

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "LinearStep":
        """Return a step of the same shape, its weights still to be loaded."""
        return cls(torch.zeros(card["inputs"]), torch.zeros(()), torch.ones(card["leads"]), card["lead"])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation, ``"1 b"``."""
        rows = x.reshape(1, -1, x.shape[-1])
        ahead = (rows[..., self.lead] * len(self.std)).round().long().clamp(0, len(self.std) - 1)
        return rows @ self.weight + self.bias, self.std[ahead]


class Seasonal(Forecaster):
    """The value one period ago, with the spread that this had in training; of period 1 tick: persistence.

    Parameters
    ----------
    period : int
        Ticks.
    design : Design
        Only the horizon and ``log`` matter.
    """

    def __init__(self, period: int = 1, design: Design | None = None) -> None:
        given = design or Design()
        if period < 1:
            raise InputError(f"a period is a tick or more, found {period!r}")
        super().__init__(Design(given.horizon, period, (0,), (0,), given.masks, given.log))
        self.period = period

    def learn(self, frame: Frame, validation: Frame | None) -> OneStep:
        """Measure how far off the last period is at every lead."""
        design, horizon = self.design, self.design.horizon
        squares = []
        for lead in range(1, horizon + 1):
            back = self.period * math.ceil(lead / self.period)
            both = frame.target_good[:, back:] * frame.target_good[:, : frame.target.shape[1] - back]
            miss = (frame.target[:, back:] - frame.target[:, : frame.target.shape[1] - back]).square() * both
            squares.append(miss.sum() / both.sum().clamp_min(1.0))
        spread = torch.stack(squares)
        # A path repeats its own noise from the period before, and adds what the spread grows by.
        earlier = torch.cat([torch.zeros(self.period), spread])[:horizon]
        std = (spread - earlier).clamp_min(1e-8).sqrt()
        weight = torch.zeros(design.size(self.channels_))
        weight[self.period - 1] = 1.0
        return LinearStep(weight, torch.zeros(()), std, _lead(design, self))


class Persistence(Seasonal):
    """The last value, with the spread that its changes had in training.

    >>> Persistence().period
    1
    """

    def __init__(self, design: Design | None = None) -> None:
        super().__init__(1, design)


class Ridge(Forecaster):
    """Autoregressive ridge regression on all inputs of the design, with normal noise of one size.

    Parameters
    ----------
    penalty : float
        Of squared weights, in units of one window.
    own : bool
        Look at the target's own past alone: an AR model.
    design : Design
        What is looked at.
    seed : int
        Of the leads of the training windows.
    """

    def __init__(
        self, penalty: float = 10.0, own: bool = False, design: Design | None = None, seed: int = 0
    ) -> None:
        super().__init__(design)
        if not penalty > 0:
            raise InputError(f"a penalty is above zero, found {penalty!r}")
        self.penalty, self.own, self.seed = penalty, own, seed

    def learn(self, frame: Frame, validation: Frame | None) -> OneStep:
        """Solve the normal equations, in float64."""
        series, tick = windows(frame, self.design)
        if self.own:
            batch = window_batch(frame, self.design, series, tick, torch.zeros_like(tick))
        else:
            batch = Draw(frame, self.design, 0.0, generator(self.seed, "ridge"))(4 * len(series))
        x, y = batch.x.double(), batch.y.double()
        if self.own:
            x[:, self.design.lags :] = 0.0
        centre, middle = x.mean(0), y.mean()
        shifted = x - centre
        matrix = shifted.mT @ shifted + self.penalty * torch.eye(x.shape[1], dtype=x.dtype)
        weight = torch.linalg.solve(matrix, shifted.mT @ (y - middle))
        std = (y - middle - shifted @ weight).std().clamp_min(1e-6)
        bias = middle - centre @ weight
        return LinearStep(weight.float(), bias.float(), std.float()[None], _lead(self.design, self))


def _lead(design: Design, forecaster: Forecaster) -> int:
    return design.names(forecaster.channels_).index(("lead", "value", 0))
