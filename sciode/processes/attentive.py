r"""Attentive neural processes: a distribution over functions, from points of one.

Symbols: ``z`` latent variable of a whole function, ``c`` context points, ``m`` target points; coordinates lie in
[0, 1], values are in physical units outside and normalised inside.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from sciode.core.checkpoint import load_checkpoint
from sciode.core.errors import InputError
from sciode.core.random import generator
from sciode.data import Channelwise
from sciode.nn import load_tensors
from sciode.processes.attention import Attend
from sciode.processes.mixture import Mixture


class AttentiveProcess(nn.Module):
    """Attentive neural process with a deterministic and a latent path, of one field.

    Parameters
    ----------
    channels : int
        Of the data; the first is learnt.
    coordinates : int
        Of a point: time and the axes of space.
    width, heads, layers, decoder : int
        Width of the encoders, heads of attention, attention blocks in each stack, width of the decoder. As
        published: 128, 4, 2 and 384.
    dropout : float
        On attention weights, in training.
    least : float
        Smallest standard deviation, in units of the field's own.

    References
    ----------
    Kim et al., *Attentive neural processes* (arXiv:1901.05761); as the base model of Hansen et al.
    (arXiv:2302.11002), appendix.

    Examples
    --------
    >>> model = AttentiveProcess(width=8, heads=2, decoder=16).eval()
    >>> at, y, to = torch.rand(3, 5, 2), torch.rand(3, 5, 1), torch.rand(3, 7, 2)
    >>> model.predict(at, y, to, samples=4).mean.shape
    torch.Size([4, 3, 7])
    """

    def __init__(
        self,
        channels: int = 1,
        coordinates: int = 2,
        width: int = 128,
        heads: int = 4,
        layers: int = 2,
        decoder: int = 384,
        dropout: float = 0.1,
        least: float = 1e-3,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "channels": channels,
            "coordinates": coordinates,
            "width": width,
            "heads": heads,
            "layers": layers,
            "decoder": decoder,
            "dropout": dropout,
            "least": least,
        }
        if not least > 0:
            raise InputError(f"the smallest standard deviation is above zero, found {least!r}")
        self.normaliser = Channelwise(channels)
        pair = coordinates + 1

        def stack() -> nn.ModuleList:
            return nn.ModuleList(Attend(width, heads, dropout) for _ in range(layers))

        self.latent_in, self.latent_attention = _mlp(pair, width, width), stack()
        self.latent_out = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2 * width))
        self.values_in, self.values_attention = _mlp(pair, width, width), stack()
        self.key, self.query, self.cross = nn.Linear(coordinates, width), nn.Linear(coordinates, width), stack()
        self.decoder = _mlp(2 * width + coordinates, decoder, 2, hidden=3)

    def units(self) -> tuple[Tensor, Tensor]:
        """Return standard deviation and mean of the field, ``[1]`` each."""
        return self.normaliser.std[:1], self.normaliser.mean[:1]

    def latent(self, at: Float[Tensor, "b c d"], y: Float[Tensor, "b c 1"]) -> Normal:
        """Return the distribution of z given points of the function, values normalised."""
        h = self.latent_in(torch.cat([at, y], dim=-1))
        for block in self.latent_attention:
            h = block(h, h, h)
        mean, log_variance = self.latent_out(h.mean(dim=1)).chunk(2, dim=-1)
        return Normal(mean, torch.exp(0.5 * log_variance))

    def attended(
        self, at: Float[Tensor, "b c d"], y: Float[Tensor, "b c 1"], to: Float[Tensor, "b m d"]
    ) -> Float[Tensor, "b m w"]:
        """Return what every target takes from the context."""
        values = self.values_in(torch.cat([at, y], dim=-1))
        for block in self.values_attention:
            values = block(values, values, values)
        query, key = self.query(to), self.key(at)
        for block in self.cross:
            query = block(query, key, values)
        out: Tensor = query
        return out

    def decode(
        self, r: Float[Tensor, "... b m w"], z: Float[Tensor, "... b w"], to: Float[Tensor, "b m d"]
    ) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation ``"... b m"``, normalised."""
        every = z[..., None, :].expand(*z.shape[:-1], to.shape[-2], -1)
        lead = every.shape[:-1]
        parts = [r.expand(*lead, -1), every, to.expand(*lead, -1)]
        mean, raw = self.decoder(torch.cat(parts, dim=-1)).unbind(-1)
        return mean, F.softplus(raw) + self.config["least"]

    def forward(
        self,
        at: Float[Tensor, "b c d"],
        y: Float[Tensor, "b c 1"],
        to: Float[Tensor, "b m d"],
        target: Float[Tensor, "b m 1"],
    ) -> tuple[Normal, Tensor]:
        """Return the distribution of the targets in physical units, z drawn from them, and the divergence ``[b]``.

        The draw of z is torch's own.
        """
        scale, shift = self.units()
        seen, goal = (y - shift) / scale, (target - shift) / scale
        prior, posterior = self.latent(at, seen), self.latent(to, goal)
        mean, std = self.decode(self.attended(at, seen, to), posterior.rsample(), to)
        divergence = kl_divergence(posterior, prior).sum(-1)
        return Normal(mean * scale + shift, std * scale), divergence

    @torch.no_grad()
    def predict(
        self,
        at: Float[Tensor, "b c d"],
        y: Float[Tensor, "b c 1"],
        to: Float[Tensor, "b m d"],
        samples: int = 100,
        seed: int = 0,
    ) -> Mixture:
        """Return Gaussians ``"s b m"`` for ``samples`` draws of z given the context; a mixture in equal parts.

        All functions of a batch see the same random numbers, so each is predicted the same in any batch.

        Raises :class:`InputError` for shapes that do not fit and values that are not finite.
        """
        _check_points(at, y, to, self.config["coordinates"])
        training = self.training
        self.eval()  # no dropout in a prediction
        scale, shift = self.units()
        seen = (y - shift) / scale
        z = self.latent(at, seen)
        noise = torch.randn(samples, 1, z.mean.shape[-1], generator=generator(seed, "latent"))
        draws = z.mean + z.stddev * noise.to(z.mean)
        mean, std = self.decode(self.attended(at, seen, to)[None], draws, to)
        self.train(training)
        return Mixture(mean * scale + shift, (std * scale).square())


