"""Which steps cleaning takes, to be switched on and off before it starts, and its report as rows to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from tui_gpt.workbench.canvas import Canvas, Row, Span, framed, row, under_cursor
from tui_gpt.workbench.text import count, one_line, wrap

if TYPE_CHECKING:
    from tui_gpt.corpora.cleaning.pipeline import Report


class _Steps(Canvas):
    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        return cast("CleaningDialog", self.screen).rows(width, height)

    def on_click(self, event: events.Click) -> None:
        cast("CleaningDialog", self.screen).click(event.y)


class CleaningDialog(ModalScreen[tuple[str, ...] | None]):
    """The steps, in the order in which they are taken; space switches one, enter starts, escape leaves."""

    def __init__(self, reference: str, name: str) -> None:
        from tui_gpt.corpora.cleaning.pipeline import DEFAULT_STEPS, STEPS

        super().__init__()
        self._reference, self._copy = reference, name
        self._steps = STEPS
        self._taken = set(DEFAULT_STEPS)
        self._cursor = 0
        self._lines: list[int] = []  # the step that each line of the box belongs to, -1 for none

    def compose(self) -> ComposeResult:
        box = _Steps(id="question")
        width = max(30, min(100, self.app.size.width - 4))
        box.styles.width = width
        box.styles.height = min(self.app.size.height, len(self._body(width)) + 2)
        yield box

    def _body(self, width: int) -> list[Row]:
        inner = width - 4
        name, source = one_line(self._copy), one_line(self._reference)
        body: list[Row] = [
            row(
                line,
            )
            for line in wrap(f"A copy of {source} is made, called {name}; {source} stays as it is.", inner)
        ]
        body.append(())
        self._lines = [-1] * len(body)
        for index, (step, about) in enumerate(self._steps.items()):
            at, taken = index == self._cursor, step in self._taken
            for number, line in enumerate(wrap(about, max(10, inner - 16))):
                head = f"[{'x' if taken else ' '}] {step:<12}" if number == 0 else " " * 16
                if at:
                    body.append(under_cursor([head, line], inner))
                else:
                    body.append(row((head, "bright" if taken else "dim"), (line, "text" if taken else "dim")))
                self._lines.append(index)
        body.append(())
        body.append(
            row(("space", "key"), (" takes a step or leaves it out   ", "dim"), ("enter", "key"), (" cleans   ", "dim"))
            + row(("esc", "key"), (" leaves", "dim"))
        )
        return body

    def rows(self, width: int, height: int) -> list[Row]:
        body = self._body(width)
        room = height - 2
        if len(body) > room:  # a low terminal: the marked step stays in sight
            at = max((index for index, step in enumerate(self._lines) if step == self._cursor), default=0)
            top = max(0, min(at - room // 2, len(body) - room))
            body, self._lines = body[top : top + room], self._lines[top : top + room]
        note = row((f"{len(self._taken)} of {len(self._steps)} steps", "dim"))
        return framed(body, width, height, title=row(("Clean", "bright")), note=note, active=True)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        if event.key in ("escape", "q"):
            self.dismiss(None)
        elif event.key == "enter" and self._taken:
            self.dismiss(tuple(step for step in self._steps if step in self._taken))
        elif event.key in ("up", "down"):
            by = 1 if event.key == "down" else -1
            self._cursor = max(0, min(self._cursor + by, len(self._steps) - 1))
        elif event.key == "space":
            self._switch()
        self.query_one(_Steps).redraw()

    def click(self, y: int) -> None:
        if 1 <= y <= len(self._lines) and self._lines[y - 1] >= 0:
            self._cursor = self._lines[y - 1]
            self._switch()
            self.query_one(_Steps).redraw()

    def _switch(self) -> None:
        self._taken ^= {list(self._steps)[self._cursor]}


def report_rows(report: Report, width: int) -> list[Row]:
    """Counts of each step, and its examples: where, what was there, what is there now."""
    rows: list[Row] = [
        row(("documents   ", "dim"), *_change(report.documents_before, report.documents_after)),
        row(("characters  ", "dim"), *_change(report.characters_before, report.characters_after)),
    ]
    for kind, number in report.files_left_out.items():
        rows.append(row(("files left out  ", "dim"), (f"{count(number)} {kind}", "text")))
    for encoding, number in report.encodings.items():
        if encoding != "utf-8":
            rows.append(row((f"files in {encoding}  ", "dim"), (count(number), "text")))
    for step in report.steps:
        counts = {"changed": step.changed, "left out": step.removed, "found, and left": step.found}
        said = ", ".join(f"{count(number)} {what}" for what, number in counts.items() if number)
        rows += [(), row((f"{step.step:<12}", "bright"), (said or "nothing to do", "accent" if said else "dim"))]
        for example in step.examples:
            rows += [row((line, "dim")) for line in wrap(f"  {one_line(example.where)}", width)]
            rows.append(row(("    – ", "bad"), (one_line(example.what), "text")))
            if example.now and step.changed:
                rows.append(row(("    + ", "good"), (one_line(example.now), "text")))
            elif example.now:  # why it went
                rows.append(row(("      ", "text"), (one_line(example.now), "dim")))
    if report.written:
        name = one_line(Path(report.written).name)
        rows += [(), row(("The clean copy is called ", "dim"), (name, "accent"), (" and stands in corpus/.", "dim"))]
    return rows


def _change(before: int, after: int) -> Row:
    less = f"  (−{1 - after / before:.1%})" if before and after < before else ""
    return row((count(before), "text"), (" → ", "dim"), (count(after), "bright"), (less, "dim"))
