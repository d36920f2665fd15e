"""The shown run's config as the viewer's lines: what it is, what differs from its preset, then every setting."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.text import Text

from tui_gpt.config import fields
from tui_gpt.workbench.drawing.formatting import cut, format_bytes, format_count, format_duration
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.state.draft import flatten, format_value
from tui_gpt.workbench.state.run_monitor import RunMonitor

NAME_WIDTH = 36


def config_lines(monitor: RunMonitor, width: int) -> list[Text]:
    """Return facts, differences and settings; a changed setting is marked with `•` and names the preset's value."""
    config = monitor.config
    lines = [Text.assemble((f"  {name:<{NAME_WIDTH}}", "dim"), value) for name, value in _facts(monitor)]
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
    return lines


def _facts(monitor: RunMonitor) -> Iterator[tuple[str, str]]:
    """Yield what the run is, computes on and has kept, as (name, value)."""
    info, status, last = monitor.info, monitor.status, monitor.series.last
    yield "run", one_line(monitor.folder.id)
    if status and status.started:
        yield "started", time.strftime("%d %b %H:%M", time.localtime(status.started))
    if info:
        yield "parameters", format_count(info.parameters)
        threads = f"{info.threads} threads" if info.threads else ""
        compiled = "compiled" if info.compiled else ""
        yield "computes on", " · ".join(filter(None, (info.device, info.precision, compiled, threads)))
        if info.corpus:
            tokens = f"{format_count(info.corpus.train_tokens)} training tokens"
            yield "corpus", f"{one_line(info.corpus.name)}, {info.corpus.tokenizer}, {tokens}"
        if info.parent:
            yield "started from", one_line(info.parent)
    if last is not None:
        yield "tokens seen", format_count(last.tokens)
        if info and info.steps_per_epoch:
            yield "epochs", f"{last.step / info.steps_per_epoch:.2f}"
        yield "training time", format_duration(last.elapsed_seconds)
    for checkpoint in reversed(monitor.checkpoints):
        loss = f", val {checkpoint.val_loss:.3f}" if checkpoint.val_loss is not None else ""
        yield "checkpoint", f"step {checkpoint.step:,} {checkpoint.kind}, {format_bytes(checkpoint.bytes)}{loss}"
