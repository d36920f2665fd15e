"""A trainer in this process, whose steps can be made to fail, with the supervisor's end of its channel."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
from pathlib import Path

import torch

from tests.live import SMALL
from tui_gpt.config import override
from tui_gpt.run import folder as folders
from tui_gpt.run.child_process import Channel
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Ended, Notice
from tui_gpt.training.compute import choose_compute
from tui_gpt.training.loop.control import TrainerControl
from tui_gpt.training.loop.trainer import Trainer
from tui_gpt.training.run_setup import prepare_run


class TrainerHarness:
    """A trainer and the supervisor's end of its channel. resume: the folder of a run to resume."""

    def __init__(self, workspace: Path, *overrides: str, resume: RunFolder | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        to_trainer, to_supervisor = context.SimpleQueue(), context.SimpleQueue()
        alive, self._keep_alive = os.pipe()
        self.supervisor = Channel(to_supervisor, to_trainer, alive)
        asked = override({}, [*SMALL, "training.duration=30", "sampling.every=0", *overrides])
        self.folder = resume or folders.create(workspace / "runs", "run", asked)
        prepared = prepare_run(asked, workspace / "corpus", lambda *_: None)
        compute = choose_compute(prepared.config.training)
        control = TrainerControl(Channel(to_trainer, to_supervisor, alive))
        self.trainer = Trainer(self.folder, prepared, compute, control, stop_at=None, resume=resume is not None)

    def run(self) -> Ended:
        try:
            self.trainer.dry_run()
            ended = self.trainer.run()
            self.trainer.outputs.recorder.wait()
        finally:
            gc.unfreeze()  # else this process never frees the run's objects
        return ended

    def notices(self, kind: str) -> list[Notice]:
        """Return the notices of this kind that the supervisor would receive."""
        found = []
        while (message := self.supervisor.receive(0)) is not None:
            if isinstance(message, Notice) and message.kind == kind:
                found.append(message)
        return found

    def make_loss_nan(self, *steps: int) -> None:
        """Make the loss of the batches of these steps nan, whenever they are used."""
        compute_gradients = self.trainer.state.train_step.compute_gradients

        def with_nan(step: int, micro_batches: list) -> torch.Tensor:
            loss = compute_gradients(step, micro_batches)
            return loss * math.nan if step + self.trainer.state.progress.batch_shift in steps else loss

        self.trainer.state.train_step.compute_gradients = with_nan  # type: ignore[method-assign]

    def limit_memory(self, sequences: int) -> None:
        """Raise OutOfMemoryError in steps whose micro-batch has more than this many sequences."""
        compute_gradients = self.trainer.state.train_step.compute_gradients

        def limited(step: int, micro_batches: list) -> torch.Tensor:
            if len(micro_batches[0].inputs) > sequences:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
            return compute_gradients(step, micro_batches)

        self.trainer.state.train_step.compute_gradients = limited  # type: ignore[method-assign]
