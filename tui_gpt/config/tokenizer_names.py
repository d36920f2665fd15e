"""The names that `data.tokenizer` may have, checked without loading a tokenizer library."""

from __future__ import annotations

import re

TIKTOKEN_ENCODINGS = ("gpt2", "r50k_base", "p50k_base", "cl100k_base", "o200k_base")
MIN_BPE, MAX_BPE = 257, 1_000_000  # at least the 256 bytes and the end-of-text token
ALLOWED = (
    f"char, byte, bpe:N with N from {MIN_BPE} to {MAX_BPE:,}, {', '.join(TIKTOKEN_ENCODINGS)},"
    " or the path of a tokenizer.json"
)

_BPE = re.compile(r"bpe:([0-9]{1,9})")


def is_tokenizer_name(name: str) -> bool:
    """Return whether `name` has the form of a tokenizer name. A path need only end in .json; it may not exist."""
    if match := _BPE.fullmatch(name):
        return MIN_BPE <= int(match[1]) <= MAX_BPE
    return name in ("char", "byte", *TIKTOKEN_ENCODINGS) or name.endswith(".json")
