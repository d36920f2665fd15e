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
    Chat #transcript Static { height: auto; }
    Chat #message { height: auto; min-height: 3; max-height: 8; }
    """
    BINDINGS = [
        Binding("pageup", "scroll('up')", show=False),
        Binding("pagedown", "scroll('down')", show=False),
    ]

    def __init__(self, bound_keys: Iterable[str], id: str) -> None:
        super().__init__(id=id)
        self._history = ChatHistory()
        self.message = SharedTextArea(bound_keys=[*bound_keys, "pageup", "pagedown"], id="message", classes="pane")
        self.transcript = VerticalScroll(Static(NOTE, markup=False), id="transcript", classes="pane", can_focus=False)

    def compose(self) -> ComposeResult:
        yield self.transcript
        yield self.message

    @property
    def text(self) -> str:
        return self.message.selected_text or self._history.text

    def focus_text(self) -> None:
        self.message.focus()

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
        self._show_turns()
        return prompt

    def draw(self, continuations: Sequence[Continuation]) -> bool:
        """Add what came since the last call, and return whether the model begins to write the user's turn."""
        text = "".join(each.take_text() for each in continuations)
        if not text:
            return False
        is_over = self._history.turns[-1].extend(text)
        self._show_turns()
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
        self._show_turns()
        if message and not self.message.text:
            self.message.type(message)
        return "" if message else "nothing has been said yet"

    def clear(self) -> str:
        """Begin a new chat; `undo` has nothing to take back in it."""
        self._history.turns.clear()
        self._show_turns()
        return ""

    def _show_turns(self) -> None:
        follows, turns = self.transcript.is_vertical_scroll_end, [Content.styled(NOTE, "$text-muted")]
        for turn in self._history.turns:
            color = "$text" if turn.speaker == USER_NAME else "$accent"
            turns.append(Content.assemble((f"{turn.speaker}\n", f"{color} bold"), (clean(turn.text) or "…", color)))
        self.transcript.query_one(Static).update(Content("\n\n").join(turns))
        if follows or not (self._history.turns and self._history.turns[-1].raw):
            self.transcript.scroll_end(animate=False)

    def action_scroll(self, direction: str) -> None:
        getattr(self.transcript, f"scroll_page_{direction}")(animate=False)
