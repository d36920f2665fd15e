"""What the model writes as it learns, newest first: the prompt apart from what was written."""

from __future__ import annotations

from collections.abc import Sequence

from tui_gpt.run.messages import Sample
from tui_gpt.workbench.canvas import Row, Span, row
from tui_gpt.workbench.panes.pane import ScrollPane
from tui_gpt.workbench.text import one_line, wrap


class SamplesPane(ScrollPane):
    number, key, title = 7, "samples", "Samples"

    def __init__(self) -> None:
        super().__init__()
        self._needle = ""

    def filter(self, text: str) -> None:
        self._needle, self.offset_rows = text.lower(), 0
        self.redraw()

    def note(self) -> Row:
        return row((f"with “{one_line(self._needle)}”", "accent")) if self._needle else ()

    def content(self, width: int, lines: int) -> Sequence[Sequence[Span]]:
        feed = self.workbench.feed
        if feed is None:
            return [row((line, "dim")) for line in wrap("samples appear here as the model learns", width)]
        rows: list[Row] = []
        for sample in reversed(feed.samples):
            if self._needle and self._needle not in (sample.prompt + sample.text).lower():
                continue
            if rows:
                rows.append(())
            rows += sample_rows(sample, width)
            if len(rows) > lines + 200:  # enough to scroll on; the rest when it is scrolled to
                break
        if not rows and not self._needle:
            every = feed.config.sampling.every if feed.config else 0
            words = (
                f"None yet; one comes every {every} steps, and g asks for one."
                if every
                else "None yet: g asks for one."
            )
            rows = [row((line, "dim")) for line in wrap(words, width)]
        return rows


def sample_rows(sample: Sample, width: int) -> list[Row]:
    """A heading and the text, prompt first and styled apart."""
    how = f"T {sample.temperature:g}" + (f" · k {sample.top_k}" if sample.top_k else "")
    how += (f" · p {sample.top_p:g}" if sample.top_p < 1 else "") + (
        f" · min-p {sample.min_p:g}" if sample.min_p else ""
    )
    head = row(("step ", "dim"), (f"{sample.step:,}", "accent"), (f" · {sample.tokens} tokens · {how}", "dim"))
    return [head, *marked_rows(sample.prompt, sample.text, width, end=sample.ended)]


def marked_rows(prompt: str, text: str, width: int, *, end: bool = False) -> list[Row]:
    """`prompt` + `text` wrapped as one, the prompt in its own role; `■` where the model ended by itself."""
    left = len(prompt)
    rows: list[Row] = []
    position = 0
    whole = prompt + text
    for line in wrap(whole, width):
        # wrapping drops spaces at breaks: find the line again to know which side of the prompt's end it is on
        begin = whole.find(line, position) if line else position
        position = begin + len(line) if begin >= 0 else position + len(line)
        inside = max(0, min(len(line), left - (begin if begin >= 0 else position)))
        rows.append(row((line[:inside], "prompt"), (line[inside:], "text")))
    if end:
        rows[-1:] = [(*rows[-1], (" ■", "dim"))] if rows else []
    return rows
