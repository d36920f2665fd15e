"""What is known of one corpus under one tokenizer, counted where it has been prepared and estimated where not."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_gpt.config.estimates import vocab_size_of
from tui_gpt.errors import UserError, reason
from tui_gpt.workbench.jobs.task import run_task
from tui_gpt.workbench.jobs.task_process import PREVIEW_CHARACTERS, TaskRequest

if TYPE_CHECKING:
    from tui_gpt.corpora import ShardsInfo, Source

TASK_SECONDS = 20.0


@dataclass(frozen=True)
class CorpusSummary:
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


def read_summary(reference: str, tokenizer: str, val_fraction: float, corpus_dir: Path) -> CorpusSummary:
    """Return what can be known now. Blocking: a folder may be large, or on a network disk.

    Never raises: the summary of a corpus that cannot be read says why in `problem`.
    """
    from tui_gpt.corpora import find_corpus

    vocab = vocab_size_of(tokenizer)
    try:
        source = find_corpus(reference, corpus_dir)
        shards = newest_shards(tokenizer, corpus_dir).get(source.name)
        preview = _preview(source, reference, corpus_dir)
        size, documents = source.size_bytes(), source.count() if source.count_is_cheap() else None
    except Exception as error:  # whatever a file on disk may hold, the screen shows it as this corpus's problem
        text = str(error) if isinstance(error, UserError) else f"{reference}: cannot be read: {_reason(error)}"
        return CorpusSummary(reference, tokenizer, vocab_size=vocab, problem=text)
    if shards is not None:
        return CorpusSummary(
            reference,
            tokenizer,
            source.description,
            shards.train_bytes + shards.val_bytes,
            shards.documents,
            shards.train_tokens,
            shards.val_tokens,
            shards.vocab_size,
            True,
            preview,
        )
    tokens = round(size / bytes_per_token(tokenizer)) if size else None
    train = round(tokens * (1 - val_fraction)) if tokens else None
    val = tokens - train if tokens and train else None
    return CorpusSummary(reference, tokenizer, source.description, size, documents, train, val, vocab, False, preview)


def _reason(error: Exception) -> str:
    return reason(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def bytes_per_token(tokenizer: str) -> float:
    """Return how many bytes of English a token holds, roughly: 2.6 at a vocabulary of 1,024, 4.2 at 50,257."""
    vocab = vocab_size_of(tokenizer)
    if tokenizer in ("char", "byte") or vocab is None:
        return 1.0 if tokenizer in ("char", "byte") else 4.0
    return max(1.0, 2.6 + 0.285 * math.log2(max(vocab, 2) / 1024))


def newest_shards(tokenizer: str, corpus_dir: Path) -> dict[str, ShardsInfo]:
    """Return the newest shards that `tokenizer` made of each corpus, by the corpus's name."""
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


def _preview(source: Source, reference: str, corpus_dir: Path) -> str:
    from tui_gpt.corpora.sources.mixtures import Mixture
    from tui_gpt.corpora.sources.source import Folder, TextFile

    if isinstance(source, Mixture):
        share = PREVIEW_CHARACTERS // len(source.sources)
        return "\n\n".join(_preview(each, each.name, corpus_dir)[:share] for each in source.sources)
    files = source.files() if isinstance(source, Folder) else [source.path] if isinstance(source, TextFile) else []
    if any(".parquet" in file.name for file in files):  # read by a library that this process must not load
        request = TaskRequest(task="preview", reference=reference, corpus_dir=str(corpus_dir))
        return asyncio.run(asyncio.wait_for(run_task(request, str), TASK_SECONDS))
    return "\n\n".join(source.beginning(PREVIEW_CHARACTERS))
