"""The loss curve: training (raw and smoothed), validation, and the floor of the text where its entropy is known."""

from __future__ import annotations

from collections.abc import Sequence

from tui_gpt.workbench.canvas import Row, Span, row, row_width
from tui_gpt.workbench.chart import FINENESS, Curve, Plot, doubling, draw, envelope, thin
from tui_gpt.workbench.feed import RunFeed
from tui_gpt.workbench.panes.pane import Pane
from tui_gpt.workbench.series import Axis, Series, smoothed
from tui_gpt.workbench.text import clock, nats, short


def x_extent(feed: RunFeed, axis: Axis) -> float:
    """The right end of the x axis: the run's planned end where it is known, else a range that doubles."""
    series, last = feed.series, feed.series.last
    if last is None:
        return 1.0
    reached = {"step": last.step, "tokens": last.tokens, "time": last.elapsed_seconds}[axis]
    total = feed.total_steps
    if total and total >= last.step and last.step:
        if axis == "step":
            return float(total)
        if axis == "tokens":
            return last.tokens / last.step * total
        if feed.state not in ("running", "paused", "starting", "stopping"):
            return max(reached, 1.0)
    start = {"step": 64.0, "tokens": 65536.0, "time": 30.0}[axis]
    return doubling(float(max(reached, series.step[-1] if axis == "step" else reached)), start)


def eval_points(feed: RunFeed, axis: Axis) -> list[tuple[float, float]]:
    """Validation losses along the axis; tokens and time are those of the metrics line at or before the step."""
    from bisect import bisect_right

    series = feed.series
    points = []
    for item in feed.evals:
        if item.val_loss is None:
            continue
        if axis == "step":
            points.append((float(item.step), item.val_loss))
            continue
        index = bisect_right(series.step, item.step) - 1
        points.append((float(getattr(series, axis)[index]) if index >= 0 else 0.0, item.val_loss))
    return points


def break_at(series: Series, axis: Axis) -> list[float]:
    """Where the loss stopped being a number."""
    from bisect import bisect_left

    if series.first_non_finite is None:
        return []
    index = bisect_left(series.step, series.first_non_finite)
    return [float(getattr(series, axis)[min(index, len(series) - 1)])]


class LossPane(Pane):
    number, key, title = 3, "loss", "Loss"

    def note(self) -> Row:
        view = self.workbench.view
        parts = [f"x {view.axis}", f"smooth {view.weight:g}" if view.weight else "raw", "log-y" if view.log_y else ""]
        return row((" · ".join(part for part in parts if part), "dim"))

    def body(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        feed = self.workbench.feed
        if feed is None:
            return self._welcome(width, height)
        if not feed.opened:
            return [row(("opening…", "dim"))]
        legend = self._legend(feed, width)
        plot = self._plot(feed, width)
        drawing = draw(plot, width, height - 1, self.workbench.glyphs)
        if not drawing:
            return [legend, row(), row((self._nothing(feed), "dim"))]
        return [legend, *drawing]

    def _plot(self, feed: RunFeed, width: int) -> Plot:
        view, series = self.workbench.view, feed.series
        extent = x_extent(feed, view.axis)
        columns = width * FINENESS[self.workbench.glyphs]
        buckets = series.buckets("loss", view.axis)
        raw = [(b.x, b.low, b.high) for b in buckets if b.finite]
        if view.log_y:
            raw = [(x, max(low, 1e-12), high) for x, low, high in raw if high > 0]
        curves = [Curve(envelope(raw, extent, columns), "raw" if view.weight else "train")]
        if view.weight:
            curves.append(Curve(thin(smoothed(buckets, view.weight), extent, columns), "train"))
        curves.append(Curve(thin(eval_points(feed, view.axis), extent, columns), "val"))
        floor = feed.info.corpus.floor_loss if feed.info and feed.info.corpus else None
        return Plot(
            curves=curves,
            levels=[(floor, "floor")] if floor is not None else [],
            breaks=break_at(series, view.axis),
            x_max=extent,
            log_y=view.log_y,
            x_label=clock if view.axis == "time" else short,
        )

    def _legend(self, feed: RunFeed, width: int) -> Row:
        last, spans = feed.series.last, []
        if last is not None:
            role = "bad" if last.loss is None else "bright"
            spans += [("━ ", "train"), ("train ", "dim"), (nats(last.loss, last.non_finite), role)]
        if feed.evals:
            newest = feed.evals[-1]
            spans += [("   ━ ", "val"), ("val ", "dim"), (nats(newest.val_loss, newest.non_finite), "bright")]
            if (best := feed.best_val) is not None:
                spans += [("  best ", "dim"), (nats(best), "text")]
            if newest.bits_per_byte is not None:
                spans += [("   bits/byte ", "dim"), (f"{newest.bits_per_byte:.3f}", "text")]
        corpus = feed.info.corpus if feed.info else None
        if corpus and corpus.floor_loss is not None:
            note = f" ({corpus.floor_note})" if corpus.floor_note else ""
            spans += [("   ┄ ", "floor"), ("floor ", "dim"), (nats(corpus.floor_loss), "text")]
            if row_width(spans) + len(note) <= width:
                spans.append((note, "dim"))
        if (step := feed.series.first_non_finite) is not None:
            spans += [("   ✗ ", "bad"), (f"not a number since step {step}", "bad")]
        return tuple(spans)

    def _nothing(self, feed: RunFeed) -> str:
        if feed.series.last is not None:
            return "no loss here is a number that this axis can show" + (
                ": y shows it on a linear one" if self.workbench.view.log_y else ""
            )
        phase = feed.status.phase if feed.status else ""
        return f"no step yet{': ' + phase if phase and feed.is_live else ''}"

    def _welcome(self, width: int, height: int) -> list[Row]:
        draft = self.workbench.draft
        config = draft.config
        rows = [
            row(("No run yet.", "bright")),
            row(),
            row(("s      ", "key"), ("start ", "text"), (config.preset, "accent"), (" on ", "text"))
            + row((config.data.corpus, "accent"), (f" for {config.training.duration}", "text")),
            row(("1      ", "key"), "look at the config and change it: enter edits a setting"),
            row(("2      ", "key"), "choose the text to learn from"),
            row(("]      ", "key"), "runs there are: open, resume, compare"),
            row(("?      ", "key"), "every key"),
        ]
        if draft.problem:
            rows += [row(), row(("✗ ", "bad"), (draft.problem, "bad"))]
        top = max(0, (height - len(rows)) // 3)
        indent = max(0, min(12, (width - 60) // 2))
        return [row()] * top + [((" " * indent, "text"), *line) for line in rows]
