"""Work on corpora in child processes, from the workbench's side: started, followed, cancelled.

Fetching, cleaning and preparing take minutes and load libraries that this process must not; one of them is under way
at a time, whatever screen is in front, and `Chore` is what those show of it. What is asked for on the way (a size, the
tokens of a text) goes through `ask_child` alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tui_gpt.errors import CorpusError
from tui_gpt.workbench import memory
from tui_gpt.workbench.chore_process import Said, Work

if TYPE_CHECKING:
    from textual.worker import Worker

T = TypeVar("T")
LINE_BYTES = 1 << 26
GRACE_SECONDS = 3.0
BAR = 12


class Chore:
    """One piece of work under way. `title` begins with what is being done: `fetching …`."""

    def __init__(self, work: Work, title: str) -> None:
        self.work, self.title = work, title
        self.phase = title
        self.fraction: float | None = None
        self.cancelled = False
        self.worker: Worker[None] | None = None

    def take(self, said: Said) -> None:
        self.phase, self.fraction = said.phase, said.fraction

    @property
    def doing(self) -> str:
        return self.phase + self._so_far

    @property
    def briefly(self) -> str:
        """`doing` in a word, for where there is little room."""
        return self.title.partition(" ")[0] + self._so_far

    @property
    def _so_far(self) -> str:
        return f" {self.fraction:.0%}" if self.fraction is not None else "…"

    @property
    def bar(self) -> str:
        """A bar of `BAR` cells, empty where nobody knows how much there is to do."""
        full = round((self.fraction or 0.0) * BAR)
        return "━" * full + "╌" * (BAR - full) if self.fraction is not None else ""

    def cancel(self) -> None:
        self.cancelled, self.phase, self.fraction = True, f"cancelling: {self.title}", None
        if self.worker is not None:
            self.worker.cancel()


def _argv(work: Work) -> list[str]:
    return [sys.executable, "-P", "-m", "tui_gpt.workbench.chore_process", msgspec.json.encode(work).decode()]


def ask_now(work: Work, kind: type[T], seconds: float = 20.0) -> T:
    """The same from a thread, for what takes a moment. Raises CorpusError."""
    try:
        done = subprocess.run(_argv(work), stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=seconds)
        said = msgspec.json.decode(done.stdout.splitlines()[-1], type=Said)
    except (subprocess.TimeoutExpired, IndexError, msgspec.DecodeError):
        raise CorpusError("cannot be looked into", where=work.reference) from None
    if said.problem:
        raise CorpusError(said.problem)
    return msgspec.json.decode(said.made, type=kind)


async def ask_child(work: Work, kind: type[T], heard: Callable[[Said], None] | None = None) -> T:
    """What a child process makes of `work`; `heard` gets its progress. Cancelling ends the child.

    Raises CorpusError for what the child says is wrong, or when it ends without a word.
    """
    log = memory.view_path().with_name("chores.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *_argv(work),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            limit=LINE_BYTES,
        )
    try:
        assert process.stdout is not None  # it is a pipe
        decode = msgspec.json.Decoder(Said).decode
        async for line in process.stdout:
            said = decode(line)
            if said.problem:
                raise CorpusError(said.problem)
            if bytes(said.made):
                return msgspec.json.decode(said.made, type=kind)
            if heard is not None:
                heard(said)
        code = await process.wait()
        raise CorpusError(f"{work.task} ended with {code}", where=work.reference, do=f"What it said is in {log}")
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let the child go: asked to at first, its whole session in the end. Also while this is being cancelled."""
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), GRACE_SECONDS)
        except TimeoutError:
            _signal(process.pid, signal.SIGKILL)
            await process.wait()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
