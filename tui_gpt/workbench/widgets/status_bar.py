"""The line under the header: the run's state in glyph and word, how far it is, and the figures looked for first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import ProgressBar, Static

from tui_gpt.workbench.drawing.formatting import format_duration, format_loss, format_short, width_of
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.state.redraw_pace import RedrawPace
from tui_gpt.workbench.state.session import Session

if TYPE_CHECKING:
    from tui_gpt.workbench.state.run_monitor import RunMonitor

STATES = {  # glyph, style
    "starting": ("◌", "$text-accent"),
    "running": ("●", "$text-success"),
    "paused": ("‖", "$text-warning"),
    "stopping": ("◐", "$text-warning"),
    "finished": ("✓", "$text-success"),
    "stopped": ("■", "$foreground"),
    "failed": ("✗", "$text-error"),
    "crashed": ("✗", "$text-error"),
    "elsewhere": ("○", "$text-accent"),
    "gone": ("✗", "$text-error"),
    "unreadable": ("✗", "$text-error"),
}
GAP = "   "
LONGEST_PHASE = 40  # characters
BAR_MINIMUM = 16  # cells of the progress bar and its margins that the figures leave


class Figure(NamedTuple):
    """One figure of the line. `rank`: what has no room goes in this order, the highest first."""

    rank: int
    content: Content


class StatusBar(Horizontal):
    DEFAULT_CSS = """
    StatusBar { height: 1; padding: 0 1; margin: 0; background: $background; }
    StatusBar #state { width: auto; height: 1; }
    StatusBar ProgressBar { width: 1fr; height: 1; margin: 0 3 0 1; }
    StatusBar Bar { width: 1fr; }
    StatusBar Bar > .bar--bar, StatusBar Bar > .bar--complete { color: $primary; background: $border-blurred; }
    StatusBar #figures { width: auto; height: 1; }
    """

    def __init__(self, session: Session, pace: RedrawPace) -> None:
        super().__init__()
        self._session, self._pace = session, pace
        self._train: tuple[object, float | None] = (None, None)  # what the loss depends on, and the loss
        self._shown: dict[str, Content] = {}

    def compose(self) -> ComposeResult:
        yield Static(id="state", markup=False)
        bar = ProgressBar(total=1.0, show_percentage=False, show_eta=False)
        yield bar
        yield Static(id="figures", markup=False)

    def on_resize(self) -> None:
        self.refresh_data()

    def refresh_data(self) -> None:
        """Show the state of the shown run."""
        session, monitor = self._session, self._session.monitor
        self.display = monitor is not None
        if monitor is None:
            return
        bar = self.query_one(ProgressBar)
        share = progress(monitor)
        bar.visible = share is not None and self._session.has_color  # it tells done from left by color only
        if share is not None and share != bar.progress:
            bar.progress = share
        self._update("state", state_text(session, monitor))
        left = width_of(self._shown["state"].plain) + BAR_MINIMUM if "-narrow" not in self.screen.classes else 0
        self._update("figures", fitting(figures(monitor, self._train_loss(monitor)), self.content_size.width - left))

    def _train_loss(self, monitor: RunMonitor) -> float | None:
        """Return the smoothed loss, the same that the chart shows at the end of its curve."""
        smoothing = self._session.preferences.smoothing
        if self._train[0] != (self._pace.version, smoothing):
            self._train = (self._pace.version, smoothing), monitor.series.smoothed_last("loss", smoothing)
        return self._train[1]

    def _update(self, name: str, content: Content) -> None:
        before = self._shown.get(name)
        if before is None or not content.is_same(before):
            self._shown[name] = content
            is_as_wide = before is not None and width_of(before.plain) == width_of(content.plain)
            self.query_one(f"#{name}", Static).update(content, layout=not is_as_wide)

    def text(self) -> str:
        """Return the line as text."""
        return " ".join(content.plain for content in self._shown.values())


def is_reason(phase: str) -> bool:
    """Return whether a phase says why a run is paused, in a sentence, rather than what it does."""
    return len(phase) > LONGEST_PHASE or ":" in phase


def progress(monitor: RunMonitor) -> float | None:
    """Return the share of the run, or of the phase that it starts with, that is done; None where that is unknown."""
    status = monitor.status
    if monitor.state == "starting" and status is not None and not monitor.step:
        return status.fraction
    total = monitor.total_steps
    return min(1.0, monitor.step / total) if total else None


def state_text(session: Session, monitor: RunMonitor) -> Content:
    """Return glyph and word of the state, the step, and what is being waited for."""
    if not monitor.is_read:
        return Content.styled("○ opening", "$foreground-muted")
    glyph, style = STATES.get(monitor.state, ("○", ""))
    word = session.commands.state_word or monitor.state
    parts = [Content.styled(f"{glyph} {word}", f"bold {style}")]
    status, step, total = monitor.status, monitor.step, monitor.total_steps
    if session.is_frozen:
        parts.append(Content.styled("view frozen", "$text-warning"))
    if step or monitor.state != "starting":
        parts.append(Content.assemble(("step ", "$foreground-muted"), f"{step:,}/{total:,}" if total else f"{step:,}"))
    if monitor.state == "elsewhere" and status:
        parts.append(Content(f"on host {one_line(status.host)}"))
    elif (
        monitor.is_live
        and status
        and status.phase not in ("", "training", monitor.state)
        and not is_reason(status.phase)
    ):
        parts.append(Content.styled(one_line(status.phase), "$text-accent"))
    parts += [Content.styled(words, "$text-accent") for words in session.commands.side_words]
    return Content("  ").join(parts)


def figures(monitor: RunMonitor, train_loss: float | None) -> list[Figure]:
    """Return the figures, in the order of the line."""
    status, last, found = monitor.status, monitor.series.last, []
    share = progress(monitor)
    if share is not None and monitor.state != "finished":
        found.append(Figure(1, Content(f"{100 * share:.0f} %")))
    if monitor.state == "running" and status and status.eta_seconds is not None and last is not None:
        found.append(Figure(2, _figure("ETA", format_duration(status.eta_seconds))))
    if monitor.has_ended and last is not None:
        found.append(Figure(2, _figure("in", format_duration(last.elapsed_seconds))))
        found.append(Figure(6, Content.assemble(format_short(last.tokens), (" tokens", "$foreground-muted"))))
    elif last is not None and monitor.state in ("running", "stopping"):
        found.append(Figure(4, Content.assemble(format_short(last.tokens_per_second), (" tok/s", "$foreground-muted"))))
    if last is not None:
        value = train_loss if last.loss is not None else None
        style = "" if value is not None else "$text-error"
        found.append(Figure(0, _figure("train", format_loss(value, last.non_finite), style)))
    if monitor.evals:
        found.append(Figure(3, validation(monitor)))
    return found


def validation(monitor: RunMonitor) -> Content:
    """Return the newest validation loss, whether it is the best, and the best where it is another."""
    newest, best = monitor.evals[-1], monitor.best
    value = _figure(
        "val", format_loss(newest.val_loss, newest.non_finite), "" if newest.val_loss is not None else "$text-error"
    )
    if best is None:
        return value
    if best is newest:
        return Content.assemble(value, (" ↓ best", "$text-success"), (f" @{best.step:,}", "$foreground-muted"))
    return Content.assemble(
        value, (" ↑", "$text-warning"), (f" best {format_loss(best.val_loss)} @{best.step:,}", "$foreground-muted")
    )


def _figure(name: str, value: str, style: str = "") -> Content:
    return Content.assemble((f"{name} ", "$foreground-muted"), (value, style or "bold"))


def fitting(found: Sequence[Figure], width: int) -> Content:
    """Return the figures that fit into `width` cells, whole."""
    kept = list(found)
    while len(kept) > 1 and sum(width_of(each.content.plain) + len(GAP) for each in kept) - len(GAP) > width:
        kept.remove(max(kept, key=lambda figure: figure.rank))
    return Content(GAP).join(each.content for each in kept)
