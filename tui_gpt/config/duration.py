"""The length of a run, in steps, epochs, tokens or minutes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from tui_gpt.errors import ConfigError

Unit = Literal["steps", "epochs", "tokens", "minutes"]

_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kMGB]?)\s*(steps?|epochs?|tokens?|minutes?|)\s*")
_SCALE = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}
_ALLOWED = 'Allowed: a whole number of steps, "3 epochs", "50M tokens", "30 minutes"'


@dataclass(frozen=True)
class Duration:
    """An amount and its unit: `Duration.parse("50M tokens")`."""

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, value: int | str) -> Duration:
        """Parse an integer (steps) or text. Raises ConfigError for anything but a positive amount of a known unit."""
        match = _PATTERN.fullmatch(str(value))
        if match is None:
            raise ConfigError(f"invalid duration {value!r}", where="training.duration", do=_ALLOWED)
        number, scale, word = match.groups()
        unit: Unit = (word.rstrip("s") + "s") if word else "steps"  # type: ignore[assignment]
        amount = float(number) * _SCALE[scale]
        if not amount or not math.isfinite(amount) or (unit in ("steps", "tokens") and amount != int(amount)):
            raise ConfigError(f"invalid duration {value!r}", where="training.duration", do=_ALLOWED)
        return cls(amount, unit)

    def steps(self, *, tokens_per_step: int, steps_per_epoch: float) -> int | None:
        """Return the number of optimiser steps, rounded up; None for minutes, which do not determine it."""
        match self.unit:
            case "steps":
                return int(self.amount)
            case "tokens":
                return math.ceil(self.amount / tokens_per_step)
            case "epochs":
                return max(1, math.ceil(self.amount * steps_per_epoch))
        return None

    def __str__(self) -> str:
        return f"{int(self.amount) if self.amount == int(self.amount) else self.amount} {self.unit}"
