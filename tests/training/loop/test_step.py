"""The training step: accumulation, clipping and the reported norm."""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from tui_gpt.config import ModelConfig, OptimizerConfig
from tui_gpt.model import GPT
from tui_gpt.training.data.batches import MicroBatch, StepBatch, to_device
from tui_gpt.training.loop.guard import Guard
from tui_gpt.training.loop.step import TrainStep
from tui_gpt.training.optimizers import make_optimizers

CPU = torch.device("cpu")


def train_step(model: GPT, grad_clip: float = 1.0) -> TrainStep:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    guard = Guard(CPU, skip_spikes=True, expect_overflow=False)
    return TrainStep(
        model, make_optimizers(model, OptimizerConfig()), scaler, guard, nullcontext, grad_clip, lambda *_: None
    )


def some_batch(sequences: int) -> StepBatch:
    tokens = np.random.default_rng(0).integers(0, 50, (sequences, 9))
    return StepBatch(tokens[:, :-1], tokens[:, 1:], None)


def uneven(micro_batches: list[MicroBatch]) -> list[MicroBatch]:
    """Return the micro-batches with some targets ignored, so that their numbers of targets differ."""
    shortened = []
    for micro in micro_batches:
        targets = torch.where((micro.inputs * 7 + micro.targets) % 5 < 2, -1, micro.targets)
        shortened.append(micro._replace(targets=targets, num_targets=int((targets >= 0).sum())))
    return shortened


def test_accumulation_gives_the_gradient_of_one_large_batch_with_uneven_targets() -> None:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=8), 50).double()
    batch = some_batch(6)
    found = []
    for accumulation in (1, 3, 6):
        model.zero_grad()
        micro_batches = uneven(to_device(batch, accumulation, CPU))
        assert accumulation == 1 or len({micro.num_targets for micro in micro_batches}) > 1
        loss = train_step(model).compute_gradients(1, micro_batches)
        found.append([loss, *(parameter.grad.clone() for parameter in model.parameters())])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert torch.allclose(one.double(), two.double(), atol=1e-6)


def test_a_step_clips_and_reports_the_norm_before_clipping() -> None:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=8), 50)
    micro = to_device(some_batch(2), 1, CPU)
    taker = train_step(model, grad_clip=0.01)
    loss = taker.compute_gradients(1, micro)
    expected = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in model.parameters()]))
    taken = taker.apply_update(1, loss, 1e-3)
    assert torch.allclose(taken.grad_norm, expected)
    assert taken.loss.item() == pytest.approx(math.log(50), abs=0.2)
    assert all(parameter.grad is None for parameter in model.parameters())
