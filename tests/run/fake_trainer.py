"""A trainer without torch for tests of the supervisor: it answers commands, and saves a file when it is stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tui_gpt.run.child_process import Channel
from tui_gpt.run.messages import Ack, Command, Ended, FolderMoved, Progress
from tui_gpt.run.supervisor import StartRequest


def run(channel: Channel, folder: str, request: StartRequest) -> None:
    step = 0
    try:
        while True:
            step += 1
            channel.send(Progress(state="running", phase="training", step=step))
            match channel.receive(0.02):
                case FolderMoved(path=path):
                    folder = path
                case Command(name="stop", now=now):
                    if not now:
                        Path(folder, "checkpoints", "saved").write_text(str(step))
                    channel.send(Ended(state="stopped", message="stopped", step=step))
                    return
                case Command() as command:
                    channel.send(Ack(command_id=command.id, command=command.name, ok=True, message="done", step=step))
    except EOFError:
        return


def run_deaf(channel: Channel, folder: str, request: StartRequest) -> None:
    """Answer nothing and survive SIGTERM, as a trainer stuck in a driver does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.send(Progress(state="running", phase="training", step=1))
    while os.getppid() != 1:
        time.sleep(0.1)


def run_and_fail(channel: Channel, folder: str, request: StartRequest) -> None:
    channel.send(Ended(state="failed", message="no space for the cache"))
