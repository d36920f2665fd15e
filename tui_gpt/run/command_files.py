"""Commands to a live run: files in `commands/`, acknowledged in `events.jsonl`.

Files need no socket and no key. They work after logout, from another machine on a shared file system and with several
viewers, and leave an audit trail.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from tui_gpt.errors import RunError, reason
from tui_gpt.files import write_atomically
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlReader
from tui_gpt.run.messages import Command, Event, Status

MAX_BYTES = 65_536


def send(folder: RunFolder, command: Command) -> str:
    """Write `command` for the supervisor of the run and return its id. Raise RunError if the run is not live."""
    require_live(folder, command.name)
    try:
        write_atomically(folder.commands / f"{command.id}.json", msgspec.json.encode(command))
    except OSError as error:
        raise RunError(f"the command could not be written: {reason(error)}", where=str(folder.commands)) from None
    return command.id


def require_live(folder: RunFolder, verb: str) -> None:
    """Raise RunError if the run is not live. verb: what was to be done, for the message."""
    state = folder.state()
    if not folder.is_locked() and state != "elsewhere":
        raise RunError(
            f"is {state}, cannot {verb}",
            where=folder.id,
            do=f"Resume it with gpt-tui train --resume {folder.id}",
        )


class Refused(NamedTuple):
    """A file in `commands/` that is no command. is_deleted: False where even that failed, and it will be seen again."""

    name: str
    reason: str
    is_deleted: bool = True


def receive(folder: RunFolder) -> Iterator[Command | Refused]:
    """Delete and yield the commands in the folder, ordered by id. Never raises, whatever somebody put there."""
    try:
        with os.scandir(folder.commands) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(".json") and entry.name[0] != ".")
    except FileNotFoundError:
        with suppress(OSError):
            folder.commands.mkdir(mode=0o700)
        return
    except OSError as error:
        yield Refused("", f"cannot be read: {reason(error)}", is_deleted=False)
        return
    for name in names:
        path = Path(folder.commands, name)
        try:
            command: Command | Refused = _read(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            command = Refused(name, reason(error))
        except (ValueError, RecursionError):
            command = Refused(name, "is not a valid command")
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:  # a command that stays would be executed again and again
            command = Refused(name, f"cannot be deleted: {reason(error)}", is_deleted=False)
        yield command


def _read(path: Path) -> Command:
    """Return the command in a file. Raise OSError if it is not a plain file of a command's size."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is not a plain file")
        if status.st_size > MAX_BYTES:
            raise OSError(errno.EFBIG, f"is larger than {MAX_BYTES:,} bytes")
        return msgspec.json.decode(os.read(fd, MAX_BYTES), type=Command)
    finally:
        os.close(fd)


def wait_for_ack(
    folder: RunFolder, command_id: str, reader: JsonlReader[Event], timeout_seconds: float
) -> Event | None:
    """Wait for the acknowledgement of a command and return it, or None after `timeout_seconds`.

    reader: of the run's events, created before the command was sent. Raise RunError if the run ends without one.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        live = folder.is_locked() or folder.state() == "elsewhere"
        for event in reader.poll():
            if isinstance(event, Event) and event.command_id == command_id:
                return event
        if not live:
            raise RunError(f"ended before it acknowledged the command: it is {folder.state()}", where=folder.id)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)


def signal_trainer(folder: RunFolder, sig: signal.Signals) -> None:
    """Send a signal to the trainer itself. Raise RunError if the run is not live or is on another host."""
    status = _require_local(folder)
    for pid in status.trainer_pids:
        with suppress(ProcessLookupError):
            os.kill(pid, sig)


def kill(folder: RunFolder, timeout_seconds: float = 10.0) -> int:
    """Kill all processes of a run that no longer answers, and return how many. Raise RunError if that is not possible.

    They are found by the lock that they hold open, so that a reused process id hits no other program, and looked for
    until the lock is free: a trainer that is just starting gets it late.
    """
    import psutil

    _require_local(folder)
    lock, deadline = str(folder.lock.resolve()), time.monotonic() + timeout_seconds
    killed: set[int] = set()
    while folder.is_locked():
        if time.monotonic() > deadline:
            whose = "does not end" if killed else "of another user holds its lock"
            raise RunError(f"could not be killed: a process {whose}", where=folder.id)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.uids().real == os.getuid() and any(file.path == lock for file in process.open_files()):
                    process.kill()
                    killed.add(process.pid)
        time.sleep(0.02)
    return len(killed)


def _require_local(folder: RunFolder) -> Status:
    status = folder.read_status()
    if status is None or not folder.is_locked():
        raise RunError("is not live", where=folder.id)
    if status.host != socket.gethostname():
        raise RunError(f"runs on {status.host}", where=folder.id, do="Kill it on that host")
    return status
