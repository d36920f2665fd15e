"""Asking something of a live run: a file in its `commands/`, and the answer in its `events.jsonl`.

No socket, key or pickle to guard: it works after logout, from a second machine on a shared file system and with several
viewers, and leaves its own trail.
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
    """Leave `command` for the run's supervisor and return its id. Raises RunError when nobody would read it."""
    require_live(folder, command.name)
    try:
        write_atomically(folder.commands / f"{command.id}.json", msgspec.json.encode(command))
    except OSError as error:
        raise RunError(f"cannot be commanded: {reason(error)}", where=str(folder.commands)) from None
    return command.id


def require_live(folder: RunFolder, verb: str) -> None:
    """Raises RunError, saying what the run is instead, when it is not live."""
    state = folder.state()
    if not folder.is_locked() and state != "elsewhere":
        raise RunError(
            f"is {state}: there is nothing to {verb}",
            where=folder.id,
            do=f"gpt-tui train --resume {folder.id} goes on with it",
        )


def receive(folder: RunFolder) -> Iterator[Command | str]:
    """The supervisor's side: commands in order of their ids, each removed; for a file that is none, its name."""
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
    """The run's answer; None when none came in time. Raises RunError when the run ended without one.

    reader: of the run's events, made before the command was sent.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        live = folder.is_locked() or folder.state() == "elsewhere"
        for event in reader.poll():
            if isinstance(event, Event) and event.command_id == command_id:
                return event
        if not live:
            raise RunError(f"ended before it answered: it is {folder.state()}", where=folder.id)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)


def signal_trainer(folder: RunFolder, sig: signal.Signals) -> None:
    """The watchdog's last steps: signal the trainer itself. Raises RunError when it is not on this host."""
    status = folder.read_status()
    if status is None or not folder.is_locked():
        raise RunError("is not live", where=folder.id)
    if status.host != socket.gethostname():
        raise RunError(f"runs on {status.host}", where=folder.id, do="Kill it there")
    for pid in status.trainer_pids:
        os.kill(pid, sig)
