"""The pane of Talk for writing in turns: the transcript above, the message below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui_gpt.workbench.drawing.sanitizing import clean
from tui_gpt.workbench.state.talk.shared_text import MODEL_NAME, USER_NAME, ChatHistory, Turn
from tui_gpt.workbench.state.talk.writer import Continuation
from tui_gpt.workbench.widgets.shared_text_area import SharedTextArea

NOTE = "A base model continues text; it was not trained to answer."


class Chat(Vertical):
    """A transcript of turns, and a text area for the next message."""

    DEFAULT_CSS = """
    Chat #transcript { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    Chat #transcript Static { height: auto; margin-bottom: 1; }
    Chat #chat-note { color: $text-muted; }
    Chat #message { height: auto; min-height: 3; max-height: 8; }
    """
    BINDINGS = [
        Binding("pageup", "scroll('up')", show=False),
        Binding("pagedown", "scroll('down')", show=False),
    ]

    def __init__(self, bound_keys: Iterable[str], id: str) -> None:
        super().__init__(id=id)
        self._history, self._bound_keys = ChatHistory(), [*bound_keys, "pageup", "pagedown"]
        self._shown: list[tuple[str, str]] = []
        self._lines: list[Static] = []  # one for each turn

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="transcript", classes="pane", can_focus=False):
            yield Static(NOTE, id="chat-note", markup=False)
        yield SharedTextArea(bound_keys=self._bound_keys, id="message", classes="pane")

    @property
    def message(self) -> SharedTextArea:
        return self.query_one("#message", SharedTextArea)

    @property
    def transcript(self) -> VerticalScroll:
        return self.query_one("#transcript", VerticalScroll)

    @property
    def text(self) -> str:
        return self.message.selected_text or self._history.text

    def focus_text(self) -> None:
        self.message.focus()

    # ── one generation ──────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, *, sends: bool = True) -> str:
        """Send the message, and return the prompt for its answer; empty when there is nothing to answer."""
        turns, message = self._history.turns, self.message.text.strip() if sends else ""
        if turns and not turns[-1].text:
            turns.pop()  # an answer that never came
        if message:
            turns.append(Turn(USER_NAME, message))
            self.message.clear()
        if not turns or turns[-1].speaker == MODEL_NAME:
            return ""
        prompt = self._history.prompt
        turns.append(Turn(MODEL_NAME))
        return prompt

    def draw(self, continuations: Sequence[Continuation]) -> bool:
        """Add what came since the last call, and return whether the model begins to write the user's turn."""
        text = "".join(each.take_text() for each in continuations)
        is_over = self._history.turns[-1].extend(text) if text else False
        self.show_turns()
        return is_over

    def finish(self) -> None:
        """Nothing was locked: the next message can be typed all the time."""

    def take_back(self) -> str:
        """Take the last answer out for a retry, and return why that cannot be done; empty when it was."""
        turns = self._history.turns
        if not turns or turns[-1].speaker != MODEL_NAME:
            return "there is no answer to take back"
        turns.pop()
        return ""

    def undo(self) -> str:
        """Take out the last answer and the message before it, which can be written anew."""
        message = self._history.take_back()
        self.show_turns()
        if message and not self.message.text:
            self.message.type(message)
        return "" if message else "nothing has been said yet"

    def clear(self) -> str:
        """Begin a new chat; `undo` has nothing to take back in it."""
        self._history.turns.clear()
        self.show_turns()
        return ""

    def show_turns(self) -> None:
        """Bring the transcript up to date; only turns that changed are drawn again."""
        turns = [(turn.speaker, turn.text) for turn in self._history.turns]
        if turns == self._shown:
            return
        transcript = self.transcript
        follows = transcript.is_vertical_scroll_end or len(turns) != len(self._shown)
        while len(self._lines) > len(turns):
            self._lines.pop().remove()
        for index, turn in enumerate(turns):
            if index == len(self._lines):
                self._lines.append(Static(self._drawn(*turn), markup=False))
                transcript.mount(self._lines[-1])
            elif index >= len(self._shown) or turn != self._shown[index]:
                self._lines[index].update(self._drawn(*turn))
        self._shown = turns
        if follows:
            transcript.scroll_end(animate=False)

    def _drawn(self, speaker: str, text: str) -> Content:
        color = "$text" if speaker == USER_NAME else "$accent"
        return Content.assemble((f"{speaker}\n", f"{color} bold"), (clean(text) or "…", color))

    def action_scroll(self, direction: str) -> None:
        getattr(self.transcript, f"scroll_page_{direction}")(animate=False)
