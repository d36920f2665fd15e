"""Who wrote what of a text written together with a model, and the turns of a chat.

The model's words are spans, each with the number of the generation that wrote it, so that one can be told apart, taken
back or replaced while the user's edits around it stay. What no span covers is the user's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

USER = 0
USER_NAME, MODEL_NAME = "You", "Model"
_USER_BEGINS = f"\n{USER_NAME}:"  # where the model would go on to write the user's turn

Span = tuple[int, int, int]  # start, end, generation
Spans = tuple[Span, ...]  # in order


def edit_spans(spans: Iterable[Span], start: int, end: int, length: int, author: int) -> Spans:
    """Return the spans after `length` characters by `author` took the place of those from `start` to `end`."""
    shift = length - (end - start)
    found = [(first, min(last, start), who) for first, last, who in spans if first < start]
    if author != USER:
        found.append((start, start + length, author))
    found += [(max(first, end) + shift, last + shift, who) for first, last, who in spans if last > end]
    merged: list[Span] = []
    for first, last, who in found:
        if merged and merged[-1][1:] == (first, who):
            first = merged.pop()[0]
        if last > first:
            merged.append((first, last, who))
    return tuple(merged)


@dataclass
class Turn:
    """One message of a chat. `raw` is what the model wrote so far, of which `text` is shown."""

    speaker: str
    text: str = ""
    raw: str = ""

    def extend(self, text: str) -> bool:
        """Add what the model wrote, and return whether its turn is over: it begins to write the user's."""
        self.raw += text
        self.text, is_over = end_turn(self.raw)
        return is_over


@dataclass
class ChatHistory:
    """The turns of a chat, oldest first."""

    turns: list[Turn] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n\n".join(f"{turn.speaker}: {turn.text}" for turn in self.turns)

    @property
    def prompt(self) -> str:
        """The chat as a text whose likely next words are the model's answer."""
        return f"{self.text}\n\n{MODEL_NAME}:"

    def take_back(self) -> str:
        """Remove the model's last answer and the message before it, and return that message."""
        while self.turns:
            turn = self.turns.pop()
            if turn.speaker == USER_NAME:
                return turn.text
        return ""


def end_turn(raw: str) -> tuple[str, bool]:
    """Return what to show of an answer, without a beginning of the user's turn, and whether that turn has begun."""
    text, sign, _ = raw.partition(_USER_BEGINS)
    begun = next((n for n in range(len(_USER_BEGINS) - 1, 0, -1) if text.endswith(_USER_BEGINS[:n])), 0)
    return text[: len(text) - begun].strip(), bool(sign)
