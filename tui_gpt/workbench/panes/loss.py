"""The loss curve: training (raw and smoothed), validation, and the floor of the text where its entropy is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui_gpt.workbench.canvas import Row, Span, row, row_width
from tui_gpt.workbench.panes.pane import ChartPane
from tui_gpt.workbench.text import nats

if TYPE_CHECKING:
    from tui_gpt.workbench.feed import RunFeed


class LossPane(ChartPane):
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
        drawing = self._chart(feed, width, height - 1)
        if not drawing:
            return [legend, row(), row((self._nothing(feed), "dim"))]
        return [legend, *drawing]

    def _chart(self, feed: RunFeed, width: int, height: int) -> list[Row]:
        from tui_gpt.workbench.curves import loss_rows, x_extent

        view, glyphs = self.workbench.view, self.workbench.glyphs
        axis, weight, log_y = view.axis, view.weight, view.log_y
        floor = feed.info.corpus.floor_loss if feed.info and feed.info.corpus else None
        subject = (id(feed), len(feed.series), feed.series.last, len(feed.evals), x_extent(feed, axis), floor)
        return self.drawn(
            (*subject, axis, weight, log_y, width, height, glyphs),
            lambda: loss_rows(feed, floor, width, height, axis=axis, weight=weight, log_y=log_y, glyphs=glyphs),
        )

    def _legend(self, feed: RunFeed, width: int) -> Row:
        """What the lines are and where they stand; what is least needed goes first where it does not fit."""
        last, parts = feed.series.last, []  # (what goes first, spans)
        if last is not None:
            role = "bad" if last.loss is None else "bright"
            parts.append((9, row(("━ ", "train"), ("train ", "dim"), (nats(last.loss, last.non_finite), role))))
        if (step := feed.series.first_non_finite) is not None:
            parts.append((8, row(("✗ ", "bad"), (f"not a number since step {step}", "bad"))))
        if feed.evals:
            newest = feed.evals[-1]
            value = nats(newest.val_loss, newest.non_finite)
            parts.append((7, row(("━ ", "val"), ("val ", "dim"), (value, "bright"))))
            if (best := feed.best_val) is not None:
                parts.append((4, row(("best ", "dim"), (nats(best), "text"))))
            if newest.bits_per_byte is not None:
                parts.append((3, row(("bits/byte ", "dim"), (f"{newest.bits_per_byte:.3f}", "text"))))
        corpus = feed.info.corpus if feed.info else None
        if corpus and corpus.floor_loss is not None:
            floor = row(("┄ ", "floor"), ("floor ", "dim"), (nats(corpus.floor_loss), "text"))
            parts.append((6, floor))
            if corpus.floor_note:
                parts.append((5, row((f"({corpus.floor_note})", "dim"))))
            elif feed.evals and (reached := feed.evals[-1].val_loss) is not None:
                above = reached / corpus.floor_loss - 1
                parts.append((5, row((f"{above:+.1%}", "bright"), (" above it", "dim"))))
        while len(parts) > 1 and sum(row_width(spans) + 3 for _, spans in parts) - 3 > width:
            parts.remove(min(parts, key=lambda part: part[0]))
        spans: Row = ()
        for _, part in parts:
            spans += (*((("   ", "text"),) if spans else ()), *part)
        return spans

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
        top = max(0, (height - len(rows)) // 3)
        indent = max(0, min(12, (width - 60) // 2))
        return [row()] * top + [((" " * indent, "text"), *line) for line in rows]
