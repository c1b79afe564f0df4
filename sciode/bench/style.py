"""How figures look: one palette that colour-blind readers can tell apart, and SVG that follows the page."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from sciode.core.files import atomic_path

# Okabe and Ito (2008), the order changed so that the first ones also differ in lightness.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_FIXED = {"persistence": "#8C8C8C"}
_DASHES = {"persistence": (0, (1, 1.5)), "stepper": (0, (5, 2))}
_ROUNDS: tuple[Any, ...] = ("-", (0, (6, 1.5, 1, 1.5)), (0, (1.5, 1.5)))
# Stands for the text colour of the page while a figure is drawn; no other mark has it.
_INK = "#1b2a3c"
FIELD, ERROR = "RdBu_r", "PuOr"
"""Diverging colour maps of fields and of their errors."""

_RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "axes.grid": True,
    "grid.color": "#888888",
    "grid.alpha": 0.22,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "image.interpolation": "bilinear",
}
INK = _INK
"""Colour of the truth in line plots: that of the text."""


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with the house style, and leave matplotlib's own settings as they were."""
    with mpl.rc_context(_RC):
        yield


def colours(models: Sequence[str]) -> dict[str, str]:
    """Give every model its colour, by its place in the suite.

    >>> colours(["persistence", "fno"])
    {'persistence': '#8C8C8C', 'fno': '#0072B2'}
    """
    free = [name for name in models if name not in _FIXED]
    return {name: _FIXED.get(name) or _COLOURS[free.index(name) % len(_COLOURS)] for name in models}


def dash(model: str, models: Sequence[str] = ()) -> tuple[int, tuple[float, ...]] | str:
    """Return the line style: full for what learns, broken for what does not.

    Where ``models`` are more than the colours, the second round is dash-dotted, the third dotted.

    >>> dash("a", "abcdefg"), dash("g", "abcdefg")
    ('-', (0, (6, 1.5, 1, 1.5)))
    """
    free = [name for name in models if name not in _FIXED]
    turn = free.index(model) // len(_COLOURS) if model in free else 0
    return _DASHES.get(model, _ROUNDS[turn % len(_ROUNDS)])


def settle(figure: Figure) -> None:
    """Work out the layout once: else each file would do it several times, most of the time of a report."""
    canvas = FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        canvas.get_renderer()
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.patch.set_visible(False)


def svg(figure: Figure, name: str) -> str:
    """Return the figure as inline SVG: no background, text in the colour of the page, ids of its own."""
    buffer = io.StringIO()
    figure.patch.set_visible(False)
    with mpl.rc_context({"svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r'width="([\d.]+)pt" height="[\d.]+pt"', r'style="max-width:\1pt"', text, count=1)
    return re.sub(r"font: ([\d. a-z]*?)([\d.]+px) 'DejaVu Sans'[^;\"]*", r"font: \1\2 system-ui, sans-serif", text)


def png(figure: Figure, path: Path, dpi: int = 130) -> None:
    """Write the figure as PNG on white, atomically."""
    figure.patch.set(visible=True, facecolor="white")
    before = figure.dpi
    figure.set_dpi(dpi)
    with atomic_path(path) as partial:
        FigureCanvasAgg(figure).print_png(partial)
    figure.set_dpi(before)
