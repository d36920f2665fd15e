"""Text to shards: find the corpus, make its tokenizer, encode, split, and keep the result by content.

The folder's name is a digest of all that its content depends on, so a corpus is prepared once for each tokenizer and
split, and text that changed is prepared anew. It is written beside its place under a lock and renamed when whole: a
kill leaves nothing that could be taken for shards, and of two runs that start together one prepares and one waits.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import xxhash

from tui_gpt.corpora.encoding import encode
from tui_gpt.corpora.files import cache_dir, file_digest
from tui_gpt.corpora.registry import find_corpus
from tui_gpt.corpora.shards import FORMAT, Shards, ShardsInfo, open_shards
from tui_gpt.corpora.sources import Progress, Source
from tui_gpt.corpora.tokenizer import Tokenizer, load_tokenizer
from tui_gpt.corpora.tokenizer_making import check_tokenizer, make_tokenizer
from tui_gpt.errors import CorpusError, reason

if TYPE_CHECKING:
    from tui_gpt.config import DataConfig


def prepare(data: DataConfig, corpus_dir: Path, progress: Progress) -> Shards:
    """The shards of `data.corpus` under `data.tokenizer`, from the cache or made now. Raises CorpusError."""
    source = find_corpus(data.corpus, corpus_dir)
    spec = check_tokenizer(data.tokenizer)
    progress(f"reading {source.name}", None)
    digest = source.digest()
    tokenizer_key = file_digest(Path(spec)) if spec.endswith(".json") else spec
    cache = cache_dir(corpus_dir)
    key = xxhash.xxh3_128_hexdigest(msgspec.json.encode([FORMAT, digest, tokenizer_key, data.val_fraction]))
    folder = cache / "shards" / key
    shards = _opened(folder)
    if shards is None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _alone(folder.with_suffix(".lock"), progress):
                shards = _opened(folder) or _make(source, digest, spec, data.val_fraction, cache, folder, progress)
        except OSError as error:
            raise CorpusError(
                f"cannot be written: {reason(error)}",
                where=str(cache),
                do="Free some space, or move the cache with GPT_TUI_CACHE",
            ) from None
    shards.info = msgspec.structs.replace(shards.info, name=source.name)  # another name may have had the same text
    return shards


def _opened(folder: Path) -> Shards | None:
    """The shards if they are there and whole: what is damaged is made anew."""
    if not folder.exists():
        return None
    try:
        return open_shards(folder)
    except CorpusError:
        return None


@contextmanager
def _alone(lock: Path, progress: Progress) -> Iterator[None]:
    """Holds `lock` while no other process does."""
    with lock.open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress("waiting for another process that prepares this corpus", None)
                time.sleep(0.1)
        yield


def _make(
    source: Source, digest: str, spec: str, val_fraction: float, cache: Path, folder: Path, progress: Progress
) -> Shards:
    partial = folder.with_suffix(".partial")
    for left_over in (partial, folder):  # of a kill, and damaged
        if left_over.exists():
            shutil.rmtree(left_over)
    partial.mkdir()
    try:
        source.make(progress)
        tokenizer = _tokenizer(spec, source, cache, progress)
        counts = encode(source, tokenizer, val_fraction, partial, progress)
        if source.digest() != digest:
            raise CorpusError(f"{source.name} changed while it was read", do="Start again when it is at rest")
        info = ShardsInfo(
            version=FORMAT,
            name=source.name,
            digest=digest,
            tokenizer=spec,
            tokenizer_digest=xxhash.xxh3_128_hexdigest(tokenizer.to_json()),
            vocab_size=tokenizer.vocab_size,
            **counts._asdict(),
        )
        (partial / "tokenizer.json").write_bytes(tokenizer.to_json())
        (partial / "meta.json").write_bytes(msgspec.json.encode(info))
        for file in partial.iterdir():
            _sync(file)
        partial.rename(folder)
    finally:
        if partial.exists():
            shutil.rmtree(partial, ignore_errors=True)
    return open_shards(folder)


def _tokenizer(spec: str, source: Source, cache: Path, progress: Progress) -> Tokenizer:
    """The tokenizer for `spec`; GPT-2's is kept, since tiktoken's copy in /tmp is gone after a restart."""
    kept = cache / "tokenizers" / "gpt2.json"
    if spec == "gpt2" and kept.exists():
        return load_tokenizer(kept)
    tokenizer = make_tokenizer(spec, source.documents(), progress)
    if spec == "gpt2":
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_name(f".{kept.name}.{os.getpid()}")
        temporary.write_bytes(tokenizer.to_json())
        temporary.replace(kept)
    return tokenizer


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
