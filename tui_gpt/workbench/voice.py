"""The sampler process, from the workbench's side: started when it is first asked, ended on a key and on leaving.

It is another process because it needs torch and this one must not; what it says comes over one pipe and is read in a
thread. Its own output goes to a log: it must not write over the screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gpt.run.messages import Cancel, Generate, Message, new_id

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from tui_gpt.run.child_process import Channel

ENTRY = "tui_gpt.sampling.sampler_process:serve"


class Voice:
    """One sampler process, or none yet."""

    def __init__(self, log: Path, hear: Callable[[Message | None], None]) -> None:
        """hear: gets each message on the event loop; None when the process is gone."""
        self._log, self._hear = log, hear
        self._process: SpawnProcess | None = None
        self._channel: Channel | None = None
        self.speaking = ""  # the id of the generation under way

    @property
    def is_loaded(self) -> bool:
        return self._process is not None

    async def say(self, wanted: Generate) -> None:
        """Ask for a continuation, starting the process where there is none."""
        self.speaking = wanted.id
        if self._channel is None:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(self._start)
            asyncio.get_running_loop().create_task(self._listen(self._channel))
        if self._channel is not None:
            self._channel.send(wanted)

    def _start(self) -> None:
        from tui_gpt.run.child_process import spawn

        self._process, self._channel = spawn(ENTRY, log=self._log)

    async def _listen(self, channel: Channel | None) -> None:
        while channel is not None and channel is self._channel:
            try:
                message = await asyncio.to_thread(channel.receive, 0.2)
            except EOFError:
                if channel is self._channel:
                    self.close()
                    self._hear(None)
                return
            if message is not None and channel is self._channel:
                self._hear(message)

    def stop(self) -> None:
        """Ask the generation under way to end."""
        if self._channel is not None and self.speaking:
            self._channel.send(Cancel(id=self.speaking))

    def close(self) -> None:
        """End the process and free what it holds."""
        process, channel = self._process, self._channel
        self._process = self._channel = None
        self.speaking = ""
        if channel is not None:
            channel.close()
        if process is not None:
            process.terminate()
            process.join(2)
            if process.is_alive():
                process.kill()
                process.join()


def ask(checkpoint: str, prompt: str, **options: object) -> Generate:
    return Generate(id=new_id(), checkpoint=checkpoint, prompt=prompt, **options)  # type: ignore[arg-type]
