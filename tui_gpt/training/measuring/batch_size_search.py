"""Search for the largest and the fastest micro-batch size: doubling until a limit is reached, then bisection.

Each size is tried in a dry run of a full step, then timed. Its speed is that of a whole step as configured, so no size
gains by making the step larger. On a GPU the search ends when memory runs out. On a CPU the machine would swap before
that, or the kernel would kill a process; so a size is tried only if its predicted memory is within a budget.
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
from tui_gpt.training.compute import Compute
from tui_gpt.training.data.batches import BatchLoader
from tui_gpt.training.loop.engine import Engine, reset_compilation, run_with_compile_fallback
from tui_gpt.training.measuring.memory_usage import free_memory, limit_bytes, peak_bytes
from tui_gpt.training.measuring.step_timing import StepTimes, fetch, time_steps
from tui_gpt.training.out_of_memory import is_out_of_memory

MEMORY_BUDGET = 0.8  # of the memory that is free when the search begins
MAX_PASS_SECONDS = 5.0  # slower sizes are not tried: larger ones gain nothing
MAX_MICRO_BATCH = 65536  # the bound of the config schema
RESOLUTION = 8  # bisection ends when the gap is an eighth of the largest size that fits
SPEED_TOLERANCE = 0.97  # the smallest size within 3 % of the fastest is recommended: it leaves memory free
WARMUP, STEPS, SECONDS = 1, 5, 5.0

EndedBy = Literal["memory", "memory budget", "time", "bound"]


def with_micro_batch(config: Config, micro: int, accumulation: int) -> Config:
    """Return `config` with these `micro_batch_size` and `accumulation_steps`."""
    training = msgspec.structs.replace(config.training, micro_batch_size=micro, accumulation_steps=accumulation)
    return msgspec.structs.replace(config, training=training)


@dataclass
class BatchSizeSearch:
    """A search. tried: the sizes so far. ended_by and reason: what ended it. report, note: receive messages."""

    config: Config
    shards: Shards
    compute: Compute
    engine: Engine
    report: Callable[[str], None]
    note: Callable[[str], None]
    tried: list[BatchSizeTrial] = field(default_factory=list)
    ended_by: EndedBy = "bound"
    reason: str = f"micro_batch_size is at most {MAX_MICRO_BATCH:,}"

    def __post_init__(self) -> None:
        used = peak_bytes(self.compute.device)
        self.budget = used + MEMORY_BUDGET * (limit_bytes(self.compute.device) - used)

    def run(self) -> int:
        """Return the largest size that fits, to within an eighth. Raise ConfigError if a single sequence does not."""
        fits, micro = 0, 1
        while micro <= MAX_MICRO_BATCH and self._may_try(micro) and self._try(micro):
            fits, micro = micro, 2 * micro
        beyond = micro
        while fits and self.ended_by in ("memory", "memory budget") and beyond - fits > max(1, fits // RESOLUTION):
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
        """Whether a size is safe to try; if not, the search ends for this reason."""
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
        need = self._predict_bytes(micro, known)
        if need > self.budget:
            self._end(
                "memory budget",
                f"micro_batch_size {micro:,} would take about {need / 2**30:.1f} GiB, and"
                f" {MEMORY_BUDGET:.0%} of the free memory is {self.budget / 2**30:.1f} GiB",
            )
            return False
        return True

    def _predict_bytes(self, micro: int, known: list[BatchSizeTrial]) -> float:
        """Predict the memory of a size from the largest one tried, and the memory of each further sequence.

        That is the larger of the measured one and the one of the closed form.
        """
        precise = msgspec.structs.replace(self.config.training, precision=self.compute.precision)
        config = msgspec.structs.replace(self.config, training=precise)
        vocab = self.engine.model.vocab_size
        one, two = (memory_bytes(with_micro_batch(config, n, 1), vocab) for n in (1, 2))
        measured = [(size.micro_batch_size, size.memory_peak_bytes or 0) for size in known]
        if not measured:
            return peak_bytes(self.compute.device) + one
        slope = float(two - one)
        *before, (largest, peak) = sorted(measured)
        if before:
            slope = max(slope, (peak - before[-1][1]) / (largest - before[-1][0]))
        return peak + slope * (micro - largest)

    def _try(self, micro: int) -> bool:
        """Try and time a size, and return whether it fits."""
        self.report(f"trying micro_batch_size {micro:,}")
        accumulation = max(1, self.config.sequences_per_step // micro)
        try:
            times = self._time(with_micro_batch(self.config, micro, min(2, accumulation)))
        except Exception as error:
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

    def _time(self, config: Config) -> StepTimes:
        """Dry-run a step, then time steps. With accumulation two passes are made, as the second needs more memory."""
        free_memory(self.engine.model)
        reset_compilation(self.engine.train_step)
        engine = self.engine._replace(batches=BatchLoader.for_training(self.shards, config))
        self._dry_run(engine, config)
        return time_steps(engine, config, self.compute, warmup=WARMUP, steps=STEPS, at_most_seconds=SECONDS)

    def _dry_run(self, engine: Engine, config: Config) -> None:
        run_with_compile_fallback(
            engine.train_step,
            lambda: engine.train_step.dry_run(1, fetch(engine, config, self.compute, 1)),
            self.note,
        )

    def _end(self, by: EndedBy, reason: str) -> None:
        self.ended_by, self.reason = by, reason


def recommend(tried: list[BatchSizeTrial]) -> BatchSizeTrial:
    """Return the smallest size that is within 3 % of the fastest."""
    rated = [(size, size.tokens_per_second) for size in tried if size.tokens_per_second is not None]
    fastest = max(speed for _, speed in rated)
    return min(
        (size for size, speed in rated if speed >= SPEED_TOLERANCE * fastest), key=lambda size: size.micro_batch_size
    )
