"""Starting a room that has torch from one that has not, and the channel to it.

The child is started with `spawn` and enters through `_enter`, which imports its entry point by dotted name, so that the
parent never imports it. One duplex pipe joins the two: unlike a pair of multiprocessing queues it has no semaphores,
no feeder thread and no shared locks that a killed process could leave taken, and the other side's death reads as end
of file at once instead of a `get` that never returns.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from multiprocessing import reduction
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from tui_gpt.errors import UserError, reason
from tui_gpt.run.messages import Failure, Message, Progress, RequestFailed

# Idle OpenMP threads spin by default, each stealing a core from whoever else would use it. pico on 2 cores, ms a step:
# alone 57 by default, 63 at 10,000 spins, 110 passive; beside another 2-thread trainer 5,900, 446 and 223.
GOMP_SPINCOUNT = "10000"

# Freed activations go back to the kernel by default, and their pages are faulted in again by the next operation. Kept,
# they make pico's forward and backward pass 10 to 15 % faster (glibc; other allocators ignore the names).
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


class Channel:
    """One end of the pipe: messages both ways, safe to send on from several threads."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lock = threading.Lock()

    def send(self, message: Message, *, droppable: bool = False) -> bool:
        """Send, and say whether it went. A droppable message is not sent while the pipe is full."""
        with self._lock:
            if droppable and not select.select([], [self.connection], [], 0)[1]:
                return False
            try:
                self.connection.send(message)
            except OSError:  # the other side is gone; its death is noticed by reading
                return False
            return True

    def receive(self, timeout_seconds: float | None = 0.0) -> Message | None:
        """The next message, or None when none came in time. Raises EOFError when the other side is gone."""
        try:
            return self.connection.recv() if self.connection.poll(timeout_seconds) else None
        except OSError:
            raise EOFError from None

    def close(self) -> None:
        self.connection.close()


class InheritedFd:
    """A file descriptor that goes along to a spawned child, which otherwise closes all it does not know."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __getstate__(self) -> Any:
        return reduction.DupFd(self.fd)

    def __setstate__(self, duplicate: Any) -> None:
        self.fd = duplicate.detach()


def spawn(
    entry: str, *arguments: Any, log: Path | None = None, inherit: int | None = None
) -> tuple[SpawnProcess, Channel]:
    """Start `entry` ("package.module:function") as `function(channel, *arguments)`.

    log: where its file descriptors 1 and 2 go. inherit: a descriptor that it keeps open for as long as it lives.
    """
    for name, value in {"GOMP_SPINCOUNT": GOMP_SPINCOUNT, **ALLOCATOR}.items():
        os.environ.setdefault(name, value)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    kept = InheritedFd(inherit) if inherit is not None else None
    process = context.Process(target=_enter, args=(entry, theirs, kept, str(log or ""), arguments))
    process.start()
    theirs.close()
    return process, Channel(ours)


def run_task(channel: Channel, work: Callable[[Callable[[str], None]], Message]) -> None:
    """Run `work` and send what it returns, or `RequestFailed` when it raises UserError or OSError.

    `work` is given a function that tells what it is doing. Terminated, or with nobody left to tell, it ends, and cleans
    up on the way.
    """
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _: sys.exit(128 + number))

    def say(phase: str) -> None:
        if not channel.send(Progress(state="starting", phase=phase)):
            sys.exit(1)

    try:
        channel.send(work(say))
    except UserError as error:
        channel.send(RequestFailed(id="", failure=Failure.of(error)))
    except OSError as error:
        failure = Failure(what=f"cannot be read or written: {reason(error)}", where=str(error.filename or ""))
        channel.send(RequestFailed(id="", failure=failure))


def _enter(entry: str, connection: Connection, kept: InheritedFd | None, log: str, arguments: tuple) -> None:
    if log:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
    module, _, function = entry.partition(":")
    getattr(import_module(module), function)(Channel(connection), *arguments)
    del kept  # held open until here
