"""Tokenizers side by side on one corpus: how long its text becomes, and what of each vocabulary it uses.

Bytes per token say how far a context reaches, the vocabulary what the embedding costs, and the entries never used what
of it is wasted. Counted on at most some 16 million characters, taken evenly from the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import msgspec

from tui_gpt.corpora.sources.registry import find_corpus
from tui_gpt.corpora.sources.source import Progress
from tui_gpt.corpora.sources.text_files import cache_dir
from tui_gpt.corpora.tokenizers.build import check_tokenizer
from tui_gpt.corpora.tokenizers.chunking import chunks
from tui_gpt.corpora.tokenizers.tokenizer_cache import cached_tokenizer
from tui_gpt.errors import CorpusError

SAMPLE_CHARACTERS = 1 << 24
TOKENIZERS = ("char", "byte", "bpe:1024", "bpe:4096", "bpe:16384")
EXAMPLES = 5


class TokenizerStats(msgspec.Struct, frozen=True, kw_only=True):
    """One tokenizer on the sample. longest, rarest: of the entries that the sample uses; unused: those it does not."""

    tokenizer: str
    vocab_size: int
    tokens: int
    bytes: int
    bytes_per_token: float
    tokens_per_word: float
    unused: int
    longest: list[str]
    rarest: list[str]


def compare_tokenizers(corpus: str, specs: Sequence[str], corpus_dir: Path, progress: Progress) -> list[TokenizerStats]:
    """Each of `specs` on the corpus, in their order; what is not made yet is made and kept. Raises CorpusError."""
    import numpy as np

    specs = [check_tokenizer(spec) for spec in specs]
    source = find_corpus(corpus, corpus_dir)
    source.materialize(progress)
    digest = source.digest()
    every = (text for chunk in chunks(source.pieces(), "words") for text in chunk.texts)
    texts = list(islice(every, 0, None, 1 + source.size_bytes() // SAMPLE_CHARACTERS))
    text_bytes = sum(len(text.encode()) for text in texts)
    words = sum(len(text.split()) for text in texts)
    if not words:
        raise CorpusError("holds no words", where=source.name)
    found = []
    for spec in specs:
        tokenizer = cached_tokenizer(spec, source, digest, cache_dir(corpus_dir), progress)
        progress(f"encoding with {spec}", None)
        counts = np.zeros(tokenizer.vocab_size, np.int64)
        for text in texts:
            counts += np.bincount(tokenizer.encode(text), minlength=tokenizer.vocab_size)
        used = np.flatnonzero(counts)
        longest = used[np.argsort(-tokenizer.byte_lengths[used], kind="stable")]
        rarest = used[np.argsort(counts[used], kind="stable")]
        tokens = int(counts.sum())
        found.append(
            TokenizerStats(
                tokenizer=spec,
                vocab_size=tokenizer.vocab_size,
                tokens=tokens,
                bytes=text_bytes,
                bytes_per_token=text_bytes / tokens,
                tokens_per_word=tokens / words,
                unused=tokenizer.vocab_size - 1 - len(used),  # the end of text is not of the text
                longest=[tokenizer.decode([token]) for token in longest[:EXAMPLES].tolist()],
                rarest=[tokenizer.decode([token]) for token in rarest[:EXAMPLES].tolist()],
            )
        )
    return found
