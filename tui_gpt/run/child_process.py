"""Child processes that import torch, started from processes that do not, and the channel between the two.

The child is started with `spawn`, and imports its entry point by dotted name, so that the parent never imports it. Two
`multiprocessing.SimpleQueue` connect the two, one in each direction, with one writer and one reader each. They are
created for this child only, so a killed process cannot leave a lock behind that another one needs. Death of the other
process is detected by its sentinel, since a blocking `get` would never return. Each process closes the ends that it
does not use, so that a message cut off by a kill ends in EOFError, and a write without a reader in BrokenPipeError.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing import reduction
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from tui_gpt.errors import UserError, reason
from tui_gpt.run.messages import Failure, Message, Progress, RequestFailed

# Idle OpenMP threads spin by default, which takes cores from other processes. pico on 2 cores, ms a step: alone 57 by
# default, 63 at 10,000 spins, 110 passive; beside another trainer with 2 threads 5,900, 446 and 223.
GOMP_SPINCOUNT = "10000"

# By default freed activations go back to the kernel, and the next operation faults their pages in again. Keeping them
# makes pico's forward and backward pass 10 to 15 % faster (glibc; other allocators ignore these variables). With a GPU
# nothing large is on the host but batches and checkpoints, and several threads allocate.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

# Without it a child looks for modules in the current folder first, and runs a `random.py` that lies there.
SAFE_PATH = {"PYTHONSAFEPATH": "1"}


class Channel:
    """A pair of queues to another process. `send` may be called from several threads, `receive` from one.

    sentinel: file descriptor that becomes readable when the other process ends. connection: the readable end of the
    incoming queue, for event loops; it becomes readable when a message arrives, and when the other process ends.
    """

    def __init__(self, incoming: SimpleQueue[Message], outgoing: SimpleQueue[Message], sentinel: int) -> None:
        self._incoming, self._outgoing, self._sentinel = incoming, outgoing, sentinel
        self.connection, self._writer = _reader(incoming), _writer(outgoing)
        self._lock = threading.Lock()

    def send(self, message: Message, *, droppable: bool = False) -> bool:
        """Send a message and return whether it was sent. A droppable message is not sent while the queue is full."""
        with self._lock:
            try:
                if droppable and not select.select([], [self._writer], [], 0)[1]:
                    return False
                self._outgoing.put(message)
            except OSError:  # the other process is gone, which `receive` reports
                return False
            return True

    def receive(self, timeout_seconds: float | None = 0.0) -> Message | None:
        """Return the next message, or None after `timeout_seconds`. Raise EOFError if the other process is gone.

        Messages that it sent before it ended are returned first.
        """
        try:
            ready = wait([self.connection, self._sentinel], timeout_seconds)
            if self.connection in ready:
                return self._incoming.get()
        except OSError:
            raise EOFError from None
        if ready:
            raise EOFError
        return None

    def close(self) -> None:
        """Close this end of both queues."""
        self._incoming.close()
        self._outgoing.close()


def _reader(queue: SimpleQueue) -> Connection:
    return queue._reader  # type: ignore[attr-defined]  # the public methods cannot wait with a timeout


def _writer(queue: SimpleQueue) -> Connection:
    return queue._writer  # type: ignore[attr-defined]


def _close_unused_ends(incoming: SimpleQueue, outgoing: SimpleQueue) -> None:
    _writer(incoming).close()
    _reader(outgoing).close()


class InheritedFd:
    """A file descriptor to pass to a spawned child, which otherwise closes all inherited ones."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __getstate__(self) -> Any:
        return reduction.DupFd(self.fd)

    def __setstate__(self, duplicate: Any) -> None:
        self.fd = duplicate.detach()


def spawn(
    entry: str, *arguments: Any, log: Path | None = None, inherit: Sequence[int] = (), computes_on_cpu: bool = True
) -> tuple[SpawnProcess, Channel]:
    """Start `entry` ("package.module:function") as `function(channel, *arguments)` in a new process.

    log: file for its stdout and stderr. inherit: file descriptors that it keeps open until it ends.
    computes_on_cpu: False for a process that computes on a GPU, whose host threads gain from separate arenas of malloc.
    """
    environment = {"GOMP_SPINCOUNT": GOMP_SPINCOUNT, **SAFE_PATH, **(ALLOCATOR if computes_on_cpu else {})}
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    context = multiprocessing.get_context("spawn")
    to_child: SimpleQueue[Message] = context.SimpleQueue()
    to_parent: SimpleQueue[Message] = context.SimpleQueue()
    inherited = [InheritedFd(fd) for fd in inherit]
    child_arguments = (entry, to_child, to_parent, inherited, str(log or ""), arguments)
    process = context.Process(target=_child_main, args=child_arguments)
    process.start()
    _close_unused_ends(to_parent, to_child)
    return process, Channel(to_parent, to_child, process.sentinel)


def run_task(channel: Channel, work: Callable[[Callable[[str], None]], Message]) -> None:
    """Run `work` and send what it returns, or `RequestFailed` when it raises UserError or OSError.

    work: called with a function that reports the current phase. When the process is terminated, or its parent is gone,
    it ends by SystemExit, so that `work` cleans up.
    """
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _: sys.exit(128 + number))

    def report(phase: str) -> None:
        if not channel.send(Progress(state="starting", phase=phase)):
            sys.exit(1)

    try:
        channel.send(work(report))
    except UserError as error:
        channel.send(RequestFailed(id="", failure=Failure.of(error)))
    except OSError as error:
        failure = Failure(what=f"cannot be read or written: {reason(error)}", where=str(error.filename or ""))
        channel.send(RequestFailed(id="", failure=failure))


def _child_main(
    entry: str,
    incoming: SimpleQueue[Message],
    outgoing: SimpleQueue[Message],
    inherited: list[InheritedFd],
    log: str,
    arguments: tuple,
) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    _close_unused_ends(incoming, outgoing)
    channel = Channel(incoming, outgoing, parent.sentinel)
    if log:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
    module, _, function = entry.partition(":")
    getattr(import_module(module), function)(channel, *arguments)
    del inherited  # keep the descriptors open until here
