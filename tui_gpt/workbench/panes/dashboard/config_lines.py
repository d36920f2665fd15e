"""The shown run's config as the viewer's lines: what it is, what differs from its preset, then every setting."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from tui_gpt.config import fields
from tui_gpt.workbench.drawing.formatting import cut, format_bytes, format_count, format_duration
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.state.draft import flatten, format_value

if TYPE_CHECKING:
    from tui_gpt.workbench.state.run_monitor import RunMonitor

NAME_WIDTH = 36


def config_lines(monitor: RunMonitor, width: int) -> list[Text]:
    """Return facts, differences and settings; a changed setting is marked with `•` and names the preset's value."""
    config = monitor.config
    lines = [_fact(name, value) for name, value in facts(monitor)]
    if config is None:
        return [*lines, Text(), Text("its config has not been read yet", "dim")]
    changed = monitor.differences
    lines += [
        Text(),
        Text(f"Differs from preset {config.preset}" if changed else f"Preset {config.preset}, unchanged", "bold"),
    ]
    lines += [
        Text.assemble(
            (f"• {key:<{NAME_WIDTH}}", "yellow"),
            (one_line(format_value(value)), "bold"),
            (f"   preset: {one_line(format_value(before))}", "dim"),
        )
        for key, (before, value) in changed.items()
    ]
    section, values = "", flatten(config)
    for key, item in fields().items():
        if item.section != section:
            section = item.section
            lines += [Text(), Text(section or "config", "bold")]
        mark = "•" if key in changed else " "
        value = one_line(format_value(values[key])) or "–"
        unit = f" {item.unit}" if item.unit else ""
        style = "yellow" if key in changed else ""
        line = Text.assemble((f"{mark} {key:<{NAME_WIDTH}}", style), (value, "bold"), (unit, "dim"))
        lines.append(line.append(cut(f"   {item.help}", max(0, width - line.cell_len)), "dim"))
    return [*lines, *norm_lines(monitor)]


def facts(monitor: RunMonitor) -> list[tuple[str, str]]:
    """Return what the run is, computes on and has kept, as (name, value)."""
    info, status, last = monitor.info, monitor.status, monitor.series.last
    found: list[tuple[str, str]] = [("run", one_line(monitor.folder.id)), ("state", monitor.state)]
    if status and status.started:
        found.append(("started", time.strftime("%d %b %H:%M", time.localtime(status.started))))
    if info:
        where = (
            info.device,
            info.precision,
            "compiled" if info.compiled else "",
            f"{info.threads} threads" if info.threads else "",
        )
        found += [("parameters", format_count(info.parameters)), ("computes on", " · ".join(filter(None, where)))]
        if info.corpus:
            tokens = f"{format_count(info.corpus.train_tokens)} training tokens"
            found.append(("corpus", f"{one_line(info.corpus.name)}, {info.corpus.tokenizer}, {tokens}"))
        if info.parent:
            found.append(("started from", one_line(info.parent)))
    if last is not None:
        found.append(("tokens seen", format_count(last.tokens)))
        if info and info.steps_per_epoch:
            found.append(("epochs", f"{last.step / info.steps_per_epoch:.2f}"))
        if info and info.parameters:
            found.append(("tokens per parameter", f"{last.tokens / info.parameters:.3g}"))
        found.append(("training time", format_duration(last.elapsed_seconds)))
        if last.memory_bytes:
            found.append(("memory", format_bytes(last.memory_bytes)))
        if last.flops:
            found.append(("arithmetic", f"{last.flops:.2e} FLOPs"))
    for checkpoint in reversed(monitor.checkpoints):
        loss = f", val {checkpoint.val_loss:.3f}" if checkpoint.val_loss is not None else ""
        found.append(
            ("checkpoint", f"step {checkpoint.step:,} {checkpoint.kind}, {format_bytes(checkpoint.bytes)}{loss}")
        )
    return found


def _fact(name: str, value: str) -> Text:
    return Text.assemble((f"  {name:<{NAME_WIDTH}}", "dim"), value)


def norm_lines(monitor: RunMonitor) -> Sequence[Text]:
    """Return gradient and update norms by block, as last measured: a block that stands still is seen here."""
    point = monitor.series.with_norms
    if point is None or not point.grad_norms:
        return []
    updates = point.update_norms or {}
    lines = [Text(), Text.assemble((f"norms at step {point.step:,}", "bold"), ("   gradient, update", "dim"))]
    for name, gradient in point.grad_norms.items():
        values = " ".join("     nan" if norm is None else f"{norm:8.2g}" for norm in (gradient, updates.get(name)))
        lines.append(_fact(one_line(name), values))
    return lines
