"""Where each pane goes at each size: a pure function of the size, and the Textual layout that applies it.

From 100×26 cells for panes on they share the screen; below, and when one is maximised, one pane has it whole and the
others are tabs.
"""

from __future__ import annotations

from textual.geometry import NULL_OFFSET, NULL_SPACING, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

GRID_WIDTH, GRID_HEIGHT = 100, 26


def fits_grid(width: int, height: int) -> bool:
    return width >= GRID_WIDTH and height >= GRID_HEIGHT


def grid(width: int, height: int) -> dict[str, Region]:
    """The regions of the nine panes by name: settings left, what the run does right."""
    left = min(56, max(36, round(width * 0.3)))
    right = width - left
    config = round(height * 0.46)
    corpus = max(6, round(height * 0.2))
    regions = {
        "config": Region(0, 0, left, config),
        "corpus": Region(0, config, left, corpus),
        "run": Region(0, config + corpus, left, height - config - corpus),
    }
    gauges = min(10, max(5, round(height * 0.18)))
    loss = round((height - gauges) * 0.58)
    bottom = height - gauges - loss
    half = right // 2
    samples = round(right * 0.56)
    machine = max(5, min(9, round(bottom * 0.45)))
    return regions | {
        "loss": Region(left, 0, right, loss),
        "throughput": Region(left, loss, half, gauges),
        "gradient": Region(left + half, loss, right - half, gauges),
        "samples": Region(left, loss + gauges, samples, bottom),
        "machine": Region(left + samples, loss + gauges, right - samples, machine),
        "events": Region(left + samples, loss + gauges + machine, right - samples, bottom - machine),
    }


class PaneLayout(Layout):
    """Places children by their id: all of them in the grid, or the only one that is displayed over everything."""

    name = "panes"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        regions = grid(*size) if len(children) > 1 else {}
        return [
            WidgetPlacement(regions.get(child.id or "", size.region), NULL_OFFSET, NULL_SPACING, child)
            for child in children
        ]


class PaneArea(Widget):
    """The widget that holds the panes."""

    _panes = PaneLayout()

    @property
    def layout(self) -> Layout:
        return self._panes
