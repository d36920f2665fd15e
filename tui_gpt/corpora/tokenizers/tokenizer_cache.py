"""Tokenizers kept in the corpus cache, so that each is trained or downloaded once.

A tokenizer trained on a corpus is stored under a digest of its name and the corpus; tiktoken's encodings under their
own names, because tiktoken's own cache in /tmp does not survive a restart.
"""

from __future__ import annotations

import os
from pathlib import Path

from tui_gpt.corpora.sources.digests import content_key
from tui_gpt.corpora.sources.source import Progress, Source
from tui_gpt.corpora.tokenizers.build import TRAINED_ON_TEXT, make_tokenizer
from tui_gpt.corpora.tokenizers.chunking import chunks
from tui_gpt.corpora.tokenizers.tokenizer import Tokenizer, load_tokenizer

SAMPLE_CHARACTERS = 1 << 16  # per text handed to the BPE trainer, which collects about a hundred of them


def cached_tokenizer(spec: str, source: Source, digest: str, cache: Path, progress: Progress) -> Tokenizer:
    """Return the tokenizer that `spec` names, from `cache` if it is there, else built and stored there.

    digest: of the content of `source`. Raises CorpusError.
    """
    if spec == "byte" or spec.endswith(".json"):
        return make_tokenizer(spec, (), progress)
    name = content_key(spec, digest) if TRAINED_ON_TEXT.match(spec) else spec
    path = cache / "tokenizers" / f"{name}.json"
    if path.exists():
        return load_tokenizer(path)
    texts = (text for chunk in chunks(source.pieces(), "words", SAMPLE_CHARACTERS) for text in chunk.texts)
    tokenizer = make_tokenizer(spec, texts, progress, source.size_bytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(tokenizer.to_json())
    temporary.replace(path)
    return tokenizer
