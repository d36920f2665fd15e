"""Encode text to token ids and decode them: byte-level BPE by tiktoken, characters by a lookup table.

A tokenizer is defined by a `tokenizer.json` in Hugging Face's format, which other tools can read. tiktoken encodes
because it is several times faster. It merges by rank alone, which equals merging by the list of merges if ids are in
the order of the merges, as in every trained vocabulary (checked when a file is read). Special tokens are never parsed
from text: `<|endoftext|>` in a text becomes the tokens that spell it.
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
    """Encodes text and decodes ids.

    token_bytes: the raw bytes of each id, b"" for special tokens.
    """

    def __init__(self, json: bytes, token_bytes: list[bytes], end_of_text: int) -> None:
        self._json, self.token_bytes, self.end_of_text = json, token_bytes, end_of_text

    @property
    def vocab_size(self) -> int:
        return len(self.token_bytes)

    @property
    @abstractmethod
    def chunk_boundary(self) -> ChunkBoundary:
        """Where a document may be split so that its parts have the tokens of the whole."""

    @abstractmethod
    def encode_joined(self, texts: list[str], ends: bool) -> np.ndarray:
        """Return the ids of `texts` with an end-of-text token between them, and after the last one if `ends`, int32."""

    def encode(self, text: str) -> np.ndarray:
        """Return the ids of `text`, shape (tokens,), int32, without an end-of-text token."""
        return self.encode_joined([text], False)

    def _with_ends(self, ids: np.ndarray, lengths: list[int], ends: bool) -> np.ndarray:
        """Insert end-of-text tokens into the ids of texts of the given lengths."""
        import numpy as np

        return np.insert(ids, np.cumsum(lengths[: len(lengths) if ends else -1], dtype=np.int64), self.end_of_text)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the raw bytes of `ids`, which may begin or end within a character."""
        return b"".join([self.token_bytes[token] for token in ids])

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, with U+FFFD for invalid UTF-8."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """Number of raw bytes of each id, shape (vocab_size,), int32; 0 for special tokens."""
        import numpy as np

        return np.array([len(raw) for raw in self.token_bytes], dtype=np.int32)

    def to_json(self) -> bytes:
        """Return the tokenizer.json."""
        return self._json


class ByteLevelBPE(Tokenizer):
    """Byte-level BPE over any text: `byte`, `bpe:N` and `gpt2` differ only in their merges."""

    def __init__(self, json: bytes, ranks: dict[bytes, int], special: dict[str, int], end: int, pattern: str) -> None:
        token_bytes = [b""] * (len(ranks) + len(special))
        for raw, token in ranks.items():
            token_bytes[token] = raw
        super().__init__(json, token_bytes, end)
        self.ranks, self.special, self.pattern = ranks, special, pattern
        self._of_thread = threading.local()

    @property
    def _encoding(self) -> tiktoken.Encoding:
        """The tiktoken encoding of this thread.

        Its regular expressions have a fast path for the first thread that uses them; other threads need a quarter more
        time. Each encoding takes 7 MiB at GPT-2's size.
        """
        import tiktoken

        if not hasattr(self._of_thread, "encoding"):
            try:
                self._of_thread.encoding = tiktoken.Encoding(
                    "gpt-tui", pat_str=self.pattern, mergeable_ranks=self.ranks, special_tokens=self.special
                )
            except ValueError as error:
                raise CorpusError(f"invalid tokenizer pattern {self.pattern!r}: {error}") from None
        return self._of_thread.encoding

    @property
    def chunk_boundary(self) -> ChunkBoundary:
        return "anywhere" if self._byte_ids is not None else boundary_for_pattern(self.pattern)

    @cached_property
    def _byte_ids(self) -> np.ndarray | None:
        """The id of each byte if the vocabulary has no merges, else None."""
        import numpy as np

        if len(self.ranks) > 256:
            return None
        return np.array([self.ranks[bytes([byte])] for byte in range(256)], dtype=np.int32)

    def encode_joined(self, texts: list[str], ends: bool) -> np.ndarray:
        import numpy as np

        if self._byte_ids is not None:
            raw = [_utf8(text) for text in texts]
            ids = self._byte_ids[np.frombuffer(b"".join(raw), np.uint8)]
            return self._with_ends(ids, list(map(len, raw)), ends)
        end = self._end_name
        if any(end in text for text in texts):  # it must not be parsed as the special token
            parts = [self._encode(text, set()) for text in texts]
            return self._with_ends(np.concatenate(parts), list(map(len, parts)), ends)
        return self._encode(end.join(texts) + end * ends, {end})

    @cached_property
    def _end_name(self) -> str:
        return next(name for name, token in self.special.items() if token == self.end_of_text)

    def _encode(self, text: str, allowed: set[str]) -> np.ndarray:
        import numpy as np

        try:
            ids = self._encoding.encode_to_numpy(text, allowed_special=allowed, disallowed_special=())
        except UnicodeEncodeError:
            repaired = _utf8(text).decode()
            ids = self._encoding.encode_to_numpy(repaired, allowed_special=allowed, disallowed_special=())
        return ids.view(np.int32)


def _utf8(text: str) -> bytes:
    """Return `text` in UTF-8, with U+FFFD for lone surrogates, which a shell argument can contain."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class CharTokenizer(Tokenizer):
    """One token for each character of the corpus; other characters cannot be encoded."""

    def __init__(self, json: bytes, vocab: dict[str, int], special: dict[str, int], end: int) -> None:
        token_bytes = [b""] * (len(vocab) + len(special))
        for character, token in vocab.items():
            token_bytes[token] = character.encode("utf-8", "surrogatepass")
        super().__init__(json, token_bytes, end)
        self.vocab = vocab

    @cached_property
    def _table(self) -> np.ndarray:
        """The id of each code point, -1 for those without one; the last entry is -1 and stands for all higher code
        points.
        """
        import numpy as np

        table = np.full(max(map(ord, self.vocab)) + 2, -1, dtype=np.int32)
        for character, token in self.vocab.items():
            table[ord(character)] = token
        return table

    @property
    def chunk_boundary(self) -> ChunkBoundary:
        return "anywhere"

    def encode_joined(self, texts: list[str], ends: bool) -> np.ndarray:
        """Encode `texts`. Raises CorpusError for a character that is not in the vocabulary."""
        import numpy as np

        text = "".join(texts)
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        ids = self._table[np.minimum(codes, len(self._table) - 1)]
        if len(ids) and ids.min() < 0:
            character = text[int(ids.argmin())]
            raise CorpusError(
                f"the character {character!r} (U+{ord(character):04X}) is not among the {len(self.vocab)} of the"
                " vocabulary",
                do="Remove it, or train with a tokenizer for any text: byte, bpe:N, gpt2",
            )
        return self._with_ends(ids, list(map(len, texts)), ends)


