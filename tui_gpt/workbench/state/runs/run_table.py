"""The list of runs as rows and columns: filtered, sorted, and laid out for a width.

Everything here is arithmetic on the rows that `run_scan` has read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tui_gpt.workbench.drawing.formatting import width_of
from tui_gpt.workbench.state.runs.run_columns import Column, columns_for, differing_settings, run_name
from tui_gpt.workbench.state.runs.run_filter import parse_filter
from tui_gpt.workbench.state.runs.run_scan import RunRow

GAP = 2  # cells between two columns
MARK_WIDTH = 3  # `● a`
LEAST_WIDTHS = {"name": 24, "run": 16, "tags": 16, "note": 20}  # of the columns that may be cut


@dataclass(frozen=True)
class View:
    """What is listed: the columns that fit, each with its width, and the rows in order."""

    columns: tuple[tuple[Column, int], ...] = ()
    rows: tuple[RunRow, ...] = ()
    every_column: tuple[Column, ...] = ()


def to_tsv(view: View) -> str:
    """Return every column of the listed rows, parted by tabs."""
    lines = ["\t".join(["id", *(column.title for column in view.every_column)])]
    lines += ["\t".join([row.id, *(column.text_of(row) for column in view.every_column)]) for row in view.rows]
    return "\n".join(line.replace("\n", " ") for line in lines)


class RunTable:
    """Filters, sorts and lays out rows; what it laid out last stands while nothing changed."""

    def __init__(self) -> None:
        self.filter = ""
        self.sort_key = ""  # of a column; empty: live ones first, then the newest
        self.is_reversed = False
        self._last: tuple[object, View] = (None, View())
        self._listed: tuple[object, Sequence[RunRow], list[Column], dict[str, int]] = (None, (), [], {})

    def view(self, rows: Sequence[RunRow], width: int) -> View:
        """Return what is listed of `rows`, which come newest first, in `width` cells."""
        asked = (list(rows), self.filter, width, self.sort_key, self.is_reversed)
        if self._last[0] == asked:
            return self._last[1]
        if self._listed[0] != asked[:2]:
            self._listed = (asked[:2], *self._list(rows))
        _, listed, columns, widths = self._listed
        fitting = tuple(self._fit(columns, widths, width))
        self._last = (asked, View(fitting, tuple(self._sorted(listed, columns)), tuple(columns)))
        return self._last[1]

    def _list(self, rows: Sequence[RunRow]) -> tuple[Sequence[RunRow], list[Column], dict[str, int]]:
        """Return the rows that the filter lets through, the columns that say something of them, and their widths."""
        listed = rows
        if self.filter.strip():
            every = tuple(differing_settings(rows))
            names = Column("find", "", 0, lambda row: run_name(row, every, 200), memo=("find", every))
            test = parse_filter(self.filter, names.text_of)
            listed = [row for row in rows if test(row)]
        columns = columns_for(listed)
        widths = {column.key: max((width_of(column.text_of(row)) for row in listed), default=0) for column in columns}
        return listed, [column for column in columns if column.rank < 2 or widths[column.key]], widths

    def title(self, column: Column) -> str:
        """Return the column's title, with an arrow where the rows are sorted by it."""
        if column.key != self.sort_key:
            return column.title
        arrow = "▲" if column.ascending != self.is_reversed else "▼"
        return f"{arrow}{column.title}" if column.is_number else f"{column.title} {arrow}"

    def sort_by(self, key: str) -> None:
        """Sort by a column, or the other way round if that is so already."""
        self.is_reversed = not self.is_reversed if key == self.sort_key else False
        self.sort_key = key

    def next_sort(self, columns: Sequence[tuple[Column, int]]) -> None:
        """Sort by the next column to the right, after the last one by start again."""
        keys = [column.key for column, _ in columns] + [""]
        at = keys.index(self.sort_key) if self.sort_key in keys else -1
        self.sort_key, self.is_reversed = keys[(at + 1) % len(keys)], False

    def _sorted(self, rows: Sequence[RunRow], columns: Sequence[Column]) -> list[RunRow]:
        column = next((column for column in columns if column.key == self.sort_key), None)
        if column is None:
            live = [row for row in rows if row.is_live]
            ended = [row for row in rows if not row.is_live]
            return live[::-1] + ended[::-1] if self.is_reversed else live + ended
        known = [(column.value(row), row) for row in rows]
        numbers = [pair for pair in known if isinstance(pair[0], int | float)]
        texts = [pair for pair in known if isinstance(pair[0], str)]
        others = [row for value, row in known if not isinstance(value, int | float | str)]
        is_descending = column.ascending == self.is_reversed
        numbers.sort(key=lambda pair: pair[0], reverse=is_descending)
        texts.sort(key=lambda pair: natural_key(pair[0]), reverse=is_descending)
        return [row for _, row in numbers + texts] + others

    def _fit(self, columns: list[Column], texts: dict[str, int], width: int) -> list[tuple[Column, int]]:
        """Return the columns that fit into `width`, the most important first; numbers are never cut."""
        wanted = {
            column.key: max(min(column.max_width, texts[column.key] + column.extra), width_of(self.title(column)))
            for column in columns
        }
        room, taken = width - MARK_WIDTH - GAP, {}
        for column in sorted(columns, key=lambda column: column.rank):
            least = min(wanted[column.key], LEAST_WIDTHS.get(column.key, 99))
            if least + GAP > room and column.rank > 1:
                break  # a column that matters less does not take the place of one that matters more
            taken[column.key] = least
            room -= least + GAP
        for column in sorted(columns, key=lambda column: column.rank):
            if column.key in taken and (more := min(room, wanted[column.key] - taken[column.key])) > 0:
                taken[column.key] += more
                room -= more
        return [(column, taken[column.key]) for column in columns if column.key in taken]


def natural_key(text: str) -> list[tuple[int, float, str]]:
    """Return a key by which `L2` comes before `L10`."""
    parts = re.split(r"(\d+)", text.lower())
    return [(0, float(part), "") if part.isdecimal() else (1, 0.0, part) for part in parts if part]
