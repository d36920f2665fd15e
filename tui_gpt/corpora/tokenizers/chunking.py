"""Documents in chunks of some 10⁵ characters, cut only where the cut cannot change a token.

A book is one document, and so is a dump of 50 GB in one file: encoded in chunks it fits into any memory, keeps every
core busy and tells its progress. Byte-level BPE merges within the pieces that its pattern finds, so a document may be
cut wherever every pattern of that family ends one piece and begins another whatever stands around: before a space that
follows a visible character, and before a line end or a stop that follows a letter or digit. No piece goes on over such
a place, and the patterns look ahead only from a blank. A pattern of another family leaves its documents whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from tui_gpt.errors import CorpusError

if TYPE_CHECKING:
    from tui_gpt.corpora.sources.formats import Piece

ChunkBoundary = Literal["anywhere", "words", "never"]
"""Where a tokenizer's documents may be cut: between any two characters, between words, or not at all."""

CHUNK_CHARACTERS = 1 << 18
LONGEST_WORD = 1 << 24

_PLACE = re.compile(r"\S(?= )|[A-Za-z0-9\u4e00-\u9fa5](?=[\n.,;:!?。，、；：！？])")
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
    """Texts with an end of text between each two, and after the last if it `ends` there."""

    texts: list[str]
    ends: bool


def portable_pattern(pattern: str) -> str:
    """The same pattern without possessive quantifiers, and its `$` as `\\z`: OpenAI's patterns gain speed by them, and
    the engine of the `tokenizers` library, for which they mean something else, nothing but other tokens.
    """
    return _END.sub(r"\\z", _POSSESSIVE.sub("", pattern))


def boundary_for_pattern(pattern: str) -> ChunkBoundary:
    """Where the documents of a byte-level BPE with this pattern may be cut."""
    alternatives = _alternatives(portable_pattern(pattern))
    safe = all(one in _PIECES or _CONTRACTIONS.fullmatch(one) for one in alternatives)
    return "words" if safe else "never"


def _alternatives(pattern: str) -> list[str]:
    """What stands between the bars that no bracket encloses."""
    found, depth, start = [], 0, 0
    for index, character in enumerate(pattern):
        depth += (character in "([") - (character in ")]")
        if character == "|" and not depth:
            found.append(pattern[start:index])
            start = index + 1
    return [*found, pattern[start:]]


def find_boundary(text: str, after: int, boundary: ChunkBoundary) -> int | None:
    """The first offset of at least `after` (1 or more) and within the text where it may be cut, None if there is none
    yet: more text after it does not change an answer.
    """
    if boundary == "never" or after >= len(text):
        return None
    if boundary == "anywhere":
        return after
    found = _PLACE.search(text, after - 1)
    return found.end() if found else None


def chunks(pieces: Iterable[Piece], boundary: ChunkBoundary, size: int = CHUNK_CHARACTERS) -> Iterator[Chunk]:
    """The documents in chunks of about `size` characters, the same ones however their text comes in pieces.

    Raises CorpusError for text without a place to cut for 16 million characters.
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
                f"{LONGEST_WORD:,} characters without a blank or a stop, which no text has", where=piece.origin
            )
    if open:
        yield Chunk([*texts, text], True)
