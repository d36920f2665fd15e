"""The client of the sampler process, which loads checkpoints and generates text; started with the first generation.

The sampler is another process because it needs torch and this one must not import it. Its messages come over one pipe,
which the event loop watches. It works on one generation at a time, so `generate()` waits for the one before; it loads
another checkpoint when a request names one. Its own output goes to a log: it must not write over the screen.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gpt.errors import RunError, UserError
from tui_gpt.run.messages import Cancel, Chunk, Generate, Generated, Loaded, Message, RequestFailed

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from tui_gpt.run.child_process import Channel

ENTRY = "tui_gpt.sampling.sampler_process:serve"
END_SECONDS = 2.0


class SamplerClient:
    """One sampler process, or none yet."""

    def __init__(self, log: Path, entry: str = ENTRY) -> None:
        self.log = log
        self.loaded: Loaded | None = None  # the checkpoint in memory: its path, step and device
        self._entry = entry
        self._process: SpawnProcess | None = None
        self._channel: Channel | None = None
        self._current = ""  # the id of the generation that is running
        self._is_cancelled = False  # before its request could be sent
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._turn = asyncio.Lock()
        self._starts = 0  # tells a start that `close()` overtook

    @property
    def is_running(self) -> bool:
        """Whether the process exists, and holds memory."""
        return self._process is not None

    async def generate(self, request: Generate) -> AsyncIterator[Loaded | Chunk | Generated]:
        """Yield a `Loaded`, the text as `Chunk`s, and at last a `Generated` (`cancelled` after `cancel()`).

        Leaving early cancels the generation. Raises UserError when the sampler refuses the request or ends.
        """
        async with self._turn:
            self._current, self._is_cancelled = request.id, False
            channel = None
            try:
                channel = await self._start()
                channel.send(request)
                if self._is_cancelled:
                    channel.send(Cancel(id=request.id))
                while True:
                    message = await self._inbox.get()
                    if message is None:
                        raise await self._ended()
                    if getattr(message, "id", "") != request.id:
                        continue  # of a generation that was left early
                    if isinstance(message, RequestFailed):
                        failure, self._current = message.failure, ""
                        raise UserError(failure.what, where=failure.where, do=failure.do)
                    if isinstance(message, Loaded):
                        self.loaded = message
                    if isinstance(message, Generated):
                        self._current = ""
                    if isinstance(message, Loaded | Chunk | Generated):
                        yield message
                    if isinstance(message, Generated):
                        return
            finally:
                if self._current and channel is not None and channel is self._channel:
                    channel.send(Cancel(id=request.id))
                self._current = ""

    def cancel(self) -> None:
        """Ask the generation that is running to end; `generate()` then yields its `Generated`."""
        self._is_cancelled = True
        if self._channel is not None and self._current:
            self._channel.send(Cancel(id=self._current))

    async def close(self) -> None:
        """End the process and free what it holds. A generation that is running raises RunError."""
        process = self._detach()
        if process is not None:
            await asyncio.to_thread(_end, process)

    async def _start(self) -> Channel:
        """Return the channel to the process, started now if there is none, or none that lives."""
        if self._process is not None and not self._process.is_alive():
            await self.close()
        if self._channel is None:
            self._starts += 1
            start = self._starts
            self._inbox = asyncio.Queue()
            process, channel = await asyncio.to_thread(self._spawn)
            if start != self._starts:
                channel.close()
                await asyncio.to_thread(_end, process)
                raise RunError("the sampler was closed")
            self._process, self._channel = process, channel
            asyncio.get_running_loop().add_reader(channel.connection.fileno(), self._receive)
        return self._channel

    def _spawn(self) -> tuple[SpawnProcess, Channel]:
        from tui_gpt.run.child_process import spawn

        log = self.log
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_bytes(b"")
        except OSError:  # a home that is read-only, full or missing
            log = Path(os.devnull)
        return spawn(self._entry, log=log)

    def _receive(self) -> None:
        """Take in what the pipe holds; the event loop calls this when it holds something."""
        try:
            while self._channel is not None and (message := self._channel.receive()) is not None:
                self._inbox.put_nowait(message)
        except EOFError:
            if self._channel is not None:
                asyncio.get_running_loop().remove_reader(self._channel.connection.fileno())
            self._inbox.put_nowait(None)

    def _detach(self) -> SpawnProcess | None:
        process, channel = self._process, self._channel
        self._process, self._channel, self.loaded = None, None, None
        self._starts += 1
        self._inbox.put_nowait(None)
        if channel is not None:
            asyncio.get_running_loop().remove_reader(channel.connection.fileno())
            channel.close()
        return process

    async def _ended(self) -> RunError:
        """Return the error for a process that ended during a generation."""
        process = self._process
        if process is None:
            return RunError("the sampler was closed")
        self._detach()
        await asyncio.to_thread(_end, process, END_SECONDS)
        code = process.exitcode or 0
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = "The machine may have run out of memory" if name == "SIGKILL" else f"Its output is in {self.log}"
        return RunError(f"the sampler ended with {name}", do=hint)


def _end(process: SpawnProcess, wait_seconds: float = 0.1) -> None:
    """End the process, which may end by itself within `wait_seconds`: its pipe is closed. Blocking."""
    process.join(wait_seconds)
    if process.is_alive():
        process.terminate()
        process.join(END_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
