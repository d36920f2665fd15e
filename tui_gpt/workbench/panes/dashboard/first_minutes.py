"""In the chart's place until there is a curve: what the run does now, and what comes next.

Also what the dashboard shows without a run: what to press to start one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.content import Content
from textual.widgets import Static

from tui_gpt.workbench.drawing.formatting import format_duration
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.panes.dashboard.banner import key_hint
from tui_gpt.workbench.panes.pane import meter
from tui_gpt.workbench.state.session import Session

if TYPE_CHECKING:
    from tui_gpt.workbench.state.run_monitor import RunMonitor

FIRST_PHASES = ("", "starting", "loading PyTorch")
MODEL_PHASES = ("building the model", "compiling", "trying the first batch")
BAR_WIDTH = 44


@dataclass(frozen=True)
class Stage:
    """One line of the way to the first curve."""

    state: Literal["done", "now", "next"]
    text: str
    detail: str = ""
    fraction: float | None = None


class FirstMinutes(Static):
    """What the run does now, and what comes next."""

    def __init__(self, session: Session) -> None:
        super().__init__(id="first-minutes", markup=False)
        self._session = session
        self._shown: Content | None = None
        self._phase: tuple[str, float, float] = (
            "",
            0.0,
            0.0,
        )  # its name, the time and the fraction when it was seen first

    def refresh_data(self) -> None:
        """Show what happens now."""
        monitor = self._session.monitor
        content = Content() if monitor is None else self._progress(monitor)
        if self._shown is None or not content.is_same(self._shown):
            self._shown = content
            self.update(content, layout=False)

    def text(self) -> str:
        """Return what it says, for the clipboard."""
        return self._shown.plain if self._shown else ""

    def _progress(self, monitor: RunMonitor) -> Content:
        if not monitor.is_read:
            return Content.styled("opening…", "$foreground-muted")
        if not monitor.is_live:
            return Content.styled("this run ended before its first step", "$foreground-muted")
        lines = [Content.styled(heading(monitor), "bold"), Content()]
        for stage in stages(monitor, self._eta(monitor)):
            sign, style = {
                "done": ("✓", "$text-success"),
                "now": ("●", "$text-accent"),
                "next": ("○", "$foreground-muted"),
            }[stage.state]
            text_style = {"done": "$foreground-muted", "now": "bold", "next": "$foreground-muted"}[stage.state]
            detail = (f"  {stage.detail}", "" if stage.state == "now" else "$foreground-muted")
            lines.append(Content.assemble((f"{sign} ", style), (stage.text, text_style), detail))
            if stage.fraction is not None:
                figure = f"{100 * stage.fraction:3.0f} %"
                lines.append(
                    Content.assemble(
                        "  ", meter("", stage.fraction, figure, min(BAR_WIDTH, self.content_size.width - 2))
                    )
                )
        return Content("\n").join(lines)

    def _eta(self, monitor: RunMonitor) -> float | None:
        """Return the seconds that the phase will still take, judged by its own progress so far."""
        status = monitor.status
        if status is None or status.fraction is None:
            return None
        now = time.monotonic()
        if status.phase != self._phase[0]:
            self._phase = (status.phase, now, status.fraction)
        _, since, first = self._phase
        done = status.fraction - first
        return (now - since) * (1 - status.fraction) / done if done > 0.02 and now - since > 1 else None


def heading(monitor: RunMonitor) -> str:
    """Return what is starting."""
    config = monitor.config
    return f"Starting {config.preset} on {one_line(config.data.corpus)}" if config else "Starting"


def stages(monitor: RunMonitor, eta_seconds: float | None = None) -> list[Stage]:
    """Return the way to the first sample: what is done, what happens now, what comes next."""
    status, config, info = monitor.status, monitor.config, monitor.info
    phase = status.phase if status else ""
    if status is None or (phase in FIRST_PHASES and info is None):
        at = 0
    elif monitor.state == "running":
        at = 3
    elif phase in MODEL_PHASES or info is not None:
        at = 2
    else:
        at = 1
    corpus = one_line(config.data.corpus) if config else "the corpus"
    every = config.training.log_every if config else 1
    parameters = f"{info.parameters:,} parameters" if info and info.parameters else ""
    texts = ("start the trainer", f"prepare {corpus}", "build the model", "first loss", "first sample")
    details = ["a few seconds", "once for this corpus and tokenizer; kept for the next run", parameters, "", ""]
    if phase == "loading PyTorch":
        details[0] = "loading PyTorch, a few seconds"
    if phase == "compiling":
        details[2] = f"{parameters}, compiling it for this machine takes a minute or two".lstrip(", ")
    details[3] = f"at step {every:,}" if every > 1 else "after the first step"
    if config and config.sampling.every:
        details[4] = "after a few steps more"
    found = []
    for index, (text, detail) in enumerate(zip(texts, details, strict=True)):
        state: Literal["done", "now", "next"] = "done" if index < at else "now" if index == at else "next"
        fraction = status.fraction if status and state == "now" and index in (1, 2) else None
        if state == "now" and index == 1 and phase:
            left = f", {format_duration(eta_seconds)} left" if eta_seconds is not None else ""
            detail = one_line(phase) + left
        found.append(Stage(state, text, "" if state == "done" and index != 2 else detail, fraction))
    return found


class Welcome(Static):
    """The whole screen where no run is shown."""

    DEFAULT_CSS = "Welcome { width: 1fr; height: 1fr; padding: 1 4; content-align: center middle; text-align: left; }"

    def __init__(self, session: Session) -> None:
        super().__init__(id="welcome", markup=False)
        self.auto_links = False  # keys look like keys
        self._session = session
        self._shown: Content | None = None

    def refresh_data(self) -> None:
        """Show what to press, while no run is shown."""
        if self._session.monitor is not None:
            return
        content = welcome(self._session)
        if self._shown is None or not content.is_same(self._shown):
            self._shown = content
            self.update(content, layout=False)


def welcome(session: Session) -> Content:
    """Return what to press where no run is shown."""
    config, keymap = session.draft.config, session.keymap
    what = f"starts {config.preset} on {one_line(config.data.corpus)}, {one_line(str(config.training.duration))}"
    hints = [
        key_hint("start", what, keymap),
        key_hint("new_run", "sets up another: model, corpus, how long", keymap),
        key_hint("show_screen('runs')", "opens a run that there is", keymap),
        key_hint("help", "shows every key", keymap),
    ]
    lines = [Content.styled("Train a small language model, and watch it learn", "bold"), Content()]
    return Content("\n").join([*lines, *(hint for hint in hints if hint)])
