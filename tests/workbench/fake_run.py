"""Run folders in any state, made without torch, for pilot tests and snapshots.

A `FakeRun` appends the same lines as the real trainer, holds the same lock, and acknowledges commands when asked to.
"""

from __future__ import annotations

import fcntl
import math
import os
import random
import socket
import time
from pathlib import Path
from typing import Any

import msgspec

from tui_gpt.checkpoints import manifest
from tui_gpt.config import build, to_dict, to_toml
from tui_gpt.files import write_atomically
from tui_gpt.run.command_files import receive
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlWriter
from tui_gpt.run.messages import (
    SCHEMA_VERSION,
    Command,
    CorpusInfo,
    Eval,
    Event,
    Failure,
    Message,
    Metrics,
    RunInfo,
    Sample,
    State,
    Status,
    finite,
)

CLOCK = 1_795_000_000.0  # Unix seconds: the time of every fake run, so that snapshots stay the same
STORY = (
    "Mia found a red kite in the garden. She wanted to see it fly, but there was no wind. So Mia sat down and waited."
    " At last a warm wind came over the hill, and up went the kite. Mia laughed all the way home."
)


OPEN_RUNS: list[FakeRun] = []  # `close_all()` closes what a test left open
FLOOR_NOTE = "context holds less than a story"


