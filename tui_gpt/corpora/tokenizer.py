"""Text to token ids and back: byte-level BPE encoded by tiktoken, and characters by table.

A tokenizer is what a `tokenizer.json` in Hugging Face's format says, so that anybody's tools open what we save.
tiktoken encodes because it is some times faster; it merges by rank alone, which equals merging by the list of merges
wherever ids are in the order of the merges, as every trained vocabulary's are (checked on reading). Text is only ever
text: `<|endoftext|>` in it becomes the tokens that spell it, never the one that ends a document.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tui_gpt.errors import CorpusError, reason

if TYPE_CHECKING:
    import numpy as np
    import tiktoken

END_OF_TEXT = "<|endoftext|>"
ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>")
GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
PART_CHARACTERS = 1 << 20


class Tokenizer(ABC):
    """Encodes text, decodes ids.

    token_bytes: the raw bytes of each id, b"" for the end of text and other special tokens.
    """

    def __init__(self, json: bytes, token_bytes: list[bytes], end_of_text: int) -> None:
        self._json, self.token_bytes, self.end_of_text = json, token_bytes, end_of_text

    @property
    def vocab_size(self) -> int:
        return len(self.token_bytes)

    @abstractmethod
    def encode_parts(self, text: str) -> Iterator[np.ndarray]:
        """The ids of `text` (int32), some 10⁶ characters at a time: what `encode` gives, in pieces."""

    def encode(self, text: str) -> np.ndarray:
        """The ids of `text`, shape (tokens,), int32; no end of text is added."""
        import numpy as np

        parts = list(self.encode_parts(text))
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The raw bytes of `ids`, which may begin or end within a character."""
        return b"".join([self.token_bytes[token] for token in ids])

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`, with U+FFFD for bytes that are no character."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """Raw bytes of each id, shape (vocab_size,), int32; 0 for the end of text."""
        import numpy as np

        return np.array([len(raw) for raw in self.token_bytes], dtype=np.int32)

    def to_json(self) -> bytes:
        """The `tokenizer.json` that this tokenizer is."""
        return self._json


class ByteLevelBPE(Tokenizer):
    """Any text, from the 256 bytes up: `byte`, `bpe:N` and `gpt2` differ in their merges only."""

    def __init__(self, json: bytes, ranks: dict[bytes, int], special: dict[str, int], end: int, pattern: str) -> None:
        token_bytes = [b""] * (len(ranks) + len(special))
        for raw, token in ranks.items():
            token_bytes[token] = raw
        super().__init__(json, token_bytes, end)
        self.ranks, self.special, self.pattern = ranks, special, pattern

    @cached_property
    def _encoding(self) -> tiktoken.Encoding:
        import tiktoken

        try:
            return tiktoken.Encoding(
                "gpt-tui", pat_str=self.pattern, mergeable_ranks=self.ranks, special_tokens=self.special
            )
        except ValueError as error:
            raise CorpusError(f"the tokenizer's pattern {self.pattern!r} cannot be used: {error}") from None

    def encode_parts(self, text: str) -> Iterator[np.ndarray]:
        import numpy as np

        for part in cut(text) if self.pattern == GPT2_PATTERN else (text,):
            try:
                ids = self._encoding.encode_to_numpy(part, disallowed_special=())
            except UnicodeEncodeError:  # half a surrogate pair, as a shell argument can hold
                whole = part.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                ids = self._encoding.encode_to_numpy(whole, disallowed_special=())
            yield ids.astype(np.int32)


_CUT = re.compile(r"\S(?=[ \n])")


def cut(text: str, size: int = PART_CHARACTERS) -> Iterator[str]:
    """`text` in parts of about `size` characters, cut where GPT-2's pattern begins a new piece whatever is around.

    That is before a blank that follows a visible character: no piece goes on over it, and the pattern only looks
    ahead. So the parts' tokens are the whole's, and memory and progress go by part.
    """
    start = 0
    while start < len(text):
        found = _CUT.search(text, start + size - 1) if len(text) - start > size else None
        end = found.end() if found else len(text)
        yield text[start:end]
        start = end


class Characters(Tokenizer):
    """One token for each character that its corpus holds, and no others."""

    def __init__(self, json: bytes, vocab: dict[str, int], special: dict[str, int], end: int) -> None:
        token_bytes = [b""] * (len(vocab) + len(special))
        for character, token in vocab.items():
            token_bytes[token] = character.encode("utf-8", "surrogatepass")
        super().__init__(json, token_bytes, end)
        self.vocab = vocab

    @cached_property
    def _table(self) -> np.ndarray:
        """The id of each code point, -1 where there is none, as in its last place."""
        import numpy as np

        table = np.full(max(map(ord, self.vocab)) + 2, -1, dtype=np.int32)
        for character, token in self.vocab.items():
            table[ord(character)] = token
        return table

    def encode_parts(self, text: str) -> Iterator[np.ndarray]:
        """Raises CorpusError naming a character that is not in the vocabulary."""
        import numpy as np

        for start in range(0, len(text), PART_CHARACTERS):
            part = text[start : start + PART_CHARACTERS]
            codes = np.frombuffer(part.encode("utf-32-le", "surrogatepass"), dtype="<u4")
            ids = self._table[np.minimum(codes, len(self._table) - 1)]
            if len(ids) and ids.min() < 0:
                character = part[int(ids.argmin())]
                raise CorpusError(
                    f"the character {character!r} (U+{ord(character):04X}) is none of the {len(self.vocab)} that this"
                    " tokenizer knows",
                    do="Leave it out, or train with a tokenizer that takes any text: byte, bpe:N, gpt2",
                )
            yield ids


def bytes_to_unicode() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte, by which vocabularies are written down."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


class _AddedToken(msgspec.Struct):
    id: int
    content: str


class _Model(msgspec.Struct):
    vocab: dict[str, int]
    merges: list[str | tuple[str, str]] = []


class _File(msgspec.Struct):
    model: dict[str, Any]
    added_tokens: list[_AddedToken] = []
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`. Raises CorpusError for one that is missing, damaged, or of another kind."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"cannot be read: {reason(error)}", where=str(path)) from None
    return parse_tokenizer(data, str(path))


