"""What a file of text is, by its name: plain text, records (.jsonl, .csv, .parquet), and either packed (.gz, .zst).

Text comes out in pieces of some 10⁶ characters, each with where it stands, so that a file larger than memory can be
read and a fault is named by file and line. A plain file is one document whatever is in it; a record is one document,
the text in its text column. What unpacks to a bomb, or holds a line without an end, is refused before it fills the
memory.
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
PACKED_READ_BYTES = 1 << 10  # zstd unpacks 4 bytes to 128 KiB at worst: 32 MiB in one go
BOMB_BYTES, BOMB_RATIO = 1 << 28, 250  # English packs to a quarter; the same page a thousand times to a two-hundredth
COLUMNS = ("text", "content", "document", "story", "body")
HEADING = re.compile(r"\s*= [^=].* =\s*")  # of an article in WikiText, whose rows are lines


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How documents stand in files: the column that holds the text, what separates documents of a plain file, and
    whether rows are lines of articles that begin with a `= heading =`."""

    column: str = ""
    separator: str = ""
    articles: bool = False


class Document(str):
    """A document's text, and where it stands: its file, and its line or row where a file holds several."""

    __slots__ = ("origin",)
    origin: str

    def __new__(cls, text: str, origin: str) -> Document:
        self = super().__new__(cls, text)
        self.origin = origin
        return self

    def __reduce__(self) -> tuple[type[Document], tuple[str, str]]:
        return Document, (str(self), self.origin)


class Piece(NamedTuple):
    """Some text of a document. `begins`: it is the document's first; the next that begins ends it."""

    text: str
    begins: bool
    origin: str


def documents_of(pieces: Iterable[Piece]) -> Iterator[Document]:
    """Each document whole."""
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


def _refuse(error: CorpusError) -> None:
    raise error


def read_pieces(
    path: Path,
    layout: Layout = Layout(),  # noqa: B008
    encoding: str = "utf-8",
    fault: ErrorHandler = _refuse,
) -> Iterator[Piece]:
    """The documents of a file, in pieces. Empty records are left out; a plain file is one document even when empty.

    Raises CorpusError naming file and line (or byte) for what cannot be read, is damaged, or is not text. `fault` is
    told of a line that is no record, and may pass over it.
    """
    with _explained(path):
        kind = _kind(path)
        if kind == ".parquet":
            rows = _parquet(path, layout)
            yield from _articles(rows) if layout.articles else (row for row in rows if row.text)
            return
        with open_decompressed(path) as file:
            if kind in (".jsonl", ".ndjson", ".json"):
                yield from _json_lines(file, path, layout, fault)
            elif kind == ".csv":
                yield from _csv(file, path, layout, encoding)
            else:
                text = _text(file, str(path), encoding)
                yield from _separated(text, path, layout.separator) if layout.separator else _whole(text, path)


def is_text_in_some_encoding(path: Path) -> bool:
    """Whether the file is plain text or .csv, which may be in any; JSON and Parquet are UTF-8 by definition."""
    return _kind(path) in ("", ".csv")


def is_single_document(path: Path, layout: Layout) -> bool:
    return _kind(path) == "" and not layout.separator


def check_file(path: Path, layout: Layout = Layout()) -> None:  # noqa: B008
    """Raises CorpusError unless the file's beginning can be read and is text."""
    if _kind(path) == "" and not _packing(path):
        with _explained(path), path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if not decode(head, str(path), whole=len(head) < HEAD_BYTES).strip() and len(head) < HEAD_BYTES:
            raise CorpusError("is empty", where=str(path))
    elif not any(piece.text.strip() for piece in read_pieces(path, layout)):
        raise CorpusError("is empty", where=str(path))


def _packing(path: Path) -> str:
    return next((suffix for suffix in PACKED_SUFFIXES if path.name.lower().endswith(suffix)), "")


def _kind(path: Path) -> str:
    """`.jsonl`, `.json`, `.csv`, `.parquet`, or "" for plain text."""
    name = path.name.lower().removesuffix(_packing(path))
    return next((kind for kind in (".jsonl", ".ndjson", ".json", ".csv", ".parquet") if name.endswith(kind)), "")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """A library's complaint about a damaged file, as one line."""
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CorpusError(f"is damaged: {error}".lower().rstrip("."), where=str(path)) from None
    except OSError as error:
        raise read_error(path, error) from None


class _Guarded(io.RawIOBase):
    """Unpacked bytes, as long as there are not absurdly many for the packed file's size."""

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
                f"unpacks to more than {BOMB_RATIO} times its size, which no text does: read no further than"
                f" {self._limit:,} bytes",
                where=str(self._path),
                do="If it is what you want, unpack it first",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_decompressed(path: Path) -> IO[bytes]:
    packing = _packing(path)
    if not packing:
        return path.open("rb")
    if packing == ".gz":
        return io.BufferedReader(_Guarded(gzip.open(path, "rb"), path), PIECE_BYTES)  # type: ignore[arg-type]
    return io.BufferedReader(_Guarded(_Zstandard(path), path), PIECE_BYTES)  # type: ignore[arg-type]


class _Zstandard(io.RawIOBase):
    """A .zst file's bytes; that it ended before its last frame did is said, which the library does not."""

    def __init__(self, path: Path) -> None:
        import zstandard

        self._file = path.open("rb")
        self._error = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._frame = self._decompressor.decompressobj()
        self._ready, self._begun = memoryview(b""), False

    def read(self, size: int = -1) -> bytes:
        while not self._ready:
            data = self._frame.unused_data or self._file.read(PACKED_READ_BYTES)
            if self._frame.eof:
                self._frame, self._begun = self._decompressor.decompressobj(), False
            if not data:
                if self._begun:
                    raise EOFError("it ends in the middle of a frame")
                return b""
            try:
                self._begun, self._ready = True, memoryview(self._frame.decompress(data))
            except self._error as error:
                raise EOFError(str(error)) from None
        taken, self._ready = self._ready[:size], self._ready[size:]
        return bytes(taken)

    def close(self) -> None:
        self._file.close()
        super().close()


