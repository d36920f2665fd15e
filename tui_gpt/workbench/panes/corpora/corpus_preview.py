"""The corpus under the cursor: what it is, how much there is, and how it begins."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui_gpt.workbench import keys
from tui_gpt.workbench.drawing.formatting import format_bytes, format_count
from tui_gpt.workbench.drawing.sanitizing import clean, one_line
from tui_gpt.workbench.state.corpora.corpus_summary import CorpusSummary
from tui_gpt.workbench.state.corpora.corpus_table import CorpusRow

Line = tuple[str, str]  # text, style


class CorpusPreview(VerticalScroll):
    """Facts and the first lines of one corpus."""

    DEFAULT_CSS = """
    CorpusPreview { padding: 0 1; scrollbar-size-vertical: 1; }
    CorpusPreview Static { height: auto; }
    CorpusPreview #corpus-text { margin-top: 1; }
    """

    def __init__(self) -> None:
        super().__init__(classes="pane")
        self._shown: tuple[CorpusRow | None, CorpusSummary | None, bool, str] | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="corpus-facts", markup=False)
        yield Static(id="corpus-text", markup=False)

    def show(
        self,
        row: CorpusRow | None,
        summary: CorpusSummary | None,
        keymap: keys.Keymap,
        *,
        is_counting: bool,
        problem: str = "",
    ) -> None:
        """Show a corpus, where it is another one or more is known of it. problem: why the folder cannot be read."""
        state = (row, summary, is_counting, problem)
        if state == self._shown:
            return
        before, self._shown = self._shown[0] if self._shown else None, state
        self.border_title = Content(one_line(row.name) if row else "Text")
        lines = [(f"✗ {problem}", "$text-error")] if problem else []
        lines += _facts(row, keymap, is_counting) if row else [("no corpus matches the filter", "$text-muted")]
        self.query_one("#corpus-facts", Static).update(
            Content("\n").join(Content.styled(one_line(text), style) for text, style in lines)
        )
        text = ""
        if row is not None and row.is_here:
            text = "reading…" if summary is None else f"✗ {summary.problem}" if summary.problem else summary.preview
        self.query_one("#corpus-text", Static).update(clean(text))
        if before is None or before.name != (row.name if row else ""):
            self.scroll_home(animate=False)


def _facts(row: CorpusRow, keymap: keys.Keymap, is_counting: bool) -> Iterator[Line]:
    if row.problem:
        yield f"✗ {row.problem}", "$text-error"
        return
    if row.about:
        yield row.about, ""
    for label, value in (("good for", row.good_for), ("licence", row.licence), ("from", row.source)):
        if value:
            yield f"{label}: {value}", "$text-muted"
    if row.kind == "to fetch":
        yield (
            f"{keys.key_hint('fetch', keymap, keys.CORPORA)} fetches it: says how large it is, and asks",
            "$text-accent",
        )
    elif row.kind in ("pattern", "path"):
        what = "asks for the name" if row.kind == "pattern" else "finds it, completing what is typed"
        yield f"{keys.key_hint('choose', keymap, keys.CORPORA)} {what}", "$text-accent"
    else:
        yield from _counts(row, keymap, is_counting)


def _counts(row: CorpusRow, keymap: keys.Keymap, is_counting: bool) -> Iterator[Line]:
    hint = keys.key_hint("prepare", keymap, keys.CORPORA)
    parts = [format_bytes(row.size_bytes)] if row.size_bytes else []
    if row.documents is not None:
        parts.append(f"{format_count(row.documents)} document{'s' * (row.documents != 1)}")
    if row.tokens is not None:
        parts.append(f"{format_count(row.tokens)} tokens")
    elif not is_counting:
        parts.append(f"{hint} counts its tokens")
    yield " · ".join(parts), "$text-muted"
    if row.floor is not None and row.floor_bits is not None:
        floor = f"{row.floor:.3f} nats a token, {row.floor_bits:.3f} bits a byte"
        yield f"floor {floor}: the entropy of this text, which no model goes below", "$text-muted"
    elif row.has_floor:
        yield f"its entropy is known, the lowest loss that any model can reach: {hint} counts it", "$text-muted"
