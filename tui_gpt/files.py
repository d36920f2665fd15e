"""Reading and writing small files: configs, manifests, status and notes."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import zlib
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 64 << 20
_CHECKSUM = re.compile(rb',"crc32":"([0-9a-f]{8})"}\s*\Z')


def read_file(path: Path, limit_bytes: int = MAX_BYTES) -> bytes:
    """Return the contents of a plain file. Raise OSError if it is something else, such as a fifo, or larger."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        if status.st_size > limit_bytes:
            raise OSError(errno.EFBIG, f"larger than {limit_bytes >> 20} MiB", str(path))
        return file.read(limit_bytes)


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace the contents of `path` atomically: a reader sees either the old file or the new one.

    durable: also after a power failure. It costs two flushes of the disk, too many for a file that changes each second.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    temporary.unlink(missing_ok=True)  # of a killed process that had the same id
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(fd)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def add_checksum(data: bytes) -> bytes:
    """Return a JSON object that is not empty, with a checksum of all that stands before it as its last field."""
    head = data.rstrip()[:-1].rstrip()
    return head + b',"crc32":"%08x"}' % zlib.crc32(head)


def is_intact(data: bytes) -> bool:
    """Return whether a JSON object is as it was written. One without a checksum, of an earlier version, counts so."""
    found = _CHECKSUM.search(data, max(0, len(data) - 40))
    return found is None or int(found[1], 16) == zlib.crc32(data[: found.start()])


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot flush folders
            raise
    finally:
        os.close(fd)
