"""Is the run well? A short diagnosis in plain words, read off its own numbers, the gravest first.

The rules look at the last part of the run only, so that they cost the same after ten steps and after a million.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Literal

from textual.content import Content

from tui_gpt.workbench import keys
from tui_gpt.workbench.drawing.formatting import format_duration, format_loss
from tui_gpt.workbench.panes.pane import TextPane, hanging
from tui_gpt.workbench.state.estimate import MAX_EPOCHS

if TYPE_CHECKING:
    from tui_gpt.workbench.state.run_monitor import RunMonitor

Level = Literal["error", "warning", "good", "note"]
SIGNS: dict[Level, tuple[str, str]] = {
    "error": ("✗ ", "$text-error"),
    "warning": ("▲ ", "$text-warning"),
    "good": ("✓ ", "$text-success"),
    "note": ("· ", "$foreground-muted"),
}
WINDOW_STEPS = (50, 1_000)  # at least and at most; between them a quarter of the run
MIN_POINTS = 12  # with fewer there is no trend to speak of
FLAT = 0.05  # percent per 100 steps: less than this is no longer learning
WIDE_GAP = 0.15  # validation loss above training loss, as a share
DIVERGED = 1.5  # times the lowest loss
SPIKE, RISING = 6.0, 1.8  # gradient norm: times its median; the newer half against the older
WAITING = 0.1  # share of the time spent waiting for data
SILENT_SECONDS = 10.0  # the supervisor writes its heartbeat every second


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis. `action`: the action that helps, by its id; its key is shown."""

    level: Level
    text: str
    action: str = ""


class HealthPane(TextPane):
    NAME = "health"
    BORDER_TITLE = "Health"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._known: tuple[object, list[Finding]] = (None, [])

    def findings(self) -> list[Finding]:
        """Return the diagnosis of the shown run; the same until its data changes."""
        monitor = self.session.monitor
        if monitor is None:
            return []
        silent = int(monitor.silent_seconds()) if monitor.is_live else 0
        status = monitor.status
        subject = (
            id(monitor),
            len(monitor.series),
            monitor.step,
            len(monitor.evals),
            monitor.state,
            silent,
            status is None,
        )
        if self._known[0] != subject:
            self._known = (subject, diagnose(monitor))
        return self._known[1]

    def lines(self, width: int) -> Sequence[Content]:
        lines: list[Content] = []
        for finding in self.findings():
            sign, style = SIGNS[finding.level]
            key = keys.key_hint(finding.action, self.session.keymap, keys.DASHBOARD) if finding.action else ""
            text = finding.text + (f" ({key})" if key else "")
            strong = style if finding.level in ("error", "warning") else ""
            lines += hanging(Content.styled(sign, style), text, width, strong)
        return lines


def diagnose(monitor: RunMonitor) -> list[Finding]:
    """Return what can be said of the run's health, the gravest first."""
    found = [finding for rule in RULES for finding in rule(monitor)]
    order = list(SIGNS)
    return sorted(found, key=lambda finding: order.index(finding.level))


