"""Text to token ids and back: byte-level BPE encoded by tiktoken, and characters by table.

A tokenizer is what a `tokenizer.json` in Hugging Face's format says, so that anybody's tools open what we save.
tiktoken encodes because it is some times faster; it merges by rank alone, which equals merging by the list of merges
wherever ids are in the order of the merges, as every trained vocabulary's are (checked on reading). Text is only ever
text: `<|endoftext|>` in it becomes the tokens that spell it, never the one that ends a document.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tui_gpt.corpora.tokenizers.chunking import ChunkBoundary, boundary_for_pattern
from tui_gpt.errors import CorpusError, reason

if TYPE_CHECKING:
    import numpy as np
    import tiktoken

END_OF_TEXT = "<|endoftext|>"
ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>")
GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""


class Tokenizer(ABC):
    """Encodes text, decodes ids.

    token_bytes: the raw bytes of each id, b"" for the end of text and other special tokens.
    """

    def __init__(self, json: bytes, token_bytes: list[bytes], end_of_text: int) -> None:
        self._json, self.token_bytes, self.end_of_text = json, token_bytes, end_of_text

    @property
    def vocab_size(self) -> int:
        return len(self.token_bytes)

    @property
    @abstractmethod
    def chunk_boundary(self) -> ChunkBoundary:
        """Where a document may be cut and its parts still have the tokens of the whole."""

    @abstractmethod
    def encode_joined(self, texts: list[str], ends: bool) -> np.ndarray:
        """The ids of `texts` with an end of text between each two, and after the last if it `ends`, int32."""

    def encode(self, text: str) -> np.ndarray:
        """The ids of `text`, shape (tokens,), int32; no end of text is added."""
        return self.encode_joined([text], False)

    def _with_ends(self, ids: np.ndarray, lengths: list[int], ends: bool) -> np.ndarray:
        """`ids` of texts of these lengths with the ends of text put in."""
        import numpy as np

        return np.insert(ids, np.cumsum(lengths[: len(lengths) if ends else -1], dtype=np.int64), self.end_of_text)

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
        self._of_thread = threading.local()

    @property
    def _encoding(self) -> tiktoken.Encoding:
        """One for each thread: its regular expressions have a fast path for the thread that used them first, and any
        other takes a quarter more time. Each takes 7 MiB at GPT-2's size.
        """
        import tiktoken

        if not hasattr(self._of_thread, "encoding"):
            try:
                self._of_thread.encoding = tiktoken.Encoding(
                    "gpt-tui", pat_str=self.pattern, mergeable_ranks=self.ranks, special_tokens=self.special
                )
            except ValueError as error:
                raise CorpusError(f"the tokenizer's pattern {self.pattern!r} cannot be used: {error}") from None
        return self._of_thread.encoding

    @property
    def chunk_boundary(self) -> ChunkBoundary:
        return "anywhere" if self._of_byte is not None else boundary_for_pattern(self.pattern)

    @cached_property
    def _of_byte(self) -> np.ndarray | None:
        """The id of each byte where nothing merges, else None."""
        import numpy as np

        if len(self.ranks) > 256:
            return None
        return np.array([self.ranks[bytes([byte])] for byte in range(256)], dtype=np.int32)

    def encode_joined(self, texts: list[str], ends: bool) -> np.ndarray:
        import numpy as np

        if self._of_byte is not None:
            raw = [_utf8(text) for text in texts]
            ids = self._of_byte[np.frombuffer(b"".join(raw), np.uint8)]
            return self._with_ends(ids, list(map(len, raw)), ends)
        end = self._end_written
        if any(end in text for text in texts):  # where it is only text
            parts = [self._encoded(text, set()) for text in texts]
            return self._with_ends(np.concatenate(parts), list(map(len, parts)), ends)
        return self._encoded(end.join(texts) + end * ends, {end})

    @cached_property
    def _end_written(self) -> str:
        return next(name for name, token in self.special.items() if token == self.end_of_text)

    def _encoded(self, text: str, allowed: set[str]) -> np.ndarray:
        import numpy as np

        try:
            ids = self._encoding.encode_to_numpy(text, allowed_special=allowed, disallowed_special=())
        except UnicodeEncodeError:
            repaired = _utf8(text).decode()
            ids = self._encoding.encode_to_numpy(repaired, allowed_special=allowed, disallowed_special=())
        return ids.view(np.int32)


def _utf8(text: str) -> bytes:
    """`text` in UTF-8, with U+FFFD for halves of a surrogate pair, as a shell argument can hold."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class CharTokenizer(Tokenizer):
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

    @property
    def chunk_boundary(self) -> ChunkBoundary:
        return "anywhere"

    def encode_joined(self, texts: list[str], ends: bool) -> np.ndarray:
        """Raises CorpusError naming a character that is not in the vocabulary."""
        import numpy as np

        text = "".join(texts)
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        ids = self._table[np.minimum(codes, len(self._table) - 1)]
        if len(ids) and ids.min() < 0:
            character = text[int(ids.argmin())]
            raise CorpusError(
                f"the character {character!r} (U+{ord(character):04X}) is none of the {len(self.vocab)} that this"
                " tokenizer knows",
                do="Leave it out, or train with a tokenizer that takes any text: byte, bpe:N, gpt2",
            )
        return self._with_ends(ids, list(map(len, texts)), ends)


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
        return CharTokenizer(json, ordinary, special, ends[0])
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
