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


class CorpusPreview(VerticalScroll):
    """Facts and the first lines of one corpus."""

    DEFAULT_CSS = """
    CorpusPreview { padding: 0 1; scrollbar-size-vertical: 1; }
    CorpusPreview Static { height: auto; }
    """

    def __init__(self, keymap: keys.Keymap) -> None:
        super().__init__(classes="pane")
        self._keymap = keymap
        self._shown: object = None
        self._name = ""

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(self, row: CorpusRow | None, summary: CorpusSummary | None, *, is_counting: bool, problem: str) -> None:
        """Show a corpus, where it is another one or more is known of it. problem: why the folder cannot be read."""
        if (shown := (row, summary, is_counting, problem)) == self._shown:
            return
        self._shown = shown
        lines = [(f"✗ {problem}", "$text-error")] if problem else []
        if row is None:
            lines.append(("no corpus matches the filter", "$text-muted"))
        else:
            lines += self._problem(row) if row.problem else self._facts(row, is_counting)
            if row.is_here:
                text = "reading…" if summary is None else f"✗ {summary.problem}" if summary.problem else summary.preview
                lines += [("", ""), (text, "")]
        content = [Content.styled(clean(text), style) for text, style in lines]
        self.query_one(Static).update(Content("\n").join(content))
        name = row.name if row else ""
        self.border_title = Content(one_line(name) or "Text")
        if name != self._name:
            self._name = name
            self.scroll_home(animate=False)

    def _problem(self, row: CorpusRow) -> Iterator[tuple[str, str]]:
        yield f"✗ {row.problem}", "$text-error"

    def _facts(self, row: CorpusRow, is_counting: bool) -> Iterator[tuple[str, str]]:
        """Yield (line, style) of what is known and what can be done."""
        for label, value in (("", row.about), ("good for: ", row.good_for), ("licence: ", row.licence)):
            if value:
                yield label + value, "$text-muted" if label else ""
        if row.source:
            yield f"from: {row.source}", "$text-muted"
        if row.kind in ("to fetch", "pattern", "path"):
            action = "fetch" if row.kind == "to fetch" else "choose"
            does = {
                "to fetch": "fetches it: says how large it is, and asks",
                "pattern": "asks for the name",
                "path": "finds it, completing what is typed",
            }[row.kind]
            yield f"{keys.key_hint(action, self._keymap, keys.CORPORA)} {does}", "$text-accent"
            return
        hint = keys.key_hint("prepare", self._keymap, keys.CORPORA)
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
