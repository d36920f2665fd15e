"""Batches as a function of (seed, step).

A step consumes `sequences` windows over all ranks and micro-steps, the same ones however they are split, so a resumed
run, or one at another split, sees the same tokens. `windows` cuts the corpus into non-overlapping windows and shuffles
them by (seed, epoch): an epoch sees each token once. `random` draws window starts anywhere, as nanoGPT does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Micro(NamedTuple):
    """One forward pass: inputs, targets (micro_batch, T) int64, a negative target where there is nothing to predict.

    documents: (micro_batch, T), the document of each token, where attention keeps to it; else None.
    num_targets: targets that are not negative.
    """

    inputs: Tensor
    targets: Tensor
    documents: Tensor | None
    num_targets: int


@dataclass
class Batches:
    """tokens: the training split. context: window length T. sequences: windows in one step."""

    tokens: np.ndarray
    mode: str
    context: int
    sequences: int
    seed: int
    _epoch: int = field(default=-1, init=False)
    _order: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint32), init=False)

    @property
    def windows(self) -> int:
        """Non-overlapping windows in the split: each needs one token more for its last target."""
        return (len(self.tokens) - 1) // self.context

    @property
    def steps_per_epoch(self) -> float:
        return self.windows / self.sequences

    def starts(self, step: int) -> np.ndarray:
        """Offsets of the windows of `step` (counted from 1), shape (sequences,)."""
        if self.mode == "random":
            high = len(self.tokens) - self.context
            return np.random.default_rng((self.seed, step)).integers(0, high, self.sequences)
        first = (step - 1) * self.sequences
        places = [divmod(index, self.windows) for index in range(first, first + self.sequences)]
        return np.array([self._shuffled(epoch)[place] for epoch, place in places], np.int64) * self.context

    def _shuffled(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            order = np.arange(self.windows, dtype=np.uint32)
            np.random.default_rng((self.seed, epoch)).shuffle(order)
            self._epoch, self._order = epoch, order
        return self._order

    def batch(self, step: int) -> np.ndarray:
        """The step's windows, each with its last target: int64 (sequences, T + 1)."""
        return self.tokens[self.starts(step)[:, None] + np.arange(self.context + 1)].astype(np.int64)


def to_device(batch: np.ndarray, accumulation_steps: int, device: torch.device) -> list[Micro]:
    """The step's forward passes, copied to the device without waiting."""
    tokens = torch.from_numpy(batch)
    if device.type == "cuda":
        tokens = tokens.pin_memory()
    tokens = tokens.to(device, non_blocking=device.type == "cuda")
    parts = tokens.chunk(accumulation_steps)
    return [Micro(part[:, :-1].contiguous(), part[:, 1:].contiguous(), None, part[:, 1:].numel()) for part in parts]
