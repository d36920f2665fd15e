"""Split the tokens of a corpus into training and validation.

Whole documents are held out, taken in a fixed random order until their tokens come as close as possible to the
requested fraction; no document is on both sides. The tokens of a single document are split, with its end held out, as
nanoGPT does. The tokens are streamed in blocks, so memory is a few MiB plus about 50 bytes per document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tui_gpt.corpora.shards.shard_files import ShardsWriter
from tui_gpt.corpora.sources.source import Progress

if TYPE_CHECKING:
    import numpy as np

SPLIT_SEED = 20261120
BLOCK_TOKENS = 1 << 20
MAX_CANDIDATES = 10_000  # documents tried to fill the rest of the fraction


def document_ends(path: Path, dtype: np.dtype, end_of_text: int) -> np.ndarray:
    """Return the offset after each end-of-text token in a file of tokens, shape (documents,), int64."""
    import numpy as np

    ends, offset = [np.empty(0, np.int64)], 0
    for block in _blocks(path, dtype):
        ends.append(np.flatnonzero(block == end_of_text) + (offset + 1))
        offset += len(block)
    return np.concatenate(ends)


def hold_out(sizes: np.ndarray, val_fraction: float) -> np.ndarray:
    """Return which documents are held out, shape (documents,), bool; of several documents at least one and never all.

    sizes: tokens per document. The first documents of the permutation are taken as long as they fit into the fraction,
    then of the next ones each that brings the sum closer. If all are too large, the smallest is taken.
    """
    import numpy as np

    held_out = np.zeros(len(sizes), dtype=bool)
    if len(sizes) < 2:
        return held_out
    # RandomState's streams are frozen, so the split is the same under every version of numpy
    order = np.random.RandomState(SPLIT_SEED).permutation(len(sizes))
    wanted = float(sizes.sum()) * val_fraction
    held = np.cumsum(sizes[order])
    first = min(int(np.searchsorted(held, wanted, side="right")), len(sizes) - 1)
    held_out[order[:first]] = True
    left = wanted - (float(held[first - 1]) if first else 0.0)
    for index in order[first : first + MAX_CANDIDATES].tolist():
        if sizes[index] / 2 <= left:
            held_out[index] = True
            left -= float(sizes[index])
    if held_out.all() or not held_out.any():
        smallest = int(sizes.argmin())
        held_out[smallest] = not held_out[smallest]
    return held_out


class CorpusSplit(NamedTuple):
    """The split of one corpus: consecutive segments of `sizes` tokens, each held out or not.

    A segment is a document, or the beginning or end of a single document.
    """

    sizes: np.ndarray
    held_out: np.ndarray


def assign_splits(ends: np.ndarray, documents: Sequence[int], val_fraction: float) -> list[CorpusSplit]:
    """Return the split of each of several corpora, whose documents follow one another and end at `ends`."""
    import numpy as np

    splits = []
    for sizes in np.split(np.diff(ends, prepend=0), np.cumsum(documents)[:-1]):
        if len(sizes) == 1:
            keep = int(sizes[0] * (1 - val_fraction))
            splits.append(CorpusSplit(np.array([keep, sizes[0] - keep]), np.array([False, True])))
        else:
            splits.append(CorpusSplit(sizes, hold_out(sizes, val_fraction)))
    return splits


def write_splits(
    path: Path, splits: Sequence[CorpusSplit], train: ShardsWriter, val: ShardsWriter, progress: Progress
) -> None:
    """Write the tokens in `path` to `train` and `val`, in order."""
    import numpy as np

    sizes = np.concatenate([split.sizes for split in splits])
    held_out = np.concatenate([split.held_out for split in splits])
    for writer, chosen in ((train, ~held_out), (val, held_out)):
        writer.starts = np.cumsum(sizes[chosen]) - sizes[chosen]
    ends = np.cumsum(sizes)
    offset, total = 0, int(ends[-1])
    for block in _blocks(path, train.dtype):
        last = offset + len(block)
        low, high = np.searchsorted(ends, [offset, last - 1], side="right")
        if low == high:
            (val if held_out[low] else train).write(block)
        else:
            held = np.repeat(held_out[low : high + 1], np.diff(ends[low:high], prepend=offset, append=last))
            train.write(block[~held])
            val.write(block[held])
        offset = last
        progress("splitting", offset / total)


def _blocks(path: Path, dtype: np.dtype) -> Iterator[np.ndarray]:
    import numpy as np

    with path.open("rb") as file:
        while data := file.read(BLOCK_TOKENS * dtype.itemsize):
            yield np.frombuffer(data, dtype)
