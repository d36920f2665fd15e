"""Background tasks on corpora, in child processes: started, followed, cancelled.

Fetching, cleaning and preparing take minutes and load libraries that this process must not. `Task` is one of them with
its progress, for the status bar; `run_task()` alone is for what takes a moment. Cancelling ends the child's whole
session, and so does the end of the event loop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from tui_gpt.errors import CorpusError, reason
from tui_gpt.workbench.jobs.task_process import TaskRequest, TaskUpdate

__all__ = ["Task", "TaskCancelled", "TaskRequest", "TaskUpdate", "run_task"]

T = TypeVar("T")
LINE_BYTES = 1 << 26
LOG_BYTES = 1 << 14
GRACE_SECONDS = 3.0
MIN_ETA_SECONDS, MIN_ETA_FRACTION = 1.0, 0.02  # below either, an ETA would be a guess


class TaskCancelled(Exception):
    """Raised by `Task.run()` after `Task.cancel()`."""


class Task:
    """One background task and its progress. `title` begins with what is being done: `fetching …`."""

    def __init__(self, request: TaskRequest, title: str) -> None:
        self.request, self.title = request, title
        self.phase = title
        self.fraction: float | None = None
        self.eta_seconds: float | None = None
        self.is_cancelled = False
        self._phase_started = time.monotonic()
        self._running: asyncio.Task[Any] | None = None

    async def run(self, result_type: type[T]) -> T:
        """Run the child process and return its result. Raises CorpusError, or TaskCancelled after `cancel()`."""
        if self.is_cancelled:
            raise TaskCancelled(self.title)
        self._running = asyncio.create_task(run_task(self.request, result_type, self.update))
        try:
            return await self._running
        except asyncio.CancelledError:
            if self.is_cancelled:
                raise TaskCancelled(self.title) from None
            raise  # the event loop is ending

    def cancel(self) -> None:
        """End the child process. `run()` raises TaskCancelled once it is gone."""
        self.is_cancelled = True
        self.phase, self.fraction, self.eta_seconds = f"cancelling: {self.title}", None, None
        if self._running is not None:
            self._running.cancel()

    def update(self, update: TaskUpdate) -> None:
        """Take in the child's progress."""
        if self.is_cancelled:
            return
        now = time.monotonic()
        if update.phase != self.phase:
            self._phase_started = now
        self.phase, self.fraction, self.eta_seconds = update.phase, update.fraction, None
        elapsed = now - self._phase_started
        if update.fraction is not None and update.fraction >= MIN_ETA_FRACTION and elapsed >= MIN_ETA_SECONDS:
            self.eta_seconds = elapsed * (1 - update.fraction) / update.fraction

    @property
    def description(self) -> str:
        """`preparing stories 45 %, 12 s left`."""
        return f"{self.phase}{self._progress}{self._time_left}"

    @property
    def short_description(self) -> str:
        """`preparing 45 %`, for where there is little room."""
        return self.title.partition(" ")[0] + self._progress

    @property
    def _progress(self) -> str:
        return f" {self.fraction * 100:.0f} %" if self.fraction is not None else "…"

    @property
    def _time_left(self) -> str:
        if self.eta_seconds is None:
            return ""
        seconds = round(self.eta_seconds)
        if seconds < 60:
            return f", {seconds} s left"
        return f", {seconds // 60}:{seconds % 60:02} left" if seconds < 3600 else f", {seconds / 3600:.1f} h left"


async def run_task(
    request: TaskRequest, result_type: type[T], on_update: Callable[[TaskUpdate], object] = lambda update: None
) -> T:
    """Return what a child process makes of `request`; `on_update` gets its progress. Cancelling ends the child.

    Raises CorpusError for what the child reports, or when it ends without a result.
    """
    with tempfile.TemporaryFile() as log:
        try:
            process = await asyncio.create_subprocess_exec(
                *_argv(request),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                limit=LINE_BYTES,
            )
        except OSError as error:
            raise CorpusError(f"{request.task} cannot be started: {reason(error)}", where=request.reference) from None
        assert process.stdout is not None  # it is a pipe
        try:
            async for line in process.stdout:
                update = msgspec.json.decode(line, type=TaskUpdate)
                if update.problem:
                    raise CorpusError(update.problem)
                if update.is_last:
                    return msgspec.json.decode(update.result, type=result_type)
                on_update(update)
            code = await process.wait()
        except ValueError as error:  # a line that is no update, or too long
            text = f"{request.task} sent a line that cannot be read: {error}"
            raise CorpusError(text, where=request.reference) from None
        finally:
            await _end(process)
        log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_BYTES))
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
        lines = log.read().decode("utf-8", "replace").strip().split("\n")  # the last one of a traceback says most
        text = f"{request.task} ended with {name}" + (f": {lines[-1].strip()}" if lines[-1] else "")
        raise CorpusError(text, where=request.reference)


def _argv(request: TaskRequest) -> list[str]:
    encoded = msgspec.json.encode(request).decode()
    return [sys.executable, "-P", "-m", "tui_gpt.workbench.jobs.task_process", encoded]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the child: SIGTERM at first, SIGKILL to its whole session in the end, also when this is cancelled."""
    try:
        if process.returncode is None:
            _signal(process.pid, signal.SIGTERM)
            await asyncio.wait_for(process.wait(), GRACE_SECONDS)
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # gone, or on macOS a zombie
        return
