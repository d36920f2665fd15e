"""The engine of a run, built from its config: model, training step and batches.

The trainer and the benchmark both use it, so that the benchmark measures what trains. Both also share the fallback:
without torch.compile where compilation fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from tui_gpt.config import Config, Duration
from tui_gpt.corpora import Shards
from tui_gpt.errors import ConfigError
from tui_gpt.model import GPT
from tui_gpt.training.compute import Compute
from tui_gpt.training.data.batches import BatchLoader
from tui_gpt.training.loop.guard import Guard, diverged_steps
from tui_gpt.training.loop.step import TrainStep
from tui_gpt.training.optimizers import make_optimizers
from tui_gpt.training.out_of_memory import is_out_of_memory


class Engine(NamedTuple):
    """A model in training mode on its device, its training step and its batches."""

    model: GPT
    train_step: TrainStep
    batches: BatchLoader


def build_engine(config: Config, shards: Shards, compute: Compute) -> Engine:
    """Return the engine of a new run, with weights initialized from the seed."""
    torch.manual_seed(config.training.seed)
    model = GPT(config.model, shards.tokenizer.vocab_size).to(compute.device)
    model.checkpoint_activations = config.training.activation_checkpointing
    model.train()
    batches = BatchLoader.for_training(shards, config)
    steps = Duration.parse(config.training.duration).steps(
        tokens_per_step=config.tokens_per_step, steps_per_epoch=batches.steps_per_epoch
    )
    train_step = TrainStep(
        model=model,
        optimizers=make_optimizers(model, config.optimizer),
        scaler=compute.scaler(),
        guard=Guard(
            compute.device,
            skip_spikes=config.training.on_anomaly != "warn",
            expect_overflow=compute.precision == "fp16",
            highest_healthy_loss=math.log(model.vocab_size),  # of a uniform guess
            diverged_after=diverged_steps(steps),
        ),
        autocast=compute.autocast,
        grad_clip=config.optimizer.grad_clip,
        seed_dropout=_dropout_seeder(config, compute.device),
        compiled=torch.compile(model, fullgraph=True, dynamic=False) if compute.compile else None,
    )
    return Engine(model, train_step, batches)


def _dropout_seeder(config: Config, device: torch.device) -> Callable[[int, int], None]:
    """Return a function that seeds dropout by (seed, step, rank, micro-step).

    It seeds the generator of the device only: `torch.manual_seed` formats a stack for each device that is not in use,
    2 ms for each micro-batch.
    """
    on_device = {"cuda": torch.cuda.manual_seed, "mps": torch.mps.manual_seed}
    seed_generator = on_device.get(device.type, torch.default_generator.manual_seed)

    def seed_dropout(step: int, micro_step: int) -> None:
        if config.model.dropout:
            key = np.random.SeedSequence((config.training.seed, step, 0, micro_step))
            seed_generator(int(key.generate_state(1)[0]))

    return seed_dropout


def reset_compilation(train_step: TrainStep) -> None:
    """Discard compiled code, so that the next micro-batch size is compiled for its own shape, not for dynamic ones."""
    if train_step.compiled is not None:
        torch.compiler.reset()
        train_step.compiled = torch.compile(train_step.model, fullgraph=True, dynamic=False)


def reset_weights(train_step: TrainStep, config: Config) -> None:
    """Give weights, optimizers and guard the values that `build_engine` gave them."""
    torch.manual_seed(config.training.seed)
    train_step.model.load_state_dict(GPT(config.model, train_step.model.vocab_size).state_dict())
    for optimizer in train_step.optimizers:
        optimizer.state.clear()
    train_step.guard.restore(())


def run_with_compile_fallback(train_step: TrainStep, action: Callable[[], None], report: Callable[[str], None]) -> None:
    """Run `action`, a dry run of a step. If torch.compile fails, report it and run the action without it."""
    try:
        action()
        return
    except ConfigError:
        raise
    except Exception as error:
        if train_step.compiled is None or is_out_of_memory(error):
            raise
        report(f"torch.compile failed, continuing without it: {error!r:.300}")
    train_step.compiled = None
    action()