def _window(monitor: RunMonitor) -> tuple[float, float]:
    """Return the part of the run that the rules look at, in steps."""
    step = monitor.series.last.step if monitor.series.last else 0
    least, most = WINDOW_STEPS
    return step - min(most, max(least, step // 4)), step


def _recent(monitor: RunMonitor, metric: str) -> list[tuple[float, float]]:
    """Return the last points of a metric that are numbers."""
    start, end = _window(monitor)
    buckets = monitor.series.buckets(metric, "step", (start, end))
    return [(bucket.x, bucket.mean) for bucket in buckets if bucket.finite and bucket.x > start]


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the slope of the line through the points, and its standard error."""
    count = len(points)
    mean_x, mean_y = fmean(x for x, _ in points), fmean(y for _, y in points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if count < 3 or not spread:
        return 0.0, math.inf
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in points)
    return rise, math.sqrt(rest / (count - 2) / spread)


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _silent(monitor: RunMonitor) -> Iterator[Finding]:
    seconds = monitor.silent_seconds()
    if monitor.is_live and monitor.state != "elsewhere" and seconds > SILENT_SECONDS:
        yield Finding("warning", f"silent for {format_duration(seconds)}: the log may say why", "log")


def _non_finite(monitor: RunMonitor) -> Iterator[Finding]:
    step, last = monitor.series.first_non_finite, monitor.series.last
    if step is None or last is None:
        return
    if last.loss is None:
        yield Finding("error", f"the loss is not a number since step {step:,}: lower the learning rate")
    else:
        yield Finding("warning", f"the loss was not a number at step {step:,}, and is one again")


def _learning(monitor: RunMonitor) -> Iterator[Finding]:
    last = monitor.series.last
    if last is None or last.loss is None:
        return
    points = _recent(monitor, "loss")
    if len(points) < MIN_POINTS:
        yield Finding("note", "learning: a few more steps and it can be told")
        return
    level = fmean(value for _, value in points[-len(points) // 3 :])
    lowest = min((value for _, value in monitor.series.smoothed("loss", "auto")), default=level)
    if lowest > 0 and level > DIVERGED * lowest:
        yield Finding("error", f"diverged: loss {level:.3f}, it was {lowest:.3f}: lower the learning rate")
        return
    rise, error = slope([(x, math.log(value)) for x, value in points if value > 0])  # the loss falls by shares
    percent = 100 * math.expm1(100 * rise)
    if percent > FLAT and rise > 3 * error:
        yield Finding("warning", f"loss rising, +{_figure(percent)} %/100 steps")
    elif percent < -FLAT and rise < -2 * error:
        if monitor.has_ended:
            yield Finding("note", f"was still learning, −{_figure(-percent)} %/100 steps: a longer run would help")
        else:
            yield Finding("good", f"learning, −{_figure(-percent)} %/100 steps")
    else:
        yield Finding("note", "level: the loss no longer falls measurably")


def _figure(percent: float) -> str:
    return f"{percent:.1f}" if percent < 9.95 else f"{percent:.0f}"


def _validation(monitor: RunMonitor) -> Iterator[Finding]:
    if not monitor.evals:
        return
    newest = monitor.evals[-1]
    if newest.val_loss is None:
        yield Finding("error", f"validation loss is not a number at step {newest.step:,}")
        return
    since_best = [item for item in monitor.evals if monitor.best_step is not None and item.step > monitor.best_step]
    if len(since_best) >= 2:
        best = format_loss(monitor.best_val)
        when = f"at step {monitor.best_step:,} ({best}), {len(since_best)} evaluations ago"
        yield Finding("warning", f"overfitting? validation was best {when}")
    start = newest.step - max(20, newest.step // 20)
    train = [item for item in monitor.series.buckets("loss", "step", (start, newest.step)) if item.finite]
    level = fmean(item.mean for item in train) if train else 0.0
    if level <= 0:
        return
    gap = newest.val_loss / level - 1
    if gap > WIDE_GAP:
        yield Finding("warning", f"train–val gap {100 * gap:.0f} %: it learns its text by heart")
    else:
        yield Finding("good", f"train–val gap {100 * max(0.0, gap):.0f} %")


def _gradient(monitor: RunMonitor) -> Iterator[Finding]:
    norms = _recent(monitor, "grad_norm")
    if len(norms) < MIN_POINTS or monitor.series.last is None or monitor.series.last.grad_norm is None:
        return
    values = [value for _, value in norms]
    middle = median(values)
    step, highest = max(norms, key=lambda item: item[1])
    if middle > 0 and highest > SPIKE * middle and monitor.step > WINDOW_STEPS[0]:
        yield Finding("warning", f"gradient norm spiked to {highest:.2g} at step {step:,.0f} (usually {middle:.2g})")
        return
    older, newer = values[: len(values) // 2], values[len(values) // 2 :]
    if median(newer) > RISING * median(older):
        yield Finding("warning", f"gradient norm rising, {median(older):.2g} to {median(newer):.2g}")
    else:
        yield Finding("good", "gradient norm steady")


def _epochs(monitor: RunMonitor) -> Iterator[Finding]:
    info, total = monitor.info, monitor.step if monitor.has_ended else monitor.total_steps
    if info is None or not info.steps_per_epoch or not total:
        return
    epochs = total / info.steps_per_epoch
    planned = "planned" if monitor.is_live else "in all"
    if epochs > MAX_EPOCHS:
        yield Finding("warning", f"{epochs:.1f} epochs {planned}: past {MAX_EPOCHS:g}, repeats teach less")
    else:
        yield Finding("good", f"{epochs:.2g} epochs {planned}")


def _data(monitor: RunMonitor) -> Iterator[Finding]:
    config = monitor.config
    waits, speeds = _recent(monitor, "data_wait_seconds"), _recent(monitor, "tokens_per_second")
    if config is None or len(waits) < MIN_POINTS or not speeds:
        return
    seconds = config.tokens_per_step * config.training.log_every / max(1e-9, fmean(speed for _, speed in speeds))
    share = fmean(wait for _, wait in waits) / seconds
    if share > WAITING:
        yield Finding("warning", f"waits for data {100 * min(1.0, share):.0f} % of the time")


def _norms(monitor: RunMonitor) -> Iterator[Finding]:
    point = monitor.series.with_norms
    dead = [name for name, norm in (point.update_norms or {}).items() if norm == 0] if point else []
    if dead:
        yield Finding("warning", f"does not learn: {', '.join(dead[:3])} (its weights stand still)")


RULES = (_silent, _non_finite, _learning, _validation, _gradient, _epochs, _data, _norms)
