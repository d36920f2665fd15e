"""BatchLoader as a function of (seed, step).

A step consumes `sequences` rows over all ranks and micro-steps, the same ones however they are split, so a resumed run,
or one at another split, sees the same tokens. The corpus stays on the disk, mapped; a row is gathered when it is asked
for. The modes:

- `windows`: rows follow one another, permute by (seed, epoch): each token but the first is predicted once an epoch.
  The last row begins earlier, so that its context is whole, and predicts only what no other row does.
- `sliding`: as windows, begun every `stride` tokens, so that they overlap and a token is predicted several times.
- `random`: windows that begin anywhere, as nanoGPT draws them.
- `packed`: documents from their beginning (`packing.py`), each after an end of text: every token once an epoch.

Corpora that are mixed by weight take turns in a fixed pattern of 1,000 rows, each with its own epochs.
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
from tui_gpt.corpora.mixtures import terms_of
from tui_gpt.training.data.packing import PackedRows, pack_documents
from tui_gpt.training.data.shuffling import permute

if TYPE_CHECKING:
    from tui_gpt.config import Config
    from tui_gpt.corpora import Shards

SCORED_TOKENS = 2048  # of one forward pass at least: without gradients there is room for more, and it is faster
PATTERN = 1000
AHEAD = 2048
RELEASE_ROWS = 128  # the system maps some 600 KiB with each; letting them go takes a fifth of the time of a batch

Mode = Literal["windows", "sliding", "random", "packed"]


class MicroBatch(NamedTuple):
    """One forward pass: inputs, targets (micro_batch, T) int64, a negative target where there is nothing to predict.

    documents: (micro_batch, T), the document of each token, where attention keeps to it; else None.
    num_targets: targets that are not negative.
    """

    inputs: Tensor
    targets: Tensor
    documents: Tensor | None
    num_targets: int


class StepBatch(NamedTuple):
    """One step's rows, or a rank's share of them, on the host: as in `MicroBatch`, each (sequences, T) int64."""

    inputs: np.ndarray
    targets: np.ndarray
    documents: np.ndarray | None

    def head(self, rows: int) -> StepBatch:
        """Its first rows."""
        documents = self.documents if self.documents is None else self.documents[:rows]
        return StepBatch(self.inputs[:rows], self.targets[:rows], documents)


class CorpusPart(NamedTuple):
    """One corpus: tokens[begin:end], whose documents begin at `starts`, drawn with `weight`."""

    begin: int
    end: int
    starts: np.ndarray
    weight: float = 1.0


@dataclass
class BatchLoader:
    """tokens: the training split. context: row length T. sequences: rows in one step, over all ranks.

    parts: the corpora in `tokens`; None: it is one, and one document. stride: of sliding windows; 0: half the context.
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
            raise ValueError("too few tokens for a row, or sequences that ranks cannot share evenly")
        self._step = window_step(self.mode, self.stride, self.context)
        whole = CorpusPart(0, len(self.tokens), np.zeros(1, np.int64))
        self._parts = list(self.parts) if self.parts else [whole]
        self._packed: list[PackedRows | None] = [
            pack_documents(np.asarray(part.starts), part.end, self.context) if self.mode == "packed" else None
            for part in self._parts
        ]
        self._rows = [self._count(part, packed) for part, packed in zip(self._parts, self._packed, strict=True)]
        self._turns, self._earlier, self._quota = _pattern([part.weight for part in self._parts], self.seed)
        self._plain = np.asarray(self.tokens)  # a memmap is slower to index than the array that it is
        self._windows_of = np.lib.stride_tricks.sliding_window_view(self._plain, self.context + 1)
        self._orders: dict[int, tuple[int, np.ndarray]] = {}
        self._mapping: mmap.mmap | None = getattr(self.tokens, "_mmap", None)
        self._since_release = 0

    @classmethod
    def for_training(cls, shards: Shards, config: Config, *, rank: int = 0, ranks: int = 1) -> BatchLoader:
        """The batches of a run."""
        weights = [term.weight for term in terms_of(config.data.corpus)] or [1.0]
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
        """Each token of a split once an epoch, for scoring: packed documents where the run packs them, else windows."""
        tokens, starts = (shards.val, shards.val_starts) if split == "val" else (shards.train, shards.train_starts)
        context = min(config.model.context_length, len(tokens) - 1)
        return cls(
            tokens=tokens,
            mode="packed" if config.data.mode == "packed" else "windows",
            context=context,
            sequences=max(config.training.micro_batch_size, SCORED_TOKENS // context),
            seed=0,  # the same rows, whatever the run's
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
        """Rows of all corpora in an epoch; in `random`, as many as windows would be."""
        return sum(self._rows)

    @property
    def steps_per_epoch(self) -> float:
        return self.rows / self.sequences

    def batch(self, step: int) -> StepBatch:
        """This rank's share of `step` (counted from 1)."""
        share = self.sequences // self.ranks
        first = (step - 1) * self.sequences
        numbers = np.arange(first + self.rank * share, first + (self.rank + 1) * share)
        parts = self._turns[numbers % PATTERN]
        turns = numbers // PATTERN * self._quota[parts] + self._earlier[numbers % PATTERN]
        shape = (share, self.context)
        documents = None if self.attend_across_documents else np.empty(shape, np.int64)
        rows = StepBatch(np.empty(shape, np.int64), np.empty(shape, np.int64), documents)
        for index in range(len(self._parts)):
            mine = np.flatnonzero(parts == index)
            if not len(mine):
                continue
            if self.mode == "random":
                self._draw(rows, mine, index, step)
            else:
                self._fill(rows, mine, index, self._place(turns[mine], index))
        self._release(share)
        return rows

    def _place(self, turns: np.ndarray, index: int) -> np.ndarray:
        """The rows that a corpus's turns take. Those of the epoch's next turns are computed with them, at no cost."""
        rows = self._rows[index]
        first, order = self._orders.get(index, (0, turns[:0]))
        low, high = int(turns[0]), int(turns[-1]) + 1
        if low < first or high > first + len(order):
            ahead = min(low + AHEAD, (low // rows + 1) * rows)
            first, order = low, self._order(low, max(high, ahead), index)
            self._orders[index] = first, order
        return order[turns - first]

    def _order(self, low: int, high: int, index: int) -> np.ndarray:
        """The rows of turns `low` to `high` - 1: each row once an epoch, in an order of the epoch's own."""
        rows = self._rows[index]
        found = []
        for epoch in range(low // rows, (high - 1) // rows + 1):
            places = np.arange(max(low - epoch * rows, 0), min(high - epoch * rows, rows))
            found.append(permute(places, rows, (self.seed, index, epoch)))
        return np.concatenate(found)

    def _draw(self, rows: StepBatch, mine: np.ndarray, index: int, step: int) -> None:
        part = self._parts[index]
        last = max(part.begin + 1, part.end - self.context)
        everyone = np.random.default_rng((self.seed, step)).random(self.sequences)
        share = len(rows.inputs)
        drawn = everyone[self.rank * share : (self.rank + 1) * share][mine]
        self._windows(rows, mine, part, part.begin + (drawn * (last - part.begin)).astype(np.int64) + 1)

    def _fill(self, rows: StepBatch, mine: np.ndarray, index: int, places: np.ndarray) -> None:
        part, packed = self._parts[index], self._packed[index]
        if packed is not None:
            self._documents(rows, mine, packed, places)
        else:
            self._windows(rows, mine, part, part.begin + places * self._step + 1)

    def _windows(self, rows: StepBatch, mine: np.ndarray, part: CorpusPart, first: np.ndarray) -> None:
        """Rows that predict the tokens from `first` on, as far as the corpus goes."""
        context = self.context
        begins = np.minimum(first - 1, max(part.begin, part.end - 1 - context))
        begins = np.minimum(begins, len(self.tokens) - 1 - context)
        windows = self._windows_of[begins]
        rows.inputs[mine] = windows[:, :-1]
        rows.targets[mine] = windows[:, 1:]
        lowest = np.full_like(first, part.begin + 1) if self.mode == "sliding" else first
        for place in np.flatnonzero((begins + 1 < lowest) | (begins + 1 + context > part.end)).tolist():
            row = rows.targets[mine[place]]
            row[: lowest[place] - 1 - begins[place]] = -1
            row[part.end - 1 - begins[place] :] = -1
        if rows.documents is not None:
            rows.documents[mine] = np.cumsum(rows.inputs[mine] == self.end_of_text, axis=1)

    def _documents(self, rows: StepBatch, mine: np.ndarray, packed: PackedRows, places: np.ndarray) -> None:
        """Rows of documents, each after an end of text."""
        counts = packed.first[places + 1] - packed.first[places]
        numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # within the row
        pieces = numbers + np.repeat(packed.first[places], counts)
        starts, lengths = packed.starts[pieces], packed.lengths[pieces].astype(np.int64)
        at = np.cumsum(lengths) - lengths  # where each piece stands, the rows taken as one
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
        shape = (len(mine), self.context)
        rows.inputs[mine], rows.targets[mine] = inputs.reshape(shape), targets.reshape(shape)
        if rows.documents is not None:
            rows.documents[mine] = np.repeat(numbers, lengths).reshape(shape)

    def _release(self, rows: int) -> None:
        """Let go of the mapped pages now and then: they count as the process's and would become the whole corpus."""
        self._since_release += rows
        if self._mapping is not None and self._since_release >= RELEASE_ROWS:
            self._mapping.madvise(mmap.MADV_DONTNEED)
            self._since_release = 0


def _pattern(weights: Sequence[float], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whose turn each of `PATTERN` rows is, how many turns that corpus had before it, and how many it has in all."""
    shares = np.array(weights) / sum(weights) * PATTERN
    quota = np.floor(shares).astype(np.int64)
    nearest = np.argsort(quota - shares, kind="stable")[: PATTERN - int(quota.sum())]
    quota[nearest] += 1
    turns = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(weights)), quota))
    earlier = np.zeros(PATTERN, np.int64)
    for index in range(len(weights)):
        earlier[turns == index] = np.arange(quota[index])
    return turns, earlier, quota


def to_device(batch: StepBatch, accumulation_steps: int, device: torch.device) -> list[MicroBatch]:
    """The step's forward passes, copied to the device without waiting."""
    counts = [int((targets >= 0).sum()) for targets in np.split(batch.targets, accumulation_steps)]
    inputs, targets, documents = (
        _copied(array, device).chunk(accumulation_steps) if array is not None else None for array in batch
    )
    assert inputs is not None and targets is not None
    return [
        MicroBatch(inputs[n], targets[n], documents[n] if documents is not None else None, count)
        for n, count in enumerate(counts)
    ]


def _copied(array: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
