"""Tables on stdout: fitted to the width of a terminal, unabridged in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal, NamedTuple

from tui_gpt.cli.output import echo


class Column(NamedTuple):
    """A column's heading and alignment. wraps: its cells may be broken into lines where the terminal is too narrow."""

    title: str = ""
    align: Literal["left", "right"] = "left"
    wraps: bool = False


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print `rows` under the titles of `columns`, which are left out if all are empty.

    A terminal gets a table of its width. A pipe or file gets every cell in full, without colour, one line per row, the
    columns aligned and two spaces apart.
    """
    if sys.stdout.isatty():
        _print_rich(columns, rows)
    else:
        for line in format_plain(columns, rows):
            echo(line)


def format_plain(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a plain text table."""
    titles = [column.title for column in columns]
    table = [titles, *rows] if any(titles) else list(rows)
    widths = [max((len(row[index]) for row in table), default=0) for index in range(len(columns))]
    return [
        "  ".join(
            cell.rjust(width) if column.align == "right" else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in table
    ]


def _print_rich(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    titled = any(column.title for column in columns)
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=titled)
    for index, column in enumerate(columns):
        style = "bold" if not titled and index == 0 else None
        table.add_column(
            Text(column.title), justify=column.align, no_wrap=not column.wraps, overflow="fold", style=style
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)
