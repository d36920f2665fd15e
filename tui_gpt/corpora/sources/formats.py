"""Read text files by format: plain text, records (.jsonl, .csv, .parquet), and both compressed (.gz, .zst).

Text is read in pieces of about 10⁶ characters, each with its origin, so that files larger than memory can be read and
errors name file and line. A plain file is one document; a record is one document, the text in its text column.
Decompression bombs and endless lines are rejected before they fill the memory.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from tui_gpt.corpora.sources.text_files import BOM, ENCODING_HINT, PACKED_SUFFIXES, decode, read_error
from tui_gpt.errors import CorpusError

if TYPE_CHECKING:
    import pyarrow.parquet

PIECE_BYTES = 1 << 20
HEAD_BYTES = 1 << 16
MAX_RECORD_BYTES = 1 << 26
COMPRESSED_READ_BYTES = 1 << 10  # zstd expands 4 bytes to 128 KiB at worst, so a read yields at most 32 MiB
BOMB_BYTES, BOMB_RATIO = 1 << 28, 250  # English compresses 4:1, one page repeated a thousand times 200:1
PARQUET_ROWS = 256  # read at once
COLUMNS = ("text", "content", "document", "story", "body")
HEADING = re.compile(r"\s*= [^=].* =\s*")  # starts an article in WikiText, whose rows are lines


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How documents are stored in files.

    column: the text column of records. separator: the text between documents of a plain file. articles: whether rows
    are lines of articles that each begin with a `= heading =`.
    """

    column: str = ""
    separator: str = ""
    articles: bool = False


class Document(str):
    """The text of a document and its origin: the file, and the line or row if the file holds several documents."""

    __slots__ = ("origin",)
    origin: str

    def __new__(cls, text: str, origin: str) -> Document:
        self = super().__new__(cls, text)
        self.origin = origin
        return self

    def __reduce__(self) -> tuple[type[Document], tuple[str, str]]:
        return Document, (str(self), self.origin)


class Piece(NamedTuple):
    """Part of a document's text. begins: whether it is the document's first piece, which also ends the document
    before.
    """

    text: str
    begins: bool
    origin: str


def documents_of(pieces: Iterable[Piece]) -> Iterator[Document]:
    """Join pieces to whole documents."""
    parts: list[str] = []
    origin = ""
    for piece in pieces:
        if piece.begins and parts:
            yield Document("".join(parts), origin)
            parts.clear()
        if piece.begins:
            origin = piece.origin
        parts.append(piece.text)
    if parts:
        yield Document("".join(parts), origin)


ErrorHandler = Callable[[CorpusError], None]


def _raise(error: CorpusError) -> None:
    raise error


def read_pieces(
    path: Path,
    layout: Layout = Layout(),  # noqa: B008
    encoding: str = "utf-8",
    on_error: ErrorHandler = _raise,
) -> Iterator[Piece]:
    """Yield the documents of a file in pieces. Empty records are skipped; a plain file is one document even if empty.

    Raises CorpusError with file and line (or byte) for a file that cannot be read, is damaged or is not text. on_error:
    called for a line that is not a record; it raises, or returns to skip the line.
    """
    with _translate_errors(path):
        kind = _kind(path)
        if kind == ".parquet":
            rows = _parquet(path, layout)
            yield from _articles(rows) if layout.articles else (row for row in rows if row.text)
            return
        with open_decompressed(path) as file:
            if kind in (".jsonl", ".ndjson", ".json"):
                yield from _json_lines(file, path, layout, on_error)
            elif kind == ".csv":
                yield from _csv(file, path, layout, encoding)
            else:
                text = _text(file, str(path), encoding)
                yield from _split_documents(text, path, layout.separator) if layout.separator else _whole(text, path)


def is_text_in_some_encoding(path: Path) -> bool:
    """Return whether the file is plain text or .csv, which have no fixed encoding; JSON and Parquet are always
    UTF-8.
    """
    return _kind(path) in ("", ".csv")


