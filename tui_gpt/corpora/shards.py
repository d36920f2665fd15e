"""Token shards on disk: what training reads, memory-mapped, and all that must be known about it.

A folder of raw little-endian ids (`train.bin`, `val.bin`), the offset of each validation document (`val_starts.npy`),
the tokenizer, and `meta.json`. It appears by one rename when it is whole, so whoever finds it may use it; opening
checks version and sizes, which costs milliseconds whatever the corpus's size.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import xxhash

from tui_gpt.corpora.tokenizer import Tokenizer, parse_tokenizer
from tui_gpt.errors import CorpusError, reason

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
FILES = ("meta.json", "tokenizer.json", "train.bin", "val.bin", "val_starts.npy")


class ShardsInfo(msgspec.Struct, frozen=True, kw_only=True):
    """meta.json. Tokens count the ends of text; bytes are of the text, UTF-8.

    A single document stands on both sides, its beginning in training and its end in validation.
    floor_nats: -log p summed over the validation documents, where the text's probability is known exactly.
    """

    version: int
    name: str
    digest: str
    tokenizer: str
    tokenizer_digest: str
    vocab_size: int
    documents: int
    train_documents: int
    val_documents: int
    train_tokens: int
    val_tokens: int
    train_bytes: int
    val_bytes: int
    dtype: Literal["uint16", "uint32"]
    floor_nats: float | None = None

    @property
    def tokens(self) -> int:
        return self.train_tokens + self.val_tokens


class _Version(msgspec.Struct):
    version: int


class Shards:
    """Prepared text. The arrays are mapped on first use and read-only."""

    def __init__(self, path: Path, info: ShardsInfo, tokenizer_json: bytes) -> None:
        self.path, self.info, self._tokenizer_json = path, info, tokenizer_json

    @cached_property
    def train(self) -> np.memmap:
        """Ids of the training tokens, shape (train_tokens,)."""
        return self._map("train.bin")

    @cached_property
    def val(self) -> np.memmap:
        """Ids of the validation tokens, shape (val_tokens,)."""
        return self._map("val.bin")

    @cached_property
    def val_starts(self) -> np.ndarray:
        """Offset in `val` of each validation document, shape (val_documents,), int64, ascending from 0."""
        import numpy as np

        return np.load(self.path / "val_starts.npy", mmap_mode="r", allow_pickle=False)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return parse_tokenizer(self._tokenizer_json, str(self.path / "tokenizer.json"))

    def _map(self, file: str) -> np.memmap:
        import numpy as np

        return np.memmap(self.path / file, dtype=np.dtype(self.info.dtype).newbyteorder("<"), mode="r")


def open_shards(path: Path) -> Shards:
    """The shards in folder `path`. Raises CorpusError for what is missing, foreign, cut short or newer."""
    where, again = str(path), "Delete the folder; it is made anew from the text"
    try:
        meta, tokenizer_json = (path / "meta.json").read_bytes(), (path / "tokenizer.json").read_bytes()
        sizes = {file: (path / file).stat().st_size for file in FILES}
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise CorpusError(f"is no folder of token shards: {missing} is missing", where=where) from None
    except OSError as error:
        raise CorpusError(f"cannot be read: {reason(error)}", where=where) from None
    try:
        version = msgspec.json.decode(meta, type=_Version).version
        if version != FORMAT:
            age = "a newer" if version > FORMAT else "an older"
            raise CorpusError(f"holds token shards of {age} gpt-tui (format {version})", where=where, do=again)
        info = msgspec.json.decode(meta, type=ShardsInfo)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorpusError(f"is no folder of token shards: {error}", where=where) from None
    width = 2 if info.dtype == "uint16" else 4
    for file, tokens in (("train.bin", info.train_tokens), ("val.bin", info.val_tokens)):
        if sizes[file] != tokens * width:
            raise CorpusError(
                f"is damaged: {file} holds {sizes[file]:,} bytes, not {tokens * width:,}", where=where, do=again
            )
    if xxhash.xxh3_128_hexdigest(tokenizer_json) != info.tokenizer_digest:
        raise CorpusError("is damaged: tokenizer.json is not the one it was made with", where=where, do=again)
    shards = Shards(path, info, tokenizer_json)
    try:
        whole = len(shards.val_starts) == info.val_documents
    except (OSError, ValueError, EOFError):
        whole = False
    if not whole:
        raise CorpusError("is damaged: val_starts.npy is not whole", where=where, do=again)
    return shards
