"""How a tokenizer splits a text: its beginning with every token visible, and what the one under the cursor is."""

from __future__ import annotations

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from tui_gpt.errors import UserError
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import CopyText
from tui_gpt.workbench.dialogs.dialog import Dialog
from tui_gpt.workbench.drawing.formatting import cut, format_count
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.jobs.task import TaskRequest, TaskUpdate, run_task
from tui_gpt.workbench.jobs.task_process import TokenizedText
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.token_view import TokenView


class TokensScreen(Dialog[None]):
    """The beginning of a corpus under the draft's tokenizer, over the whole screen."""

    KEYS = "← → token · ↑ ↓ line · Y copies the ids · esc closes"
    DEFAULT_CSS = """
    TokensScreen TokenView { height: 1fr; }
    TokensScreen #token-facts { height: auto; max-height: 4; border-top: solid $border-blurred; }
    """
    BINDINGS = [
        *keys.bindings(keys.TOKENS),
        Binding("q", "cancel", show=False),
        Binding("Y", "copy", show=False),
    ]

    def __init__(self, session: Session, reference: str) -> None:
        tokenizer = session.draft.config.data.tokenizer
        super().__init__(f"Tokens of {reference} · {tokenizer}", classes="-whole")
        self._request = TaskRequest(
            task="tokens", reference=reference, corpus_dir=str(session.corpus_dir), tokenizer=tokenizer
        )
        self._view = TokenView(has_color=session.has_color)

    def compose_box(self) -> ComposeResult:
        yield self._view
        yield Static("tokenizing…", id="token-facts", markup=False)

    def on_mount(self) -> None:
        self._view.focus()
        self._tokenize()

    @work
    async def _tokenize(self) -> None:
        try:
            tokens = await run_task(self._request, TokenizedText, self._show_progress)
        except UserError as error:
            self._say(Content(one_line(f"✗ {error}")))
            return
        self._view.show(tokens)

    def _show_progress(self, update: TaskUpdate) -> None:
        fraction = f" {update.fraction * 100:.0f} %" if update.fraction is not None else "…"
        self._say(Content(one_line(f"{update.phase or 'tokenizing'}{fraction}")))

    def _say(self, text: Content) -> None:
        self.query_one("#token-facts", Static).update(text)

    @on(TokenView.Moved)
    def _describe(self, message: TokenView.Moved) -> None:
        """Say what the token is: its id, its text, its bytes, how often it stands here; and what is known of all."""
        message.stop()
        if (tokens := self._view.tokens) is None:
            return
        index, counts = message.index, self._view.counts
        id, length = tokens.ids[index], tokens.lengths[index]
        text, times = repr(tokens.pieces[index]).replace("\\\\", "\\"), f"{counts[id]:,} time{'s' * (counts[id] != 1)}"
        bytes_ = f"  {length} byte{'s' * (length != 1)}"
        if id == tokens.end_of_text:
            text, bytes_ = "end of text", ""
        token = Content.assemble(
            ("id ", "$text-muted"), (str(id), "bold"), "  ",
            (cut(one_line(text), max(8, self.size.width // 3)), "$text-accent"), f"{bytes_}  {times} here",
            (f"  token {index + 1:,} of {len(tokens.ids):,}", "$text-muted"),
        )  # fmt: skip
        figures = (
            f"{format_count(tokens.characters)} characters",
            f"{tokens.characters / max(1, len(tokens.ids)):.2f} a token",
            f"vocabulary {format_count(tokens.vocab_size)}",
            f"{format_count(len(counts))} of it here",
            "the whole text" if tokens.whole else "the beginning",
        )
        self._say(Content("\n").join([token, Content(" · ".join(figures))]))

    def action_next_token(self) -> None:
        self._view.action_cursor_right()

    def action_previous_token(self) -> None:
        self._view.action_cursor_left()

    def action_copy(self) -> None:
        """Copy the ids, as Python would write them."""
        self.post_message(CopyText(str(self._view.tokens.ids) if self._view.tokens else ""))
