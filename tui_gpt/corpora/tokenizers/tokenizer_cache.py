"""Tokenizers kept in the corpus cache, so that each is trained or downloaded once.

A tokenizer trained on a corpus is stored under a digest of its name and the corpus; tiktoken's encodings under their
own names, because tiktoken's own cache in /tmp does not survive a restart.
"""

from __future__ import annotations

from pathlib import Path

import xxhash

from tui_gpt.corpora.sources.digests import content_key
from tui_gpt.corpora.sources.source import Progress, Source
from tui_gpt.corpora.tokenizers.build import TRAINED_ON_TEXT, make_tokenizer
from tui_gpt.corpora.tokenizers.chunking import chunks
from tui_gpt.corpora.tokenizers.tokenizer import Tokenizer, load_tokenizer
from tui_gpt.errors import CorpusError
from tui_gpt.files import read_file, write_atomically

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
        if (cached := _load(path)) is not None:
            return cached
        progress(f"the stored tokenizer {spec} is damaged: making it again", None)
    texts = (text for chunk in chunks(source.pieces(), "words", SAMPLE_CHARACTERS) for text in chunk.texts)
    tokenizer = make_tokenizer(spec, texts, progress, source.size_bytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    digest_file = _digest_file(path)
    digest_file.unlink(missing_ok=True)  # first: a kill in between leaves a tokenizer that is parsed, but not compared
    write_atomically(path, tokenizer.to_json())
    write_atomically(digest_file, xxhash.xxh3_128_hexdigest(tokenizer.to_json()).encode())
    return tokenizer


def _load(path: Path) -> Tokenizer | None:
    """Return the tokenizer, None if it is damaged."""
    try:
        tokenizer = load_tokenizer(path)
        expected = read_file(_digest_file(path)).decode("ascii", "replace")
    except FileNotFoundError:
        return tokenizer  # stored by an earlier version
    except (CorpusError, OSError):
        return None
    return tokenizer if expected == xxhash.xxh3_128_hexdigest(tokenizer.to_json()) else None


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".xxh3")
