"""HTML pages: one file each, styles, scripts and figures inside, nothing fetched from anywhere."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_FOLDER = Path(str(files("sciode.bench"))) / "templates"


def render(template: str, **values: Any) -> str:
    """Fill one of the package's templates; text is escaped, :func:`inline` figures are not."""
    loader = FileSystemLoader(_FOLDER)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template(template).render(**values) + "\n"


def inline(figures: Mapping[str, str]) -> dict[str, Markup]:
    """Mark figures that this package has drawn as safe to stand in a page as they are.

    >>> inline({"error": "<svg/>"})
    {'error': Markup('<svg/>')}
    """
    return {name: Markup(text) for name, text in figures.items()}
