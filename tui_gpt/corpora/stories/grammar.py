"""Interpret a grammar in two directions: generate a text by drawing choices, or parse the choices from a text.

A grammar is a function that calls `literal` and `choose` on an interpreter. Because `choose` writes the chosen option
at once and the parser demands that exactly one option matches, a text that parses has a single derivation: its
probability is the product of the probabilities of its choices. Both interpreters add the same numbers in the same
order, so they agree on -log p to the last bit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Protocol


class Interpreter(Protocol):
    """What a grammar is run on. nats: -log p of the choices so far."""

    nats: float

    def literal(self, text: str) -> None:
        """Write or match fixed text."""

    def choose(self, options: Sequence[str], weights: Sequence[int] = ()) -> str:
        """Write or match one of `options`, none a prefix of another, with odds `weights`, by default equal; return
        it.
        """


class Generator:
    """Generates a text, drawing each choice from `rng`."""

    def __init__(self, rng: random.Random) -> None:
        self.nats = 0.0
        self._random = rng.random
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def literal(self, text: str) -> None:
        self._parts.append(text)

    def choose(self, options: Sequence[str], weights: Sequence[int] = ()) -> str:
        if weights:
            index, left = 0, self._random() * sum(weights)
            while left >= weights[index]:
                left -= weights[index]
                index += 1
        else:
            index = int(self._random() * len(options))
        self.nats += _nats(len(options), weights, index)
        self._parts.append(options[index])
        return options[index]


class Parser:
    """Parses `text`. Raises ValueError where the grammar does not match."""

    def __init__(self, text: str) -> None:
        self.nats = 0.0
        self._text, self._at = text, 0

    def literal(self, text: str) -> None:
        if not self._text.startswith(text, self._at):
            raise ValueError(f"expected {text!r} at character {self._at}, found {self._text[self._at :][:40]!r}")
        self._at += len(text)

    def choose(self, options: Sequence[str], weights: Sequence[int] = ()) -> str:
        found = [index for index, option in enumerate(options) if self._text.startswith(option, self._at)]
        if len(found) != 1:
            raise ValueError(f"{len(found)} of {options!r} match at character {self._at}")
        self.nats += _nats(len(options), weights, found[0])
        self._at += len(options[found[0]])
        return options[found[0]]

    def finish(self) -> None:
        """Raise ValueError if text is left over."""
        if self._at != len(self._text):
            raise ValueError(f"unexpected text at character {self._at}: {self._text[self._at :][:40]!r}")


def _nats(count: int, weights: Sequence[int], index: int) -> float:
    """Return -log of the probability of an option."""
    return math.log(sum(weights) / weights[index]) if weights else math.log(count)
