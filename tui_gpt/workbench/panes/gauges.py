"""Throughput and gradient norm over the run, small: the last value in the frame, its course below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tui_gpt.workbench.canvas import Row, Span, row
from tui_gpt.workbench.panes.pane import ChartPane
from tui_gpt.workbench.text import nats, short

if TYPE_CHECKING:
    from tui_gpt.workbench.series import Quantity


class GaugePane(ChartPane):
    """One quantity of the metrics as a curve from zero."""

    quantity: ClassVar[Quantity]

    def body(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        feed = self.workbench.feed
        if feed is None or feed.series.last is None:
            return [row(("–", "dim"))]
        from tui_gpt.workbench.curves import gauge_rows, x_extent

        axis, glyphs, quantity = self.workbench.view.axis, self.workbench.glyphs, self.quantity
        subject = (id(feed), len(feed.series), feed.series.last, x_extent(feed, axis), axis, width, height, glyphs)
        drawing = self.drawn(subject, lambda: gauge_rows(feed, quantity, width, height - 1, axis=axis, glyphs=glyphs))
        return [self.reading(), *(drawing or [row(("no number to show", "dim"))])]

    def reading(self) -> Row:
        raise NotImplementedError


class ThroughputPane(GaugePane):
    number, key, title, tab = 4, "throughput", "Throughput", "Speed"
    quantity = "tokens_per_second"

    def reading(self) -> Row:
        feed = self.workbench.feed
        last = feed.series.last if feed else None
        if last is None:
            return ()
        spans = [(short(last.tokens_per_second), "bright"), (" tokens/s", "dim")]
        if last.mfu is not None:
            spans += [("   MFU ", "dim"), (f"{100 * last.mfu:.1f} %", "bright")]
        return tuple(spans)


class GradientPane(GaugePane):
    number, key, title, tab = 5, "gradient", "Gradient norm", "Grad"
    quantity = "grad_norm"

    def reading(self) -> Row:
        feed = self.workbench.feed
        last = feed.series.last if feed else None
        if last is None:
            return ()
        role = "bad" if last.grad_norm is None else "bright"
        spans = [(nats(last.grad_norm, last.non_finite), role)]
        if last.learning_rate == last.learning_rate:
            spans += [("   learning rate ", "dim"), (f"{last.learning_rate:.2e}", "bright")]
        return tuple(spans)
