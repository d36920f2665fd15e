"""What can be said of the chosen corpus without preparing it, and what preparation found where it has been done.

Read in a thread: a folder on a network disk may hold many files. For a text not prepared yet the tokens are estimated
from its bytes, and marked as an estimate (`~`) wherever they are shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_gpt.config.estimates import vocab_size_of
from tui_gpt.errors import UserError

if TYPE_CHECKING:
    from tui_gpt.corpora import ShardsInfo, Source

PREVIEW_CHARACTERS = 4000


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
        prepared = _prepared(source.name, tokenizer, corpus_dir)
        preview = _preview(source)
        size, documents = source.size_bytes(), source.count() if source.counts_at_once() else None
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


def _preview(source: Source) -> str:
    from tui_gpt.corpora.sources import Stories

    if isinstance(source, Stories):  # which need not be made for this
        from tui_gpt.corpora.stories import write_stories

        return "\n\n".join(story.text for story in islice(write_stories(0.01, source.seed), 8))
    parts: list[str] = []
    characters = 0
    for piece in source.pieces():
        parts.append(piece.text if not parts or not piece.begins else f"\n\n{piece.text}")
        characters += len(parts[-1])
        if characters >= PREVIEW_CHARACTERS:
            break
    return "".join(parts)[:PREVIEW_CHARACTERS]


def _prepared(name: str, tokenizer: str, corpus_dir: Path) -> ShardsInfo | None:
    """What the newest shards of this corpus and tokenizer say of themselves."""
    from tui_gpt.corpora import ShardsInfo, cache_dir

    metas = sorted(
        (cache_dir(corpus_dir) / "shards").glob("*/meta.json"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for meta in metas:
        try:
            info = msgspec.json.decode(meta.read_bytes(), type=ShardsInfo)
        except (OSError, msgspec.DecodeError):
            continue
        if info.name == name and info.tokenizer == tokenizer:
            return info
    return None
