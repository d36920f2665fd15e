"""Compare tokenizers on one corpus: the length of its text in tokens, and how much of each vocabulary it uses.

Bytes per token tell how much text a context holds, the vocabulary size what the embedding costs, and the unused entries
how much of it is wasted. Counted on at most 16 million characters, sampled evenly.
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
    """Statistics of one tokenizer on the sample.

    longest, rarest: examples among the entries that occur in the sample. unused: the number of entries that do not.
    """

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
    """Return the statistics of each tokenizer in `specs` on a corpus. Missing tokenizers are trained and cached.

    Raises CorpusError.
    """
    import numpy as np

    specs = [check_tokenizer(spec) for spec in specs]
    source = find_corpus(corpus, corpus_dir)
    source.materialize(progress)
    digest = source.digest()
    all_texts = (text for chunk in chunks(source.pieces(), "words") for text in chunk.texts)
    texts = list(islice(all_texts, 0, None, 1 + source.size_bytes() // SAMPLE_CHARACTERS))
    text_bytes = sum(len(text.encode()) for text in texts)
    words = sum(len(text.split()) for text in texts)
    if not words:
        raise CorpusError("no words in this corpus", where=source.name)
    stats = []
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
        stats.append(
            TokenizerStats(
                tokenizer=spec,
                vocab_size=tokenizer.vocab_size,
                tokens=tokens,
                bytes=text_bytes,
                bytes_per_token=text_bytes / tokens,
                tokens_per_word=tokens / words,
                unused=tokenizer.vocab_size - 1 - len(used),  # without the end-of-text token
                longest=[tokenizer.decode([token]) for token in longest[:EXAMPLES].tolist()],
                rarest=[tokenizer.decode([token]) for token in rarest[:EXAMPLES].tolist()],
            )
        )
    return stats
