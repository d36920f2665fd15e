"""Before the start: what the draft will cost. With a run: what it is, and what it has kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui_gpt.workbench.canvas import Row, Span, row, sides
from tui_gpt.workbench.panes.pane import ScrollPane
from tui_gpt.workbench.plan import Plan
from tui_gpt.workbench.text import clock, count, nats, one_line, short, size, wrap

if TYPE_CHECKING:
    from tui_gpt.workbench.feed import RunFeed
    from tui_gpt.workbench.series import Point


class RunPane(ScrollPane):
    number, key, title = 9, "run", "Run"

    def name_now(self) -> str:
        return "Run" if self.workbench.feed else "Plan"

    def content(self, width: int, lines: int) -> Sequence[Sequence[Span]]:
        feed = self.workbench.feed
        if feed is None:
            return plan_rows(self.workbench.plan, self.workbench.speed_note, width)
        return run_rows(feed, width)


def fact(label: str, value: str, width: int, role: str = "bright") -> Row:
    return sides(row((label, "dim")), row((value, role)), width)


def plan_rows(plan: Plan, speed_note: str, width: int) -> list[Row]:
    about = "" if plan.exact else "~"
    rows = []
    if plan.parameters is not None:
        rows.append(fact("parameters", count(plan.parameters), width))
    if plan.vocab_size is not None:
        rows.append(fact("vocabulary", count(plan.vocab_size), width, "text"))
    rows.append(fact("tokens per step", count(plan.tokens_per_step), width))
    if plan.steps is not None:
        rows.append(fact("steps", count(plan.steps), width))
    if plan.tokens is not None:
        rows.append(fact("tokens", count(plan.tokens), width))
    if plan.epochs is not None:
        rows.append(fact("epochs over the corpus", f"{about}{plan.epochs:.3g}", width))
    if plan.tokens_per_parameter is not None:
        rows.append(fact("tokens per parameter", f"{plan.tokens_per_parameter:.3g}", width))
    if plan.memory_bytes is not None:
        free = plan.memory_free_bytes
        tight = free is not None and plan.memory_bytes > free
        text = f"~{size(plan.memory_bytes)}" + (f" of {size(free)} free" if free is not None else "")
        rows.append(fact("memory", text, width, "warn" if tight else "bright"))
        if tight:
            rows.append(row((f"▲ more than is free on {plan.memory_where}", "warn")))
    if plan.seconds is not None:
        rows.append(fact("time", f"~{clock(plan.seconds)}", width))
    rows += [row((line, "dim")) for line in wrap(speed_note, width)] if speed_note else []
    return rows


def run_rows(feed: RunFeed, width: int) -> list[Row]:
    info, status = feed.info, feed.status
    rows = [row((one_line(feed.folder.id), "accent"))]
    if info:
        rows.append(fact("parameters", count(info.parameters), width))
        where = " · ".join(part for part in (info.device, info.precision, "compiled" if info.compiled else "") if part)
        rows += [row((line, "text")) for line in wrap(where, width)]
        if info.corpus:
            rows.append(fact("corpus", one_line(info.corpus.name), width, "text"))
            rows.append(fact("train tokens", count(info.corpus.train_tokens), width, "text"))
    last = feed.series.last
    if last is not None:
        rows.append(fact("tokens seen", count(last.tokens), width))
        if info and info.steps_per_epoch:
            rows.append(fact("epochs", f"{last.step / info.steps_per_epoch:.2f}", width))
        if info and info.parameters:
            rows.append(fact("tokens per parameter", f"{last.tokens / info.parameters:.3g}", width, "text"))
        rows.append(fact("training time", clock(last.elapsed_seconds), width))
        if last.memory_bytes:
            rows.append(fact("memory peak", size(last.memory_bytes), width, "text"))
        if last.tokens_per_second:
            rows.append(fact("tokens/s", short(last.tokens_per_second), width, "text"))
        if last.flops:
            rows.append(fact("arithmetic", f"{last.flops:.2e} FLOPs", width, "text"))
    for checkpoint in reversed(feed.checkpoints):
        loss = f"  val {nats(checkpoint.val_loss)}" if checkpoint.val_loss is not None else ""
        label = row(("■ ", "accent"), (f"step {checkpoint.step:,}", "text"), (f" {checkpoint.kind}", "dim"))
        rows.append(sides(label, row((f"{size(checkpoint.bytes)}{loss}", "dim")), width))
    if status and status.started:
        rows.append(fact("started", time.strftime("%d %b %H:%M", time.localtime(status.started)), width, "text"))
    if info and info.parent:
        rows.append(fact("from", one_line(info.parent), width, "text"))
    return rows + norm_rows(feed.series.with_norms, width)


def norm_rows(point: Point | None, width: int) -> list[Row]:
    """Gradient and update norms by block, as last measured: a block that stands still is seen here."""
    if point is None:
        return []
    rows = [sides(row((f"norms, step {point.step:,}", "dim")), row(("gradient   update", "dim")), width)]
    for name, gradient in point.grad_norms.items():
        moved = point.update_norms.get(name)
        numbers = " ".join(f"{'nan' if norm is None else f'{norm:.2g}':>8}" for norm in (gradient, moved))
        rows.append(sides(row((name, "text")), row((numbers, "bad" if gradient is None else "bright")), width))
    return rows
