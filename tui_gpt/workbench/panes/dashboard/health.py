"""Is the run well? A short diagnosis in plain words, read off its own numbers, the gravest first.

The rules look at the last part of the run only, so that they cost the same after ten steps and after a million.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, linear_regression, median

from textual.content import Content

from tui_gpt.workbench.drawing.formatting import format_loss
from tui_gpt.workbench.panes.dashboard.banner import LEVELS
from tui_gpt.workbench.panes.pane import TextPane, hanging
from tui_gpt.workbench.state.estimate import MAX_EPOCHS
from tui_gpt.workbench.state.run_monitor import RunMonitor

Finding = tuple[str, str]  # a level of `LEVELS`, and a sentence

WINDOW_STEPS = (50, 1_000)  # at least and at most; between them a quarter of the run
MIN_POINTS = 12  # with fewer there is no trend to speak of
FLAT = 0.05  # percent per 100 steps: less than this is no longer learning
WIDE_GAP = 0.15  # validation loss above training loss, as a share
DIVERGED = 1.5  # times the lowest loss
SPIKE, RISING = 6.0, 1.8  # gradient norm: times its median; the newer half against the older
WAITING = 0.1  # share of the time spent waiting for data


class HealthPane(TextPane):
    NAME = "health"
    BORDER_TITLE = "Health"
    _known: tuple[object, Sequence[Finding]] = (None, ())

    def lines(self, width: int) -> Sequence[Content]:
        monitor = self.session.monitor
        if monitor is None:
            return []
        if self._known[0] != (monitor, monitor.curve_version):
            self._known = (monitor, monitor.curve_version), diagnose(monitor)
        lines: list[Content] = []
        for level, text in self._known[1]:
            sign, style = LEVELS[level]
            lines += hanging(
                Content.styled(f"{sign} ", style), text, width, style if level in ("error", "warning") else ""
            )
        return lines


def diagnose(monitor: RunMonitor) -> list[Finding]:
    """Return what can be said of the run's health, the gravest first."""
    found = [finding for rule in RULES for finding in rule(monitor)]
    return sorted(found, key=lambda finding: list(LEVELS).index(finding[0]))


