"""Where text is read from and kept: one place that turns what the disk says into what the user can mend.

Text is UTF-8; a byte order mark is dropped and nothing else is changed. What is binary or in another encoding is
refused with the byte where it shows, because a model trained on mojibake learns mojibake.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import xxhash

from tui_gpt.errors import CorpusError, reason

PLAIN_SUFFIXES = (
    *(".txt", ".md", ".rst", ".tex", ".py", ".pyi", ".js", ".ts", ".jsx", ".tsx", ".c", ".h", ".cc", ".cpp", ".hpp"),
    *(".cu", ".cuh", ".rs", ".go", ".java", ".kt", ".scala", ".swift", ".rb", ".pl", ".php", ".lua", ".jl", ".r"),
    *(".hs", ".ml", ".clj", ".ex", ".erl", ".sh", ".sql", ".cs", ".zig", ".nim", ".el", ".lisp", ".scm", ".f90"),
)
RECORD_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".parquet")
PACKED_SUFFIXES = (".gz", ".zst")
TEXT_SUFFIXES = (*PLAIN_SUFFIXES, *RECORD_SUFFIXES, *PACKED_SUFFIXES)
CHUNK_BYTES = 1 << 22
BOM = b"\xef\xbb\xbf"
ENCODING_HINT = "If it is text in another encoding: gpt-tui corpus clean finds out which and converts it"


def cache_dir(corpus_dir: Path) -> Path:
    """Where generated text, tokenizers and shards are kept: $GPT_TUI_CACHE, or `.cache` among the corpora."""
    moved = os.environ.get("GPT_TUI_CACHE")
    return Path(moved).expanduser().absolute() if moved else corpus_dir.absolute() / ".cache"


def path_kind(path: Path) -> Literal["file", "folder", "other"] | None:
    """What `path` is, None where there is nothing. Raises CorpusError where the system will not say."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise read_error(path, error) from None
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def read_error(path: Path, error: OSError) -> CorpusError:
    if isinstance(error, FileNotFoundError):
        return CorpusError("is no longer there", where=str(path))
    return CorpusError(f"cannot be read: {reason(error)}", where=str(path))


def decode(data: bytes, where: str, *, whole: bool = True) -> str:
    """`data` as text; with `whole` false it may end within a character. Raises CorpusError naming the byte offset."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CorpusError("is UTF-16, not UTF-8 text", where=where, do="gpt-tui corpus clean converts it")
    nul = data.find(0)
    if nul >= 0:
        raise CorpusError(f"is binary, not text: a NUL byte at offset {nul:,}", where=where)
    skipped = len(BOM) if data.startswith(BOM) else 0
    try:
        return data[skipped:].decode("utf-8")
    except UnicodeDecodeError as error:
        if not whole and error.reason == "unexpected end of data":
            return data[skipped : skipped + error.start].decode("utf-8")
        at = skipped + error.start
        raise CorpusError(
            f"is not UTF-8 text: byte 0x{data[at]:02x} at offset {at:,}",
            where=where,
            do=ENCODING_HINT,
        ) from None


Skipped = Counter[Literal["hidden", "empty", "not text by its name", "a link that leads nowhere"]]


def list_text_files(folder: Path, skipped: Skipped | None = None) -> list[Path]:
    """The text files under `folder`, at any depth, sorted. What is left out is counted in `skipped`.

    Links are followed, each folder once, so a link that leads back up ends there. Raises CorpusError for a folder
    that cannot be read.
    """
    found = _walk(folder, set(), Counter() if skipped is None else skipped)
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _walk(folder: Path, seen: set[tuple[int, int]], skipped: Skipped) -> Iterator[Path]:
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise read_error(folder, error) from None
    for entry in entries:
        if entry.name.startswith("."):
            skipped["hidden"] += 1
            continue
        try:
            mode = entry.stat()
        except OSError:  # a link that leads nowhere or to itself holds no text
            if entry.is_symlink():
                skipped["a link that leads nowhere"] += 1
                continue
            raise CorpusError("cannot be read", where=entry.path) from None
        if stat.S_ISDIR(mode.st_mode):
            yield from _walk(Path(entry.path), seen, skipped)
        elif not stat.S_ISREG(mode.st_mode) or not entry.name.lower().endswith(TEXT_SUFFIXES):
            skipped["not text by its name"] += 1
        elif not mode.st_size:
            skipped["empty"] += 1
        else:
            yield Path(entry.path)


def file_digest(path: Path) -> str:
    """xxh3_128 of a file's bytes. Raises CorpusError for one that cannot be read."""
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise read_error(path, error) from None
    return digest.hexdigest()
