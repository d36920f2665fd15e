"""The machine: each card's work, memory, temperature and power; the trainer's cores and memory; the last checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from tui_gpt.hardware import Gpu
from tui_gpt.workbench.drawing.formatting import cut, format_bytes, width_of
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.panes.pane import TextPane, hanging, meter, sides
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.system_monitor import SystemReadings

FULL = 0.95  # of a card's memory or the host's: from here on it is marked
DETAILED_CARDS = 2  # up to here each card has three lines, beyond it one


class MachinePane(TextPane):
    NAME = "machine"
    BORDER_TITLE = "Machine"

    def lines(self, width: int) -> Sequence[Content]:
        monitor = self.session.monitor
        lines = system_lines(self.session.system.readings, width, monitor)
        return [*lines, *_checkpoint_lines(monitor, width)] if monitor and monitor.is_read else lines


def system_lines(now: SystemReadings, width: int, monitor: RunMonitor | None = None) -> list[Content]:
    """Return the readings of the machine."""
    if monitor and monitor.state == "elsewhere" and monitor.status:
        return hanging(Content(), f"the run is on {one_line(monitor.status.host)}; this machine is not read", width)
    host = now.host
    if host is None:
        return hanging(Content(), one_line(now.problem) or "not read yet", width, "$foreground-muted")
    lines = [line for card in now.gpus for line in _card_lines(card, width, len(now.gpus) <= DETAILED_CARDS)]
    if now.trainer_cores is not None:
        figure = f"{now.trainer_cores:.1f}/{host.cores}"
        lines.append(meter("cpu   ", now.trainer_cores / max(1, host.cores), figure, width))
    elif not now.gpus:
        lines.append(sides("cpu", f"{host.cores} cores", width))
    lines.append(_memory_line("ram   ", host.memory_bytes - host.memory_free_bytes, host.memory_bytes, width))
    peak = monitor.series.last.memory_bytes if monitor and monitor.series.last and not monitor.is_live else 0
    if now.trainer_memory_bytes is not None:
        lines.append(sides("trainer", format_bytes(now.trainer_memory_bytes), width))
    elif peak:
        lines.append(sides("trainer, peak", format_bytes(peak), width))
    if now.problem:
        lines += hanging(Content.styled("▲ ", "$text-warning"), one_line(now.problem), width, "$text-warning")
    return lines


def _card_lines(card: Gpu, width: int, is_detailed: bool) -> list[Content]:
    name = f"gpu{card.index}"
    heat = f"{card.temperature_celsius}°" if card.temperature_celsius is not None else ""
    busy = "    –" if card.utilisation is None else f"{100 * card.utilisation:3.0f} %"
    if not is_detailed:
        memory = f"{_gib(card.memory_used_bytes)}/{_gib(card.memory_total_bytes)}G"
        return [meter(name, card.utilisation or 0.0, " ".join(filter(None, (busy, memory, heat))), width)]
    watts = f"{card.power_watts:.0f} W" if card.power_watts is not None else ""
    right = "  ".join(filter(None, (heat, watts)))
    model = cut(one_line(card.name).removeprefix("NVIDIA "), width - width_of(right) - len(name) - 2)
    return [
        sides(f"{name} {model}", right, width),
        meter("busy  ", card.utilisation or 0.0, busy, width),
        _memory_line("memory", card.memory_used_bytes, card.memory_total_bytes, width),
    ]


def _memory_line(label: str, used: int, total: int, width: int) -> Content:
    share = used / max(1, total)
    style = "$error" if share > FULL else "$primary"
    return meter(label, share, f"{_gib(used)}/{_gib(total)} GiB", width, style)


def _checkpoint_lines(monitor: RunMonitor, width: int) -> list[Content]:
    """Return the newest checkpoint, and the full one that a resume continues from where that is another."""
    if not monitor.checkpoints:
        return [sides("checkpoint", "none yet" if monitor.is_live else "none", width)]
    newest, full = monitor.checkpoints[-1], monitor.newest_full_checkpoint
    lines = [sides("checkpoint", f"@{newest.step:,} {newest.kind}", width)]
    if full is not None and full.step != newest.step:
        lines.append(sides("resumable", f"@{full.step:,} full", width))
    return lines


def _gib(number_bytes: float) -> str:
    value = number_bytes / 2**30
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
