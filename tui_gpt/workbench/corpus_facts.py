"""What can be said of the chosen corpus without preparing it, and what preparation found where it has been done.

Read in a thread: a folder on a network disk may hold many files. For a text not prepared yet the tokens are estimated
from its bytes, and marked as an estimate (`~`) wherever they are shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_gpt.config.estimates import vocab_size_of
from tui_gpt.errors import UserError
from tui_gpt.workbench.chore_process import PREVIEW_CHARACTERS, Work

if TYPE_CHECKING:
    from tui_gpt.corpora import ShardsInfo, Source


@dataclass(frozen=True)
class CorpusFacts:
    """One corpus under one tokenizer. `prepared`: counts are exact; otherwise tokens are estimated, None if unknown."""

    reference: str
    tokenizer: str
    description: str = ""
    size_bytes: int | None = None
    documents: int | None = None
    train_tokens: int | None = None
    val_tokens: int | None = None
    vocab_size: int | None = None
    prepared: bool = False
    preview: str = ""
    problem: str = ""


def read_facts(reference: str, tokenizer: str, val_fraction: float, corpus_dir: Path) -> CorpusFacts:
    """Everything there is to know now. Blocking; a corpus that cannot be had becomes the facts' problem."""
    from tui_gpt.corpora import find_corpus

    vocab = vocab_size_of(tokenizer)
    try:
        source = find_corpus(reference, corpus_dir)
        prepared = newest_shards(tokenizer, corpus_dir).get(source.name)
        preview = _preview(source, reference, corpus_dir)
        size, documents = source.size_bytes(), source.count() if source.count_is_cheap() else None
    except UserError as error:
        return CorpusFacts(reference, tokenizer, vocab_size=vocab, problem=str(error))
    if prepared is not None:
        return CorpusFacts(
            reference,
            tokenizer,
            source.description,
            prepared.train_bytes + prepared.val_bytes,
            prepared.documents,
            prepared.train_tokens,
            prepared.val_tokens,
            prepared.vocab_size,
            True,
            preview,
        )
    tokens = round(size / bytes_per_token(tokenizer)) if size else None
    train = round(tokens * (1 - val_fraction)) if tokens else None
    val = tokens - train if tokens and train else None
    return CorpusFacts(reference, tokenizer, source.description, size, documents, train, val, vocab, False, preview)


def bytes_per_token(tokenizer: str) -> float:
    """A rule of thumb on English: 2.6 bytes at 1,024 entries, 4.2 at 50,257; within a quarter on most texts."""
    vocab = vocab_size_of(tokenizer)
    if tokenizer in ("char", "byte") or vocab is None:
        return 1.0 if tokenizer in ("char", "byte") else 4.0
    return max(1.0, 2.6 + 0.285 * math.log2(max(vocab, 2) / 1024))


def _preview(source: Source, reference: str, corpus_dir: Path) -> str:
    from tui_gpt.corpora.sources.mixtures import Mixture
    from tui_gpt.corpora.sources.source import Folder, TextFile

    if isinstance(source, Mixture):
        share = PREVIEW_CHARACTERS // len(source.sources)
        return "\n\n".join(_preview(each, each.name, corpus_dir)[:share] for each in source.sources)
    files = source.files() if isinstance(source, Folder) else [source.path] if isinstance(source, TextFile) else []
    if any(".parquet" in file.name for file in files):
        return _preview_from_child(reference, corpus_dir)
    return "\n\n".join(source.beginning(PREVIEW_CHARACTERS))


def _preview_from_child(reference: str, corpus_dir: Path) -> str:
    """Of what may be read by a library that this process must not load."""
    from tui_gpt.workbench.chores import ask_now

    return ask_now(Work(task="preview", reference=reference, corpus_dir=str(corpus_dir)), str)


def newest_shards(tokenizer: str, corpus_dir: Path) -> dict[str, ShardsInfo]:
    """What the newest shards that `tokenizer` made of each corpus say of themselves, by the corpus's name."""
    from tui_gpt.corpora import ShardsInfo, cache_dir

    found: dict[str, tuple[float, ShardsInfo]] = {}
    for meta in (cache_dir(corpus_dir) / "shards").glob("*/meta.json"):
        try:
            made, info = meta.stat().st_mtime, msgspec.json.decode(meta.read_bytes(), type=ShardsInfo)
        except (OSError, msgspec.DecodeError):
            continue
        if info.tokenizer == tokenizer and made >= found.get(info.name, (0.0, info))[0]:
            found[info.name] = made, info
    return {name: info for name, (_, info) in found.items()}
