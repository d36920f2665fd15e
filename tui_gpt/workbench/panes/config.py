"""The config as a form read off the schema: value, unit, help and bounds of every setting.

Without a run it is the draft. With one, each line shows the run's value and, where the next run's would differ, that
one behind an arrow: editing during a run edits the next one.
"""

from __future__ import annotations

from collections.abc import Sequence

from tui_gpt.config import Field, fields
from tui_gpt.workbench.canvas import Row, Span, row, under_cursor
from tui_gpt.workbench.draft import flat, written
from tui_gpt.workbench.panes.pane import Pane
from tui_gpt.workbench.text import one_line, width_of, wrap

NAME_WIDTH = 19
HELP_ROWS = 3


class ConfigPane(Pane):
    number, key, title = 1, "config", "Config"

    def __init__(self) -> None:
        super().__init__()
        self.cursor = 0
        self.top = 0
        self._needle = ""

    @property
    def shown(self) -> list[Field]:
        """The settings on the form, in the schema's order, as filtered."""
        return [
            item for item in fields().values() if self._needle in item.key.lower() or self._needle in item.help.lower()
        ]

    @property
    def current(self) -> Field | None:
        shown = self.shown
        return shown[min(self.cursor, len(shown) - 1)] if shown else None

    def filter(self, text: str) -> None:
        self._needle, self.cursor = text.lower(), 0
        self.redraw()

    def note(self) -> Row:
        workbench = self.workbench
        if self._needle:
            return row((f"with “{one_line(self._needle)}”", "accent"))
        changed = len(workbench.draft.difference())
        words = f"{changed} set" if changed else ""
        if workbench.feed is not None:
            words = "→ next run"
        return row((words, "dim")) if words else ()

    def foot(self) -> Row:
        total, at = len(self.shown), self.cursor
        return row((f"{min(at + 1, total)} of {total}", "dim")) if self.active and total else ()

    def body(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        lines, at = self._lines(width)
        help_rows = self._help(width) if self.active and height >= 8 else []
        room = height - len(help_rows)
        if at - 1 < self.top:
            self.top = max(0, at - 1)
        if at >= self.top + room - 1:
            self.top = at - room + 2
        self.top = max(0, min(self.top, len(lines) - room))
        visible = lines[self.top : self.top + room]
        visible += [()] * (room - len(visible))
        return [*visible, *help_rows]

    def _lines(self, width: int) -> tuple[list[Row], int]:
        """Section heads and settings, and the line that the cursor is on."""
        feed, draft = self.workbench.feed, self.workbench.draft
        now = flat(feed.config) if feed and feed.config else None
        after, preset = flat(draft.config), flat(draft.preset)
        lines: list[Row] = []
        at, section = 0, None
        current = self.current
        for item in self.shown:
            if item.section != section:
                section = item.section
                if section:
                    lines.append(row((f"{section} ", "title"), ("─" * max(0, width - len(section) - 1), "faint")))
            selected = self.active and current is not None and item.key == current.key
            if selected:
                at = len(lines)
            value = written(now[item.key]) if now else written(after[item.key])
            then = written(after[item.key])
            changed = item.key != "preset" and after[item.key] != preset[item.key]
            lines.append(
                _line(item, value, then if now and then != value else "", width, selected, changed and not now)
            )
        return lines, at

    def _help(self, width: int) -> list[Row]:
        item = self.current
        if item is None:
            return [row(("─" * width, "faint")), row(("no setting holds that", "dim")), ()]
        preset = flat(self.workbench.draft.preset)[item.key]
        words = wrap(one_line(item.help), width, limit=2)
        text: list[Row] = [row((line, "text")) for line in words]
        bounds = item.bounds or ("true or false" if item.kind == "bool" else "")
        tail = " · ".join(
            part for part in (bounds, f"preset {written(preset)}" if item.key != "preset" else "") if part
        )
        text.append(row((one_line(tail), "dim")))
        text = text[:HELP_ROWS] + [()] * (HELP_ROWS - len(text))
        return [row(("─" * width, "faint")), *text]

    def move(self, by: int) -> None:
        self.cursor = max(0, min(self.cursor + by, len(self.shown) - 1))
        self.redraw()

    def move_to(self, end: bool) -> None:
        self.move(10**6 if end else -(10**6))

    def activate(self) -> None:
        if self.current is not None:
            self.dashboard.edit(self.current)

    @property
    def page(self) -> int:
        return max(1, self.size.height - 8)


def _line(item: Field, value: str, then: str, width: int, selected: bool, changed: bool) -> Row:
    mark = "•" if changed else " "
    name = f"{item.name:<{NAME_WIDTH}}"
    unit = (
        f" {item.unit}"
        if item.unit and width - NAME_WIDTH - 2 > width_of(value) + len(item.unit) + 1 and not then
        else ""
    )
    value, then = one_line(value) or "(empty)", one_line(then)
    if selected:
        arrow = f" → {then}" if then else ""
        return under_cursor([f"{mark}{name} {value}{arrow}{unit}"], width)
    arrow_spans = [(" → ", "dim"), (then, "accent")] if then else []
    return row(
        (mark, "accent"), (f"{name} ", "dim"), (value, "accent" if changed else "bright"), *arrow_spans, (unit, "dim")
    )
