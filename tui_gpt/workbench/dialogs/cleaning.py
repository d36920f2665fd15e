"""Which steps cleaning takes, chosen before it starts, and its report as lines to read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widgets import Button, SelectionList, Static
from textual.widgets.selection_list import Selection

from tui_gpt.corpora.cleaning.pipeline import DEFAULT_STEPS, STEPS, Report
from tui_gpt.workbench.dialogs.dismiss_once import DismissOnce
from tui_gpt.workbench.drawing.formatting import format_count, wrap
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


class CleaningDialog(DismissOnce, ModalScreen[tuple[str, ...] | None]):
    """The steps in the order in which they are taken; the result is the chosen ones, or None when cancelled."""

    DEFAULT_CSS = """
    CleaningDialog { align: center middle; }
    CleaningDialog > Vertical {
        width: 90%; max-width: 100; height: auto; max-height: 100%; padding: 0 1;
        background: $surface; border: round $primary; border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $text-muted;
    }
    CleaningDialog Static { height: auto; }
    CleaningDialog SelectionList {
        border: none; height: auto; background: $surface; padding: 0; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    CleaningDialog Button { width: 100%; content-align: left middle; text-align: left; height: 1; }
    """
    BINDINGS = [
        Binding("escape", "dismiss(None)", show=False),
        Binding("enter", "clean", show=False, priority=True),
    ]

    def __init__(self, reference: str, name: str) -> None:
        super().__init__()
        self._reference, self._copy_name = reference, name

    def compose(self) -> ComposeResult:
        source, copy = one_line(self._reference), one_line(self._copy_name)
        width = max(map(len, STEPS)) + 2
        with Vertical() as box:
            box.border_title = Content("Clean")
            box.border_subtitle = Content("space switches a step · enter cleans · esc cancels")
            yield Static(f"{source} stays as it is; its clean copy is called {copy}.", id="names", markup=False)
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

    def on_resize(self, event: events.Resize) -> None:
        """Let the steps scroll where they do not fit, and keep the rest in sight."""
        rest = self.query_one("#names").size.height + len("┌┐") + 1
        self.query_one(SelectionList).styles.max_height = max(1, event.size.height - max(4, rest))

    @on(Button.Pressed)
    def action_clean(self) -> None:
        chosen = set(self.query_one(SelectionList).selected)
        if chosen:
            self.dismiss(tuple(step for step in STEPS if step in chosen))
        else:
            self.notify("choose at least one step", severity="warning")


def report_lines(report: Report, width: int) -> list[Text]:
    """Return the counts of each step and its examples: where, what was there, what is there now."""
    return list(_report(report, width))


def _report(report: Report, width: int) -> Iterator[Text]:
    yield Text.assemble("documents   ", *_change(report.documents_before, report.documents_after))
    yield Text.assemble("characters  ", *_change(report.characters_before, report.characters_after))
    for kind, number in report.files_left_out.items():
        yield Text(f"files left out  {format_count(number)} {one_line(kind)}")
    for encoding, number in report.encodings.items():
        if encoding != "utf-8":
            yield Text(f"files in {one_line(encoding)}  {format_count(number)}")
    for step in report.steps:
        counts = {"changed": step.changed, "left out": step.removed, "found, and left": step.found}
        summary = ", ".join(f"{format_count(number)} {what}" for what, number in counts.items() if number)
        yield Text()
        yield Text.assemble((f"{step.step:<12}", "bold"), (summary or "nothing to do", "" if summary else "dim"))
        for example in step.examples:
            yield from _indented("  ", "", example.where, "dim", width)
            yield from _indented("    – ", "red", example.what, "", width)
            if example.now and step.changed:
                yield from _indented("    + ", "green", example.now, "", width)
            elif example.now:  # why it was left out
                yield from _indented("      ", "", example.now, "dim", width)
    if report.written:
        yield Text()
        yield Text(f"The clean copy is {one_line(Path(report.written).name)}, in corpus/.")


def _indented(mark: str, mark_style: str, text: str, style: str, width: int) -> Iterator[Text]:
    """Yield `text` wrapped behind `mark`, its further lines indented as far."""
    for number, row in enumerate(wrap(one_line(text), max(8, width - len(mark)))):
        yield Text.assemble((" " * len(mark) if number else mark, mark_style), (row, style))


def _change(before: int, after: int) -> list[str]:
    less = f"  (−{1 - after / before:.1%})" if before and after < before else ""
    return [format_count(before), " → ", format_count(after), less]