def is_single_document(path: Path, layout: Layout) -> bool:
    """Return whether the whole file is one document."""
    return _kind(path) == "" and not layout.separator


def check_file(path: Path, layout: Layout = Layout()) -> None:  # noqa: B008
    """Raise CorpusError unless the beginning of the file can be read and is text."""
    if _kind(path) == "" and not _compression(path):
        with _translate_errors(path), path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if not decode(head, str(path), whole=len(head) < HEAD_BYTES).strip() and len(head) < HEAD_BYTES:
            raise CorpusError("empty file", where=str(path))
    elif not any(piece.text.strip() for piece in read_pieces(path, layout)):
        raise CorpusError("is empty", where=str(path))


def _compression(path: Path) -> str:
    return next((suffix for suffix in PACKED_SUFFIXES if path.name.lower().endswith(suffix)), "")


def _kind(path: Path) -> str:
    """Return `.jsonl`, `.ndjson`, `.json`, `.csv`, `.parquet`, or "" for plain text."""
    name = path.name.lower().removesuffix(_compression(path))
    return next((kind for kind in (".jsonl", ".ndjson", ".json", ".csv", ".parquet") if name.endswith(kind)), "")


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Raise CorpusError for the exceptions of the decompression libraries and the operating system."""
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CorpusError(f"damaged file: {error}".lower().rstrip("."), where=str(path)) from None
    except OSError as error:
        raise read_error(path, error) from None


class _BombGuard(io.RawIOBase):
    """Decompressed bytes. Raises CorpusError when there are implausibly many for the size of the compressed file."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self._limit = max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size)
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._read += len(data)
        if self._read > self._limit:
            raise CorpusError(
                f"expands to more than {BOMB_RATIO} times its size; stopped after {self._limit:,} bytes",
                where=str(self._path),
                do="If the file is what you want, decompress it first",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_decompressed(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressing .gz and .zst."""
    compression = _compression(path)
    if not compression:
        return path.open("rb")
    if compression == ".gz":
        return io.BufferedReader(_BombGuard(gzip.open(path, "rb"), path), PIECE_BYTES)  # type: ignore[arg-type]
    return io.BufferedReader(_BombGuard(_Zstandard(path), path), PIECE_BYTES)  # type: ignore[arg-type]


class _Zstandard(io.RawIOBase):
    """The decompressed bytes of a .zst file. Raises EOFError for a truncated frame, which the library ignores."""

    def __init__(self, path: Path) -> None:
        import zstandard

        self._file = path.open("rb")
        self._error = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._frame = self._decompressor.decompressobj()
        self._ready, self._in_frame = memoryview(b""), False

    def read(self, size: int = -1) -> bytes:
        while not self._ready:
            data = self._frame.unused_data or self._file.read(COMPRESSED_READ_BYTES)
            if self._frame.eof:
                self._frame, self._in_frame = self._decompressor.decompressobj(), False
            if not data:
                if self._in_frame:
                    raise EOFError("truncated frame")
                return b""
            try:
                self._in_frame, self._ready = True, memoryview(self._frame.decompress(data))
            except self._error as error:
                raise EOFError(str(error)) from None
        taken, self._ready = self._ready[:size], self._ready[size:]
        return bytes(taken)

    def close(self) -> None:
        self._file.close()
        super().close()


def _text(file: IO[bytes], where: str, encoding: str) -> Iterator[str]:
    """Yield the text of a file, about 10⁶ characters at a time.

    Raises CorpusError with the byte offset for data that is not text in `encoding`.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    while True:
        data = file.read(PIECE_BYTES)
        if not offset and encoding == "utf-8":
            if data.startswith((b"\xff\xfe", b"\xfe\xff")):
                decode(data, where)  # raises the error for UTF-16
            data, offset = data.removeprefix(BOM), len(BOM) * data.startswith(BOM)
        nul = data.find(0) if encoding == "utf-8" else -1
        if nul >= 0:
            raise CorpusError(f"binary file: NUL byte at offset {offset + nul:,}", where=where)
        buffered = len(decoder.getstate()[0])  # bytes of a character that spans two reads
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise CorpusError(
                f"not {encoding.upper()} text: byte 0x{byte:02x} at offset {offset - buffered + error.start:,}",
                where=where,
                do=ENCODING_HINT,
            ) from None
        offset += len(data)
        if text:
            yield text
        if not data:
            return


def _whole(text: Iterator[str], path: Path) -> Iterator[Piece]:
    begins = True
    for part in text:
        yield Piece(part, begins, str(path))
        begins = False
    if begins:
        yield Piece("", True, str(path))


def _split_documents(text: Iterator[str], path: Path, separator: str) -> Iterator[Piece]:
    """Yield the documents between separators, without the line ends around them."""
    rest, line, begins = "", 1, True

    def piece(part: str) -> Iterator[Piece]:
        nonlocal begins, line
        stripped = part.rstrip("\r\n")
        if begins:
            stripped = stripped.lstrip("\r\n")
        if stripped:
            yield Piece(stripped, begins, f"{path}:{line + part[: part.index(stripped)].count(chr(10))}")
            begins = False
        line += part.count("\n")

    for part in text:
        rest += part
        *complete, rest = rest.split(separator)
        for document in complete:
            yield from piece(document)
            begins = True
        if len(rest) > PIECE_BYTES:  # a long document; keep back what may be the start of a separator or line ends
            ready = rest[: -len(separator)].rstrip("\r\n")
            rest = rest[len(ready) :]
            yield from piece(ready)
    yield from piece(rest)


def _json_lines(file: IO[bytes], path: Path, layout: Layout, on_error: ErrorHandler) -> Iterator[Piece]:
    number, column, decoder = 0, layout.column, None
    while line := file.readline(MAX_RECORD_BYTES + 1):
        number += 1
        where = f"{path}:{number}"
        if len(line) > MAX_RECORD_BYTES:
            raise CorpusError(f"line longer than {MAX_RECORD_BYTES >> 20} MiB", where=where)
        if number == 1:
            line = line.removeprefix(BOM)
        if line.isspace():
            continue
        try:
            if decoder is None:
                column = column or text_column(msgspec.json.decode(line, type=dict[str, Any]), where)
                row = msgspec.defstruct("Row", [("text", str | None)], rename={"text": column})
                decoder = msgspec.json.Decoder(row)
            text: str | None = decoder.decode(line).text  # type: ignore[attr-defined]
        except (ValueError, RecursionError) as error:
            reason = str(error).replace("`", "").replace(f" - at $.{column}", "")
            on_error(CorpusError(f"not a JSON object with a text: {reason}", where=where))
            continue
        if text:
            yield Piece(text, True, where)


def _csv(file: IO[bytes], path: Path, layout: Layout, encoding: str) -> Iterator[Piece]:
    csv.field_size_limit(MAX_RECORD_BYTES)
    rows = csv.reader(_lines(_text(file, str(path), encoding)), strict=True)
    try:
        header = next(rows, [])
        column = header.index(layout.column or text_column(dict.fromkeys(header), f"{path}:1")) if header else 0
        for row in rows:
            where = f"{path}:{rows.line_num}"
            if row and len(row) != len(header):
                raise CorpusError(f"row of {len(row)} fields, expected {len(header)}", where=where)
            if row and row[column]:
                yield Piece(row[column], True, where)
    except csv.Error as error:
        raise CorpusError(f"invalid CSV: {error}", where=f"{path}:{rows.line_num}") from None
    except ValueError:
        columns = f"Columns: {', '.join(header)}"
        raise CorpusError(f"no column {layout.column!r}", where=str(path), do=columns) from None


def _lines(text: Iterator[str]) -> Iterator[str]:
    """Yield lines with their ends. A line longer than a record may be is yielded in parts, which the reader rejects."""
    rest = ""
    for part in text:
        *lines, rest = (rest + part).split("\n")
        for line in lines:
            yield line + "\n"
        if len(rest) > MAX_RECORD_BYTES:
            yield rest
            rest = ""
    if rest:
        yield rest


def text_column(row: dict[str, Any], where: str) -> str:
    """Return the name of the text column: the only column, or the first with a usual name. Raises CorpusError if
    none.
    """
    if len(row) == 1:
        return next(iter(row))
    for name in COLUMNS:
        if name in row:
            return name
    raise CorpusError(
        f"no column named {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]} among {', '.join(map(str, row))}",
        where=where,
        do="Name the text column: gpt-tui corpus add NAME FILE --column COLUMN",
    )


def require_pyarrow(where: str) -> None:
    """Raise CorpusError unless pyarrow, which reads Parquet files, is installed."""
    if find_spec("pyarrow") is None:
        raise CorpusError(
            "reading Parquet needs pyarrow, which is not installed",
            where=where,
            do="Install it: pip install 'gpt-tui[parquet]'",
        )


def _parquet(path: Path, layout: Layout) -> Iterator[Piece]:
    require_pyarrow(str(path))
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    row = 0
    try:
        with path.open("rb") as opened:
            file = parquet.ParquetFile(opened)
            column = _text_column(file, path, layout)
            rows_at_once = _rows_at_once(file, column, path)
            for batch in file.iter_batches(batch_size=rows_at_once, columns=[column], use_threads=False):
                for value in batch.column(0):
                    row += 1
                    text = value.as_py() or ""
                    if len(text) > MAX_RECORD_BYTES:
                        raise CorpusError(f"text longer than {MAX_RECORD_BYTES >> 20} MiB", where=f"{path}:{row}")
                    yield Piece(text, True, f"{path}:{row}")
    except arrow.ArrowException as error:
        raise CorpusError(f"invalid Parquet file: {str(error).splitlines()[0]}", where=str(path)) from None
    except UnicodeDecodeError as error:  # the library passes on bytes that are no text
        raise CorpusError(f"not UTF-8: {error.reason} at byte {error.start}", where=f"{path}:{row}") from None


def _rows_at_once(file: pyarrow.parquet.ParquetFile, column: str, path: Path) -> int:
    """Return how many rows to read at once: so few that they fit into memory if each is as large as its row group says.

    A dictionary holds a text once for many rows. Raises CorpusError for a row group that is implausibly large for the
    file.
    """
    metadata, largest = file.metadata, 1
    for group in range(metadata.num_row_groups):
        chunks = (metadata.row_group(group).column(index) for index in range(metadata.num_columns))
        largest = max([largest, *(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == column)])
    if largest > max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size):
        raise CorpusError(f"expands to more than {BOMB_RATIO} times its size: {largest:,} bytes", where=str(path))
    return max(1, min(PARQUET_ROWS, BOMB_BYTES // largest))


def _text_column(file: pyarrow.parquet.ParquetFile, path: Path, layout: Layout) -> str:
    kinds = {field.name: str(field.type) for field in file.schema_arrow}
    column = layout.column or text_column(dict.fromkeys(kinds), str(path))
    if kinds.get(column) not in ("string", "large_string", "string_view"):
        if column in kinds:
            raise CorpusError(f"column {column!r} holds {kinds[column]}, not text", where=str(path))
        raise CorpusError(f"no column {column!r}", where=str(path), do=f"Columns: {', '.join(kinds)}")
    return column


def _articles(lines: Iterator[Piece]) -> Iterator[Piece]:
    """Group rows, which are lines, into articles that begin at a heading; an empty row is an empty line."""
    begins = True
    for line in lines:
        begins = begins or HEADING.fullmatch(line.text) is not None
        if line.text or not begins:
            yield Piece(line.text or "\n", begins, line.origin)
            begins = False
