"""Prepare a corpus for training: find it, make its tokenizer, encode, split, and cache the result by content.

The folder's name is a digest of everything that its content depends on, so a corpus is prepared once per tokenizer and
split, and again when its text changes. Shards are written to a temporary folder under a lock and renamed when complete,
so a kill leaves no partial shards, and of two runs that start together one prepares and the other waits. A killed
preparation leaves the tokenizer and the tokens up to the last journal (`encoding.py`), from which the next one resumes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_gpt.corpora.shards.encoding import TOKENS, encode
from tui_gpt.corpora.shards.shard_files import (
    FORMAT,
    CorpusPart,
    Shards,
    ShardsInfo,
    ShardsWriter,
    open_shards,
    tokenizer_digest,
)
from tui_gpt.corpora.shards.splitting import CorpusSplit, assign_splits, document_ends, write_splits
from tui_gpt.corpora.sources.digests import content_key
from tui_gpt.corpora.sources.locks import exclusive_lock
from tui_gpt.corpora.sources.mixtures import Mixture
from tui_gpt.corpora.sources.registry import find_corpus
from tui_gpt.corpora.sources.source import Progress, Source
from tui_gpt.corpora.sources.text_files import cache_dir, file_digest
from tui_gpt.corpora.tokenizers.build import check_tokenizer
from tui_gpt.corpora.tokenizers.tokenizer_cache import cached_tokenizer
from tui_gpt.errors import CorpusError, reason
from tui_gpt.files import sync, write_atomically

if TYPE_CHECKING:
    from tui_gpt.config import DataConfig

MIN_TOKENS = 2  # one input and one target


def prepare(data: DataConfig, corpus_dir: Path, progress: Progress) -> Shards:
    """Return the shards of `data.corpus` under `data.tokenizer`, from the cache or prepared now. Raises CorpusError."""
    source = find_corpus(data.corpus, corpus_dir)
    spec = check_tokenizer(data.tokenizer)
    progress(f"reading {source.name}", None)
    digest = source.digest()
    tokenizer_key = file_digest(Path(spec)) if spec.endswith(".json") else spec
    cache = cache_dir(corpus_dir)
    key = content_key(FORMAT, digest, tokenizer_key, data.val_fraction)
    folder = cache / "shards" / key
    shards = _open_cached(folder)
    if shards is None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            message = "waiting for another process preparing this corpus"
            with exclusive_lock(folder.with_suffix(".lock"), lambda: progress(message, None)):
                shards = _open_cached(folder) or _make(source, digest, spec, data.val_fraction, cache, folder, progress)
        except OSError as error:
            raise CorpusError(
                f"cannot be written: {reason(error)}",
                where=str(cache),
                do="Free some space, or move the cache with GPT_TUI_CACHE",
            ) from None
    shards.info = msgspec.structs.replace(shards.info, name=source.name)  # the same text may have another name
    return shards


def _open_cached(folder: Path) -> Shards | None:
    """Return the shards, None if they are missing or damaged."""
    if not folder.exists():
        return None
    try:
        return open_shards(folder)
    except CorpusError:
        return None


def _make(
    source: Source, digest: str, spec: str, val_fraction: float, cache: Path, folder: Path, progress: Progress
) -> Shards:
    partial, built = folder.with_suffix(".partial"), folder.with_suffix(".built")
    for stale in (built, folder):  # left by a killed process, or damaged
        if stale.exists():
            shutil.rmtree(stale)
    partial.mkdir(exist_ok=True)
    try:
        source.materialize(progress)
        tokenizer = cached_tokenizer(spec, source, digest, cache, progress)
        sources = source.sources if isinstance(source, Mixture) else [source]
        documents = encode(sources, tokenizer, partial, progress)
        changed = CorpusError(f"{source.name} changed while it was read", do="Try again when nothing writes to it")
        if source.digest() != digest:
            raise changed
        built.mkdir()
        with (built / "train.bin").open("wb") as train_file, (built / "val.bin").open("wb") as val_file:
            train, val = ShardsWriter(train_file, tokenizer), ShardsWriter(val_file, tokenizer)
            ends = document_ends(partial / TOKENS, train.dtype, tokenizer.end_of_text)
            if len(ends) != sum(documents):
                raise changed
            splits = assign_splits(ends, documents, val_fraction)
            write_splits(partial / TOKENS, splits, train, val, progress)
            _check_length(source, train, val)
            blocks = {"train.bin": train.finish(), "val.bin": val.finish()}
        info = ShardsInfo(
            version=FORMAT,
            name=source.name,
            digest=digest,
            tokenizer=spec,
            tokenizer_digest=tokenizer_digest(tokenizer),
            vocab_size=tokenizer.vocab_size,
            documents=len(ends),
            train_documents=len(train.starts),
            val_documents=len(val.starts),
            train_tokens=train.tokens,
            val_tokens=val.tokens,
            train_bytes=train.bytes,
            val_bytes=val.bytes,
            dtype="uint16" if train.dtype.itemsize == 2 else "uint32",
            parts=tuple(map(_part, sources, splits)),
            floor_nats=_floor_nats(sources, splits),
            blocks=blocks,
        ).sealed()
        write_atomically(built / "tokenizer.json", tokenizer.to_json())
        write_atomically(built / "meta.json", msgspec.json.encode(info))
        sync(built / "train.bin")
        sync(built / "val.bin")
        built.rename(folder)
        shutil.rmtree(partial)
    except CorpusError:  # an error in the text, so there is nothing to resume
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        if built.exists():
            shutil.rmtree(built, ignore_errors=True)
    return open_shards(folder)


def _check_length(source: Source, train: ShardsWriter, val: ShardsWriter) -> None:
    if min(train.tokens, val.tokens) < MIN_TOKENS:
        raise CorpusError(
            f"{source.name} is too short: its {train.tokens + val.tokens:,} tokens leave {train.tokens:,} for training"
            f" and {val.tokens:,} for validation, and each needs {MIN_TOKENS}",
            do="Use a longer text" + (", or a larger data.val_fraction" if val.tokens < train.tokens else ""),
        )


def _part(source: Source, split: CorpusSplit) -> CorpusPart:
    held_out = int(split.sizes[split.held_out].sum())
    return CorpusPart(name=source.name, train_tokens=int(split.sizes.sum()) - held_out, val_tokens=held_out)


def _floor_nats(sources: Sequence[Source], splits: Sequence[CorpusSplit]) -> float | None:
    """Return -log p of the validation documents, None if it is not known for all of them."""
    floor = 0.0
    for source, split in zip(sources, splits, strict=True):
        nats = source.nats()
        if nats is None:
            return None
        floor += sum(value for value, held_out in zip(nats, split.held_out, strict=True) if held_out)
    return floor
