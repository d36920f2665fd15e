"""The machine: each card's memory, utilisation, temperature and power; on a CPU the trainer's memory and cores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui_gpt.workbench.canvas import Row, Span, row, sides
from tui_gpt.workbench.panes.pane import ScrollPane
from tui_gpt.workbench.text import clean, size

if TYPE_CHECKING:
    from tui_gpt.hardware import Gpu


class MachinePane(ScrollPane):
    number, key, title = 6, "machine", "Machine"

    def content(self, width: int, lines: int) -> Sequence[Sequence[Span]]:
        feed, now = self.workbench.feed, self.workbench.machine.readings
        if now.host is None:
            return [row((now.problem or "not read yet", "dim"))]
        host, rows = now.host, []
        uuid = feed.status.gpu_uuid if feed and feed.status else ""
        for card in now.gpus:
            rows += _card(card, width, mine=bool(uuid) and card.uuid == uuid)
        if not now.gpus:
            rows.append(sides(row(("cpu  ", "dim"), (clean(host.cpu) or "unknown", "text")), (), width))
        if now.trainer_memory_bytes is not None:
            cores = now.trainer_cores or 0.0
            rows.append(_bar("trainer", cores / max(1, host.cores), f"{cores:.1f} of {host.cores} cores", width))
            rows.append(
                _bar(
                    "memory",
                    now.trainer_memory_bytes / max(1, host.memory_bytes),
                    f"{size(now.trainer_memory_bytes)} of {size(host.memory_bytes)}",
                    width,
                )
            )
        else:
            rows.append(sides(row(("cores", "dim")), row((str(host.cores), "bright")), width))
        used = host.memory_bytes - host.memory_free_bytes
        rows.append(_bar("host", used / max(1, host.memory_bytes), f"{size(host.memory_free_bytes)} free", width))
        if now.load is not None:
            rows.append(sides(row(("load", "dim")), row((f"{now.load:.2f}", "text")), width))
        if not now.gpus:
            rows.append(row(("no NVIDIA card seen", "dim")))
        if now.problem:
            rows.append(row((now.problem, "warn")))
        return rows


def _card(card: Gpu, width: int, *, mine: bool) -> list[Row]:
    heads = [f"{card.temperature_celsius} °C"] if card.temperature_celsius is not None else []
    heads += [f"{card.power_watts:.0f} W"] if card.power_watts is not None else []
    name = row((f"gpu {card.index} ", "dim"), (clean(card.name).removeprefix("NVIDIA "), "accent" if mine else "text"))
    rows = [sides(name, row(("  ".join(heads), "bright")), width)]
    if card.utilisation is not None:
        rows.append(_bar("busy", card.utilisation, f"{100 * card.utilisation:.0f} %", width))
    share = card.memory_used_bytes / max(1, card.memory_total_bytes)
    rows.append(_bar("memory", share, f"{size(card.memory_used_bytes)} of {size(card.memory_total_bytes)}", width))
    return rows


def _bar(label: str, share: float, text: str, width: int) -> Row:
    """Label, a bar, and the figure at the right."""
    share = min(1.0, max(0.0, share))
    room = width - 8 - max(len(text), 20) - 1
    if room < 4:
        return sides(row((f"{label:<8}", "dim")), row((text, "bright")), width)
    full = round(share * room)
    role = "bad" if share > 0.95 else "accent"
    left = row((f"{label:<8}", "dim"), ("━" * full, role), ("─" * (room - full), "faint"))
    return sides(left, row((text, "bright")), width)
