"""Token shards on disk: memory-mapped files of token ids, the tokenizer and metadata.

A folder with two token files (`train.bin`, `val.bin`), `tokenizer.json` and `meta.json`. The header of a token file
holds magic, version, bytes per token, counts of tokens, documents and bytes of text, and digests of the tokenizer, of
the content and of the header itself. The ids follow, little-endian, then the offset of each document. The folder is
renamed into place when it is complete.

Every byte is covered: the content in blocks, whose digests are in `meta.json`, that list by the header, and `meta.json`
by a digest in itself. Opening takes milliseconds for any corpus, since the blocks of large files are left to
`Shards.check`: a run calls it in the background, and `gpt-tui verify` on request.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, NamedTuple

import msgspec
import xxhash

from tui_gpt.corpora.tokenizers.tokenizer import Tokenizer, parse_tokenizer
from tui_gpt.errors import CorpusError, reason

if TYPE_CHECKING:
    import numpy as np

FORMAT = 4
MAGIC = b"GPTSHARD"
FILES = ("meta.json", "tokenizer.json", "train.bin", "val.bin")
_FIELDS = struct.Struct("<8sIIQQQ16s16s")
_DIGEST = struct.Struct("<Q")
HEADER_BYTES = _FIELDS.size + _DIGEST.size
CHECKED_BYTES = 1 << 28  # smaller files are verified when they are opened, which takes up to 30 ms
BLOCK_BYTES = 1 << 26
PIECE_BYTES = 1 << 22  # read at a time
RECREATE_HINT = "Delete the folder; it will be prepared again from the text"


class VersionError(CorpusError):
    """Shards of another version of gpt-tui."""


class CorpusPart(msgspec.Struct, frozen=True, kw_only=True):
    """One corpus of a mixture. Its tokens follow those of the parts before it, in training and in validation."""

    name: str
    train_tokens: int
    val_tokens: int


class ShardsInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of meta.json. Tokens include end-of-text tokens; bytes are those of the text in UTF-8.

    A single document counts for both sides, its beginning for training and its end for validation. floor_nats: -log p
    summed over the validation documents, if the probability of the text is known exactly. blocks: by token file, the
    digest of each `BLOCK_BYTES` of its content. meta_digest: of the other fields; see `sealed`.
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
    parts: tuple[CorpusPart, ...]
    floor_nats: float | None = None
    blocks: dict[str, tuple[str, ...]] = {}
    meta_digest: str = ""

    def sealed(self) -> ShardsInfo:
        """Return the info with the digest of its fields, so that a flipped bit in one of them is found."""
        fields = msgspec.json.encode(msgspec.structs.replace(self, meta_digest=""), order="sorted")
        return msgspec.structs.replace(self, meta_digest=xxhash.xxh3_128_hexdigest(fields))

    @property
    def tokens(self) -> int:
        return self.train_tokens + self.val_tokens

    @property
    def floor_loss(self) -> float | None:
        """The lowest possible validation loss in nats per token, None if unknown."""
        return self.floor_nats / self.val_tokens if self.floor_nats is not None else None

    @property
    def floor_bits_per_byte(self) -> float | None:
        """The lowest possible validation loss in bits per byte, None if unknown."""
        return self.floor_nats / math.log(2) / self.val_bytes if self.floor_nats is not None else None


class _Version(msgspec.Struct):
    version: int


class Header(NamedTuple):
    """The header of a token file. width: bytes per token."""

    magic: bytes
    version: int
    width: int
    tokens: int
    documents: int
    text_bytes: int
    tokenizer_digest: bytes
    content_digest: bytes

    def pack(self) -> bytes:
        """Return the header's bytes, with its digest."""
        fields = _FIELDS.pack(*self)
        return fields + _DIGEST.pack(xxhash.xxh3_64_intdigest(fields))

    @property
    def starts_at(self) -> int:
        """The position of the documents' offsets: after the tokens, aligned to 8 bytes."""
        return HEADER_BYTES + -(-self.tokens * self.width // 8) * 8

    @property
    def file_bytes(self) -> int:
        """The size of the whole file."""
        return self.starts_at + 8 * self.documents


class ShardsWriter:
    """Writes a token file. starts: the documents' offsets, to be set before `finish`."""

    def __init__(self, file: IO[bytes], tokenizer: Tokenizer) -> None:
        self.file, self.dtype = file, token_dtype(tokenizer.vocab_size)
        self._byte_lengths = tokenizer.byte_lengths
        self._digest, self._content = tokenizer_digest(tokenizer), BlockDigests()
        self.tokens = self.bytes = 0
        self.starts: np.ndarray
        file.write(bytes(HEADER_BYTES))

    def write(self, ids: np.ndarray) -> None:
        """Append token ids."""
        self._append(ids.astype(self.dtype, copy=False).data)
        self.tokens += len(ids)
        self.bytes += int(self._byte_lengths[ids].sum(dtype="int64"))

    def _append(self, data: bytes | memoryview) -> None:
        self.file.write(data)
        self._content.update(data)

    def finish(self) -> tuple[str, ...]:
        """Write the documents' offsets and the header. Return the digests of the blocks."""
        header = Header(
            magic=MAGIC,
            version=FORMAT,
            width=self.dtype.itemsize,
            tokens=self.tokens,
            documents=len(self.starts),
            text_bytes=self.bytes,
            tokenizer_digest=bytes.fromhex(self._digest),
            content_digest=b"",
        )
        self._append(bytes(header.starts_at - self.file.tell()))
        self._append(self.starts.astype("<i8", copy=False).data)
        self.file.seek(0)
        blocks = self._content.finish()
        self.file.write(header._replace(content_digest=_digest_of(blocks)).pack())
        return blocks


class BlockDigests:
    """Digests of consecutive blocks of what is passed to `update`."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._hasher, self._left = xxhash.xxh3_128(), BLOCK_BYTES

    def update(self, data: bytes | memoryview) -> None:
        """Add data, in pieces of any size."""
        view = memoryview(data).cast("B")
        while len(view) >= self._left:
            self._hasher.update(view[: self._left])
            view = view[self._left :]
            self.done.append(self._hasher.hexdigest())
            self._hasher, self._left = xxhash.xxh3_128(), BLOCK_BYTES
        self._hasher.update(view)
        self._left -= len(view)

    def finish(self) -> tuple[str, ...]:
        """Return the digests of all blocks; the last one may be shorter."""
        if self._left < BLOCK_BYTES:
            self.done.append(self._hasher.hexdigest())
        return tuple(self.done)


def _digest_of(blocks: tuple[str, ...]) -> bytes:
    return xxhash.xxh3_128_digest("".join(blocks).encode())


def token_dtype(vocab_size: int) -> np.dtype:
    """Return the type of the ids: two bytes if the vocabulary fits, else four."""
    import numpy as np

    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """Return a digest of the tokenizer's file."""
    return xxhash.xxh3_128_hexdigest(tokenizer.to_json())


class Shards:
    """A prepared corpus. The arrays are mapped on first use and read-only."""

    def __init__(self, path: Path, info: ShardsInfo, tokenizer_json: bytes) -> None:
        self.path, self.info, self._tokenizer_json = path, info, tokenizer_json

    def large_files(self) -> list[Path]:
        """Return the token files whose content was not checked when the shards were opened."""
        files = [self.path / "train.bin", self.path / "val.bin"]
        return [file for file in files if file.stat().st_size > CHECKED_BYTES]

    def check(self, file: Path) -> Iterator[int]:
        """Compare the content of a token file with its digests, and yield the bytes checked so far, a piece at a time.

        Raises CorpusError for the first block that differs, OSError if the file cannot be read.
        """
        return _check_content(file, read_header(file), self.info.blocks[file.name])

    def discard(self) -> None:
        """Let the next run prepare the corpus again. Runs that have the files open go on with them."""
        (self.path / "meta.json").unlink(missing_ok=True)

    @cached_property
    def train(self) -> np.memmap:
        """Ids of the training tokens, shape (train_tokens,)."""
        return _map(self.path / "train.bin")[0]

    @cached_property
    def val(self) -> np.memmap:
        """Ids of the validation tokens, shape (val_tokens,)."""
        return _map(self.path / "val.bin")[0]

    @cached_property
    def train_starts(self) -> np.ndarray:
        """Offset in `train` of each training document, shape (train_documents,), int64, ascending from 0."""
        return _map(self.path / "train.bin")[1]

    @cached_property
    def val_starts(self) -> np.ndarray:
        """Offset in `val` of each validation document, shape (val_documents,), int64, ascending from 0."""
        return _map(self.path / "val.bin")[1]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return parse_tokenizer(self._tokenizer_json, str(self.path / "tokenizer.json"))


def _map(path: Path) -> tuple[np.memmap, np.ndarray]:
    import numpy as np

    header = read_header(path)
    kind = np.dtype(f"<u{header.width}")
    tokens = np.memmap(path, kind, "r", offset=HEADER_BYTES, shape=(header.tokens,))
    return tokens, np.memmap(path, "<i8", "r", offset=header.starts_at, shape=(header.documents,))


def read_header(path: Path) -> Header:
    """Read the header of a token file.

    Raises CorpusError if it is not a token file, damaged or of another version, OSError if it cannot be read.
    """
    where = str(path)
    with path.open("rb") as file:
        packed = file.read(HEADER_BYTES)
    if not packed.startswith(MAGIC):
        raise CorpusError("not a token file", where=where)
    if len(packed) < HEADER_BYTES:
        raise CorpusError("damaged file: truncated header", where=where, do=RECREATE_HINT)
    header = Header(*_FIELDS.unpack_from(packed))
    if header.version != FORMAT:
        raise _version_error(where, header.version)
    if header.pack() != packed or header.width not in (2, 4):
        raise CorpusError("damaged file: the header does not match its digest", where=where, do=RECREATE_HINT)
    if path.stat().st_size != header.file_bytes:
        raise CorpusError(
            f"damaged file: {path.stat().st_size:,} bytes, expected {header.file_bytes:,}",
            where=where,
            do=RECREATE_HINT,
        )
    return header


def _check_content(path: Path, header: Header, blocks: tuple[str, ...]) -> Iterator[int]:
    content, size = BlockDigests(), header.file_bytes
    with path.open("rb") as file:
        at = file.seek(HEADER_BYTES)
        while at < size:
            data = file.read(PIECE_BYTES)
            if not data:
                raise CorpusError("damaged file: it was cut while it was read", where=str(path), do=RECREATE_HINT)
            content.update(data)
            at += len(data)
            found = content.done if at < size else content.finish()
            if tuple(found) != blocks[: len(found)]:
                begin = HEADER_BYTES + (len(found) - 1) * BLOCK_BYTES
                what = f"damaged file: bytes {begin:,} to {min(begin + BLOCK_BYTES, size):,} do not match their digest"
                raise CorpusError(what, where=str(path), do=RECREATE_HINT)
            yield at


def _version_error(where: str, version: int) -> VersionError:
    age = "a newer" if version > FORMAT else "an older"
    return VersionError(f"token shards of {age} gpt-tui (format {version})", where=where, do=RECREATE_HINT)


def read_info(path: Path) -> ShardsInfo:
    """Return the contents of meta.json in folder `path`. Raises CorpusError, as `open_shards` does."""
    try:
        return _info((path / "meta.json").read_bytes(), str(path))
    except OSError as error:
        raise CorpusError(f"meta.json cannot be read: {reason(error)}", where=str(path)) from None


def open_shards(path: Path) -> Shards:
    """Open the shards in folder `path`. Raises CorpusError if they are missing, damaged or of another version."""
    where = str(path)
    try:
        meta, tokenizer_json = (path / "meta.json").read_bytes(), (path / "tokenizer.json").read_bytes()
        info = _info(meta, where)
        headers = {side: read_header(path / f"{side}.bin") for side in ("train", "val")}
        for side, header in headers.items():
            blocks = info.blocks.get(f"{side}.bin", ())
            if _digest_of(blocks) != header.content_digest:
                raise CorpusError(f"damaged folder: {side}.bin does not match meta.json", where=where, do=RECREATE_HINT)
            if header.file_bytes <= CHECKED_BYTES:
                for _ in _check_content(path / f"{side}.bin", header, blocks):
                    pass
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise CorpusError(f"not a folder of token shards: {missing} is missing", where=where) from None
    except OSError as error:
        raise CorpusError(f"cannot be read: {reason(error)}", where=where) from None
    if xxhash.xxh3_128_hexdigest(tokenizer_json) != info.tokenizer_digest:
        raise CorpusError("damaged folder: tokenizer.json does not match its digest", where=where, do=RECREATE_HINT)
    for side, header in headers.items():
        counts = [getattr(info, f"{side}_{count}") for count in ("tokens", "documents", "bytes")]
        width = {"uint16": 2, "uint32": 4}[info.dtype]
        if [width, *counts, info.tokenizer_digest] != [*header[2:6], header.tokenizer_digest.hex()]:
            raise CorpusError(f"damaged folder: {side}.bin does not match meta.json", where=where, do=RECREATE_HINT)
    return Shards(path, info, tokenizer_json)


def _info(meta: bytes, where: str) -> ShardsInfo:
    try:
        version = msgspec.json.decode(meta, type=_Version).version
        if version != FORMAT:
            raise _version_error(where, version)
        info = msgspec.json.decode(meta, type=ShardsInfo)
        if info != info.sealed() or msgspec.json.encode(info) != meta:  # or a flipped bit in the name of a field
            raise CorpusError("damaged folder: meta.json does not match its digest", where=where, do=RECREATE_HINT)
        return info
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"not a folder of token shards: {error}", where=where) from None
