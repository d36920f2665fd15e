"""How a tokenizer cuts a text: its beginning with every token visible, and what the marked one is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from tui_gpt.errors import UserError
from tui_gpt.workbench import actions
from tui_gpt.workbench.canvas import Canvas, Row, Span, fit, framed, row
from tui_gpt.workbench.chore_process import Said, Tokens, Work
from tui_gpt.workbench.chores import ask_child
from tui_gpt.workbench.text import count, cut, one_line, width_of, wrap
from tui_gpt.workbench.token_lines import TokenLines

if TYPE_CHECKING:
    from tui_gpt.workbench.app import Workbench

FOOT_LINES = 3  # a rule, the marked token, the counts
BEAT_SECONDS = 0.5


class _Page(Canvas):
    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        return cast("TokensScreen", self.screen).rows(width, height)

    def on_click(self, event: events.Click) -> None:
        cast("TokensScreen", self.screen).click(event.x, event.y)


class TokensScreen(ModalScreen[None]):
    """The beginning of corpus `reference` under `tokenizer`, over the whole screen."""

    BINDINGS = [
        *actions.bindings(actions.TOKENS),
        *actions.bindings_of("up", "down", "page_up", "page_down", "top", "bottom", "back", "copy"),
    ]

    def __init__(self, reference: str, tokenizer: str) -> None:
        super().__init__()
        self._reference, self._tokenizer = reference, tokenizer
        self.tokens: Tokens | None = None
        self.marked = 0
        self._said, self._problem = Said(phase="tokenising"), ""
        self._laid: tuple[object, TokenLines | None] = (None, None)
        self._top, self._room = 0, 1

    @property
    def workbench(self) -> Workbench:
        return cast("Workbench", self.app)

    def compose(self) -> ComposeResult:
        yield _Page(id="reader")

    def on_mount(self) -> None:
        self.run_worker(self._tokenise(), group="tokens", exclusive=True)
        self._timer = self.set_interval(BEAT_SECONDS, self.redraw)

    async def _tokenise(self) -> None:
        work = Work(
            task="tokens",
            reference=self._reference,
            corpus_dir=str(self.workbench.corpus_dir),
            tokenizer=self._tokenizer,
        )
        try:
            self.tokens = await ask_child(work, Tokens, self._heard)
        except UserError as error:
            self._problem = str(error)
        self._timer.stop()
        self.redraw()

    def _heard(self, said: Said) -> None:
        self._said = said

    def redraw(self) -> None:
        for page in self.query(_Page):
            page.redraw()

    # what it shows

    def lines(self, width: int) -> TokenLines | None:
        subject = (id(self.tokens), width, self.workbench.colourless)
        if self.tokens is not None and self._laid[0] != subject:
            self._laid = (subject, TokenLines(self.tokens, width, bars=self.workbench.colourless))
        return self._laid[1]

    def rows(self, width: int, height: int) -> list[Row]:
        inner = max(8, width - 4)
        laid, note = self.lines(inner), row((one_line(self._tokenizer), "accent"))
        title = row(("Tokens of ", "title"), (one_line(self._reference), "bright"))
        foot = row(("← →", "key"), (" token  ", "dim"), ("↑ ↓", "key"), (" line  ", "dim"))
        foot += row(("esc", "key"), (" leaves", "dim"))
        if laid is None:
            failed = [row((line, "bad")) for line in wrap(f"✗ {self._problem}", inner)] if self._problem else []
            foot = row(("esc", "key"), (" leaves" if self._problem else " cancels", "dim"))
            return framed(failed or self._doing(), width, height, title=title, note=note, foot=foot, active=True)
        self._room = max(1, height - 2 - FOOT_LINES)
        at = laid.line_of(self.marked)
        self._top = max(0, min(self._top, at, len(laid.lines) - self._room), at - self._room + 1)
        body = [laid.row(line, self.marked) for line in range(self._top, min(self._top + self._room, len(laid.lines)))]
        body = [fit(line, inner) for line in body] + [()] * (self._room - len(body))
        body += [row(("─" * inner, "faint")), self._about(laid, inner), self._counts(laid, inner)]
        return framed(body, width, height, title=title, note=note, foot=foot, active=True)

    def _doing(self) -> list[Row]:
        fraction = f" {self._said.fraction:.0%}" if self._said.fraction is not None else "…"
        return [row((one_line(self._said.phase) + fraction, "text"))]

    def _about(self, laid: TokenLines, width: int) -> Row:
        """The marked token: which it is, its id, its text, its bytes, how often it stands here."""
        tokens, index = laid.tokens, self.marked
        if not tokens.ids:
            return row(("no tokens", "dim"))
        is_end = tokens.ids[index] == tokens.end_of_text
        text = "end of text" if is_end else repr(tokens.pieces[index]).replace("\\\\", "\\")
        times = laid.times(index)
        spans = row(("id ", "dim"), (str(tokens.ids[index]), "bright"), ("  ", "text"))
        spans += row((cut(one_line(text), max(8, width // 3)), "accent"))
        if not is_end:
            spans += row((f"  {tokens.lengths[index]} byte{'s' * (tokens.lengths[index] != 1)}", "text"))
        spans += row((f"  {count(times)} time{'s' * (times != 1)} here", "text"))
        return (*spans, (f"  token {count(index + 1)} of {count(len(tokens.ids))}", "dim"))

    def _counts(self, laid: TokenLines, width: int) -> Row:
        tokens = laid.tokens
        per = tokens.characters / max(1, len(tokens.ids))
        parts = [f"{count(tokens.characters)} characters", f"{count(len(tokens.ids))} tokens"]
        parts += [f"{per:.2f} characters each", f"vocabulary {count(tokens.vocab_size)}"]
        parts += [f"{count(laid.distinct)} of it here", "the whole text" if tokens.whole else "the beginning"]
        while len(parts) > 1 and width_with(parts) > width:
            parts.pop()
        return row((" · ".join(parts), "dim"))

    # moving

    def _mark(self, index: int) -> None:
        if self.tokens is not None and self.tokens.ids:
            self.marked = max(0, min(index, len(self.tokens.ids) - 1))
            self.redraw()

    def _step(self, by: int) -> None:
        """By lines, to the token that stands nearest below or above."""
        laid = self._laid[1]
        if laid is not None:
            here = laid.line_of(self.marked)
            line = max(0, min(here + by, len(laid.lines) - 1))
            nth = next((n for n, (index, _) in enumerate(laid.lines[here]) if index == self.marked), 0)
            found = laid.lines[line]
            self._mark(found[min(nth, len(found) - 1)][0] if found else self.marked)

    def click(self, x: int, y: int) -> None:
        laid, line = self._laid[1], self._top + y - 1
        if laid is None or not (0 < y <= self._room and line < len(laid.lines)):
            return
        left = x - 2
        for index, text in laid.lines[line]:
            left -= width_of(text)
            if left < 0:
                self._mark(index)
                return

    def action_next_token(self) -> None:
        self._mark(self.marked + 1)

    def action_previous_token(self) -> None:
        self._mark(self.marked - 1)

    def action_up(self) -> None:
        self._step(-1)

    def action_down(self) -> None:
        self._step(1)

    def action_page_up(self) -> None:
        self._step(-self._room)

    def action_page_down(self) -> None:
        self._step(self._room)

    def action_top(self) -> None:
        self._mark(0)

    def action_bottom(self) -> None:
        self._mark(10**9)

    def action_back(self) -> None:
        self.dismiss(None)

    def action_copy(self) -> None:
        """The ids, as Python would write them."""
        self.workbench.copy(str(self.tokens.ids) if self.tokens else "")


def width_with(parts: Sequence[str]) -> int:
    return sum(map(len, parts)) + 3 * (len(parts) - 1)
