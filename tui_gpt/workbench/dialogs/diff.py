"""The lines of a comparison: results of runs, and the settings in which they differ, a column for each run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tui_gpt.workbench.drawing.formatting import width_of, wrap
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.state.draft import format_value
from tui_gpt.workbench.state.runs.run_columns import FIXED_COLUMNS, differing_settings
from tui_gpt.workbench.state.runs.run_scan import RunRow
from tui_gpt.workbench.widgets.line_view import Lines

RESULTS = ("parameters", "tokens", "step", "best_val", "loss", "rate", "time")
MAX_VALUE, GAP = 32, 3


def diff_lines(rows: Sequence[RunRow], names: Sequence[str]) -> Lines:
    """Return the viewer's lines that compare `rows`, which are called `names`; a value unlike the first's is bold.

    Where the runs do not fit beside each other they follow in blocks, each with the first run before it.
    """
    results = [column for column in FIXED_COLUMNS if column.key in RESULTS]
    table: list[tuple[str, list[str]]] = [("", list(names)), ("state", [row.state for row in rows])]
    table += [(column.title, [column.text_of(row) or "–" for row in rows]) for column in results]
    keys = differing_settings(rows)
    settings = [
        (key, [one_line(format_value(row.settings[key])) or "–" if key in row.settings else "?" for row in rows])
        for key in keys
    ]
    label_width = max(width_of(label) for label, _ in [*table, *settings])

    def lines_for(width: int) -> list[Text]:
        widths = [
            min(MAX_VALUE, max(width_of(values[index]) for _, values in [*table, *settings])) + GAP
            for index in range(len(rows))
        ]
        lines: list[Text] = []
        for block in _blocks(widths, width - label_width - GAP):
            heading = [
                _line(label, values, block, widths, label_width, is_heading=not label) for label, values in table
            ]
            body = [_line(label, values, block, widths, label_width) for label, values in settings]
            lines += [line for group in heading for line in group]
            lines += [Text(), Text("settings that differ" if body else "no setting differs", "dim")]
            lines += [line for group in body for line in group]
            lines.append(Text())
        return lines

    return lines_for


def _blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    """Return which columns stand beside each other: the first of all, then as many as fit."""
    blocks: list[list[int]] = [[0]]
    used = widths[0]
    for index in range(1, len(widths)):
        if used + widths[index] > room and len(blocks[-1]) > 1:
            blocks.append([0])
            used = widths[0]
        blocks[-1].append(index)
        used += widths[index]
    return blocks


def _line(
    label: str, values: Sequence[str], block: Sequence[int], widths: Sequence[int], label_width: int, *,
    is_heading: bool = False,
) -> list[Text]:  # fmt: skip
    """Return a row of the table, of as many lines as its longest value needs: values are never cut."""
    cells = {index: wrap(values[index], widths[index] - GAP) for index in block}
    lines = []
    for number in range(max(len(cell) for cell in cells.values())):
        line = Text((label if number == 0 else "").ljust(label_width + GAP), "dim")
        for index in block:
            text = cells[index][number] if number < len(cells[index]) else ""
            differs = is_heading or (index and values[index] != values[0])
            line.append(text + " " * (widths[index] - width_of(text)), "bold not dim" if differs else "not dim")
        line.rstrip()
        lines.append(line)
    return lines
