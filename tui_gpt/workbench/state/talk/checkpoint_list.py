"""The checkpoints that Talk can write with, and the GPUs that it must leave alone. Reading them is blocking."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass

from tui_gpt.checkpoints.manifest import CheckpointInfo, list_checkpoints
from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder
from tui_gpt.workbench.drawing.formatting import cut_head, format_bytes, format_loss


@dataclass(frozen=True)
class RunCheckpoint:
    """A checkpoint and the id of its run."""

    run: str
    info: CheckpointInfo

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
