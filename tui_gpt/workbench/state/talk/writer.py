"""Continuations of a text, written by the sampler one after the other.

The writer collects what arrives; the screen takes it from each `Continuation` at its own pace, and draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tui_gpt.errors import UserError
from tui_gpt.run.messages import Chunk, Generate, Generated, Loaded, new_id
from tui_gpt.workbench.drawing.formatting import format_short
from tui_gpt.workbench.jobs.sampler_client import SamplerClient
from tui_gpt.workbench.state.preferences import TalkSettings
from tui_gpt.workbench.state.talk.checkpoint_list import RunCheckpoint

PROMPT_CHARACTERS = 32_768  # of the end of a long text: more than contexts hold, and the pipe takes it at once


@dataclass
class Continuation:
    """One continuation, written or to be written. `state` says in words how far it is."""

    checkpoint: RunCheckpoint
    prompt: str
    seed: int
    state: str = "waiting"
    _text: str = ""

    def take_text(self) -> str:
        """Return what came since the last call."""
        text, self._text = self._text, ""
        return text


class Writer:
    """Writes continuations, and knows what the sampler does now."""

    def __init__(self, log: Path) -> None:
        self.client = SamplerClient(log)
        self.is_writing = False
        self.state = ""  # of the last continuation, or of the sampler
        self.speed = ""
        self._stopped_as = ""

    @property
    def model(self) -> str:
        """What is in memory, in words."""
        loaded = self.client.loaded
        return f"{format_short(loaded.parameters)} parameters on {loaded.device}" if loaded else "no model in memory"

    async def write(self, continuations: Sequence[Continuation], settings: TalkSettings, *, device: str) -> None:
        """Write them in order, until all are written or `stop()` is called. Raises UserError."""
        self._stopped_as = ""
        options = msgspec.structs.asdict(settings)
        del options["completions"]
        for continuation in continuations:
            self.state = "writing…" if self.client.loaded else "loading the model…"
            continuation.state = "writing…"
            path, prompt = str(continuation.checkpoint.info.path), continuation.prompt[-PROMPT_CHARACTERS:]
            options |= {"id": new_id(), "checkpoint": path, "prompt": prompt, "seed": continuation.seed}
            try:
                await self._write_one(continuation, Generate(**options, device=device))
            except UserError:
                continuation.state = self.state = self._stopped_as or "failed"
                if not self._stopped_as:
                    raise
            if self._stopped_as:
                break

    async def _write_one(self, continuation: Continuation, request: Generate) -> None:
        async with aclosing(self.client.generate(request)) as messages:  # type: ignore[type-var]  # is a generator
            async for message in messages:
                match message:
                    case Loaded() if not self._stopped_as:
                        self.state = "writing…"
                    case Chunk() if not self._stopped_as:  # what comes after a stop is not wanted
                        continuation._text += message.text
                    case Generated():
                        continuation.state = self._stopped_as or ("ended" if message.ended else "length reached")
                        self.state = "the model ended its text" if continuation.state == "ended" else continuation.state
                        rate = message.tokens / message.seconds if message.seconds > 0 else 0.0
                        self.speed = f"{message.tokens:,} tokens, {rate:,.0f} tokens/s"

    def stop(self, state: str = "stopped") -> None:
        """End what is being written, and drop what has not begun."""
        if self.is_writing and not self._stopped_as:
            self._stopped_as, self.state = state, "stopping…"
            self.client.cancel()

    async def unload(self, state: str) -> None:
        """End the sampler process, which frees its memory."""
        self._stopped_as = state
        await self.client.close()
        self.state, self.speed = state, ""
