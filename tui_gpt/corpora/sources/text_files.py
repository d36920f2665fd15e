"""Find and read text files, and turn errors of the operating system into errors for the user.

Text is UTF-8; a byte order mark is dropped and nothing else is changed. Binary files and other encodings are rejected
with the offset of the first offending byte, because a model trained on mojibake learns mojibake.
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
ENCODING_HINT = "If it is text in another encoding, gpt-tui corpus clean detects and converts it"


def cache_dir(corpus_dir: Path) -> Path:
    """Return the folder for generated text, tokenizers and shards: $GPT_TUI_CACHE, or `.cache` in the corpus folder."""
    override = os.environ.get("GPT_TUI_CACHE")
    return Path(override).expanduser().absolute() if override else corpus_dir.absolute() / ".cache"


def path_kind(path: Path) -> Literal["file", "folder", "other"] | None:
    """Return what `path` is, None if it does not exist. Raises CorpusError if that cannot be determined."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise read_error(path, error) from None
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def read_error(path: Path, error: OSError) -> CorpusError:
    """Return the CorpusError for an OSError met while reading `path`."""
    if isinstance(error, FileNotFoundError):
        return CorpusError("no longer exists", where=str(path))
    return CorpusError(f"cannot be read: {reason(error)}", where=str(path))


def decode(data: bytes, where: str, *, whole: bool = True) -> str:
    """Decode UTF-8 text. With `whole` false the data may end within a character.

    Raises CorpusError with the byte offset for anything that is not UTF-8 text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CorpusError("UTF-16 text, expected UTF-8", where=where, do="Convert it with gpt-tui corpus clean")
    nul = data.find(0)
    if nul >= 0:
        raise CorpusError(f"binary file: NUL byte at offset {nul:,}", where=where)
    skipped = len(BOM) if data.startswith(BOM) else 0
    try:
        return data[skipped:].decode("utf-8")
    except UnicodeDecodeError as error:
        if not whole and error.reason == "unexpected end of data":
            return data[skipped : skipped + error.start].decode("utf-8")
        at = skipped + error.start
        raise CorpusError(
            f"not UTF-8 text: byte 0x{data[at]:02x} at offset {at:,}",
            where=where,
            do=ENCODING_HINT,
        ) from None


Skipped = Counter[Literal["hidden", "empty", "not a text file", "broken link", "link out of the folder"]]


def list_text_files(folder: Path, skipped: Skipped | None = None) -> list[Path]:
    """Return the text files under `folder`, at any depth, sorted. Files left out are counted in `skipped`.

    Links within the folder are followed, but each folder is visited once, so that a link to a parent folder cannot
    loop. Links that leave it are not: whoever made the folder could make any file of this machine a part of the text.
    Raises CorpusError for a folder that cannot be read.
    """
    found = _walk(folder, os.path.realpath(folder), set(), Counter() if skipped is None else skipped)
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def leaves_folder(path: Path, folder: str) -> bool:
    """Whether `path` is, through links, outside `folder`, a path without links."""
    return not os.path.realpath(path).startswith(os.path.join(folder, ""))  # noqa: PTH118  # for many files


def _walk(folder: Path, root: str, seen: set[tuple[int, int]], skipped: Skipped) -> Iterator[Path]:
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
        except OSError:  # a link to nothing or to itself
            if entry.is_symlink():
                skipped["broken link"] += 1
                continue
            raise CorpusError("cannot be read", where=entry.path) from None
        if entry.is_symlink() and leaves_folder(Path(entry.path), root):
            skipped["link out of the folder"] += 1
        elif stat.S_ISDIR(mode.st_mode):
            yield from _walk(Path(entry.path), root, seen, skipped)
        elif not stat.S_ISREG(mode.st_mode) or not entry.name.lower().endswith(TEXT_SUFFIXES):
            skipped["not a text file"] += 1
        elif not mode.st_size:
            skipped["empty"] += 1
        else:
            yield Path(entry.path)


def file_digest(path: Path) -> str:
    """Return the xxh3_128 of a file's bytes. Raises CorpusError if it cannot be read."""
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise read_error(path, error) from None
    return digest.hexdigest()
