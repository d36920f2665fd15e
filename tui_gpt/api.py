"""The Python API: runs and checkpoints from a script or a notebook.

`train` starts a supervised run as the command line does (with `python -m`, so that no `__main__` guard is needed) and
returns a `Run`. `load_checkpoint` and `generate` compute in the calling process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gpt import launch
from tui_gpt.checkpoints import manifest
from tui_gpt.config import Config, field, load_config, set_key, to_dict
from tui_gpt.errors import RunError
from tui_gpt.run import command_files
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlReader
from tui_gpt.run.messages import FINAL_STATES, Command, CommandName, Eval, Event, Metrics, Sample, Status

if TYPE_CHECKING:
    from tui_gpt.checkpoints.state import LoadedModel

POLL_SECONDS = 0.05


class Run:
    """A run, live or ended. A live run continues after this object, or the whole program, is gone."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"<Run {self.folder.id}: {self.state}>"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def state(self) -> str:
        """The state of the run: `running`, `finished`, `crashed`, …"""
        return self.folder.state()

    @property
    def status(self) -> Status | None:
        """The current status, or None before there is one."""
        return self.folder.read_status()

    @property
    def metrics(self) -> list[Metrics]:
        """The lines of metrics so far."""
        return self.folder.read_metrics()

    @property
    def evals(self) -> list[Eval]:
        """The evaluations so far."""
        return self.folder.read_evals()

    @property
    def samples(self) -> list[Sample]:
        """The samples so far."""
        return self.folder.read_samples()

    @property
    def checkpoints(self) -> list[manifest.CheckpointInfo]:
        """The checkpoints of the run, oldest first."""
        return manifest.list_checkpoints(self.folder.checkpoints)

    def follow(self) -> Iterator[Metrics]:
        """Yield each line of metrics as it is written, until the run ends."""
        reader = JsonlReader(self.folder.metrics, Metrics)
        live = True
        while live:
            live = self.folder.is_locked()
            yield from (line for line in reader.poll() if isinstance(line, Metrics))
            if live:
                time.sleep(POLL_SECONDS)

    def wait(self, timeout_seconds: float | None = None) -> Status:
        """Wait until the run ends and return its status.

        Raise TimeoutError after `timeout_seconds`, and RunError if the run failed or crashed.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while self.folder.is_locked():
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{self.folder.id} is still {self.state}")
            time.sleep(POLL_SECONDS)
        status = self.folder.read_status()
        if status is None or status.state not in FINAL_STATES:
            raise RunError("crashed: its supervisor and trainer were killed", where=self.folder.id)
        if status.state == "failed":
            raise RunError(f"failed: {status.message}", where=self.folder.id)
        return status

    def command(self, name: CommandName, timeout_seconds: float = 60.0) -> str:
        """Send a command (pause, resume, checkpoint, sample, stop) and return the message of its acknowledgement.

        Raise RunError if the command is rejected, or not acknowledged within `timeout_seconds`.
        """
        reader = JsonlReader(self.folder.events, Event)
        reader.poll()
        id = command_files.send(self.folder, Command(name=name, sender="api"))
        event = command_files.wait_for_ack(self.folder, id, reader, timeout_seconds)
        if event is None or not event.ok:
            raise RunError(
                event.message if event else f"did not acknowledge {name} within {timeout_seconds:g} s",
                where=self.folder.id,
            )
        return event.message

    def resume(self, changes: Mapping[str, Any] | None = None, *, stop_at: int | None = None) -> Run:
        """Resume a run that has ended from its newest full checkpoint, and return it."""
        corpus = self.folder.path.parent.parent / "corpus"
        launch.resume(self.folder, corpus, dict(changes or {}), stop_at=stop_at)
        return self


def train(
    config: Config | str = "pico",
    overrides: Mapping[str, Any] | None = None,
    *,
    workspace: Path | str = ".",
    name: str | None = None,
    stop_at: int | None = None,
) -> Run:
    """Start a run and return it.

    config: a preset, a TOML file or a `Config`. overrides: settings such as {"optimizer.learning_rate": 1e-3}.
    Raise UserError if the run cannot start.
    """
    asked = to_dict(config) if isinstance(config, Config) else load_config(config)
    for key, value in (overrides or {}).items():
        set_key(asked, key, field(key).convert(value))
    root = Path(workspace).absolute()
    return Run(launch.start(root / "runs", root / "corpus", asked, name=name, stop_at=stop_at))


def open_run(reference: str, *, workspace: Path | str = ".") -> Run:
    """Return the run that `reference` names: a path, an id, or a part of one. Raise RunError if there is none."""
    return Run(folders.find(Path(workspace).absolute() / "runs", reference))


def load_checkpoint(path: Path | str | Run, device: str = "cpu") -> LoadedModel:
    """Verify and load a checkpoint, or the newest one of a run. Raise CheckpointError if it cannot be loaded."""
    from tui_gpt.checkpoints.state import load_model

    return load_model(manifest.locate(path.path if isinstance(path, Run) else Path(path).absolute()), device)


def generate(checkpoint: LoadedModel, prompt: str = "", **options: Any) -> str:
    """Return the text that the model generates after `prompt`. options: fields of `SamplingOptions`."""
    from tui_gpt.sampling import SamplingOptions, generate_text

    return generate_text(checkpoint.model, checkpoint.tokenizer, prompt, SamplingOptions(**options))
