"""Pack a run into one file, and restore it: a tar in Zstandard with the digest of every file.

The digests are the last entry, so that a run is read once, and an archive that was cut is known by their absence. A
restore writes beside its place, compares every file with its digest, and only then makes the run appear. It takes
files and folders below the run's own folder, and refuses everything else that a tar can hold.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import xxhash
import zstandard

from tui_gpt.checkpoints.manifest import FileEntry
from tui_gpt.corpora.sources.digests import seal, unseal
from tui_gpt.corpora.sources.source import Progress
from tui_gpt.errors import RunError, reason
from tui_gpt.files import MAX_BYTES, sync
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder, validate_name

SUFFIX = ".tar.zst"
CONTENTS = "gpt-tui-archive.json"
BLOCK_BYTES = 1 << 20
_NOT_ONE = "is damaged, or not an archive of gpt-tui"


class Contents(msgspec.Struct, frozen=True):
    """The last entry of an archive."""

    run: str
    files: dict[str, FileEntry]
    format_version: int = 1


def archive(folder: RunFolder, target: Path, progress: Progress) -> Path:
    """Write a run that is not live to the file `target`, or into that folder, and return the file. Raise RunError."""
    if target.is_dir():
        target = target / f"{folder.id}{SUFFIX}"
    if target.exists():
        raise RunError("already exists", where=str(target), do="Choose another file, or delete it")
    partial = target.with_name(f".{target.name}.partial")
    with folders.claimed(folder, "archived"):
        try:
            with partial.open("wb") as file:
                _write(folder, file, progress)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(target)
            sync(target.parent)
        except OSError as error:
            raise RunError(f"cannot be archived: {reason(error)}", where=str(error.filename or target)) from None
        except UnicodeError:
            raise RunError("cannot be archived: it holds a file whose name is not UTF-8", where=folder.id) from None
        finally:
            partial.unlink(missing_ok=True)
    return target


def _write(folder: RunFolder, file: IO[bytes], progress: Progress) -> None:
    paths = sorted(_paths(folder))
    size, done = sum(path.stat().st_size for path in paths if path.is_file()) or 1, 0
    compressor = zstandard.ZstdCompressor(level=3, threads=-1, write_checksum=True)
    entries: dict[str, FileEntry] = {}
    with compressor.stream_writer(file, closefd=False) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
        for path in paths:
            name = path.relative_to(folder.path).as_posix()
            header = tarfile.TarInfo(f"{folder.id}/{name}")
            if path.is_dir():
                header.type, header.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(header)
                continue
            with path.open("rb") as source:
                status = os.fstat(source.fileno())
                header.size, header.mtime = status.st_size, int(status.st_mtime)
                hashing = _HashingReader(source)
                tar.addfile(header, hashing)
            entries[name] = FileEntry(bytes=header.size, xxh3_128=hashing.hasher.hexdigest())
            done += header.size
            progress(f"archiving {folder.id}", done / size)
        data = seal(msgspec.json.encode(Contents(run=folder.id, files=entries)))
        header = tarfile.TarInfo(CONTENTS)
        header.size = len(data)
        tar.addfile(header, io.BytesIO(data))


class _HashingReader:
    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hasher = file, xxhash.xxh3_128()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.hasher.update(data)
        return data


def _paths(folder: RunFolder) -> Iterator[Path]:
    """Yield the folders and plain files of a run, without its lock, commands, and what was not completed."""
    for parent, names, files in os.walk(folder.path):
        place = Path(parent)
        names[:] = [name for name in names if not name.startswith(".") and not (place / name).is_symlink()]
        yield from (place / name for name in names)
        if place == folder.commands:
            continue
        for name in files:
            path = place / name
            if path != folder.lock and not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def restore(file: Path, runs: Path, progress: Progress) -> RunFolder:
    """Restore the run in an archive under `runs`, and return it. Raise RunError if it is damaged or there already."""
    if not hasattr(tarfile, "data_filter"):
        raise RunError("restoring a run needs Python 3.11.4 or newer")
    try:
        with file.open("rb") as packed:
            runs.mkdir(parents=True, exist_ok=True)
            return _restore(packed, runs, progress)
    except (zstandard.ZstdError, tarfile.TarError, EOFError, ValueError) as error:
        raise RunError(f"{_NOT_ONE}: {error}", where=str(file)) from None
    except OSError as error:
        what = f"cannot be restored: {reason(error)}"
        raise RunError(what, where=str(error.filename or file)) from None


def _restore(packed: IO[bytes], runs: Path, progress: Progress) -> RunFolder:
    size = os.fstat(packed.fileno()).st_size or 1
    partial = runs / f".restoring-{os.getpid()}"
    partial.mkdir()
    found: dict[str, FileEntry] = {}
    run, contents = "", None
    try:
        stream = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
        with stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                if contents is not None:
                    raise ValueError("something follows its list of files")
                if member.name == CONTENTS and member.isreg() and member.size <= MAX_BYTES:
                    contents = msgspec.json.decode(unseal(_opened(tar, member).read()), type=Contents)
                    continue
                tarfile.data_filter(member, str(partial))  # raises for what leads out of the folder
                top, _, name = member.name.partition("/")
                run = run or _available(runs, top)
                if top != run or not name or not (member.isreg() or member.isdir()):
                    raise ValueError(f"holds {member.name!r}, which is no file of the run {run}")
                if member.isdir():
                    (partial / name).mkdir()
                else:
                    found[name] = _extract(_opened(tar, member), partial / name)
                progress(f"restoring {run}", packed.tell() / size)
        if contents is None:
            raise ValueError("its end is missing")
        _compare(contents, run, found)
        folder = RunFolder(partial)
        folder.commands.mkdir(exist_ok=True)
        folder.commands.chmod(0o700)
        folder.checkpoints.mkdir(exist_ok=True)
        for parent, _, _ in os.walk(partial):
            sync(Path(parent))
        partial.rename(runs / _available(runs, run))
        sync(runs)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return RunFolder(runs / run)


def _available(runs: Path, run: str) -> str:
    """Return the id of a run. Raise RunError if it is invalid, or the run is there already."""
    validate_name(run)
    if (runs / run).exists():
        raise RunError("already exists", where=str(runs / run), do=f"Rename it first: gpt-tui rename {run} NAME")
    return run


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None  # a plain file
    return file


def _extract(source: IO[bytes], path: Path) -> FileEntry:
    hasher, size = xxhash.xxh3_128(), 0
    with path.open("xb") as target:
        while data := source.read(BLOCK_BYTES):
            target.write(data)
            hasher.update(data)
            size += len(data)
        target.flush()
        os.fsync(target.fileno())
    return FileEntry(bytes=size, xxh3_128=hasher.hexdigest())


def _compare(contents: Contents, run: str, found: dict[str, FileEntry]) -> None:
    if contents.run != run:
        raise ValueError("its list of files is of another run")
    for name in sorted(contents.files.keys() | found.keys()):
        if contents.files.get(name) != found.get(name):
            what = "is missing" if name not in found else "does not match its digest"
            raise ValueError(f"{name} {what}")
