"""`gpt-tui bench`: how fast a config would train on this machine, what holds it back, and which micro-batch is best."""

from __future__ import annotations

import os

import click
from rich.console import Console
from rich.table import Table

from tui_gpt import hardware, launch
from tui_gpt.cli.narration import narrated
from tui_gpt.cli.options import Workspace, command, json_option, print_json
from tui_gpt.cli.train import from_here
from tui_gpt.cli.worker import ask
from tui_gpt.config import asked_for, build, override, set_key
from tui_gpt.corpora import prepare
from tui_gpt.errors import ConfigError, RunError
from tui_gpt.run import folder as folders
from tui_gpt.run.messages import BatchSizeSearchResult, BenchmarkResult, MeasurementContext


@command("bench")
@click.option("--config", "config", default="", metavar="PRESET|FILE", help="A preset or a TOML file (default: pico).")
@click.option("--corpus", metavar="NAME|PATH", help="A corpus, text file or folder (default: stories).")
@click.option("--steps", type=click.IntRange(2), help="Steps to measure (default: up to 50, or what 20 s hold).")
@click.option("--find-batch", is_flag=True, help="Find the largest micro_batch_size that fits, and the fastest.")
@json_option
@click.argument("overrides", nargs=-1, metavar="[SECTION.KEY=VALUE]...")
def bench_command(
    workspace: Workspace,
    config: str,
    corpus: str | None,
    steps: int | None,
    find_batch: bool,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Measure training as it would run, on its corpus: speed, memory, checkpoints, and what bounds it.

    No run is made, and nothing is kept but the prepared corpus.
    """
    if find_batch and steps is not None:
        raise ConfigError("--steps does not go with --find-batch", where="command line", do="Leave one of them out")
    asked = override(asked_for(config) if config else {}, overrides)
    if corpus:
        set_key(asked, "data.corpus", from_here(corpus))
    asked = launch.validate_request(asked, workspace.corpus)
    plan = build(asked)
    _choose_card(workspace, plan.training.device)
    with narrated() as progress:
        prepare(plan.data, workspace.corpus, progress)  # here, so that its memory is not counted as training's
        entry = "tui_gpt.training.measuring.benchmark:" + ("run_batch_size_search" if find_batch else "run_benchmark")
        place = str(workspace.corpus)
        measured: MeasurementContext = ask(
            entry,
            *([asked, place] if find_batch else [asked, place, str(workspace.path), steps or 0]),
            kind=BatchSizeSearchResult if find_batch else BenchmarkResult,
            mistake=RunError,
            where="bench",
            say=lambda phase: progress(phase, None),
        )
    if as_json:
        print_json(measured)
    elif isinstance(measured, BatchSizeSearchResult):
        _print_search(measured)
    else:
        assert isinstance(measured, BenchmarkResult)
        _print_bench(measured)


def _choose_card(workspace: Workspace, device: str) -> None:
    """The card that a run would get, visible alone to the process that measures; live runs are warned of."""
    live = [folder.id for folder in folders.list_runs(workspace.runs) if folder.is_locked()]
    if live:
        click.echo(f"{', '.join(live)} is live: what it computes slows what is measured", err=True)
    card = hardware.choose_gpu(device, hardware.gpus(), folders.gpus_in_use(workspace.runs))
    if card is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = card.uuid


def _print_bench(found: BenchmarkResult) -> None:
    table = _facts(found)
    table.add_row("step", f"{_step(found)}, {found.tokens_per_step:,} tokens")
    table.add_row("speed", f"{found.tokens_per_second:,.0f} tokens/s, the median of {found.steps} steps")
    spread = f"(5 %: {found.step_p5_ms:,.1f}, 95 %: {found.step_p95_ms:,.1f})"
    table.add_row("step time", f"{found.step_p50_ms:,.1f} ms {spread}")
    peak = f"{found.peak_flops_per_second / 1e12:,.2f} TFLOP/s, {found.peak_source}"
    table.add_row("MFU", f"{found.mfu:.1%} of {peak}")
    memory = f"{_gib(found.memory_peak_bytes)} at the peak, of {_gib(found.memory_limit_bytes)} to be had"
    table.add_row("memory", memory)
    shares = f"{found.data_wait_share:.1%} waiting for data, {found.optimizer_share:.1%} in the optimiser"
    table.add_row("of the time", shares)
    written = "not written" if found.checkpoint_write_ms is None else f"written in {found.checkpoint_write_ms:,.0f} ms"
    stall = f"training waits {found.checkpoint_stall_ms:,.1f} ms for the copy, {written} meanwhile"
    table.add_row("checkpoint", f"{found.checkpoint_bytes / 2**20:,.1f} MiB; {stall}")
    table.add_row("generation", f"{found.generation_tokens_per_second:,.0f} tokens/s, one text at a time")
    _print(table, found)
    click.echo(f"\n{found.verdict}")


def _print_search(found: BatchSizeSearchResult) -> None:
    _print(_facts(found), found)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("micro_batch_size", "accumulation_steps", "ms a pass", "tokens/s", "memory"):
        table.add_column(title, justify="right", no_wrap=True)
    for size in found.sizes:
        cost = ["–", "does not fit", "–"]
        if size.pass_ms is not None and size.tokens_per_second is not None and size.memory_peak_bytes is not None:
            cost = [f"{size.pass_ms:,.1f}", f"{size.tokens_per_second:,.0f}", _gib(size.memory_peak_bytes)]
        table.add_row(f"{size.micro_batch_size:,}", f"{size.accumulation_steps:,}", *cost)
    click.echo()
    Console().print(table)
    click.echo(f"\nThe search ended at {found.largest_micro_batch_size:,}, by {found.ended_by}: {found.reason}.")
    step = f"{found.tokens_per_step:,} tokens a step"
    if found.overrides == found.overrides_keeping_step:
        click.echo(f"Fastest, with the least memory: {found.overrides} (the step stays: {step})")
        return
    click.echo(f"Fastest, with the least memory: {found.overrides} (another step: {step})")
    click.echo(f"Fastest with the config's step: {found.overrides_keeping_step}")


def _facts(found: MeasurementContext) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    how = "compiled" if found.compiled else "not compiled"
    threads = "1 thread" if found.threads == 1 else f"{found.threads} threads"
    table.add_row("device", f"{found.device}, {found.precision}, {how}, {threads}")
    table.add_row(
        "model", f"{found.preset}: {found.parameters:,} parameters, context of {found.context_length:,} tokens"
    )
    table.add_row("corpus", found.corpus)
    return table


def _print(table: Table, found: MeasurementContext) -> None:
    for note in found.notes:
        table.add_row("note", note)
    Console(markup=False, highlight=False).print(table)


def _step(found: BenchmarkResult) -> str:
    return f"{found.micro_batch_size:,} sequences × {found.accumulation_steps:,}"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.2f} GiB"
