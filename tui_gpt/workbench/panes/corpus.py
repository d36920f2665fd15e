"""The text to learn from: what it is, how much of it there is, and how it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui_gpt.workbench.canvas import Row, Span, row, sides
from tui_gpt.workbench.panes.pane import ScrollPane
from tui_gpt.workbench.text import count, one_line, size, wrap

if TYPE_CHECKING:
    from tui_gpt.workbench.corpus_facts import CorpusFacts


class CorpusPane(ScrollPane):
    number, key, title = 2, "corpus", "Corpus"

    def note(self) -> Row:
        chore = self.workbench.chore
        return row((chore.briefly, "accent")) if chore else ()

    def content(self, width: int, lines: int) -> Sequence[Sequence[Span]]:
        facts = self.workbench.facts
        if facts is None:
            return [row((self.workbench.draft.config.data.corpus, "bright"))]
        return facts_rows(facts, width)

    def activate(self) -> None:
        self.dashboard.action_choose_corpus()


def facts_rows(facts: CorpusFacts, width: int) -> list[Row]:
    rows = [row((one_line(facts.reference), "accent"))]
    if facts.problem:
        return rows + [
            row(("✗ " if index == 0 else "  ", "bad"), (line, "bad"))
            for index, line in enumerate(wrap(facts.problem, width - 2))
        ]
    about = "" if facts.prepared else "~"
    if facts.size_bytes is not None:
        rows.append(sides(row(("size", "dim")), row((size(facts.size_bytes), "bright")), width))
    if facts.documents is not None:
        rows.append(sides(row(("documents", "dim")), row((count(facts.documents), "bright")), width))
    if facts.train_tokens is not None and facts.val_tokens is not None:
        tokens = facts.train_tokens + facts.val_tokens
        label = row(("tokens ", "dim"), (f"({facts.tokenizer})", "dim"))
        rows.append(sides(label, row((f"{about}{count(tokens)}", "bright")), width))
        rows.append(sides(row(("validation", "dim")), row((f"{about}{count(facts.val_tokens)}", "bright")), width))
    rows += [row((line, "dim")) for line in wrap(facts.description, width)]
    if facts.preview:
        rows.append(row(("─" * width, "faint")))
        rows += [row(line) for line in wrap(facts.preview, width, limit=400)]
    return rows
