"""What computes a run, built from its config: the model, what steps it, what feeds it.

The trainer and the bench both start here, so that what is measured is what trains; both step around trouble in the same
way too: a compilation that fails is done without, and a step that does not fit into memory is split smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import torch

from tui_gpt.config import Config
from tui_gpt.corpora import Shards
from tui_gpt.errors import ConfigError
from tui_gpt.model import GPT
from tui_gpt.training.compute import Compute, is_out_of_memory
from tui_gpt.training.data.batches import BatchLoader
from tui_gpt.training.loop.guard import Guard
from tui_gpt.training.loop.step import TrainStep
from tui_gpt.training.optimizers import make_optimizers

T = TypeVar("T")


class Engine(NamedTuple):
    """A model in training mode on its device, and what belongs to it."""

    model: GPT
    train_step: TrainStep
    batches: BatchLoader


def build_engine(config: Config, shards: Shards, compute: Compute) -> Engine:
    """The engine at its first step: weights drawn from the run's seed."""
    torch.manual_seed(config.training.seed)
    model = GPT(config.model, shards.tokenizer.vocab_size).to(compute.device)
    model.checkpoint_activations = config.training.activation_checkpointing
    model.train()
    train_step = TrainStep(
        model=model,
        optimizers=make_optimizers(model, config.optimizer),
        scaler=compute.scaler(),
        guard=Guard(
            compute.device,
            skip_spikes=config.training.on_anomaly != "warn",
            expect_overflow=compute.precision == "fp16",
        ),
        autocast=compute.autocast,
        grad_clip=config.optimizer.grad_clip,
        seed_dropout=_dropout_seeder(config),
        compiled=torch.compile(model) if compute.compile else None,
    )
    return Engine(model, train_step, BatchLoader.for_training(shards, config))


def _dropout_seeder(config: Config) -> Callable[[int, int], None]:
    def seed_dropout(step: int, micro_step: int) -> None:
        if config.model.dropout:
            key = np.random.SeedSequence((config.training.seed, step, 0, micro_step))
            torch.manual_seed(int(key.generate_state(1)[0]))

    return seed_dropout


def reset_compilation(train_step: TrainStep) -> None:
    """Forget what was compiled, so that another micro-batch is compiled for its own shape, not for any."""
    if train_step.compiled is not None:
        torch.compiler.reset()
        train_step.compiled = torch.compile(train_step.model)


def run_with_compile_fallback(train_step: TrainStep, rehearse: Callable[[], None], say: Callable[[str], None]) -> None:
    """Rehearse a step; where torch.compile is what fails, say so and do without it."""
    try:
        rehearse()
        return
    except ConfigError:
        raise
    except Exception as error:
        if train_step.compiled is None or (isinstance(error, RuntimeError) and is_out_of_memory(error)):
            raise
        say(f"torch.compile failed, so the run goes on without it: {error!r:.300}")
    train_step.compiled = None
    rehearse()


def retry_on_oom(action: Callable[[], T], split: Callable[[], None]) -> T:
    """The action's result; while it runs out of memory, the step is split smaller and the action repeated."""
    while True:
        try:
            return action()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        split()  # out here, the failed pass and its tensors are gone


def halve_micro_batch(config: Config) -> tuple[Config, str]:
    """About half the micro-batch, more accumulation: the same step in less memory; and what was done, in words.

    Raises ConfigError at a micro-batch of one.
    """
    training, sequences = config.training, config.sequences_per_step
    smaller = [n for n in range(1, training.micro_batch_size // 2 + 1) if sequences % n == 0]
    if not smaller:
        raise ConfigError(
            f"a micro-batch of one sequence of {config.model.context_length} tokens does not fit into memory",
            where="training.micro_batch_size",
            do="Set training.activation_checkpointing=true, a shorter model.context_length or a smaller model",
        )
    micro, accumulation = smaller[-1], sequences // smaller[-1]
    said = (
        f"out of memory: micro_batch_size {training.micro_batch_size} becomes {micro} and accumulation_steps"
        f" {accumulation}; the step stays the same"
    )
    training = msgspec.structs.replace(training, micro_batch_size=micro, accumulation_steps=accumulation)
    return msgspec.structs.replace(config, training=training), said
