"""Which steps cleaning takes, chosen before it starts, and its report as a table to read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.strip import Strip
from textual.widgets import Button, SelectionList, Static
from textual.widgets.selection_list import Selection

from tui_gpt.corpora.cleaning.pipeline import DEFAULT_STEPS, STEPS, Report
from tui_gpt.workbench.dialogs.dialog import Dialog
from tui_gpt.workbench.drawing.formatting import format_count
from tui_gpt.workbench.drawing.sanitizing import one_line


class StepList(SelectionList[str]):
    """A SelectionList whose boxes are told apart without colors: `[x]` and `[ ]`."""

    def render_line(self, y: int) -> Strip:
        strip, number = super().render_line(y), y + self.scroll_offset.y
        if number >= self.option_count:
            return strip
        box = "[x]" if self.get_option_at_index(number).value in self.selected else "[ ]"
        _, _, _, space, *prompt = strip
        style = (space.style or Style()) + Style(meta={"option": number})  # so that a click finds it
        return Strip([Segment(f"{box} ", style), *prompt])


class CleaningDialog(Dialog[tuple[str, ...] | None]):
    """The steps in the order in which they are taken; the result is the chosen ones, or None when cancelled."""

    KEYS = "space switches a step · enter cleans · esc cancels"
    DEFAULT_CSS = """
    CleaningDialog SelectionList { height: auto; max-height: 30vh; }
    CleaningDialog.-roomy SelectionList { max-height: 65vh; }
    """
    VERTICAL_BREAKPOINTS = [(0, "-tight"), (20, "-roomy")]  # the button stays in sight
    BINDINGS = [Binding("enter", "clean", show=False, priority=True)]

    def __init__(self, reference: str, name: str) -> None:
        super().__init__("Clean")
        self._names = f"{one_line(reference)} stays as it is; its clean copy is called {one_line(name)}."

    def compose_box(self) -> ComposeResult:
        width = max(map(len, STEPS)) + 2
        yield Static(self._names, markup=False)
        yield StepList(
            *(
                Selection(Content.assemble(step.ljust(width), (about, "dim")), step, step in DEFAULT_STEPS)
                for step, about in STEPS.items()
            ),
            compact=True,
        )
        yield Button(Content("[enter] make the clean copy"), compact=True)

    def on_mount(self) -> None:
        self.query_one(SelectionList).focus()

    @on(Button.Pressed)
    def action_clean(self) -> None:
        chosen = set(self.query_one(SelectionList).selected)
        if chosen:
            self.dismiss(tuple(step for step in STEPS if step in chosen))
        else:
            self.notify("choose at least one step", severity="warning")


def report_table(report: Report) -> Table:
    """Return the counts of each step and its examples: where, what was there, what is there now."""
    table = Table.grid(padding=(0, 1))
    for line in _report(report):
        table.add_row(*line)
    return table


def _report(report: Report) -> Iterator[tuple[Text, ...]]:
    yield Text("documents"), Text(_change(report.documents_before, report.documents_after))
    yield Text("characters"), Text(_change(report.characters_before, report.characters_after))
    for kind, number in report.files_left_out.items():
        yield Text("left out"), Text(f"{format_count(number)} files: {one_line(kind)}")
    for encoding, number in report.encodings.items():
        if encoding != "utf-8":
            yield Text("encoding"), Text(f"{format_count(number)} files in {one_line(encoding)}")
    for step in report.steps:
        counts = {"changed": step.changed, "left out": step.removed, "found, and left": step.found}
        summary = ", ".join(f"{format_count(number)} {what}" for what, number in counts.items() if number)
        yield (Text(),)
        yield Text(step.step, "bold"), Text(summary or "nothing to do", "" if summary else "dim")
        for example in step.examples:
            yield Text(), Text(one_line(example.where), "dim")
            yield Text("–", "red", justify="right"), Text(one_line(example.what))
            if example.now:
                sign = Text("+", "green", justify="right") if step.changed else Text()  # else why it was left out
                yield sign, Text(one_line(example.now), "" if step.changed else "dim")
    if report.written:
        yield (Text(),)
        yield Text("written"), Text(f"the clean copy is {one_line(Path(report.written).name)}, in corpus/")


def _change(before: int, after: int) -> str:
    less = f"  (−{1 - after / before:.1%})" if before and after < before else ""
    return f"{format_count(before)} → {format_count(after)}{less}"
