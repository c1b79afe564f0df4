"""UniPC: a multistep predictor whose corrector costs no evaluation."""

from sciode.core.names import lookup
from sciode.generative.grid import End, Spacing
from sciode.generative.presets.common import PREDICTIONS, adams_sampler, check_order, grid_for
from sciode.generative.sampler import Sampler
from sciode.generative.schedule import Schedule
from sciode.solve import EXACT, MIDPOINT, TRAPEZOID, Adams, MomentRule

VARIANTS: dict[str, MomentRule] = {"bh1": TRAPEZOID, "bh2": MIDPOINT, "exact": EXACT}
"""B(h) = h; B(h) = e^h - 1; phi-functions throughout. They differ where two slopes are combined."""


def unipc(
    schedule: Schedule,
    order: int = 2,
    steps: int = 10,
    spacing: Spacing | None = None,
    begin: float | None = None,
    end: End = None,
    *,
    final: str = "auto",
    variant: str = "bh2",
    prediction: str = "data",
    corrector: bool = True,
) -> Sampler:
    """UniPC: ``steps`` evaluations, order + 1 on smooth problems.

    Parameters
    ----------
    order
        Of the predictor, 1 to 4; the corrector raises it by one.
    variant
        "bh1", "bh2", or "exact".
    prediction
        "data" or "noise": the coordinates.
    corrector
        False: the predictor alone, UniP.

    References
    ----------
    Zhao et al., *UniPC* (arXiv:2302.04867), algorithms 1 and 2. The third published variant, with coefficients
    that vary, is "exact" here; as published it converges at first order only, by a slip of its corrector.

    Examples
    --------
    >>> from sciode.generative import VP
    >>> unipc(VP(), order=3, steps=10).evaluations
    10
    """
    check_order(order, (1, 2, 3, 4), "unipc")
    rule = lookup(variant, VARIANTS, "variant of UniPC")
    coordinates = lookup(prediction, PREDICTIONS, "prediction")
    where = grid_for(schedule, steps, spacing, begin, end)
    method = Adams(order + 1, corrector=True, rule=rule) if corrector else Adams(order, rule=rule)
    return adams_sampler(
        f"Uni{'PC' if corrector else 'P'}-{order}({variant})", where, coordinates, method, order, final
    )