def _text(file: IO[bytes], where: str, encoding: str) -> Iterator[str]:
    """The file's text, some 10⁶ characters at a time. Raises CorpusError naming the byte that is none."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    while True:
        data = file.read(PIECE_BYTES)
        if not offset and encoding == "utf-8":
            if data.startswith((b"\xff\xfe", b"\xfe\xff")):
                decode(data, where)  # says so
            data, offset = data.removeprefix(BOM), len(BOM) * data.startswith(BOM)
        nul = data.find(0) if encoding == "utf-8" else -1
        if nul >= 0:
            raise CorpusError(f"is binary, not text: a NUL byte at offset {offset + nul:,}", where=where)
        kept = len(decoder.getstate()[0])  # of a character that the last piece cut
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise CorpusError(
                f"is not {encoding.upper()} text: byte 0x{byte:02x} at offset {offset - kept + error.start:,}",
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


def _separated(text: Iterator[str], path: Path, separator: str) -> Iterator[Piece]:
    """Documents between separators, without the line ends around them."""
    kept, line, begins = "", 1, True

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
        kept += part
        *whole, kept = kept.split(separator)
        for found in whole:
            yield from piece(found)
            begins = True
        if len(kept) > PIECE_BYTES:  # of one long document, all but what a separator or line ends may begin in
            ready = kept[: -len(separator)].rstrip("\r\n")
            kept = kept[len(ready) :]
            yield from piece(ready)
    yield from piece(kept)


def _json_lines(file: IO[bytes], path: Path, layout: Layout, fault: ErrorHandler) -> Iterator[Piece]:
    number, column, decoder = 0, layout.column, None
    while line := file.readline(MAX_RECORD_BYTES + 1):
        number += 1
        where = f"{path}:{number}"
        if len(line) > MAX_RECORD_BYTES:
            raise CorpusError(f"a line of more than {MAX_RECORD_BYTES >> 20} MiB", where=where)
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
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            reason = str(error).replace("`", "").replace(f" - at $.{column}", "")
            fault(CorpusError(f"is not a JSON object with a text: {reason}", where=where))
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
                raise CorpusError(f"a row of {len(row)} fields, not {len(header)}", where=where)
            if row and row[column]:
                yield Piece(row[column], True, where)
    except csv.Error as error:
        raise CorpusError(f"is not CSV: {error}", where=f"{path}:{rows.line_num}") from None
    except ValueError:
        raise CorpusError(f"has no column {layout.column!r}: there are {', '.join(header)}", where=str(path)) from None


def _lines(text: Iterator[str]) -> Iterator[str]:
    """Lines with their ends; one longer than a record may be comes in parts, for the reader to refuse."""
    kept = ""
    for part in text:
        *lines, kept = (kept + part).split("\n")
        for line in lines:
            yield line + "\n"
        if len(kept) > MAX_RECORD_BYTES:
            yield kept
            kept = ""
    if kept:
        yield kept


def text_column(row: dict[str, Any], where: str) -> str:
    """The column that holds the text: the only one, or the first that is called as such columns are."""
    if len(row) == 1:
        return next(iter(row))
    for name in COLUMNS:
        if name in row:
            return name
    raise CorpusError(
        f"has no column called {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}: there are {', '.join(map(str, row))}",
        where=where,
        do="Say which holds the text: gpt-tui corpus add NAME FILE --column COLUMN",
    )


def require_pyarrow(where: str) -> None:
    """Raises CorpusError unless Parquet files can be read here."""
    if find_spec("pyarrow") is None:
        raise CorpusError(
            "is Parquet, which pyarrow reads, and that is not installed",
            where=where,
            do="Install it: pip install 'gpt-tui[parquet]'",
        )


def _parquet(path: Path, layout: Layout) -> Iterator[Piece]:
    require_pyarrow(str(path))
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        with path.open("rb") as opened:
            file = parquet.ParquetFile(opened)
            column = _text_column(file, path, layout)
            row = 0
            for batch in file.iter_batches(batch_size=256, columns=[column], use_threads=False):
                for text in batch.column(0).to_pylist():
                    row += 1
                    yield Piece(text or "", True, f"{path}:{row}")
    except arrow.ArrowException as error:
        raise CorpusError(f"is damaged or no Parquet: {str(error).splitlines()[0]}", where=str(path)) from None


def _text_column(file: pyarrow.parquet.ParquetFile, path: Path, layout: Layout) -> str:
    kinds = {field.name: str(field.type) for field in file.schema_arrow}
    column = layout.column or text_column(dict.fromkeys(kinds), str(path))
    if kinds.get(column) not in ("string", "large_string", "string_view"):
        kind = f"holds {kinds[column]}" if column in kinds else f"is not there: there are {', '.join(kinds)}"
        raise CorpusError(f"its column {column!r} {kind}", where=str(path))
    return column


def _articles(lines: Iterator[Piece]) -> Iterator[Piece]:
    """Rows that are lines, joined to the articles that their headings begin; an empty row is an empty line."""
    begins = True
    for line in lines:
        begins = begins or HEADING.fullmatch(line.text) is not None
        if line.text or not begins:
            yield Piece(line.text or "\n", begins, line.origin)
            begins = False
