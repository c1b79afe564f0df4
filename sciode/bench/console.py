"""Tables for people: ``rich`` on a terminal, aligned text in a pipe or a log."""

import sys
from collections.abc import Sequence
from typing import Any

Row = Sequence[Any]


def plain_table(header: Sequence[str], rows: Sequence[Row]) -> str:
    """Return an aligned table; columns of numbers to the right, others to the left.

    >>> print(plain_table(["model", "nRMSE"], [["fno", "0.01"], ["persistence", "1.2"]]))
    model        nRMSE
    -----------  -----
    fno           0.01
    persistence    1.2
    """
    cells = [[str(item) for item in row] for row in rows]
    widths = [max(len(line[k]) for line in [list(header), *cells]) for k in range(len(header))]
    right = [_numeric([row[k] for row in cells]) for k in range(len(header))]
    lines = [list(header), ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            item.rjust(width) if to_right else item.ljust(width)
            for item, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _numeric(column: Sequence[str]) -> bool:
    marks = [text for text in column if text not in ("", "-")]
    return bool(marks) and all(text.lstrip("+-<>×")[:1].isdigit() for text in marks)


def print_table(header: Sequence[str], rows: Sequence[Row], title: str = "") -> None:
    """Print a table to stdout, by ``rich`` where stdout is a terminal."""
    if not sys.stdout.isatty():
        print(f"\n{title}\n" * bool(title) + plain_table(header, rows))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD)
    for k, name in enumerate(header):
        table.add_column(name, justify="right" if _numeric([str(row[k]) for row in rows]) else "left")
    for row in rows:
        table.add_row(*(str(item).replace("[", r"\[") for item in row))
    Console().print(table)