def bytes_to_unicode() -> dict[int, str]:
    """Return GPT-2's printable stand-in for each byte, used to write vocabularies as text."""
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
    """Read a `tokenizer.json`. Raises CorpusError if it is missing, damaged or of an unsupported kind."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"cannot be read: {reason(error)}", where=str(path)) from None
    return parse_tokenizer(data, str(path))


def parse_tokenizer(json: bytes, where: str = "tokenizer.json") -> Tokenizer:
    """Return the tokenizer that `json` (Hugging Face's format) describes. Raises CorpusError naming `where`."""
    try:
        file = msgspec.json.decode(json, type=_File)
        kind = file.model.get("type", "BPE")
        if kind not in ("BPE", "WordLevel"):
            raise CorpusError(
                f"unsupported tokenizer type {kind}",
                where=where,
                do="Supported: byte-level BPE, and WordLevel with one token per character",
            )
        model = msgspec.convert(file.model, _Model)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"invalid tokenizer.json: {error}", where=where) from None
    special = {token.content: token.id for token in file.added_tokens}
    ordinary = {token: id for token, id in model.vocab.items() if token not in special}
    ends = [special[name] for name in ENDS if name in special]
    ids = sorted([*ordinary.values(), *special.values()])
    if not ends:
        raise CorpusError("no end-of-text token", where=where, do=f"Add one of {', '.join(ENDS)}")
    if not ordinary or ids != list(range(len(ids))):
        raise CorpusError("the vocabulary's ids are not consecutive from 0", where=where)
    if kind == "WordLevel":
        if any(len(token) != 1 for token in ordinary):
            raise CorpusError("unsupported tokenizer of words", where=where, do="Supported: one token per character")
        return CharTokenizer(json, ordinary, special, ends[0])
    return ByteLevelBPE(json, _ranks(ordinary, model, where), special, ends[0], _pattern(file, where))


def _ranks(vocab: dict[str, int], model: _Model, where: str) -> dict[bytes, int]:
    """Return the vocabulary by raw bytes. Raises CorpusError if merging by rank would not equal merging by the
    merges.
    """
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    try:
        ranks = {bytes([byte_of[character] for character in token]): id for token, id in vocab.items()}
    except KeyError as error:
        raise CorpusError(f"not a byte-level BPE: the vocabulary contains {error}", where=where) from None
    missing = sum(bytes([byte]) not in ranks for byte in range(256))
    if missing:
        raise CorpusError(f"not a byte-level BPE: {missing} of the 256 bytes have no token", where=where)
    merged = ["".join(merge.split(" ") if isinstance(merge, str) else merge) for merge in model.merges]
    order = [vocab.get(token, -1) for token in merged]
    if order != sorted(order) or -1 in order or len({*merged}) + 256 != len(ranks):
        raise CorpusError("the merges are not in the order of their tokens' ids", where=where)
    return ranks


def _pattern(file: _File, where: str) -> str:
    """Return the regular expression that splits text into pieces, within which tokens merge. Raises CorpusError."""
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
        "unsupported normalizer or pre-tokenizer",
        where=where,
        do="Supported: GPT-2's byte-level kind, without normalizer",
    )
