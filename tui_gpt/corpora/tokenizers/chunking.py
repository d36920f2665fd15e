"""Split documents into chunks of about 10⁵ characters, only where a split cannot change a token.

A book is one document, and so is a 50 GB dump in one file: encoded in chunks it fits into any memory, keeps every core
busy and has a progress. Byte-level BPE merges within the pieces that its regular expression matches, so a document may
be split wherever every pattern of that family ends a piece whatever the context: before a space that follows a visible
character, and before a line end or punctuation that follows a letter or digit. No piece spans such a place, and the
patterns look ahead only from a blank. Documents are not split for patterns of any other family.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from tui_gpt.errors import CorpusError

if TYPE_CHECKING:
    from tui_gpt.corpora.sources.formats import Piece

ChunkBoundary = Literal["anywhere", "words", "never"]
"""Where documents may be split for a tokenizer: between any two characters, between words, or not at all."""

CHUNK_CHARACTERS = 1 << 18
LONGEST_WORD = 1 << 24

_BOUNDARY = re.compile(r"\S(?= )|[A-Za-z0-9\u4e00-\u9fa5](?=[\n.,;:!?。，、；：！？])")
_POSSESSIVE = re.compile(r"(?<=[+*?])\+|(?<=[0-9]\})\+")
_END = re.compile(r"\$(?=\||$)")
_CONTRACTIONS = re.compile(r"(?:\(\?i?:|[()\[\]|'a-z])+")
_CAPITALS, _SMALLS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_PIECES = {
    *(r" ?\p{L}+", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", r"\s+\z", r"\s+(?!\S)", r"\s+", r"\s"),  # GPT-2
    *(r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{N}{1,3}", r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n]*"),  # cl100k, Llama, Qwen
    *(r"\s*[\r\n]", r"\s*[\r\n]+", r" ?[^\s\p{L}\p{N}]+[\r\n/]*"),
    *(rf"[^\r\n\p{{L}}\p{{N}}]?{_CAPITALS}{more}{_ENDINGS}" for more in (f"*{_SMALLS}+", f"+{_SMALLS}*")),  # o200k
}


class Chunk(NamedTuple):
    """Texts with an end-of-text token between them, and one after the last text if `ends`."""

    texts: list[str]
    ends: bool


def portable_pattern(pattern: str) -> str:
    r"""Return the pattern without possessive quantifiers and with `\z` for `$`.

    OpenAI's patterns use possessive quantifiers only for speed. The engine of the `tokenizers` library reads them and
    `$` differently; the tokens are the same without them.
    """
    return _END.sub(r"\\z", _POSSESSIVE.sub("", pattern))


def boundary_for_pattern(pattern: str) -> ChunkBoundary:
    """Return where documents may be split for a byte-level BPE with this pattern."""
    alternatives = _alternatives(portable_pattern(pattern))
    safe = all(one in _PIECES or _CONTRACTIONS.fullmatch(one) for one in alternatives)
    return "words" if safe else "never"


def _alternatives(pattern: str) -> list[str]:
    """Return the alternatives of a pattern: the parts between the bars that are in no bracket."""
    found, depth, start = [], 0, 0
    for index, character in enumerate(pattern):
        depth += (character in "([") - (character in ")]")
        if character == "|" and not depth:
            found.append(pattern[start:index])
            start = index + 1
    return [*found, pattern[start:]]


def find_boundary(text: str, after: int, boundary: ChunkBoundary) -> int | None:
    """Return the first offset of at least `after` (1 or more) where `text` may be split, None if there is none yet.

    The answer does not change when more text is appended.
    """
    if boundary == "never" or after >= len(text):
        return None
    if boundary == "anywhere":
        return after
    found = _BOUNDARY.search(text, after - 1)
    return found.end() if found else None


def chunks(pieces: Iterable[Piece], boundary: ChunkBoundary, size: int = CHUNK_CHARACTERS) -> Iterator[Chunk]:
    """Yield the documents in chunks of about `size` characters. The chunks do not depend on how the text is cut into
    pieces.

    Raises CorpusError for text without a boundary for 16 million characters.
    """
    texts: list[str] = []
    room, text, open, searched = size, "", False, 0
    for piece in pieces:
        if piece.begins and open:
            texts.append(text)
            room, text, searched = room - len(text), "", 0
            if room <= 0:
                yield Chunk(texts, True)
                texts, room = [], size
        open = True
        text += piece.text
        while (place := find_boundary(text, max(room, searched, 1), boundary)) is not None:
            yield Chunk([*texts, text[:place]], False)
            texts, room, text, searched = [], size, text[place:], 0
        searched = max(room, len(text) - 1)
        if boundary == "words" and len(text) - room > LONGEST_WORD:
            raise CorpusError(
                f"not text: {LONGEST_WORD:,} characters without a blank or punctuation", where=piece.origin
            )
    if open:
        yield Chunk([*texts, text], True)
