"""What the draft of the next run will cost: size, steps, epochs, memory and time, and what to think over first."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui_gpt.workbench.drawing.formatting import format_bytes, format_count, format_duration, format_short
from tui_gpt.workbench.drawing.sanitizing import clean, one_line
from tui_gpt.workbench.state.session import Session

PREVIEW_CHARACTERS = 1200


class PlanPane(VerticalScroll):
    """The estimate, the corpus and how it begins, kept up to date while the form is edited."""

    DEFAULT_CSS = """
    PlanPane { padding: 0 1; scrollbar-size-vertical: 1; }
    PlanPane Static { height: auto; }
    PlanPane #plan-warnings { color: $text-warning; margin-top: 1; }
    PlanPane #plan-corpus { margin-top: 1; }
    PlanPane #plan-preview { color: $text-muted; margin-top: 1; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(classes="pane")
        self._session = session
        self._shown: tuple[object, ...] = ()
        self.border_title = "Plan"

    def compose(self) -> ComposeResult:
        for name in ("figures", "warnings", "corpus", "preview"):
            yield Static(id=f"plan-{name}", markup=False)

    def refresh_data(self) -> None:
        """Show the estimate, where it changed."""
        session = self._session
        estimate, corpus, speed, task = session.estimate, session.corpus, session.speed, session.task
        state = (estimate, corpus, speed, task.description if task else "", session.task_error)
        if state == self._shown:
            return
        self._shown = state
        self.query_one("#plan-figures", Static).update(_table(self._figures()))
        self.query_one("#plan-warnings", Static).update("\n".join(f"▲ {warning}" for warning in estimate.warnings))
        self.query_one("#plan-corpus", Static).update(_table(self._corpus()))
        preview = self.query_one("#plan-preview", Static)
        preview.update(clean(corpus.preview[:PREVIEW_CHARACTERS]) if corpus and not corpus.problem else "")

    def _figures(self) -> Iterator[tuple[str, str]]:
        estimate, corpus = self._session.estimate, self._session.corpus
        about = "" if corpus is not None and corpus.prepared else "~"
        if estimate.parameters is not None:
            yield "parameters", format_count(estimate.parameters)
        if estimate.vocab_size is not None:
            yield "vocabulary", format_count(estimate.vocab_size)
        yield "tokens per step", format_count(estimate.tokens_per_step)
        if estimate.steps is not None:
            yield "steps", format_count(estimate.steps)
        if estimate.tokens is not None:
            yield "tokens", format_count(estimate.tokens)
        if estimate.epochs is not None:
            yield "epochs", f"{about}{estimate.epochs:.3g}"
        if estimate.tokens_per_parameter is not None:
            yield "tokens per parameter", f"{estimate.tokens_per_parameter:.3g}"
        if estimate.memory_bytes is not None:
            free = estimate.memory_free_bytes
            yield "memory", f"~{format_bytes(estimate.memory_bytes)}"
            if free is not None:
                yield f"free on {estimate.memory_device}", format_bytes(free)
        if estimate.seconds is not None:
            yield "time", f"~{format_duration(estimate.seconds)}"
        if speed := self._session.speed:
            yield "tokens/s, as before", format_short(speed.tokens_per_second)

    def _corpus(self) -> Iterator[tuple[str, str]]:
        corpus, task = self._session.corpus, self._session.task
        if task is not None:
            yield one_line(task.description), ""
        elif self._session.task_error:
            yield f"✗ {one_line(self._session.task_error)}", ""
        if corpus is None:
            return
        yield one_line(corpus.reference), one_line(corpus.tokenizer)
        if corpus.problem:
            yield f"✗ {one_line(corpus.problem)}", ""
            return
        about = "" if corpus.prepared else "~"
        if corpus.size_bytes is not None:
            yield "size", format_bytes(corpus.size_bytes)
        if corpus.documents is not None:
            yield "documents", format_count(corpus.documents)
        if corpus.train_tokens is not None:
            yield "training tokens", about + format_count(corpus.train_tokens)
        if corpus.val_tokens is not None:
            yield "validation tokens", about + format_count(corpus.val_tokens)


def _table(rows: Iterator[tuple[str, str]]) -> Table:
    """Return label and value as two columns; a row without a value is wrapped over both."""
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(style="dim", ratio=1)
    table.add_column(justify="right", no_wrap=True)
    for label, value in rows:
        table.add_row(Text(label), Text(value, "bold"))
    return table
