"""In the chart's place until there is a curve: what the run does now, and what comes next.

Also what the dashboard shows without a run: what to press to start one.
"""

from __future__ import annotations

import time
from typing import Literal, NamedTuple

from textual.content import Content

from tui_gpt.workbench.drawing.formatting import format_duration
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.panes.dashboard.banner import key_hint
from tui_gpt.workbench.panes.pane import meter
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.quiet_static import QuietStatic

FIRST_PHASES = ("", "starting", "loading PyTorch")
MODEL_PHASES = ("building the model", "compiling", "trying the first batch")
BAR_WIDTH = 44
SIGNS = {  # sign and its style, style of the text, style of the detail
    "done": ("✓", "$text-success", "$foreground-muted", "$foreground-muted"),
    "now": ("●", "$text-accent", "bold", ""),
    "next": ("○", "$foreground-muted", "$foreground-muted", "$foreground-muted"),
}


class Stage(NamedTuple):
    """One line of the way to the first curve."""

    state: Literal["done", "now", "next"]
    text: str
    detail: str = ""
    fraction: float | None = None


class FirstMinutes(QuietStatic):
    """What the run does now, and what comes next."""

    def __init__(self, session: Session) -> None:
        super().__init__(id="first-minutes")
        self._session = session
        self._phase = ("", 0.0, 0.0)  # its name, and the time and the fraction when it was seen first

    def refresh_data(self) -> None:
        """Show what happens now."""
        monitor = self._session.monitor
        if monitor is None or not monitor.is_read:
            self.show(Content.styled("opening…", "$foreground-muted"))
        elif not monitor.is_live:
            self.show(Content.styled("this run ended before its first step", "$foreground-muted"))
        else:
            config = monitor.config
            heading = f"Starting {config.preset} on {one_line(config.data.corpus)}" if config else "Starting"
            lines = [line for stage in stages(monitor, self._eta(monitor)) for line in self._lines(stage)]
            self.show(Content("\n").join([Content.styled(heading, "bold"), Content(), *lines]))

    def _lines(self, stage: Stage) -> list[Content]:
        sign, style, text_style, detail_style = SIGNS[stage.state]
        detail = f"  {stage.detail}"
        lines = [Content.assemble((f"{sign} ", style), (stage.text, text_style), (detail, detail_style))]
        if stage.fraction is not None:
            width = min(BAR_WIDTH, self.content_size.width - 2)
            lines.append(Content.assemble("  ", meter("", stage.fraction, f"{100 * stage.fraction:3.0f} %", width)))
        return lines

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


def stages(monitor: RunMonitor, eta_seconds: float | None = None) -> list[Stage]:
    """Return the way to the first sample: what is done, what happens now, what comes next."""
    status, config, info = monitor.status, monitor.config, monitor.info
    phase = status.phase if status else ""
    if status is None or (phase in FIRST_PHASES and info is None):
        at = 0
    elif monitor.state == "running":
        at = 3
    else:
        at = 2 if phase in MODEL_PHASES or info is not None else 1
    corpus = one_line(config.data.corpus) if config else "the corpus"
    every = config.training.log_every if config else 1
    model = [f"{info.parameters:,} parameters"] if info and info.parameters else []
    preparing = "once for this corpus and tokenizer; kept for the next run"
    if at == 1:
        preparing = one_line(phase) + (f", {format_duration(eta_seconds)} left" if eta_seconds is not None else "")
    if phase == "compiling":
        model.append("compiling it for this machine takes a minute or two")
    lines = (
        ("start the trainer", "loading PyTorch, a few seconds" if phase == "loading PyTorch" else "a few seconds"),
        (f"prepare {corpus}", preparing),
        ("build the model", ", ".join(model)),
        ("first loss", f"at step {every:,}" if every > 1 else "after the first step"),
        ("first sample", "after a few steps more" if config and config.sampling.every else ""),
    )
    found = []
    for index, (text, detail) in enumerate(lines):
        if index == at:
            found.append(Stage("now", text, detail, status.fraction if status and at in (1, 2) else None))
        else:
            found.append(
                Stage("done", text, detail if index == 2 else "") if index < at else Stage("next", text, detail)
            )
    return found


class Welcome(QuietStatic):
    """The whole screen where no run is shown: what to press."""

    DEFAULT_CSS = "Welcome { width: 1fr; height: 1fr; padding: 1 4; content-align: center middle; text-align: left; }"

    def __init__(self, session: Session) -> None:
        super().__init__(id="welcome")
        self._session = session

    def refresh_data(self) -> None:
        """Show what to press, while no run is shown."""
        if self._session.monitor is not None:
            return
        config, keymap = self._session.draft.config, self._session.keymap
        what = f"starts {config.preset} on {one_line(config.data.corpus)}, {one_line(str(config.training.duration))}"
        hints = [
            key_hint("start", what, keymap),
            key_hint("new_run", "sets up another: model, corpus, how long", keymap),
            key_hint("show_screen('runs')", "opens a run that there is", keymap),
            key_hint("help", "shows every key", keymap),
        ]
        title = Content.styled("Train a small language model, and watch it learn", "bold")
        self.show(Content("\n").join([title, Content(), *filter(None, hints)]))
