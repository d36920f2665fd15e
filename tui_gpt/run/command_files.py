"""Commands to a live run: files in `commands/`, acknowledged in `events.jsonl`.

Files need no socket and no key. They work after logout, from another machine on a shared file system and with several
viewers, and leave an audit trail.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tui_gpt.errors import RunError, reason
from tui_gpt.run.folder import RunFolder, write_atomically
from tui_gpt.run.jsonl import JsonlReader
from tui_gpt.run.messages import Command, Event


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


def receive(folder: RunFolder) -> Iterator[Command | str]:
    """Delete and yield the commands in the folder, ordered by id; for an invalid file, yield its name."""
    with os.scandir(folder.commands) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(".json") and entry.name[0] != ".")
    for name in names:
        path = Path(folder.commands, name)
        try:
            data = path.read_bytes()
            path.unlink()
        except FileNotFoundError:
            continue
        try:
            yield msgspec.json.decode(data, type=Command)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield name


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
    status = folder.read_status()
    if status is None or not folder.is_locked():
        raise RunError("is not live", where=folder.id)
    if status.host != socket.gethostname():
        raise RunError(f"runs on {status.host}", where=folder.id, do="Kill it on that host")
    for pid in status.trainer_pids:
        os.kill(pid, sig)
