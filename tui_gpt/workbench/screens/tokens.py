"""How a tokenizer splits a text: its beginning with every token visible, and what the one under the cursor is."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui_gpt.errors import UserError
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import CopyText
from tui_gpt.workbench.dialogs.dismiss_once import DismissOnce
from tui_gpt.workbench.drawing.formatting import cut, format_count
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.jobs.task import TaskRequest, TaskUpdate, run_task
from tui_gpt.workbench.jobs.task_process import TokenizedText
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.token_view import TokenView


class TokensScreen(DismissOnce, ModalScreen[None]):
    """The beginning of a corpus under the draft's tokenizer, over the whole screen."""

    DEFAULT_CSS = """
    TokensScreen > Vertical {
        width: 100%; height: 100%; background: $background; border: round $primary; padding: 0 1;
        border-title-color: $foreground; border-title-style: bold; border-subtitle-color: $text-muted;
    }
    TokensScreen TokenView { height: 1fr; }
    TokensScreen #token-facts { height: auto; max-height: 4; border-top: solid $border-blurred; }
    """
    BINDINGS = [
        *keys.bindings(keys.TOKENS),
        Binding("up", "move_lines(-1)", show=False, priority=True),
        Binding("down", "move_lines(1)", show=False, priority=True),
        Binding("pageup", "move_page(-1)", show=False, priority=True),
        Binding("pagedown", "move_page(1)", show=False, priority=True),
        Binding("home", "move_to(0)", show=False, priority=True),
        Binding("end", "move_to(1000000000)", show=False, priority=True),
        Binding("escape,q", "close", show=False),
        Binding("Y", "copy", show=False),
    ]

    def __init__(self, session: Session, reference: str) -> None:
        super().__init__()
        self._session, self._reference = session, reference
        self._tokenizer = session.draft.config.data.tokenizer

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(f"Tokens of {one_line(self._reference)} · {one_line(self._tokenizer)}")
            box.border_subtitle = Content("← → token · ↑ ↓ line · Y copies the ids · esc closes")
            yield TokenView(has_color=self._session.has_color)
            yield Static("tokenizing…", id="token-facts", markup=False)

    def on_mount(self) -> None:
        self.query_one(TokenView).focus()
        self._tokenize()

    @work(group="tokens", exclusive=True)
    async def _tokenize(self) -> None:
        request = TaskRequest(
            task="tokens",
            reference=self._reference,
            corpus_dir=str(self._session.corpus_dir),
            tokenizer=self._tokenizer,
        )
        try:
            tokens = await run_task(request, TokenizedText, self._show_progress)
        except UserError as error:
            self._say(f"✗ {error}")
            return
        self.query_one(TokenView).show(tokens)
        if not tokens.ids:
            self._say("no tokens")

    def _show_progress(self, update: TaskUpdate) -> None:
        fraction = f" {update.fraction * 100:.0f} %" if update.fraction is not None else "…"
        self._say(f"{update.phase or 'tokenizing'}{fraction}")

    def _say(self, text: str | Content) -> None:
        self.query_one("#token-facts", Static).update(one_line(text) if isinstance(text, str) else text)

    @on(TokenView.Moved)
    def _describe(self, message: TokenView.Moved) -> None:
        message.stop()
        view = self.query_one(TokenView)
        if view.tokens is not None and view.tokens.ids and view.lines is not None:
            self._say(Content("\n").join([self._token(view, message.index), Content(_figures(view))]))

    def _token(self, view: TokenView, index: int) -> Content:
        """Return what the token is: its id, its text, its bytes, how often it stands here."""
        tokens, lines = view.tokens, view.lines
        assert tokens is not None and lines is not None
        id, is_end = tokens.ids[index], tokens.ids[index] == tokens.end_of_text
        text = "end of text" if is_end else repr(tokens.pieces[index]).replace("\\\\", "\\")
        times, length = lines.occurrences(index), tokens.lengths[index]
        parts: list[str | tuple[str, str]] = [("id ", "$text-muted"), (str(id), "bold"), "  "]
        parts.append((cut(one_line(text), max(8, self.size.width // 3)), "$text-accent"))
        if not is_end:
            parts.append(f"  {length} byte{'s' * (length != 1)}")
        parts.append(f"  {format_count(times)} time{'s' * (times != 1)} here")
        parts.append((f"  token {format_count(index + 1)} of {format_count(len(tokens.ids))}", "$text-muted"))
        return Content.assemble(*parts)

    def action_next_token(self) -> None:
        view = self.query_one(TokenView)
        view.move(view.cursor + 1)

    def action_previous_token(self) -> None:
        view = self.query_one(TokenView)
        view.move(view.cursor - 1)

    def action_move_lines(self, by: int) -> None:
        self.query_one(TokenView).move_lines(by)

    def action_move_page(self, by: int) -> None:
        view = self.query_one(TokenView)
        view.move_lines(by * max(1, view.size.height - 1))

    def action_move_to(self, index: int) -> None:
        self.query_one(TokenView).move(index)

    def action_copy(self) -> None:
        """Copy the ids, as Python would write them."""
        tokens = self.query_one(TokenView).tokens
        self.post_message(CopyText(str(tokens.ids) if tokens else ""))

    def action_close(self) -> None:
        self.dismiss(None)


def _figures(view: TokenView) -> str:
    """Return the counts of the whole text, as many as fit into a line."""
    tokens, lines = view.tokens, view.lines
    assert tokens is not None and lines is not None
    per_token = tokens.characters / max(1, len(tokens.ids))
    parts: Sequence[str] = [
        f"{format_count(tokens.characters)} characters",
        f"{format_count(len(tokens.ids))} tokens",
        f"{per_token:.2f} characters each",
        f"vocabulary {format_count(tokens.vocab_size)}",
        f"{format_count(lines.distinct)} of it here",
        "the whole text" if tokens.whole else "the beginning",
    ]
    while len(parts) > 1 and len(" · ".join(parts)) > lines.width:
        parts = parts[:-1]
    return " · ".join(parts)
