"""The largest micro-batch that fits, and the fastest: doubling until something ends it, then bisection between.

Each size is rehearsed as a full step and timed. Its speed is that of the config's whole step: the time of one forward
and backward pass as often as the step needs it, and one update; so no size gains by having the step made larger. On a
GPU running out of memory ends the search. On a CPU that would come too late: the machine would swap, or its kernel end
somebody's process; so there a size is tried only when its memory, foretold from the sizes before, keeps within budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from tui_gpt.config import Config
from tui_gpt.config.estimates import memory_bytes
from tui_gpt.corpora import Shards
from tui_gpt.errors import ConfigError
from tui_gpt.run.messages import BatchSizeTrial
from tui_gpt.training.compute import Compute, is_out_of_memory
from tui_gpt.training.data.batches import BatchLoader
from tui_gpt.training.loop.engine import Engine, reset_compilation, run_with_compile_fallback
from tui_gpt.training.measuring.memory_usage import free_memory, limit_bytes, peak_bytes
from tui_gpt.training.measuring.step_timing import StepTimes, fetch, time_steps

BUDGET = 0.8  # of the memory that is free when the search begins
MAX_PASS_SECONDS = 5.0  # a slower one is not tried: there is nothing left to gain
MAX_MICRO_BATCH = 65536  # the schema's bound
NEAR = 8  # bisection ends when the gap is an eighth of what fits
AS_FAST = 0.97  # a smaller size within 3 % of the fastest is preferred: it leaves memory free
WARMUP, STEPS, SECONDS = 1, 5, 5.0

EndedBy = Literal["memory", "memory budget", "time", "bound"]


def with_micro_batch(config: Config, micro: int, accumulation: int) -> Config:
    training = msgspec.structs.replace(config.training, micro_batch_size=micro, accumulation_steps=accumulation)
    return msgspec.structs.replace(config, training=training)


@dataclass
class BatchSizeSearch:
    """A search under way. `tried` grows as it goes; `reason` says what ended it."""

    config: Config
    shards: Shards
    compute: Compute
    engine: Engine
    say: Callable[[str], None]
    note: Callable[[str], None]
    tried: list[BatchSizeTrial] = field(default_factory=list)
    ended_by: EndedBy = "bound"
    reason: str = f"micro_batch_size may be {MAX_MICRO_BATCH:,} at most"

    def __post_init__(self) -> None:
        held = peak_bytes(self.compute.device)
        self.budget = held + BUDGET * (limit_bytes(self.compute.device) - held)

    def run(self) -> int:
        """The largest size that fits, to an eighth. Raises ConfigError where a single sequence does not."""
        fits, micro = 0, 1
        while micro <= MAX_MICRO_BATCH and self._may_try(micro) and self._try(micro):
            fits, micro = micro, 2 * micro
        beyond = micro
        while fits and self.ended_by in ("memory", "memory budget") and beyond - fits > max(1, fits // NEAR):
            middle = (fits + beyond) // 2
            if self._may_try(middle) and self._try(middle):
                fits = middle
            else:
                beyond = middle
        if not fits:
            raise ConfigError(
                f"a micro-batch of one sequence does not fit: {self.reason}",
                where="training.micro_batch_size",
                do="Set training.activation_checkpointing=true, a shorter model.context_length or a smaller model",
            )
        self.tried.sort(key=lambda size: size.micro_batch_size)
        return fits

    def _may_try(self, micro: int) -> bool:
        """Whether a size can be tried without harm; where not, that is what ends the search."""
        known = [size for size in self.tried if size.fits and size.pass_ms is not None]
        if known:
            last = max(known, key=lambda size: size.micro_batch_size)
            assert last.pass_ms is not None
            seconds = last.pass_ms / 1000 * micro / last.micro_batch_size
            if seconds > MAX_PASS_SECONDS:
                self._end("time", f"one pass over {micro:,} sequences would take about {seconds:.0f} s")
                return False
        if self.compute.device.type == "cuda":
            return True
        need = self._foretold_bytes(micro, known)
        if need > self.budget:
            self._end(
                "memory budget",
                f"micro_batch_size {micro:,} would take about {need / 2**30:.1f} GiB, and {BUDGET:.0%} of the free"
                f" memory is {self.budget / 2**30:.1f} GiB",
            )
            return False
        return True

    def _foretold_bytes(self, micro: int, known: list[BatchSizeTrial]) -> float:
        """Memory at a size: what the largest one before held and, for each sequence more, the larger of the closed
        form's figure and what was measured.
        """
        precise = msgspec.structs.replace(self.config.training, precision=self.compute.precision)
        config = msgspec.structs.replace(self.config, training=precise)
        vocab = self.engine.model.vocab_size
        one, two = (memory_bytes(with_micro_batch(config, n, 1), vocab) for n in (1, 2))
        held = [(size.micro_batch_size, size.memory_peak_bytes or 0) for size in known]
        if not held:
            return peak_bytes(self.compute.device) + one
        slope = float(two - one)
        *before, (largest, peak) = sorted(held)
        if before:
            slope = max(slope, (peak - before[-1][1]) / (largest - before[-1][0]))
        return peak + slope * (micro - largest)

    def _try(self, micro: int) -> bool:
        """Rehearse and time a size; whether it fits."""
        self.say(f"trying micro_batch_size {micro:,}")
        accumulation = max(1, self.config.sequences_per_step // micro)
        try:
            times = self._timed(with_micro_batch(self.config, micro, min(2, accumulation)))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        else:
            self.tried.append(
                BatchSizeTrial(
                    micro_batch_size=micro,
                    accumulation_steps=accumulation,
                    fits=True,
                    pass_ms=times.pass_seconds * 1000,
                    tokens_per_second=times.tokens_per_second(micro * self.config.model.context_length, accumulation),
                    memory_peak_bytes=peak_bytes(self.compute.device),
                )
            )
            return True
        free_memory(self.engine.model)
        self.tried.append(BatchSizeTrial(micro_batch_size=micro, accumulation_steps=accumulation, fits=False))
        self._end("memory", f"micro_batch_size {micro:,} runs out of memory")
        return False

    def _timed(self, config: Config) -> StepTimes:
        """A step rehearsed, then timed. Where the config's step has several passes two are made: the second finds the
        gradient of the first in memory.
        """
        free_memory(self.engine.model)
        reset_compilation(self.engine.train_step)
        engine = self.engine._replace(batches=BatchLoader.for_training(self.shards, config))
        self._rehearse(engine, config)
        return time_steps(engine, config, self.compute, warmup=WARMUP, steps=STEPS, at_most_seconds=SECONDS)

    def _rehearse(self, engine: Engine, config: Config) -> None:
        run_with_compile_fallback(
            engine.train_step,
            lambda: engine.train_step.dry_run(1, fetch(engine, config, self.compute, 1)),
            self.note,
        )

    def _end(self, by: EndedBy, reason: str) -> None:
        self.ended_by, self.reason = by, reason


def recommend(tried: list[BatchSizeTrial]) -> BatchSizeTrial:
    """The fastest size, or the smallest that is within 3 % of it."""
    rated = [(size, size.tokens_per_second) for size in tried if size.tokens_per_second is not None]
    fastest = max(speed for _, speed in rated)
    return min((size for size, speed in rated if speed >= AS_FAST * fastest), key=lambda size: size.micro_batch_size)
