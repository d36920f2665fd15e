"""The line under the header: the run's state in glyph and word, how far it is, and the figures looked for first."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import ProgressBar

from tui_gpt.workbench.drawing.formatting import format_duration, format_loss, format_short
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.quiet_static import QuietStatic

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

Figure = tuple[int, Content]  # what has no room goes in order of the number, the highest first


class StatusBar(Horizontal):
    DEFAULT_CSS = """
    StatusBar { height: 1; padding: 0 1; margin: 0; background: $background; }
    StatusBar #state { width: auto; height: 1; }
    StatusBar ProgressBar { width: 1fr; height: 1; margin: 0 3 0 1; }
    StatusBar Bar { width: 1fr; }
    StatusBar Bar > .bar--bar, StatusBar Bar > .bar--complete { color: $primary; background: $border-blurred; }
    StatusBar #figures { width: auto; height: 1; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._train: tuple[object, float | None] = (None, None)  # what the loss depends on, and the loss

    def compose(self) -> ComposeResult:
        yield QuietStatic(id="state")
        yield ProgressBar(total=1.0, show_percentage=False, show_eta=False)
        yield QuietStatic(id="figures")

    def on_resize(self) -> None:
        self.refresh_data()

    def refresh_data(self) -> None:
        """Show the state of the shown run."""
        session, monitor = self._session, self._session.monitor
        self.display = monitor is not None
        if monitor is None:
            return
        bar, share = self.query_one(ProgressBar), progress(monitor)
        bar.visible = share is not None and session.has_color  # it tells done from left by color only
        bar.progress = share or 0.0
        state = state_text(session, monitor)
        self.query_one("#state", QuietStatic).show(state)
        left = 0 if self.screen.has_class("-narrow") else state.cell_length + BAR_MINIMUM
        found = fitting(figures(monitor, self._train_loss(monitor)), self.content_size.width - left)
        self.query_one("#figures", QuietStatic).show(found)

    def _train_loss(self, monitor: RunMonitor) -> float | None:
        """Return the smoothed loss, the same that the chart shows at the end of its curve."""
        smoothing = self._session.preferences.smoothing
        subject = (monitor, monitor.curve_version, smoothing)
        if self._train[0] != subject:
            self._train = subject, monitor.series.smoothed_last("loss", smoothing)
        return self._train[1]


def is_reason(phase: str) -> bool:
    """Return whether a phase says why a run is paused, in a sentence, rather than what it does."""
    return len(phase) > LONGEST_PHASE or ":" in phase


def progress(monitor: RunMonitor) -> float | None:
    """Return the share of the run, or of the phase that it starts with, that is done; None where that is unknown."""
    if monitor.state == "starting" and monitor.status is not None and not monitor.step:
        return monitor.status.fraction
    return min(1.0, monitor.step / monitor.total_steps) if monitor.total_steps else None


def state_text(session: Session, monitor: RunMonitor) -> Content:
    """Return glyph and word of the state, the step, and what is being waited for."""
    if not monitor.is_read:
        return Content.styled("○ opening", "$foreground-muted")
    glyph, style = STATES[monitor.state]
    parts = [Content.styled(f"{glyph} {session.commands.state_word or monitor.state}", f"bold {style}")]
    phase, step, total = monitor.status.phase if monitor.status else "", monitor.step, monitor.total_steps
    if session.is_frozen:
        parts.append(Content.styled("view frozen", "$text-warning"))
    if step or monitor.state != "starting":
        parts.append(Content.assemble(("step ", "$foreground-muted"), f"{step:,}/{total:,}" if total else f"{step:,}"))
    if monitor.state == "elsewhere" and monitor.status:
        parts.append(Content(f"on host {one_line(monitor.status.host)}"))
    elif monitor.is_live and phase not in ("", "training", monitor.state) and not is_reason(phase):
        parts.append(Content.styled(one_line(phase), "$text-accent"))
    parts += [Content.styled(words, "$text-accent") for words in session.commands.side_words]
    return Content("  ").join(parts)


def figures(monitor: RunMonitor, train_loss: float | None) -> list[Figure]:
    """Return the figures, in the order of the line."""
    last, share = monitor.series.last, progress(monitor)
    eta_seconds = monitor.status.eta_seconds if monitor.status else None
    found = []
    if share is not None and monitor.state != "finished":
        found.append((1, Content(f"{100 * share:.0f} %")))
    if last is not None and monitor.state == "running" and eta_seconds is not None:
        found.append((2, _figure("ETA", format_duration(eta_seconds))))
    if last is not None and monitor.has_ended:
        found.append((2, _figure("in", format_duration(last.elapsed_seconds))))
        found.append((6, Content.assemble(format_short(last.tokens), (" tokens", "$foreground-muted"))))
    elif last is not None and monitor.state in ("running", "stopping"):
        found.append((4, Content.assemble(format_short(last.tokens_per_second), (" tok/s", "$foreground-muted"))))
    if last is not None:
        found.append((0, _loss("train", train_loss if last.loss is not None else None, last.non_finite)))
    if monitor.evals:
        found.append((3, _validation(monitor)))
    return found


def _validation(monitor: RunMonitor) -> Content:
    """Return the newest validation loss, whether it is the best, and the best where it is another."""
    newest, best = monitor.evals[-1], monitor.best
    value = _loss("val", newest.val_loss, newest.non_finite)
    if best is None:
        return value
    sign, words = (" ↓ best", "") if best is newest else (" ↑", f" best {format_loss(best.val_loss)}")
    style = "$text-success" if best is newest else "$text-warning"
    return Content.assemble(value, (sign, style), (f"{words} @{best.step:,}", "$foreground-muted"))


def _loss(name: str, value: float | None, non_finite: str | None) -> Content:
    return _figure(name, format_loss(value, non_finite), "bold" if value is not None else "$text-error")


def _figure(name: str, value: str, style: str = "bold") -> Content:
    return Content.assemble((f"{name} ", "$foreground-muted"), (value, style))


def fitting(found: Sequence[Figure], width: int) -> Content:
    """Return the figures that fit into `width` cells, whole."""
    kept = list(found)
    while len(kept) > 1 and sum(content.cell_length + len(GAP) for _, content in kept) - len(GAP) > width:
        kept.remove(max(kept, key=lambda figure: figure[0]))
    return Content(GAP).join(content for _, content in kept)
