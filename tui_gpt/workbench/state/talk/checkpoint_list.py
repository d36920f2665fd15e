"""The checkpoints that Talk can write with, and the GPUs that it must leave alone. Reading them is blocking."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gpt.checkpoints.manifest import CheckpointInfo, list_checkpoints
from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder
from tui_gpt.workbench.drawing.formatting import cut_head, format_bytes, format_loss

if TYPE_CHECKING:
    from tui_gpt.workbench.state.run_monitor import RunMonitor


@dataclass(frozen=True)
class RunCheckpoint:
    """A checkpoint and the id of its run."""

    run: str
    info: CheckpointInfo

    @property
    def path(self) -> Path:
        return self.info.path

    @property
    def figures(self) -> str:
        """`step 2,400 · val 0.410`."""
        loss = f" · val {format_loss(self.info.val_loss)}" if self.info.val_loss is not None else ""
        return f"step {self.info.step:,}{loss}"

    @property
    def detail(self) -> str:
        return f"{self.info.kind:<5} {format_bytes(self.info.bytes):>8}  {self.run}"

    def title(self, width: int) -> str:
        """Return run and figures in `width` cells; the beginning of the run's name is cut first."""
        return f"{cut_head(self.run, max(1, width - len(self.figures) - 3))} · {self.figures}"


def list_run_checkpoints(folders: Iterable[RunFolder]) -> list[RunCheckpoint]:
    """Return every checkpoint of these runs, the newest first."""
    found = [RunCheckpoint(folder.id, info) for folder in folders for info in list_checkpoints(folder.checkpoints)]
    return sorted(found, key=lambda checkpoint: checkpoint.info.created, reverse=True)


def newest_checkpoint(folders: Iterable[RunFolder]) -> RunCheckpoint | None:
    """Return the newest checkpoint of the first of these runs that has one."""
    return next((found[0] for folder in folders if (found := list_run_checkpoints([folder]))), None)


def runs_on_gpu(live_runs: Iterable[RunFolder]) -> list[str]:
    """Return the ids of the live runs that train on a GPU of this machine."""
    found = []
    for folder in live_runs:
        try:
            status = folder.read_status()
        except UserError:
            continue
        if status and status.gpu_uuid and status.host in ("", socket.gethostname()):
            found.append(folder.id)
    return found


class CheckpointChoice:
    """The checkpoint that writes: the newest of the shown run, until the user chooses another."""

    def __init__(self) -> None:
        self.current: RunCheckpoint | None = None
        self.is_searched = False  # whether other runs have been searched, the shown one having none
        self._is_picked = False
        self._run = ""
        self._wanted_after: int | None = None
        self._acks_before = 0  # how many commands had been answered when it was asked for

    @property
    def is_awaited(self) -> bool:
        """Whether a checkpoint is being saved that will be used."""
        return self._wanted_after is not None

    def pick(self, checkpoint: RunCheckpoint | None) -> None:
        """Use this checkpoint until another run is shown, or one is saved on request."""
        self.current, self._is_picked = checkpoint, checkpoint is not None

    def use_next(self, monitor: RunMonitor) -> None:
        """Use the next checkpoint that this run saves."""
        self._wanted_after = monitor.checkpoints[-1].step if monitor.checkpoints else -1
        self._acks_before = len(monitor.acks)

    def follow(self, monitor: RunMonitor | None) -> bool:
        """Use the newest checkpoint of the shown run, and return whether it is the one waited for."""
        run = str(monitor.folder.path) if monitor else ""
        if run != self._run:
            self._run, self.current, self._wanted_after = run, None, None
            self._is_picked = self.is_searched = False
        newest = monitor.checkpoints[-1] if monitor and monitor.checkpoints else None
        has_come = newest is not None and self._wanted_after is not None and newest.step > self._wanted_after
        if has_come or (monitor is not None and (monitor.has_ended or self._is_refused(monitor))):
            self._wanted_after = None
        if monitor and newest and (has_come or not self._is_picked):
            self.current, self._is_picked = RunCheckpoint(monitor.folder.id, newest), False
        return has_come

    def _is_refused(self, monitor: RunMonitor) -> bool:
        answers = list(monitor.acks.values())[self._acks_before :]
        return any(answer.command == "checkpoint" and not answer.ok for answer in answers)

    def must_search(self, monitor: RunMonitor | None) -> bool:
        """Return whether another run's checkpoint is needed: the shown run has none and will save none."""
        if self.current is not None or self.is_searched:
            return False
        return monitor is None or (monitor.is_read and not monitor.is_live)
