"""Who wrote what: the author of each character of a text written together with a model, and the turns of a chat.

An author is a number: 0 is the user, and each generation has a number of its own, so that what a generation wrote can
be told apart, taken back or replaced while the user's edits around it stay.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

USER = 0
USER_NAME, MODEL_NAME = "You", "Model"
_USER_BEGINS = f"\n{USER_NAME}:"  # where the model would go on to write the user's turn

Marks = array  # one author for each character


def marks_of(author: int, length: int) -> Marks[int]:
    """Return the marks of `length` characters by one author."""
    return array("I", [author]) * length


class Authors:
    """The author of each character of a text, kept in step with its edits."""

    def __init__(self, marks: Sequence[int] = ()) -> None:
        self.marks: Marks[int] = array("I", marks)

    def replace(self, start: int, end: int, marks: Marks[int]) -> Marks[int]:
        """Put `marks` in place of those from `start` to `end`, and return the ones replaced."""
        replaced = self.marks[start:end]
        self.marks[start:end] = marks
        return replaced

    def spans(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """Return (start, end, author) of the stretches between two offsets, relative to the first."""
        out, at = [], 0
        for author, group in groupby(self.marks[start:end]):
            length = sum(1 for _ in group)
            out.append((at, at + length, author))
            at += length
        return out

    def spans_of(self, author: int) -> list[tuple[int, int]]:
        """Return (start, end) of each stretch by `author`."""
        return [(start, end) for start, end, who in self.spans(0, len(self.marks)) if who == author]

    @property
    def last_generation(self) -> int:
        """The newest generation of which something is left; 0 when there is none."""
        return max(self.marks, default=USER)

    def ends_with_whole(self, author: int) -> bool:
        """Return whether what `author` wrote is one stretch, unedited, at the end of the text."""
        spans = self.spans_of(author)
        return len(spans) == 1 and spans[0][1] == len(self.marks)


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
        said = [turn for turn in self.turns if turn.speaker == USER_NAME or turn.text]
        return "\n\n".join([*(f"{turn.speaker}: {turn.text}" for turn in said), f"{MODEL_NAME}:"])

    def take_back(self) -> str:
        """Remove the model's last answer and the message before it, and return that message."""
        while self.turns:
            turn = self.turns.pop()
            if turn.speaker == USER_NAME:
                return turn.text
        return ""


def end_turn(raw: str) -> tuple[str, bool]:
    """Return what to show of an answer, without a beginning of the user's turn, and whether that turn has begun."""
    at = raw.find(_USER_BEGINS)
    if at >= 0:
        return raw[:at].strip(), True
    for length in range(len(_USER_BEGINS) - 1, 0, -1):
        if raw.endswith(_USER_BEGINS[:length]):
            return raw[:-length].strip(), False
    return raw.strip(), False