def parse_tokenizer(json: bytes, where: str = "tokenizer.json") -> Tokenizer:
    """The tokenizer that `json` (Hugging Face's format) describes. Raises CorpusError naming `where`."""
    try:
        file = msgspec.json.decode(json, type=_File)
        kind = file.model.get("type", "BPE")
        if kind not in ("BPE", "WordLevel"):
            raise CorpusError(
                f"is a {kind} tokenizer", where=where, do="Those read are byte-level BPE and one token a character"
            )
        model = msgspec.convert(file.model, _Model)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorpusError(f"is no tokenizer.json: {error}", where=where) from None
    special = {token.content: token.id for token in file.added_tokens}
    ordinary = {token: id for token, id in model.vocab.items() if token not in special}
    ends = [special[name] for name in ENDS if name in special]
    ids = sorted([*ordinary.values(), *special.values()])
    if not ends:
        raise CorpusError("has no end-of-text token", where=where, do=f"One of {', '.join(ENDS)} is needed")
    if not ordinary or ids != list(range(len(ids))):
        raise CorpusError("has a vocabulary whose ids do not count from 0 without a gap", where=where)
    if kind == "WordLevel":
        if any(len(token) != 1 for token in ordinary):
            raise CorpusError("is a tokenizer of words", where=where, do="Of this kind, one token a character is read")
        return Characters(json, ordinary, special, ends[0])
    return ByteLevelBPE(json, _ranks(ordinary, model, where), special, ends[0], _pattern(file, where))


def _ranks(vocab: dict[str, int], model: _Model, where: str) -> dict[bytes, int]:
    """The vocabulary by raw bytes, if ids say all that the merges do."""
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    try:
        ranks = {bytes([byte_of[character] for character in token]): id for token, id in vocab.items()}
    except KeyError as error:
        raise CorpusError(f"is no byte-level BPE: its vocabulary holds {error}", where=where) from None
    lacking = sum(bytes([byte]) not in ranks for byte in range(256))
    if lacking:
        raise CorpusError(f"is no byte-level BPE: {lacking} of the 256 bytes have no token", where=where)
    merged = ["".join(merge.split(" ") if isinstance(merge, str) else merge) for merge in model.merges]
    order = [vocab.get(token, -1) for token in merged]
    if order != sorted(order) or -1 in order or len({*merged}) + 256 != len(ranks):
        raise CorpusError("has merges that are not in the order of their tokens' ids", where=where)
    return ranks


def _pattern(file: _File, where: str) -> str:
    """The regular expression that splits text into the pieces within which tokens merge."""
    whole: dict[str, Any] = file.pre_tokenizer or {}
    steps: list[dict[str, Any]] = whole.get("pretokenizers", []) if whole.get("type") == "Sequence" else [whole]
    kinds = [step.get("type") for step in steps]
    plain = file.normalizer is None and not any(step.get("add_prefix_space") for step in steps)
    if plain and kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return GPT2_PATTERN
    if plain and kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        split = steps[0]
        pattern = split.get("pattern", {}).get("Regex")
        if pattern and split.get("behavior") == "Isolated" and not split.get("invert"):
            return pattern
    raise CorpusError(
        "prepares its text in a way that is not read here", where=where, do="GPT-2's byte-level kind is, unnormalised"
    )
