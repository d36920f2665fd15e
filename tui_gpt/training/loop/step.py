"""The training step, and nothing in it that waits for the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tui_gpt.model import GPT
from tui_gpt.training.data.batches import MicroBatch
from tui_gpt.training.loop.block_norms import BlockNorms
from tui_gpt.training.loop.guard import Guard
from tui_gpt.training.optimizers import set_learning_rate, update


class StepResult(NamedTuple):
    """What a step leaves on the device: mean loss in nats per token, the gradient's norm before clipping."""

    loss: Tensor
    grad_norm: Tensor
    norms: BlockNorms | None


@dataclass
class TrainStep:
    """What turns a batch into an update. seed_dropout: called with the step and the micro-step before each pass."""

    model: GPT
    optimizers: Sequence[torch.optim.Optimizer]
    scaler: torch.amp.GradScaler
    guard: Guard
    autocast: Callable[[], AbstractContextManager]
    grad_clip: float
    seed_dropout: Callable[[int, int], None]
    compiled: Callable[..., Tensor] | None = None
    parameters: list[nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = list(self.model.parameters())

    def apply_update(self, step: int, loss: Tensor, rate: float, *, with_norms: bool = False) -> StepResult:
        """Clip the norm of the gradient that `gradients` left, and update if the guard finds no fault."""
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norms = BlockNorms(self.model) if with_norms else None
        grad_norm = nn.utils.clip_grad_norm_(self.parameters, self.grad_clip or float("inf"))
        hold = self.guard.check(step, loss, grad_norm)
        set_learning_rate(self.optimizers, rate)
        update(self.optimizers, hold)
        self.scaler.update()
        if norms is not None:
            norms.measure_update()
        return StepResult(loss, grad_norm, norms)

    def dry_run(self, step: int, micro_batches: Sequence[MicroBatch]) -> None:
        """All that a step does and allocates, with nothing changed by it."""
        self.compute_gradients(step, micro_batches)
        set_learning_rate(self.optimizers, 0.0)
        update(self.optimizers, torch.ones((), device=micro_batches[0].inputs.device))

    def compute_gradients(self, step: int, micro_batches: Sequence[MicroBatch]) -> Tensor:
        """Leave the (scaled) mean gradient over all of the step's targets in the parameters; return their mean loss.

        Each target weighs the same, however unevenly the micro-batches hold them.
        """
        forward = self.model if self.compiled is None else self.compiled
        count = sum(micro.num_targets for micro in micro_batches)
        total = torch.zeros((), device=micro_batches[0].inputs.device)
        for index, micro in enumerate(micro_batches):
            self.seed_dropout(step, index)
            with self.autocast():
                loss = forward(micro.inputs, micro.targets, documents=micro.documents) / count
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total
