"""The training step. Nothing in it waits for the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tui_gpt.model import GPT
from tui_gpt.training.data.batches import MicroBatch
from tui_gpt.training.loop.guard import Guard
from tui_gpt.training.measuring.block_norms import BlockNorms
from tui_gpt.training.optimizers import set_learning_rate, update
from tui_gpt.training.out_of_memory import skip_on_oom


class StepResult(NamedTuple):
    """Result of a step, on the device: mean loss in nats per token, and gradient norm before clipping."""

    loss: Tensor
    grad_norm: Tensor
    norms: BlockNorms | None


@dataclass
class TrainStep:
    """Computes gradients and applies updates. seed_dropout: called with (step, micro-step) before each forward pass.

    is_half_updated: an update of the weights has begun and has not ended; after an error they are not to be used.
    """

    model: GPT
    optimizers: Sequence[torch.optim.Optimizer]
    scaler: torch.amp.GradScaler
    guard: Guard
    autocast: Callable[[], AbstractContextManager]
    grad_clip: float
    seed_dropout: Callable[[int, int], None]
    compiled: Callable[..., Tensor] | None = None
    parameters: list[nn.Parameter] = field(init=False)
    is_half_updated: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.parameters = list(self.model.parameters())

    def apply_update(self, step: int, loss: Tensor, rate: float, *, with_norms: bool = False) -> StepResult:
        """Clip the gradient that `compute_gradients` left, and update the weights unless the guard skips the step.

        loss: of the step. rate: learning rate. with_norms: also measure gradient and update norms by block.
        """
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norms = skip_on_oom(lambda: BlockNorms(self.model)) if with_norms else None
        grad_norm = nn.utils.clip_grad_norm_(self.parameters, self.grad_clip or float("inf"))
        skip_step = self.guard.check(step, loss, grad_norm)
        set_learning_rate(self.optimizers, rate)
        self.is_half_updated = True
        update(self.optimizers, skip_step)
        self.scaler.update()
        self.is_half_updated = False
        if norms is not None and not skip_on_oom(norms.measure_update):
            norms = None
        return StepResult(loss, grad_norm, norms)

    def discard_gradients(self) -> None:
        """Forget a step that failed, so that it, or an earlier one, can be repeated. The weights are as they are."""
        self.model.zero_grad(set_to_none=True)
        self.is_half_updated = False
        state = self.scaler.state_dict()  # a new scaler, since the old one knows which gradients it has unscaled
        self.scaler = torch.amp.GradScaler(self.parameters[0].device.type, enabled=bool(state))
        self.scaler.load_state_dict(state)

    def dry_run(self, step: int, micro_batches: Sequence[MicroBatch]) -> None:
        """Run a whole step, with all its allocations, without changing the model or the optimizer state."""
        self.compute_gradients(step, micro_batches)
        set_learning_rate(self.optimizers, 0.0)
        update(self.optimizers, torch.ones((), device=micro_batches[0].inputs.device))

    def compute_gradients(self, step: int, micro_batches: Sequence[MicroBatch]) -> Tensor:
        """Accumulate the (scaled) mean gradient over all targets of the step, and return their mean loss.

        Each target has the same weight, however unevenly the micro-batches hold them.
        """
        forward = self.model if self.compiled is None else self.compiled
        count = sum(micro_batch.num_targets for micro_batch in micro_batches)
        total = torch.zeros((), device=micro_batches[0].inputs.device)
        for index, micro_batch in enumerate(micro_batches):
            self.seed_dropout(step, index)
            with self.autocast():
                loss = forward(micro_batch.inputs, micro_batch.targets, documents=micro_batch.documents) / count
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total
