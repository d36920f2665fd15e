"""Documents to two files of token ids, one to train on and one held out.

Each document is encoded whole and ends with one end-of-text token. Whole documents are held out, spread over the corpus
by a fixed permutation; a single document is split on its tokens, its end held out, as nanoGPT does. One document's
text and a part of its tokens are in memory at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, NamedTuple

from tui_gpt.corpora.sources import Progress, Source
from tui_gpt.corpora.tokenizer import Tokenizer
from tui_gpt.errors import CorpusError

if TYPE_CHECKING:
    import numpy as np

SPLIT_SEED = 20261120
MIN_TOKENS = 2  # one to look at and one to guess
COPY_BYTES = 1 << 22


class Counts(NamedTuple):
    """What was written, as `ShardsInfo` has it."""

    documents: int
    train_documents: int
    val_documents: int
    train_tokens: int
    val_tokens: int
    train_bytes: int
    val_bytes: int
    dtype: Literal["uint16", "uint32"]
    floor_nats: float | None


def encode(source: Source, tokenizer: Tokenizer, val_fraction: float, folder: Path, progress: Progress) -> Counts:
    """Write `train.bin`, `val.bin` and `val_starts.npy` to `folder`. Raises CorpusError for a corpus too short."""
    import numpy as np

    dtype: Literal["uint16", "uint32"] = "uint16" if tokenizer.vocab_size <= 1 << 16 else "uint32"
    documents = source.count()
    end = np.array([tokenizer.end_of_text], np.int32)
    nats = source.nats()
    floor_nats, told = 0.0, -1.0
    with (folder / "train.bin").open("w+b") as train_file, (folder / "val.bin").open("w+b") as val_file:
        train, val = (_Side(file, dtype, tokenizer.byte_lengths) for file in (train_file, val_file))
        held_out = hold_out(documents, val_fraction)
        # a corpus that gains or loses a document meanwhile is found out by its digest afterwards
        for index, (text, held) in enumerate(zip(source.documents(), held_out, strict=False)):
            side = val if held else train
            side.starts.append(side.tokens)
            before = side.bytes
            for ids in tokenizer.encode_parts(text):
                side.write(ids)
                done = (index + min(1.0, (side.bytes - before) / len(text))) / documents
                if done >= told + 0.01:
                    progress(f"encoding {source.name}", done)
                    told = done
            side.write(end)
            if nats is not None:
                floor_nats += next(nats) * bool(held)
        if documents == 1:
            _move_end(train, val, int(train.tokens * (1 - val_fraction)))
    if min(train.tokens, val.tokens) < MIN_TOKENS:
        raise CorpusError(
            f"{source.name} is too short: its {train.tokens + val.tokens:,} tokens leave {train.tokens:,} for training"
            f" and {val.tokens:,} for validation, and each needs {MIN_TOKENS}",
            do="Use a longer text" + (", or a larger data.val_fraction" if val.tokens < train.tokens else ""),
        )
    np.save(folder / "val_starts.npy", np.array(val.starts, dtype=np.int64))
    return Counts(
        documents=documents,
        train_documents=len(train.starts),
        val_documents=len(val.starts),
        train_tokens=train.tokens,
        val_tokens=val.tokens,
        train_bytes=train.bytes,
        val_bytes=val.bytes,
        dtype=dtype,
        floor_nats=None if nats is None else floor_nats,
    )


def hold_out(documents: int, val_fraction: float) -> np.ndarray:
    """Which of several documents are held out, shape (documents,), bool: at least one, and never all."""
    import numpy as np

    held_out = np.zeros(documents, dtype=bool)
    if documents > 1:
        # RandomState's streams are frozen: the split stays the same under every numpy
        order = np.random.RandomState(SPLIT_SEED).permutation(documents)
        held_out[order[: min(documents - 1, max(1, round(documents * val_fraction)))]] = True
    return held_out


class _Side:
    """One side of the split as it is written."""

    def __init__(self, file: IO[bytes], dtype: str, byte_lengths: np.ndarray) -> None:
        import numpy as np

        self.file, self.dtype = file, np.dtype(dtype).newbyteorder("<")
        self._byte_lengths = byte_lengths
        self.tokens = self.bytes = 0
        self.starts: list[int] = []

    def write(self, ids: np.ndarray) -> None:
        self.file.write(ids.astype(self.dtype).data)
        self.tokens += len(ids)
        self.bytes += int(self._byte_lengths[ids].sum())


def _move_end(train: _Side, val: _Side, keep: int) -> None:
    """Move what `train` holds beyond `keep` tokens to `val`."""
    import numpy as np

    val.starts.append(0)
    train.file.seek(keep * train.dtype.itemsize)
    while chunk := train.file.read(COPY_BYTES):
        val.write(np.frombuffer(chunk, train.dtype))
    train.file.truncate(keep * train.dtype.itemsize)
    train.tokens, train.bytes = keep, train.bytes - val.bytes
