"""Documents to tokens: read in one thread, encoded on every core, written in order, and kept when a kill comes.

Threads rather than processes: tiktoken and numpy let go of the interpreter while they work, so threads fill the cores
with one copy of the program in memory and no text carried between processes; reading, cutting and writing take some 2 %
of one core's time. Every `KEEP_CHARACTERS` of text the file of tokens is synced and the journal beside it replaced.
What lies in the file beyond the journal's count never counts: the next start cuts it off, reads over the text that is
done, and goes on.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from tui_gpt.corpora.shards.shard_files import token_dtype
from tui_gpt.corpora.sources.formats import Piece
from tui_gpt.corpora.sources.source import Progress, Source
from tui_gpt.corpora.tokenizers.chunking import Chunk, chunks
from tui_gpt.corpora.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np

KEEP_CHARACTERS = 1 << 26
AHEAD = 8  # chunks for each core: enough to work on while the disk syncs
TOKENS = "tokens"
JOURNAL = "journal.json"


class Journal(msgspec.Struct, frozen=True):
    """How far the text is encoded, safe on the disk."""

    chunks: int = 0
    tokens: int = 0


def encode(sources: Sequence[Source], tokenizer: Tokenizer, folder: Path, progress: Progress) -> list[int]:
    """Write the tokens of all documents to `folder`, an end of text after each; the documents of each source.

    Goes on where a run that was killed had come to.
    """
    file = folder / TOKENS
    dtype = token_dtype(tokenizer.vocab_size)
    done = _done(folder, dtype)
    documents = [0] * len(sources)
    names = " + ".join(source.name for source in sources)
    size = sum(source.size_bytes() for source in sources) or 1

    def read() -> Iterator[Piece]:
        for index, source in enumerate(sources):
            for piece in source.pieces():
                documents[index] += piece.begins
                yield piece

    with file.open("r+b" if file.exists() else "w+b") as out:
        out.truncate(done.tokens * dtype.itemsize)
        out.seek(0, os.SEEK_END)
        tokens, characters, kept, told = done.tokens, 0, 0, -1.0
        for number, (chunk, ids) in enumerate(
            _encoded(chunks(read(), tokenizer.chunk_boundary), tokenizer, done.chunks), 1
        ):
            characters += sum(map(len, chunk.texts))
            if ids is None:
                kept = characters
            else:
                out.write(ids.astype(dtype).data)
                tokens += len(ids)
            if characters - kept >= KEEP_CHARACTERS:
                _keep(folder, out, Journal(number, tokens))
                kept = characters
            fraction = min(1.0, characters / size)
            if fraction >= told + 0.01:
                progress(f"encoding {names}", fraction)
                told = fraction
    return documents


def _encoded(every: Iterator[Chunk], tokenizer: Tokenizer, skip: int) -> Iterator[tuple[Chunk, np.ndarray | None]]:
    """Each chunk with its ids, in order, encoded ahead on every core; None for the first `skip`, which are done."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="encode")
    ahead: deque[tuple[Chunk, Future[np.ndarray]]] = deque()
    try:
        for number, chunk in enumerate(every):
            if number < skip:
                yield chunk, None
                continue
            ahead.append((chunk, pool.submit(tokenizer.encode_joined, chunk.texts, chunk.ends)))
            if len(ahead) > AHEAD * workers:
                first, ids = ahead.popleft()
                yield first, ids.result()
        for chunk, ids in ahead:
            yield chunk, ids.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _done(folder: Path, dtype: np.dtype) -> Journal:
    """The journal that a kill left, if the tokens that it counts are there."""
    try:
        journal = msgspec.json.decode((folder / JOURNAL).read_bytes(), type=Journal)
        whole = (folder / TOKENS).stat().st_size >= journal.tokens * dtype.itemsize
    except (OSError, msgspec.DecodeError):
        return Journal()
    return journal if whole else Journal()


def _keep(folder: Path, out: IO[bytes], journal: Journal) -> None:
    out.flush()
    os.fsync(out.fileno())
    temporary = folder / f".{JOURNAL}"
    temporary.write_bytes(msgspec.json.encode(journal))
    temporary.replace(folder / JOURNAL)
