r"""A coarse solver and a network that corrects it.

.. math:: u(t + \Delta t) = S(u) + \tau\, d\, \sigma\, g\, f\big(v, \tfrac{S(u) - u}{\tau d \sigma}, \tau\big)

S integrates the equation on a coarse grid; the network f sees the state and what the solver makes of it. The gain
g begins at zero, so that before training the model is the solver. Symbols as in :mod:`sciode.surrogate.emulator`.
"""

from collections.abc import Mapping
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciode.core.errors import InputError
from sciode.core.names import lookup
from sciode.pde import EQUATIONS
from sciode.surrogate.conditional import BODIES, network_for
from sciode.surrogate.emulator import Emulator, Sized, sizes_of
from sciode.surrogate.stepper import stepper


class Corrector(Emulator):
    """A periodic equation's own solver on a coarse grid, corrected by a network: a hybrid.

    All samples of a batch share one lead time, as the solver needs. Gradients flow through the solver.

    Parameters
    ----------
    channels, dimensions : int
        Channels of the state, and space dimensions.
    equation : str
        Name in :data:`sciode.pde.EQUATIONS`, of one on a periodic grid of points.
    length : float
        Side of the box.
    points : int
        Points of the solver's grid along an axis.
    substeps : int
        Steps of the solver in one lead time.
    parameters : mapping
        Of the equation, such as its viscosity.
    body : str
        The network inside, by the name of its surrogate, such as "unet" or "fno".
    network : mapping
        Its arguments.

    Raises
    ------
    InputError
        For an equation that lives at cell centres or has other fields.

    References
    ----------
    Kochkov et al., *Machine learning-accelerated computational fluid dynamics* (arXiv:2102.01010): the learned
    correction.

    Examples
    --------
    >>> model = Corrector(1, 1, "burgers", length=1.0, points=16, network={"width": 4, "depth": 1})
    >>> model(torch.zeros(2, 1, 32), torch.full((2,), 0.01)).shape
    torch.Size([2, 1, 32])
    """

    def __init__(
        self,
        channels: int,
        dimensions: int,
        equation: str,
        length: float,
        points: int,
        substeps: int = 1,
        parameters: Mapping[str, float] | None = None,
        body: str = "unet",
        network: Mapping[str, Any] | None = None,
    ) -> None:
        kept: dict[str, Any] = {"channels": channels, "dimensions": dimensions, "equation": equation}
        kept |= {"length": length, "points": points, "substeps": substeps, "parameters": dict(parameters or {})}
        kept |= {"body": body, "network": dict(network or {})}
        super().__init__({**kept, "residual": True})
        del self.config["residual"]
        kind = lookup(equation, EQUATIONS, "equation")
        if kind.cell_centred or (kind.dimensions, len(kind.fields)) != (dimensions, channels):
            raise InputError(
                f"a corrector takes an equation on a periodic grid of points, here of {channels} fields in "
                f"{dimensions}D; "
                f"{equation} has {len(kind.fields)} in {kind.dimensions}D, {kind.boundary}"
            )
        term = kind.build(points=points, length=length, **kept["parameters"])
        self.solver = stepper(term, substeps=substeps, points=(points,) * dimensions)
        self.body: nn.Module = lookup(body, BODIES, "body")(channels, dimensions, **kept["network"])
        self.gain = nn.Parameter(torch.zeros(channels))

    def tendency(self, v: Float[Tensor, "b c *n"], tau: Float[Tensor, " b"]) -> Float[Tensor, "b c *n"]:
        """Return what the solver does to the normalised state ``v``, corrected."""
        spread, mean = self._per_channel(self.normaliser.std), self._per_channel(self.normaliser.mean)
        u = mean + spread * v
        size = tau.view(-1, *(1,) * (self.dimensions + 1)) * self._per_channel(self.increment) * spread
        # A forecast that has blown up stays so: the solver refuses such states, and a score is wanted.
        sound = torch.isfinite(u).flatten(1).all(1).view(-1, *(1,) * (self.dimensions + 1))
        change = self.solver(torch.where(sound, u, 0.0), tau * self.reference_dt) - u
        change = torch.where(sound, change, torch.nan) / torch.where(size == 0, 1.0, size)
        seen = torch.cat([v, change], dim=1)
        return change + self._per_channel(self.gain) * self.body(seen, tau, torch.zeros_like(tau))

    @classmethod
    def for_data(cls, data: Sized, **config: Any) -> Self:
        """Build a model for ``data``, on half of its grid where no ``points`` are given.

        Equation, length and parameters are taken from a file that :func:`sciode.generate.generate` made.
        """
        given: Any = data
        known: dict[str, Any] = {}
        recipe = getattr(given, "parameters", {}).get("recipe")
        if recipe is not None:
            if drawn := recipe.get("draws"):
                raise InputError(
                    f"{recipe['name']} draws {', '.join(sorted(drawn))} anew for each trajectory: "
                    "a corrector has one equation for all"
                )
            known = {key: recipe[key] for key in ("equation", "length", "parameters")}
        if missing := [key for key in ("equation", "length") if key not in {**known, **config}]:
            raise InputError(f"a corrector needs {missing[0]}=, or data that a recipe made")
        network = network_for(data, config.get("body", "unet"), config.get("network", {}))
        return cls(**{**sizes_of(data), **known, "points": data.shape[3] // 2, **config, "network": network})
