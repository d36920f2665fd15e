"""What the draft of the next run will cost: size, steps, epochs, memory and time, and what to think over first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui_gpt.workbench.drawing.formatting import format_bytes, format_count, format_duration, format_short
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.state.session import Session

Row = tuple[str, Any, Callable[[Any], str]]  # a label, a value or None, and how it reads


class PlanPane(VerticalScroll):
    """The estimate and the corpus, kept up to date while the form is edited."""

    DEFAULT_CSS = """
    PlanPane { padding: 0 1; scrollbar-size-vertical: 1; }
    PlanPane Static { height: auto; }
    PlanPane #plan-warnings { color: $text-warning; margin-top: 1; }
    PlanPane #plan-corpus { margin-top: 1; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(classes="pane")
        self._session = session
        self._shown: tuple[object, ...] = ()
        self.border_title = "Plan"

    def compose(self) -> ComposeResult:
        for name in ("figures", "warnings", "corpus"):
            yield Static(id=f"plan-{name}", markup=False)

    def refresh_data(self) -> None:
        """Show the estimate, where it changed."""
        session = self._session
        estimate, corpus, task = session.estimate, session.corpus, session.task
        state = (estimate, corpus, session.speed, task.description if task else "", session.task_error)
        if state == self._shown:
            return
        self._shown = state
        about = "" if corpus is not None and corpus.prepared else "~"
        figures = (
            ("parameters", estimate.parameters, format_count),
            ("vocabulary", estimate.vocab_size, format_count),
            ("tokens per step", estimate.tokens_per_step, format_count),
            ("steps", estimate.steps, format_count),
            ("tokens", estimate.tokens, format_count),
            ("epochs", estimate.epochs, lambda epochs: f"{about}{epochs:.3g}"),
            ("tokens per parameter", estimate.tokens_per_parameter, lambda tokens: f"{tokens:.3g}"),
            ("memory", estimate.memory_bytes, lambda size: f"~{format_bytes(size)}"),
            (f"free on {estimate.memory_device}", estimate.memory_free_bytes, format_bytes),
            ("time", estimate.seconds, lambda seconds: f"~{format_duration(seconds)}"),
            ("tokens/s, as before", session.speed and session.speed.tokens_per_second, format_short),
        )
        self.query_one("#plan-figures", Static).update(_table(figures))
        self.query_one("#plan-warnings", Static).update("\n".join(f"▲ {warning}" for warning in estimate.warnings))
        problem = session.task_error if task is None else ""
        rows: list[Row] = [(one_line(task.description), "", str)] if task is not None else []
        rows += [(f"✗ {one_line(problem)}", "", str)] if problem else []
        if corpus is not None:
            rows.append((one_line(corpus.reference), corpus.tokenizer, one_line))
            rows += [(f"✗ {one_line(corpus.problem)}", "", str)] if corpus.problem else []
            rows += [
                ("size", corpus.size_bytes, format_bytes),
                ("documents", corpus.documents, format_count),
                ("training tokens", corpus.train_tokens, lambda tokens: about + format_count(tokens)),
                ("validation tokens", corpus.val_tokens, lambda tokens: about + format_count(tokens)),
            ]
        self.query_one("#plan-corpus", Static).update(_table(rows))


def _table(rows: Iterable[Row]) -> Table:
    """Return label and value as two columns, without the rows whose value is not known."""
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(style="dim", ratio=1)
    table.add_column(justify="right", no_wrap=True)
    for label, value, format_ in rows:
        if value is not None:
            table.add_row(Text(label), Text(format_(value), "bold"))
    return table
