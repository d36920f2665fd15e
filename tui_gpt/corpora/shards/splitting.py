"""The tokens of a corpus on two sides: what is trained on and what is held out.

Whole documents are held out, chosen by their size over a fixed permutation, so that the share is the one asked for in
tokens as near as whole documents can come, and no document stands on both sides. A single document is split on its
tokens, its end held out, as nanoGPT does. The tokens pass through in blocks: memory is a few MiB and some 50 bytes a
document.
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
LAST_CHOICES = 10_000


def document_ends(path: Path, dtype: np.dtype, end_of_text: int) -> np.ndarray:
    """The offset after each end of text in a file of tokens, shape (documents,), int64."""
    import numpy as np

    ends, offset = [np.empty(0, np.int64)], 0
    for block in _blocks(path, dtype):
        ends.append(np.flatnonzero(block == end_of_text) + (offset + 1))
        offset += len(block)
    return np.concatenate(ends)


def hold_out(sizes: np.ndarray, val_fraction: float) -> np.ndarray:
    """Which of several documents of `sizes` tokens are held out, shape (documents,), bool: at least one, never all.

    The permutation's first documents as long as they fit into the share, then, of the next ones, each that brings the
    share nearer. Where all are too large the smallest is held out.
    """
    import numpy as np

    held_out = np.zeros(len(sizes), dtype=bool)
    if len(sizes) < 2:
        return held_out
    # RandomState's streams are frozen: the split stays the same under every numpy
    order = np.random.RandomState(SPLIT_SEED).permutation(len(sizes))
    wanted = float(sizes.sum()) * val_fraction
    held = np.cumsum(sizes[order])
    first = min(int(np.searchsorted(held, wanted, side="right")), len(sizes) - 1)
    held_out[order[:first]] = True
    left = wanted - (float(held[first - 1]) if first else 0.0)
    for index in order[first : first + LAST_CHOICES].tolist():
        if sizes[index] / 2 <= left:
            held_out[index] = True
            left -= float(sizes[index])
    if held_out.all() or not held_out.any():
        smallest = int(sizes.argmin())
        held_out[smallest] = not held_out[smallest]
    return held_out


class CorpusSplit(NamedTuple):
    """How the tokens of one corpus divide: stretches of `sizes` tokens, one after another, held out or not.

    A stretch is a document, or a single document's beginning and its end.
    """

    sizes: np.ndarray
    held_out: np.ndarray


def assign_splits(ends: np.ndarray, documents: Sequence[int], val_fraction: float) -> list[CorpusSplit]:
    """The sides of each of several corpora, whose documents follow one another and end at `ends`."""
    import numpy as np

    found = []
    for sizes in np.split(np.diff(ends, prepend=0), np.cumsum(documents)[:-1]):
        if len(sizes) == 1:
            keep = int(sizes[0] * (1 - val_fraction))
            found.append(CorpusSplit(np.array([keep, sizes[0] - keep]), np.array([False, True])))
        else:
            found.append(CorpusSplit(sizes, hold_out(sizes, val_fraction)))
    return found


def split(path: Path, sides: Sequence[CorpusSplit], train: ShardsWriter, val: ShardsWriter, progress: Progress) -> None:
    """Write the tokens in `path` to their sides, in the order they have there."""
    import numpy as np

    sizes = np.concatenate([side.sizes for side in sides])
    held_out = np.concatenate([side.held_out for side in sides])
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
