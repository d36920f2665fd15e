"""Encode documents to token ids: read in one thread, encode on every core, write in order, resume after a kill.

Threads rather than processes: tiktoken and numpy release the GIL, so threads fill the cores with one copy of the
program in memory and no text copied between processes; reading, chunking and writing take about 2 % of one core. After
every `SYNC_CHARACTERS` of text the token file is synced and the journal beside it replaced. Tokens beyond the journal's
count are truncated at the next start, which skips the text that is done.
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
from tui_gpt.corpora.sources.digests import seal, unseal
from tui_gpt.corpora.sources.formats import Piece
from tui_gpt.corpora.sources.source import Progress, Source
from tui_gpt.corpora.tokenizers.chunking import Chunk, chunks
from tui_gpt.corpora.tokenizers.tokenizer import Tokenizer
from tui_gpt.files import read_file, write_atomically

if TYPE_CHECKING:
    import numpy as np

SYNC_CHARACTERS = 1 << 26
QUEUED_CHUNKS = 8  # per core, enough to work on while the disk syncs
TOKENS = "tokens"
JOURNAL = "journal.json"


class Journal(msgspec.Struct, frozen=True):
    """How much is encoded and safely on disk."""

    chunks: int = 0
    tokens: int = 0


def encode(sources: Sequence[Source], tokenizer: Tokenizer, folder: Path, progress: Progress) -> list[int]:
    """Write the tokens of all documents to `folder`, with an end-of-text token after each document.

    Return the number of documents of each source. A killed run is resumed.
    """
    file = folder / TOKENS
    dtype = token_dtype(tokenizer.vocab_size)
    done = _read_journal(folder, dtype)
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
        tokens, characters, synced, reported = done.tokens, 0, 0, -1.0
        for number, (chunk, ids) in enumerate(
            _encode_chunks(chunks(read(), tokenizer.chunk_boundary), tokenizer, done.chunks), 1
        ):
            characters += sum(map(len, chunk.texts))
            if ids is None:
                synced = characters
            else:
                out.write(ids.astype(dtype).data)
                tokens += len(ids)
            if characters - synced >= SYNC_CHARACTERS:
                _sync(folder, out, Journal(number, tokens))
                synced = characters
            fraction = min(1.0, characters / size)
            if fraction >= reported + 0.01:
                progress(f"encoding {names}", fraction)
                reported = fraction
    return documents


def _encode_chunks(
    every: Iterator[Chunk], tokenizer: Tokenizer, skip: int
) -> Iterator[tuple[Chunk, np.ndarray | None]]:
    """Yield each chunk with its ids, in order, encoded ahead on every core; None for the first `skip` chunks."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="encode")
    queue: deque[tuple[Chunk, Future[np.ndarray]]] = deque()
    try:
        for number, chunk in enumerate(every):
            if number < skip:
                yield chunk, None
                continue
            queue.append((chunk, pool.submit(tokenizer.encode_joined, chunk.texts, chunk.ends)))
            if len(queue) > QUEUED_CHUNKS * workers:
                first, ids = queue.popleft()
                yield first, ids.result()
        for chunk, ids in queue:
            yield chunk, ids.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_journal(folder: Path, dtype: np.dtype) -> Journal:
    """Return the journal of a killed run, an empty one if there is none or the tokens that it counts are missing."""
    try:
        journal = msgspec.json.decode(unseal(read_file(folder / JOURNAL)), type=Journal)
        complete = (folder / TOKENS).stat().st_size >= journal.tokens * dtype.itemsize
    except (OSError, ValueError, RecursionError):
        return Journal()
    return journal if complete else Journal()


def _sync(folder: Path, out: IO[bytes], journal: Journal) -> None:
    out.flush()
    os.fsync(out.fileno())
    write_atomically(folder / JOURNAL, seal(msgspec.json.encode(journal)))
