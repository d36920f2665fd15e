"""The machine: each card's work, memory, temperature and power; the trainer's cores and memory; the last checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from tui_gpt.workbench.drawing.formatting import format_bytes, width_of
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.panes.pane import TextPane, hanging, meter, sides

if TYPE_CHECKING:
    from tui_gpt.hardware import Gpu
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
        return [*lines, *checkpoint_lines(monitor, width)] if monitor and monitor.is_read else lines


def system_lines(now: SystemReadings, width: int, monitor: RunMonitor | None = None) -> list[Content]:
    """Return the readings of the machine."""
    status, last = (monitor.status, monitor.series.last) if monitor else (None, None)
    if status and monitor and monitor.state == "elsewhere":
        return hanging(Content(), f"the run is on {one_line(status.host)}; this machine is not read", width)
    host = now.host
    if host is None:
        return hanging(Content(), one_line(now.problem) or "not read yet", width, "$foreground-muted")
    lines: list[Content] = []
    for card in now.gpus:
        lines += _card_lines(card, width, is_alone=len(now.gpus) <= DETAILED_CARDS)
    if now.trainer_cores is not None:
        lines.append(
            meter("cpu   ", now.trainer_cores / max(1, host.cores), f"{now.trainer_cores:.1f}/{host.cores}", width)
        )
    elif not now.gpus:
        lines.append(sides("cpu", f"{host.cores} cores", width))
    used, total = host.memory_bytes - host.memory_free_bytes, max(1, host.memory_bytes)
    lines.append(meter("ram   ", used / total, f"{_gib(used)}/{_gib(total)} GiB", width, _style(used / total)))
    if now.trainer_memory_bytes is not None:
        lines.append(sides("trainer", format_bytes(now.trainer_memory_bytes), width))
    elif last is not None and last.memory_bytes and monitor and not monitor.is_live:
        lines.append(sides("trainer, peak", format_bytes(last.memory_bytes), width))
    if now.problem:
        lines += hanging(Content.styled("▲ ", "$text-warning"), one_line(now.problem), width, "$text-warning")
    return lines


def _card_lines(card: Gpu, width: int, *, is_alone: bool) -> list[Content]:
    name = f"gpu{card.index}"
    heat = f"{card.temperature_celsius}°" if card.temperature_celsius is not None else ""
    watts = f"{card.power_watts:.0f} W" if card.power_watts is not None else ""
    used, total = card.memory_used_bytes, max(1, card.memory_total_bytes)
    busy = "–" if card.utilisation is None else f"{100 * card.utilisation:.0f} %"
    if not is_alone:
        figure = " ".join(filter(None, (f"{busy:>5}", f"{_gib(used)}/{_gib(total)}G", heat)))
        return [meter(name, card.utilisation or 0.0, figure, width)]
    model = one_line(card.name).removeprefix("NVIDIA ")
    right = "  ".join(filter(None, (heat, watts)))
    room = max(0, width - width_of(right) - len(name) - 2)
    return [
        sides(f"{name} {model[:room]}", right, width),
        meter("busy  ", card.utilisation or 0.0, f"{busy:>5}", width),
        meter("memory", used / total, f"{_gib(used)}/{_gib(total)} GiB", width, _style(used / total)),
    ]


def checkpoint_lines(monitor: RunMonitor, width: int) -> list[Content]:
    """Return the newest checkpoint, and the full one that a resume continues from where that is another."""
    newest = monitor.checkpoints[-1] if monitor.checkpoints else None
    if newest is None:
        return [sides("checkpoint", "none yet" if monitor.is_live else "none", width)]
    lines = [sides("checkpoint", f"@{newest.step:,} {newest.kind}", width)]
    full = monitor.newest_full_checkpoint
    if full is not None and full.step != newest.step:
        lines.append(sides("resumable", f"@{full.step:,} full", width))
    return lines


def _gib(number_bytes: float) -> str:
    value = number_bytes / 2**30
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"


def _style(share: float) -> str:
    return "$error" if share > FULL else "$primary"
