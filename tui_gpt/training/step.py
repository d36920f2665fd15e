"""The training step, and nothing in it that waits for the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from tui_gpt.training.batches import Micro


def training_step(
    forward: Callable[..., Tensor],
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    micro_batches: Sequence[Micro],
    *,
    autocast: Callable[[], AbstractContextManager],
    grad_clip: float,
    before_micro_step: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """Accumulate the mean gradient over the micro-batches, clip its norm, update.

    Returns the step's mean loss in nats per token and the gradient's norm before clipping, both still on the device.
    """
    loss = gradients(forward, scaler, micro_batches, autocast, before_micro_step)
    scaler.unscale_(optimizer)
    grad_norm = nn.utils.clip_grad_norm_(parameters, grad_clip or float("inf"))
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return loss, grad_norm


def gradients(
    forward: Callable[..., Tensor],
    scaler: torch.amp.GradScaler,
    micro_batches: Sequence[Micro],
    autocast: Callable[[], AbstractContextManager],
    before_micro_step: Callable[[int], None],
) -> Tensor:
    """Leave the (scaled) mean gradient over all of the step's targets in the parameters; return their mean loss.

    Each target weighs the same, however unevenly the micro-batches hold them.
    """
    count = sum(micro.count for micro in micro_batches)
    total = torch.zeros((), device=micro_batches[0].inputs.device)
    for index, micro in enumerate(micro_batches):
        before_micro_step(index)
        with autocast():
            loss = forward(micro.inputs, micro.targets, documents=micro.documents) / count
        scaler.scale(loss).backward()
        total += loss.detach()
    return total
