"""`gpt-tui bench`: measure how fast a config trains on this machine and which micro-batch size is fastest."""

from __future__ import annotations

import os

import click

from tui_gpt import hardware, launch
from tui_gpt.cli.arguments import config_option, corpus_option, overrides_argument
from tui_gpt.cli.options import Workspace, command, json_option
from tui_gpt.cli.output import echo, narrate, print_json
from tui_gpt.cli.progress import progress_reporter
from tui_gpt.cli.subcommands.train import resolve_corpus_path
from tui_gpt.cli.tables import Column, print_table
from tui_gpt.cli.torch_process import call_torch_process
from tui_gpt.config import build, load_config, override, set_key
from tui_gpt.corpora import prepare
from tui_gpt.errors import ConfigError, RunError
from tui_gpt.run import folder as folders
from tui_gpt.run.messages import BatchSizeSearchResult, BenchmarkResult, MeasurementContext


@command("bench")
@config_option
@corpus_option("A corpus, text file or folder (default: stories).")
@click.option("--steps", type=click.IntRange(2), help="Steps to measure (default: up to 50 within 20 s).")
@click.option("--find-batch", is_flag=True, help="Find the largest and the fastest micro_batch_size that fit.")
@json_option
@overrides_argument
def bench_command(
    workspace: Workspace,
    config: str | None,
    corpus: str | None,
    steps: int | None,
    find_batch: bool,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Measure training speed, memory use and checkpoints of a config on its corpus, and what limits the speed.

    No run is created; only the prepared corpus is kept.
    """
    if find_batch and steps is not None:
        raise ConfigError("--steps cannot be used with --find-batch", where="command line", do="Use one of them")
    settings = override(load_config(config) if config else {}, overrides)
    if corpus:
        set_key(settings, "data.corpus", resolve_corpus_path(corpus))
    settings = launch.validate_request(settings, workspace.corpus)
    resolved = build(settings)
    _choose_gpu(workspace, resolved.training.device)
    with progress_reporter() as progress:
        prepare(resolved.data, workspace.corpus, progress)  # in this process, so that its memory is not measured
        entry = "tui_gpt.training.measuring.benchmark:" + ("run_batch_size_search" if find_batch else "run_benchmark")
        corpus_dir = str(workspace.corpus)
        measured: MeasurementContext = call_torch_process(
            entry,
            *([settings, corpus_dir] if find_batch else [settings, corpus_dir, str(workspace.path), steps or 0]),
            kind=BatchSizeSearchResult if find_batch else BenchmarkResult,
            error_type=RunError,
            where="bench",
            progress=progress,
        )
    if as_json:
        print_json(measured)
    elif isinstance(measured, BatchSizeSearchResult):
        _print_search(measured)
    else:
        assert isinstance(measured, BenchmarkResult)
        _print_bench(measured)


def _choose_gpu(workspace: Workspace, device: str) -> None:
    """Show the measuring process only the GPU that a run would use, and warn of live runs."""
    live = [folder.id for folder in folders.list_runs(workspace.runs) if folder.is_locked()]
    if live:
        verb = "is" if len(live) == 1 else "are"
        narrate(f"warning: {', '.join(live)} {verb} live and will slow down the measurement")
    available = hardware.visible_gpus(hardware.gpus())
    gpu = hardware.choose_gpu(device, available, hardware.gpus_in_training(available))
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu.uuid


def _print_bench(result: BenchmarkResult) -> None:
    step = f"{result.micro_batch_size:,} sequences × {result.accumulation_steps:,}"
    spread = f"(5 %: {result.step_p5_ms:,.1f}, 95 %: {result.step_p95_ms:,.1f})"
    peak = f"{result.peak_flops_per_second / 1e12:,.2f} TFLOP/s, {result.peak_source}"
    written = (
        "not written"
        if result.checkpoint_write_ms is None
        else f"written in the background in {result.checkpoint_write_ms:,.0f} ms"
    )
    rows = [
        ("step", f"{step}, {result.tokens_per_step:,} tokens"),
        ("speed", f"{result.tokens_per_second:,.0f} tokens/s, median of {result.steps} steps"),
        ("step time", f"{result.step_p50_ms:,.1f} ms {spread}"),
        ("MFU", f"{result.mfu:.1%} of {peak}"),
        ("memory", f"{_gib(result.memory_peak_bytes)} peak of {_gib(result.memory_limit_bytes)} available"),
        ("time spent", f"{result.data_wait_share:.1%} waiting for data, {result.optimizer_share:.1%} in the optimiser"),
        (
            "checkpoint",
            f"{result.checkpoint_bytes / 2**20:,.1f} MiB; stalls training for"
            f" {result.checkpoint_stall_ms:,.1f} ms, {written}",
        ),
        ("generation", f"{result.generation_tokens_per_second:,.0f} tokens/s, batch of one"),
    ]
    _print_facts(result, rows)
    echo(f"\n{result.verdict}")


def _print_search(result: BatchSizeSearchResult) -> None:
    _print_facts(result, [])
    echo()
    titles = ("micro_batch_size", "accumulation_steps", "ms/pass", "tokens/s", "memory")
    rows = []
    for size in result.sizes:
        cells = ["–", "does not fit", "–"]
        if size.pass_ms is not None and size.tokens_per_second is not None and size.memory_peak_bytes is not None:
            cells = [f"{size.pass_ms:,.1f}", f"{size.tokens_per_second:,.0f}", _gib(size.memory_peak_bytes)]
        rows.append([f"{size.micro_batch_size:,}", f"{size.accumulation_steps:,}", *cells])
    print_table([Column(title, "right") for title in titles], rows)
    echo(f"\nThe search ended at {result.largest_micro_batch_size:,}, by {result.ended_by}: {result.reason}.")
    if result.overrides == result.overrides_keeping_step:
        echo(f"Fastest, with the least memory: {result.overrides} (same step: {result.tokens_per_step:,} tokens)")
        return
    echo(f"Fastest, with the least memory: {result.overrides} (new step: {result.tokens_per_step:,} tokens)")
    echo(f"Fastest with the config's step: {result.overrides_keeping_step}")


def _print_facts(result: MeasurementContext, rows: list[tuple[str, str]]) -> None:
    """Print what was measured, then `rows`, then the notes."""
    compiled = "compiled" if result.compiled else "not compiled"
    threads = "1 thread" if result.threads == 1 else f"{result.threads} threads"
    model = f"{result.preset}: {result.parameters:,} parameters, context of {result.context_length:,} tokens"
    facts = [
        ("device", f"{result.device}, {result.precision}, {compiled}, {threads}"),
        ("model", model),
        ("corpus", result.corpus),
        *rows,
        *(("note", note) for note in result.notes),
    ]
    print_table([Column(), Column(wraps=True)], facts)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.2f} GiB"