def _mlp(inside: int, width: int, outside: int, hidden: int = 2) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(hidden):
        layers += [nn.Linear(inside, width), nn.ReLU()]
        inside = width
    return nn.Sequential(*layers, nn.Linear(inside, outside))


def _check_points(at: Tensor, y: Tensor, to: Tensor, coordinates: int) -> None:
    if at.dim() != 3 or at.shape[-1] != coordinates or y.shape != (*at.shape[:2], 1):
        raise InputError(
            f"a context is points 'b c {coordinates}' and values 'b c 1', found {list(at.shape)} and "
            f"{list(y.shape)}"
        )
    if to.dim() != 3 or to.shape[0] != at.shape[0] or to.shape[-1] != coordinates:
        raise InputError(f"targets are 'b m {coordinates}' for a batch of {len(at)}, found {list(to.shape)}")
    for name, tensor in (("context points", at), ("context values", y), ("targets", to)):
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"the {name} hold NaN or infinity")


def load_process(path: str | Path) -> AttentiveProcess:
    """Rebuild a trained process from its checkpoint alone, on the CPU and in evaluation mode.

    Raises :class:`InputError` for a file that is damaged, or of another model.
    """
    tensors, card = load_checkpoint(path)
    told: Mapping[str, Any] = card.get("model", {})
    if told.get("name") != AttentiveProcess.__name__:
        raise InputError(f"{path} holds {told.get('name', 'no model')}, not {AttentiveProcess.__name__}")
    model = AttentiveProcess(**told["config"])
    own = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    load_tensors(model, own)
    return model.eval()
