"""Benchmark of a run, and what limits its speed: `gpt-tui bench`, in a process of its own.

It prepares the corpus and builds the engine as the trainer does, then times training steps, a checkpoint and
generation. It creates no run folder and keeps no files.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tui_gpt.checkpoints.state import Snapshot, TrainingProgress, take_snapshot, write_checkpoint
from tui_gpt.config import Config, PartialConfig
from tui_gpt.config.estimates import flops_per_token, memory_bytes
from tui_gpt.errors import reason
from tui_gpt.run.child_process import Channel, run_task
from tui_gpt.run.messages import BatchSizeSearchResult, BatchSizeTrial, BenchmarkResult
from tui_gpt.sampling import SamplingOptions, generate
from tui_gpt.sampling.generation import prompt_tokens
from tui_gpt.training.compute import Compute, choose_compute
from tui_gpt.training.data.batches import BatchLoader
from tui_gpt.training.loop.decisions import split_micro_batch
from tui_gpt.training.loop.engine import (
    Engine,
    build_engine,
    reset_compilation,
    run_with_compile_fallback,
)
from tui_gpt.training.measuring.batch_size_search import MEMORY_BUDGET, BatchSizeSearch, recommend, with_micro_batch
from tui_gpt.training.measuring.bottleneck import Measurements, diagnose_bottleneck
from tui_gpt.training.measuring.device_clock import synchronize
from tui_gpt.training.measuring.memory_usage import free_memory, limit_bytes, peak_bytes
from tui_gpt.training.measuring.step_timing import StepTimes, fetch, measure_peak_flops, time_steps
from tui_gpt.training.out_of_memory import is_out_of_memory, retry_on_oom
from tui_gpt.training.run_setup import PreparedRun, prepare_run

WARMUP = 3
STEPS, SECONDS = 50, 20.0  # to measure by default; whichever limit is reached first
SAMPLE_TOKENS = 128
DOUBLING_SECONDS = 5.0

Report = Callable[[str], None]


def run_benchmark(channel: Channel, asked: PartialConfig, corpus_dir: str, workspace: str, steps: int) -> None:
    """Entry point: reply with `BenchmarkResult` or `RequestFailed`. steps: number to measure; 0 for a time limit."""
    run_task(channel, lambda report: benchmark(asked, Path(corpus_dir), Path(workspace), steps, report))


def run_batch_size_search(channel: Channel, asked: PartialConfig, corpus_dir: str) -> None:
    """Entry point: reply with `BatchSizeSearchResult` or `RequestFailed`."""
    run_task(channel, lambda report: search_batch_size(asked, Path(corpus_dir), report))


# ── benchmark ────────────────────────────────────────────────────────────────────────────────────────────────────────


def benchmark(asked: PartialConfig, corpus_dir: Path, workspace: Path, steps: int, report: Report) -> BenchmarkResult:
    """Run the benchmark and return its result. Raise UserError if the run could not start."""
    setup = BenchmarkSetup(asked, corpus_dir, report)
    setup.dry_run()
    config, compute, engine = setup.config, setup.compute, setup.engine
    report(f"timing steps of {config.tokens_per_step:,} tokens")
    times = time_steps(
        engine,
        config,
        compute,
        warmup=WARMUP,
        steps=steps or STEPS,
        at_most_seconds=None if steps else SECONDS,
    )
    peak_memory, limit = peak_bytes(compute.device), limit_bytes(compute.device)
    report("copying and writing a checkpoint")
    stall, snapshot = _time_snapshot(setup, len(times.whole))
    written = _time_write(setup, snapshot, workspace)
    size = sum(tensor.nbytes for tensor in (*snapshot.model.values(), *snapshot.optimizer.values()))
    del snapshot
    report(f"generating {SAMPLE_TOKENS} tokens")
    generation = _time_generation(setup)
    report("timing twice the micro-batch")
    gain, no_doubling = _time_doubled_batch(setup, times, limit - peak_memory)
    report("timing large matrix products")
    data_sheet = compute.peak_flops()
    peak, source = (
        (data_sheet, "data sheet") if data_sheet else (measure_peak_flops(compute), "measured matrix product")
    )
    p5, p50, p95 = (1000 * float(value) for value in np.percentile(times.whole, [5, 50, 95]))
    speed = config.tokens_per_step / (p50 / 1000)
    measurements = Measurements(
        on_gpu=compute.device.type != "cpu",
        data_wait_share=times.share(times.wait),
        memory_peak_bytes=peak_memory,
        memory_limit_bytes=limit,
        doubling_gain=gain,
        no_doubling=no_doubling,
        mfu=speed * flops_per_token(config.model, engine.model.vocab_size) / peak,
        peak_source=source,
    )
    return BenchmarkResult(
        **setup.identity(),
        micro_batch_size=config.training.micro_batch_size,
        accumulation_steps=config.training.accumulation_steps,
        tokens_per_step=config.tokens_per_step,
        steps=len(times.whole),
        tokens_per_second=speed,
        step_p5_ms=p5,
        step_p50_ms=p50,
        step_p95_ms=p95,
        mfu=measurements.mfu,
        peak_flops_per_second=peak,
        peak_source=source,
        memory_peak_bytes=peak_memory,
        memory_limit_bytes=limit,
        data_wait_share=measurements.data_wait_share,
        optimizer_share=times.share(times.update),
        checkpoint_stall_ms=stall * 1000,
        checkpoint_write_ms=written * 1000 if written is not None else None,
        checkpoint_bytes=size,
        generation_tokens_per_second=generation,
        doubling_gain=gain,
        verdict=diagnose_bottleneck(measurements),
    )


class BenchmarkSetup:
    """The engine to measure, and the notes of the report."""

    def __init__(self, asked: PartialConfig, corpus_dir: Path, report: Report) -> None:
        prepared: PreparedRun = prepare_run(asked, corpus_dir, lambda phase, fraction: report(phase))
        self.config: Config = prepared.config
        self.shards = prepared.shards
        self.compute: Compute = choose_compute(self.config.training)
        self.report = report
        self.notes = [*prepared.notes, *([self.compute.note] if self.compute.note else [])]
        report("building the model")
        self.engine: Engine = build_engine(self.config, self.shards, self.compute)

    def note(self, text: str) -> None:
        """Report a setting that differs from the config, and keep it for the result."""
        self.notes.append(text)
        self.report(text)

    def dry_run(self) -> None:
        """Dry-run the first step with the fallbacks of the trainer: smaller micro-batches, and no compilation."""
        self.report("compiling" if self.compute.compile else "dry run of the first step")
        engine = self.engine
        run_with_compile_fallback(engine.train_step, lambda: retry_on_oom(self._first_step, self._halve), self.note)
        synchronize(self.compute.device)

    def _first_step(self) -> None:
        self.engine.train_step.dry_run(1, fetch(self.engine, self.config, self.compute, 1))

    def _halve(self) -> None:
        free_memory(self.engine.model)
        split = split_micro_batch(self.config)
        self.config = split.config
        self.note(split.message)

    def identity(self) -> dict[str, Any]:
        """Return the fields about the model and the machine that every result has."""
        return {
            "device": self.compute.name,
            "precision": self.compute.precision,
            "compiled": self.engine.train_step.compiled is not None,
            "threads": self.compute.threads,
            "preset": self.config.preset,
            "corpus": self.shards.info.name,
            "parameters": self.engine.model.num_parameters(),
            "context_length": self.config.model.context_length,
            "notes": tuple(self.notes),
        }


def _time_snapshot(setup: BenchmarkSetup, step: int) -> tuple[float, Snapshot]:
    """Return the seconds that steps wait for a full checkpoint, and its snapshot."""
    progress = TrainingProgress(step=step, tokens=step * setup.config.tokens_per_step, elapsed_seconds=0.0)
    tokenizer = setup.shards.tokenizer.to_json()
    synchronize(setup.compute.device)
    started = time.perf_counter()
    snapshot = take_snapshot(
        "full", setup.config, tokenizer, setup.engine.model, setup.engine.train_step.optimizers, progress
    )
    return time.perf_counter() - started, snapshot


def _time_write(setup: BenchmarkSetup, snapshot: Snapshot, workspace: Path) -> float | None:
    """Return the seconds to write the checkpoint to the disk of the workspace, or None, with a note, if that fails."""
    try:
        with tempfile.TemporaryDirectory(dir=workspace, prefix=".bench-") as place:
            started = time.perf_counter()
            write_checkpoint(snapshot, Path(place, "checkpoints"), lambda: None)
            return time.perf_counter() - started
    except OSError as error:
        setup.note(f"the checkpoint could not be written: {reason(error)}")
        return None


def _time_generation(setup: BenchmarkSetup) -> float:
    """Return tokens per second of one generation, without its first token, which processes the prompt."""
    model, config = setup.engine.model, setup.config
    prompts = config.sampling.prompts or ("",)
    prompt = prompt_tokens(setup.shards.tokenizer, prompts[0])
    options = msgspec.structs.replace(config.sampling, tokens=SAMPLE_TOKENS)
    sampling = SamplingOptions.of(options, config.training.seed)
    model.eval()
    for _ in range(2):  # the first generation is a warmup
        times = [time.perf_counter() for _ in generate(model, prompt, sampling, autocast=setup.compute.autocast)]
    model.train()
    gaps = [after - before for before, after in pairwise(times)]
    return len(gaps) / sum(gaps)


def _time_doubled_batch(setup: BenchmarkSetup, times: StepTimes, spare_bytes: int) -> tuple[float | None, str]:
    """Return tokens per second at twice the micro-batch relative to those measured, both of the fastest steps.

    Return None and the reason if it cannot be measured.
    """
    config, compute, engine = setup.config, setup.compute, setup.engine
    micro, accumulation = config.training.micro_batch_size, config.training.accumulation_steps
    double = with_micro_batch(config, 2 * micro, 1)
    extra = memory_bytes(double, engine.model.vocab_size) - memory_bytes(config, engine.model.vocab_size)
    if compute.device.type == "cpu" and extra > MEMORY_BUDGET * spare_bytes:
        return None, "not enough memory for twice the micro_batch_size"
    free_memory(engine.model)
    reset_compilation(engine.train_step)
    try:
        doubled = time_steps(
            engine._replace(batches=BatchLoader.for_training(setup.shards, double)),
            double,
            compute,
            warmup=WARMUP,
            steps=STEPS,
            at_most_seconds=DOUBLING_SECONDS,
        )
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None, "not enough memory for twice the micro_batch_size"
    tokens = micro * config.model.context_length
    alone = times.fastest().tokens_per_second(tokens, accumulation)
    return doubled.fastest().tokens_per_second(2 * tokens, max(1, accumulation // 2)) / alone, ""


# ── batch size search ────────────────────────────────────────────────────────────────────────────────────────────────


def search_batch_size(asked: PartialConfig, corpus_dir: Path, report: Report) -> BatchSizeSearchResult:
    """Search for the largest and the fastest micro-batch size. Raise UserError if the run could not start."""
    setup = BenchmarkSetup(asked, corpus_dir, report)
    search = BatchSizeSearch(setup.config, setup.shards, setup.compute, setup.engine, report=report, note=setup.note)
    largest = search.run()
    best = recommend(search.tried)
    same_step = [size for size in search.tried if _sequences(size) == setup.config.sequences_per_step]
    return BatchSizeSearchResult(
        **setup.identity(),
        sizes=tuple(search.tried),
        largest_micro_batch_size=largest,
        ended_by=search.ended_by,
        reason=search.reason,
        recommended_micro_batch_size=best.micro_batch_size,
        recommended_accumulation_steps=best.accumulation_steps,
        overrides=_overrides(best),
        tokens_per_step=_sequences(best) * setup.config.model.context_length,
        overrides_keeping_step=_overrides(recommend(same_step)),
    )


def _sequences(size: BatchSizeTrial) -> int:
    return size.micro_batch_size * size.accumulation_steps


def _overrides(size: BatchSizeTrial) -> str:
    return f"training.micro_batch_size={size.micro_batch_size} training.accumulation_steps={size.accumulation_steps}"