class FakeRun:
    """One run folder, and what its trainer and supervisor write in it."""

    def __init__(
        self,
        runs: Path,
        name: str = "20261120-231542-pico-stories",
        *,
        asked: dict[str, Any] | None = None,
        total: int = 4000,
    ) -> None:
        self.folder = RunFolder(runs / name)
        for path in (self.folder.path, self.folder.commands, self.folder.checkpoints):
            path.mkdir(parents=True, exist_ok=True)
        self.config = build(asked or {"preset": "pico"})
        self.total = total
        self.folder.config.write_text(to_toml(to_dict(self.config)))
        self._lock: int | None = None
        self._writers: dict[Path, JsonlWriter] = {}
        self._random = random.Random(name)
        self.step = 0
        OPEN_RUNS.append(self)
        self.status = Status(state="starting", phase="preparing the corpus", total_steps=total)

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def append(self, path: Path, *messages: Message) -> None:
        writer = self._writers.get(path) or self._writers.setdefault(path, JsonlWriter(path))
        for message in messages:
            writer.append(message)

    def lock(self) -> None:
        """Hold the run's lock, as a live run does."""
        self._lock = os.open(self.folder.lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        self.unlock()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def set_status(self, state: State, phase: str = "", **changes: Any) -> None:
        """Replace status.json."""
        last = {
            "heartbeat": float(int(time.time())),
            "started": CLOCK - 300,
            "host": socket.gethostname(),
            "device": "cpu",
        }
        self.status = msgspec.structs.replace(
            self.status, **(last | {"state": state, "phase": phase, "step": self.step} | changes)
        )
        write_atomically(self.folder.status, msgspec.json.encode(self.status))

    def write_info(self, *, floor: float | None = 0.92, floor_note: str = FLOOR_NOTE, **changes: Any) -> None:
        """Write run.json."""
        corpus = CorpusInfo(
            name="stories",
            digest="0" * 32,
            tokenizer="bpe:1024",
            vocab_size=1024,
            documents=6100,
            train_tokens=742_118,
            val_tokens=82_457,
            floor_loss=floor,
            floor_note=floor_note if floor else "",
        )
        info = RunInfo(
            schema_version=SCHEMA_VERSION,
            created=CLOCK - 300,
            parameters=1_048_576,
            corpus=corpus,
            device="cpu",
            precision="fp32",
            threads=2,
            steps_per_epoch=724.7,
            **changes,
        )
        write_atomically(self.folder.info, msgspec.json.encode(info))

    # ── training ────────────────────────────────────────────────────────────────────────────────────────────────────

    def train(self, steps: int, *, loss: float | None = None, speed: float = 12_345.0) -> None:
        """Append `steps` lines of metrics with a falling loss, or with the loss `loss` (nan, inf, 0 …)."""
        for _ in range(steps):
            self.step += 1
            wobble = self._random.gauss(0, 0.12)
            value = 1.05 + 5.9 * math.exp(-self.step / 350) + wobble * (0.4 + 0.6 * math.exp(-self.step / 500))
            number, non_finite = finite(value if loss is None else loss)
            norm, _ = finite(0.45 + 2 * math.exp(-self.step / 100) + 0.15 * abs(wobble) if loss is None else loss)
            self.append(
                self.folder.metrics,
                Metrics(
                    step=self.step,
                    tokens=self.step * 1024,
                    loss=number,
                    learning_rate=4e-3 * min(1.0, self.step / 50),
                    grad_norm=norm,
                    tokens_per_second=speed * (1 + 0.3 * wobble),
                    elapsed_seconds=self.step * 1024 / speed,
                    memory_bytes=412_000_000,
                    flops=self.step * 1024 * 6e6,
                    grad_norms={"embedding": norm, "block 0": norm, "head": norm} if self.step % 50 == 0 else {},
                    update_norms={"embedding": 0.01, "block 0": 0.2, "head": 0.003} if self.step % 50 == 0 else {},
                    non_finite=non_finite,
                ),
            )

    def evaluate(self, value: float | None = None) -> None:
        """Append a line of evals.jsonl with the validation loss `value`, by default a falling one."""
        value = 1.02 + 5.9 * math.exp(-self.step / 350) if value is None else value
        number, non_finite = finite(value)
        self.append(
            self.folder.evals,
            Eval(
                step=self.step,
                val_loss=number,
                perplexity=math.exp(number) if number is not None else None,
                bits_per_byte=number / math.log(2) / 2.6 if number is not None else None,
                tokens=16_384,
                whole=False,
                best=number is not None,
                non_finite=non_finite,
            ),
        )

    def sample(self, text: str = STORY, prompt: str = "") -> None:
        """Append a line of samples.jsonl."""
        self.append(
            self.folder.samples,
            Sample(step=self.step, prompt=prompt, text=text, seed=1, tokens=64, temperature=0.8, ended=True),
        )

    def checkpoint(
        self, kind: manifest.Kind = "full", *, step: int | None = None, val_loss: float | None = None
    ) -> Path:
        """Make a checkpoint folder with a manifest and no weights."""
        step = self.step if step is None else step
        folder = manifest.step_folder(self.folder.checkpoints, step)
        folder.mkdir(exist_ok=True)
        files = {manifest.MODEL: manifest.FileEntry(4_200_000, "0" * 32)}
        entry = manifest.Manifest(
            kind=kind,
            step=step,
            tokens=step * 1024,
            vocab_size=1024,
            parameters=1_048_576,
            files=files,
            val_loss=val_loss,
            run=self.folder.id,
            created=CLOCK + step / 12,
        )
        (folder / manifest.MANIFEST).write_bytes(msgspec.json.encode(entry.sealed()))
        return folder

    def event(self, kind: str, message: str, level: str = "info", **more: Any) -> None:
        """Append a line of events.jsonl."""
        self.append(
            self.folder.events,
            Event(time=CLOCK + self.step / 12, kind=kind, message=message, level=level, step=self.step, **more),  # type: ignore[arg-type]
        )

    def acknowledge(self, *, ok: bool = True, message: str = "done") -> list[Command]:
        """Acknowledge every command that waits, as the supervisor does, and return the commands."""
        commands = [command for command in receive(self.folder) if isinstance(command, Command)]
        for command in commands:
            self.event("ack", message, command_id=command.id, command=command.name, ok=ok)
        return commands

    def fail(self, what: str = "the loss is not a number at step 812", *, log: str = "") -> None:
        """End the run as failed."""
        self.folder.log.write_text(log or "step 811\nstep 812\nloss is nan\n")
        self.unlock()
        self.set_status("failed", failure=Failure(what=what, do="Lower optimizer.learning_rate"))


def close_all() -> None:
    """Close every run made since the last call: fixtures call this after each test."""
    while OPEN_RUNS:
        OPEN_RUNS.pop().close()


def running(runs: Path, *, steps: int = 1200, name: str = "20261120-231542-pico-stories", total: int = 4000) -> FakeRun:
    """Return a live run halfway through, with everything that a dashboard can show."""
    run = FakeRun(runs, name, total=total)
    run.lock()
    run.write_info()
    run.event("started", "training on cpu, fp32, 2 threads")
    while run.step < steps:
        run.train(min(250, steps - run.step))
        if run.step % 250 == 0:
            run.evaluate()
            run.sample()
            run.event("evaluated", f"validation loss {1.02 + 5.9 * math.exp(-run.step / 350):.3f}, the best so far")
    run.set_status(
        "running",
        "training",
        tokens=steps * 1024,
        loss=1.2,
        val_loss=1.25,
        eta_seconds=232.0,
        tokens_per_second=12_345.0,
    )
    return run


def finished(runs: Path, name: str = "20261119-101500-pico-tiny", *, steps: int = 600) -> FakeRun:
    """Return a run that finished."""
    run = running(runs, steps=steps, name=name, total=steps)
    run.event("finished", f"finished at step {steps}")
    run.unlock()
    run.set_status("finished", message="done", tokens=steps * 1024, elapsed_seconds=steps * 1024 / 12_345)
    return run