def _recent(monitor: RunMonitor, metric: str) -> list[tuple[float, float]]:
    """Return the last points of a metric that are numbers."""
    step = monitor.series.last.step if monitor.series.last else 0
    start = step - min(WINDOW_STEPS[1], max(WINDOW_STEPS[0], step // 4))
    buckets = monitor.series.buckets(metric, "step", (start, step))
    return [(bucket.x, bucket.mean) for bucket in buckets if bucket.finite and bucket.x > start]


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the slope of the line through at least three points, and its standard error."""
    xs, ys = zip(*points, strict=True)
    rise, start = linear_regression(xs, ys)
    rest = sum((y - start - rise * x) ** 2 for x, y in points)
    return rise, math.sqrt(rest / (len(xs) - 2) / sum((x - fmean(xs)) ** 2 for x in xs))


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _non_finite(monitor: RunMonitor) -> Iterator[Finding]:
    step, last = monitor.series.first_non_finite, monitor.series.last
    if step is not None and last is not None and last.loss is None:
        yield "error", f"the loss is not a number since step {step:,}: lower the learning rate"
    elif step is not None:
        yield "warning", f"the loss was not a number at step {step:,}, and is one again"


def _learning(monitor: RunMonitor) -> Iterator[Finding]:
    last, points = monitor.series.last, _recent(monitor, "loss")
    if last is None or last.loss is None:
        return
    if len(points) < MIN_POINTS:
        yield "note", "learning: a few more steps and it can be told"
        return
    level = fmean(value for _, value in points[-len(points) // 3 :])
    lowest = min((value for _, value in monitor.series.smoothed("loss", "auto")), default=level)
    logarithms = [(x, math.log(value)) for x, value in points if value > 0]  # the loss falls by shares
    rise, error = slope(logarithms) if len(logarithms) >= MIN_POINTS else (0.0, 0.0)
    percent = 100 * math.expm1(100 * rise)
    figure = f"{abs(percent):.1f}" if abs(percent) < 9.95 else f"{abs(percent):.0f}"
    if 0 < DIVERGED * lowest < level:
        yield "error", f"diverged: loss {level:.3f}, it was {lowest:.3f}: lower the learning rate"
    elif percent > FLAT and rise > 3 * error:
        yield "warning", f"loss rising, +{figure} %/100 steps"
    elif percent > -FLAT or rise > -2 * error:
        yield "note", "level: the loss no longer falls measurably"
    elif monitor.has_ended:
        yield "note", f"was still learning, −{figure} %/100 steps: a longer run would help"
    else:
        yield "good", f"learning, −{figure} %/100 steps"


def _validation(monitor: RunMonitor) -> Iterator[Finding]:
    if not monitor.evals:
        return
    newest, best = monitor.evals[-1], monitor.best
    if newest.val_loss is None:
        yield "error", f"validation loss is not a number at step {newest.step:,}"
        return
    since_best = sum(best is not None and item.step > best.step for item in monitor.evals)
    if best is not None and since_best >= 2:
        when = f"at step {best.step:,} ({format_loss(best.val_loss)}), {since_best} evaluations ago"
        yield "warning", f"overfitting? validation was best {when}"
    start = newest.step - max(20, newest.step // 20)
    train = [item.mean for item in monitor.series.buckets("loss", "step", (start, newest.step)) if item.finite]
    gap = newest.val_loss / fmean(train) - 1 if train and fmean(train) > 0 else None
    if gap is not None and gap > WIDE_GAP:
        yield "warning", f"train–val gap {100 * gap:.0f} %: it learns its text by heart"
    elif gap is not None:
        yield "good", f"train–val gap {100 * max(0.0, gap):.0f} %"


def _gradient(monitor: RunMonitor) -> Iterator[Finding]:
    norms, last = _recent(monitor, "grad_norm"), monitor.series.last
    if len(norms) < MIN_POINTS or last is None or last.grad_norm is None:
        return
    values = [value for _, value in norms]
    middle, older, newer = (median(part) for part in (values, values[: len(values) // 2], values[len(values) // 2 :]))
    step, highest = max(norms, key=lambda item: item[1])
    if middle > 0 and highest > SPIKE * middle and monitor.step > WINDOW_STEPS[0]:
        yield "warning", f"gradient norm spiked to {highest:.2g} at step {step:,.0f} (usually {middle:.2g})"
    elif newer > RISING * older:
        yield "warning", f"gradient norm rising, {older:.2g} to {newer:.2g}"
    else:
        yield "good", "gradient norm steady"


def _epochs(monitor: RunMonitor) -> Iterator[Finding]:
    info, total = monitor.info, monitor.step if monitor.has_ended else monitor.total_steps
    if info is None or not info.steps_per_epoch or not total:
        return
    epochs, planned = total / info.steps_per_epoch, "planned" if monitor.is_live else "in all"
    if epochs > MAX_EPOCHS:
        yield "warning", f"{epochs:.1f} epochs {planned}: past {MAX_EPOCHS:g}, repeats teach less"
    else:
        yield "good", f"{epochs:.2g} epochs {planned}"


def _data(monitor: RunMonitor) -> Iterator[Finding]:
    config = monitor.config
    waits, speeds = _recent(monitor, "data_wait_seconds"), _recent(monitor, "tokens_per_second")
    if config is None or len(waits) < MIN_POINTS or not speeds:
        return
    seconds = config.tokens_per_step * config.training.log_every / max(1e-9, fmean(speed for _, speed in speeds))
    share = fmean(wait for _, wait in waits) / seconds
    if share > WAITING:
        yield "warning", f"waits for data {100 * min(1.0, share):.0f} % of the time"


RULES = (_non_finite, _learning, _validation, _gradient, _epochs, _data)
