"""Batches as a function of (seed, step).

A step uses the same `sequences` rows however they are split over ranks and micro-steps, so that a resumed run, or one
with another split, sees the same tokens. The corpus is memory-mapped, and rows are read when they are needed. Modes:

- `windows`: consecutive rows, shuffled by (seed, epoch). Each token but the first is predicted once an epoch. The last
  row starts earlier, so that it is full, and predicts only the tokens that no other row predicts.
- `sliding`: windows that start every `stride` tokens, so that they overlap and tokens are predicted several times.
- `random`: windows at random positions, as in nanoGPT.
- `packed`: whole documents (`packing.py`), each after an end-of-text token. Each token is predicted once an epoch.

Corpora mixed by weight alternate in a fixed pattern of 1,000 rows, and each has its own epochs.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tui_gpt.config.estimates import rows_per_epoch, window_step
from tui_gpt.corpora.sources.mixtures import parse_mixture
from tui_gpt.training.data.packing import PackedRows, pack_documents
from tui_gpt.training.data.shuffling import permute

if TYPE_CHECKING:
    from tui_gpt.config import Config
    from tui_gpt.corpora import Shards

EVAL_TOKENS = 2048  # at least, in one forward pass of an evaluation: faster, and there are no gradients to store
PATTERN_ROWS = 1000
ORDER_AHEAD = 2048  # rows of an epoch whose order is computed at once
RELEASE_ROWS = 128  # a row maps about 600 KiB of the file; unmapping takes a fifth of the time of a batch

Mode = Literal["windows", "sliding", "random", "packed"]


class MicroBatch(NamedTuple):
    """Input of one forward pass: inputs and targets, (micro_batch_size, T) int64. A negative target is ignored.

    documents: (micro_batch_size, T), the document of each token, if attention is limited to documents; else None.
    num_targets: number of targets that are not negative.
    """

    inputs: Tensor
    targets: Tensor
    documents: Tensor | None
    num_targets: int


class StepBatch(NamedTuple):
    """The rows of one step, or of a rank in it, on the host: fields as in `MicroBatch`, (sequences, T) int64."""

    inputs: np.ndarray
    targets: np.ndarray
    documents: np.ndarray | None

    def rows(self, begin: int, end: int) -> StepBatch:
        """Return the rows from `begin` to before `end`."""
        documents = self.documents if self.documents is None else self.documents[begin:end]
        return StepBatch(self.inputs[begin:end], self.targets[begin:end], documents)


class CorpusPart(NamedTuple):
    """One corpus of a mixture: tokens[begin:end]. starts: where its documents begin. weight: its share of the rows."""

    begin: int
    end: int
    starts: np.ndarray
    weight: float = 1.0


@dataclass
class BatchLoader:
    """Loads the batch of any step.

    tokens: the training split. context: row length T. sequences: rows of one step over all ranks. parts: the corpora
    in `tokens`; None for a single document. stride: of sliding windows; 0 for half the context.
    """

    tokens: np.ndarray
    mode: Mode
    context: int
    sequences: int
    seed: int
    parts: Sequence[CorpusPart] | None = None
    end_of_text: int = 0
    stride: int = 0
    attend_across_documents: bool = True
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if len(self.tokens) <= self.context or self.sequences % self.ranks:
            raise ValueError("fewer tokens than a row needs, or sequences not divisible by ranks")
        self._step = window_step(self.mode, self.stride, self.context)
        whole = CorpusPart(0, len(self.tokens), np.zeros(1, np.int64))
        self._parts = list(self.parts) if self.parts else [whole]
        self._packed: list[PackedRows | None] = [
            pack_documents(np.asarray(part.starts), part.end, self.context) if self.mode == "packed" else None
            for part in self._parts
        ]
        self._rows = [self._count(part, packed) for part, packed in zip(self._parts, self._packed, strict=True)]
        self._pattern, self._earlier, self._quota = _make_pattern([part.weight for part in self._parts], self.seed)
        self._plain = np.asarray(self.tokens)  # without the overhead of indexing a memmap
        self._windows_of = np.lib.stride_tricks.sliding_window_view(self._plain, self.context + 1)
        self._orders: dict[int, tuple[int, np.ndarray]] = {}
        self._mapping: mmap.mmap | None = getattr(self.tokens, "_mmap", None)
        self._since_release = 0

    @classmethod
    def for_training(cls, shards: Shards, config: Config, *, rank: int = 0, ranks: int = 1) -> BatchLoader:
        """Return the loader of the training split of a run."""
        weights = [term.weight for term in parse_mixture(config.data.corpus)] or [1.0]
        parts, begin = [], 0
        for part, weight in zip(shards.info.parts, weights, strict=True):
            end = begin + part.train_tokens
            low, high = np.searchsorted(shards.train_starts, [begin, end])
            parts.append(CorpusPart(begin, end, shards.train_starts[low:high], weight))
            begin = end
        return cls(
            tokens=shards.train,
            mode=config.data.mode,
            context=config.model.context_length,
            sequences=config.sequences_per_step,
            seed=config.training.seed,
            parts=parts,
            end_of_text=shards.tokenizer.end_of_text,
            stride=config.data.stride,
            attend_across_documents=config.data.attend_across_documents,
            rank=rank,
            ranks=ranks,
        )

    @classmethod
    def for_evaluation(cls, shards: Shards, config: Config, split: Literal["train", "val"] = "val") -> BatchLoader:
        """Return a loader that yields each token of a split once an epoch: packed if the run packs, else in windows."""
        tokens, starts = (shards.val, shards.val_starts) if split == "val" else (shards.train, shards.train_starts)
        context = min(config.model.context_length, len(tokens) - 1)
        return cls(
            tokens=tokens,
            mode="packed" if config.data.mode == "packed" else "windows",
            context=context,
            sequences=max(config.training.micro_batch_size, EVAL_TOKENS // context),
            seed=0,  # the same rows for every run
            parts=[CorpusPart(0, len(tokens), starts)],
            end_of_text=shards.tokenizer.end_of_text,
            attend_across_documents=config.data.attend_across_documents,
        )

    def _count(self, part: CorpusPart, packed: PackedRows | None) -> int:
        if packed is not None:
            return packed.rows
        return rows_per_epoch(part.end - part.begin, self.context, self._step)

    @property
    def rows(self) -> int:
        """Rows of all corpora in an epoch; in mode `random`, as many as in mode `windows`."""
        return sum(self._rows)

    @property
    def steps_per_epoch(self) -> float:
        """Steps in an epoch."""
        return self.rows / self.sequences

    def batch(self, step: int) -> StepBatch:
        """Return the rows of this rank in `step` (counted from 1)."""
        share = self.sequences // self.ranks
        first = (step - 1) * self.sequences
        numbers = np.arange(first + self.rank * share, first + (self.rank + 1) * share)
        parts = self._pattern[numbers % PATTERN_ROWS]
        turns = numbers // PATTERN_ROWS * self._quota[parts] + self._earlier[numbers % PATTERN_ROWS]
        shape = (share, self.context)
        documents = None if self.attend_across_documents else np.empty(shape, np.int64)
        rows = StepBatch(np.empty(shape, np.int64), np.empty(shape, np.int64), documents)
        for index in range(len(self._parts)):
            own = np.flatnonzero(parts == index)
            if not len(own):
                continue
            if self.mode == "random":
                self._read_random(rows, own, index, step)
            else:
                self._read(rows, own, index, self._row_indices(turns[own], index))
        self._release(share)
        return rows

    def _row_indices(self, turns: np.ndarray, index: int) -> np.ndarray:
        """Return the shuffled row indices of `turns` of a corpus; indices of later turns are cached with them."""
        rows = self._rows[index]
        first, order = self._orders.get(index, (0, turns[:0]))
        low, high = int(turns[0]), int(turns[-1]) + 1
        if low < first or high > first + len(order):
            ahead = min(low + ORDER_AHEAD, (low // rows + 1) * rows)
            first, order = low, self._order(low, max(high, ahead), index)
            self._orders[index] = first, order
        return order[turns - first]

    def _order(self, low: int, high: int, index: int) -> np.ndarray:
        """Return the row indices of turns `low` to `high` - 1: each row once an epoch, shuffled anew in each epoch."""
        rows = self._rows[index]
        found = []
        for epoch in range(low // rows, (high - 1) // rows + 1):
            places = np.arange(max(low - epoch * rows, 0), min(high - epoch * rows, rows))
            found.append(permute(places, rows, (self.seed, index, epoch)))
        return np.concatenate(found)

    def _read_random(self, rows: StepBatch, own: np.ndarray, index: int, step: int) -> None:
        part = self._parts[index]
        last = max(part.begin + 1, part.end - self.context)
        fractions = np.random.default_rng((self.seed, step)).random(self.sequences)
        share = len(rows.inputs)
        drawn = fractions[self.rank * share : (self.rank + 1) * share][own]
        self._read_windows(rows, own, part, part.begin + (drawn * (last - part.begin)).astype(np.int64) + 1)

    def _read(self, rows: StepBatch, own: np.ndarray, index: int, places: np.ndarray) -> None:
        part, packed = self._parts[index], self._packed[index]
        if packed is not None:
            self._read_documents(rows, own, packed, places)
        else:
            self._read_windows(rows, own, part, part.begin + places * self._step + 1)

    def _read_windows(self, rows: StepBatch, own: np.ndarray, part: CorpusPart, first: np.ndarray) -> None:
        """Read rows that predict the tokens from `first` on, up to the end of the corpus."""
        context = self.context
        begins = np.minimum(first - 1, max(part.begin, part.end - 1 - context))
        begins = np.minimum(begins, len(self.tokens) - 1 - context)
        windows = self._windows_of[begins]
        rows.inputs[own] = windows[:, :-1]
        rows.targets[own] = windows[:, 1:]
        lowest = np.full_like(first, part.begin + 1) if self.mode == "sliding" else first
        for place in np.flatnonzero((begins + 1 < lowest) | (begins + 1 + context > part.end)).tolist():
            row = rows.targets[own[place]]
            row[: lowest[place] - 1 - begins[place]] = -1
            row[part.end - 1 - begins[place] :] = -1
        if rows.documents is not None:
            rows.documents[own] = np.cumsum(rows.inputs[own] == self.end_of_text, axis=1)

    def _read_documents(self, rows: StepBatch, own: np.ndarray, packed: PackedRows, places: np.ndarray) -> None:
        """Read packed rows: the input before each document is an end-of-text token."""
        counts = packed.first[places + 1] - packed.first[places]
        numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # within the row
        pieces = numbers + np.repeat(packed.first[places], counts)
        starts, lengths = packed.starts[pieces], packed.lengths[pieces].astype(np.int64)
        at = np.cumsum(lengths) - lengths  # offset of each piece in the concatenated rows
        take = np.arange(len(places) * self.context) + np.repeat(np.maximum(starts, 0) - at, lengths)
        targets = self._plain[take].astype(np.int64)
        empty = [slice(int(at[piece]), int(at[piece] + lengths[piece])) for piece in np.flatnonzero(starts < 0)]
        for stretch in empty:
            targets[stretch] = -1
        inputs = np.empty_like(targets)
        inputs[1:] = targets[:-1]
        inputs[at] = np.where(packed.begins[pieces], self.end_of_text, self._plain[np.maximum(starts - 1, 0)])
        for stretch in empty:
            inputs[stretch] = self.end_of_text
        shape = (len(own), self.context)
        rows.inputs[own], rows.targets[own] = inputs.reshape(shape), targets.reshape(shape)
        if rows.documents is not None:
            rows.documents[own] = np.repeat(numbers, lengths).reshape(shape)

    def _release(self, rows: int) -> None:
        """Unmap the pages read so far from time to time: they count as resident memory of the process."""
        self._since_release += rows
        if self._mapping is not None and self._since_release >= RELEASE_ROWS:
            self._mapping.madvise(mmap.MADV_DONTNEED)
            self._since_release = 0


def _make_pattern(weights: Sequence[float], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Assign the rows of a pattern to corpora by weight.

    Return the corpus of each row, how many earlier rows of the pattern that corpus has, and its rows in the pattern.
    """
    shares = np.array(weights) / sum(weights) * PATTERN_ROWS
    quota = np.floor(shares).astype(np.int64)
    nearest = np.argsort(quota - shares, kind="stable")[: PATTERN_ROWS - int(quota.sum())]
    quota[nearest] += 1
    turns = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(weights)), quota))
    earlier = np.zeros(PATTERN_ROWS, np.int64)
    for index in range(len(weights)):
        earlier[turns == index] = np.arange(quota[index])
    return turns, earlier, quota


def to_device(batch: StepBatch, accumulation_steps: int, device: torch.device) -> list[MicroBatch]:
    """Split a step into micro-batches and copy them to the device asynchronously."""
    counts = [int((targets >= 0).sum()) for targets in np.split(batch.targets, accumulation_steps)]
    inputs, targets, documents = (
        _copy(array, device).chunk(accumulation_steps) if array is not None else None for array in batch
    )
    assert inputs is not None and targets is not None
    return [
        MicroBatch(inputs[n], targets[n], documents[n] if documents is not None else None, count)
        for n, count in enumerate(counts)
    ]


def _copy(array: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
