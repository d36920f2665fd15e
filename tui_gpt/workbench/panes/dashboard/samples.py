"""What the model writes as it learns: the same prompt at several steps beside each other, the newest at the right."""

from __future__ import annotations

import math
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from tui_gpt.run.messages import Sample
from tui_gpt.workbench import keys
from tui_gpt.workbench.drawing.sanitizing import clean, one_line
from tui_gpt.workbench.panes.pane import Pane, clickable
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.quiet_static import QuietStatic

COLUMNS = {"-narrow": 2, "-normal": 3, "-wide": 4}  # by the screen's breakpoint
STRIP = 7  # steps that the border lists
MAX_CHARACTERS = 20_000  # of a sample, on screen


class SamplesPane(Pane):
    """The chosen sample and earlier ones. `needle`: list only the steps whose text holds it."""

    NAME = "samples"
    DEFAULT_CSS = """
    SamplesPane Horizontal { height: auto; }
    SamplesPane Static { width: 1fr; height: auto; margin-right: 2; }
    SamplesPane #sample-3 { margin-right: 0; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.needle = ""
        self._chosen: int | None = None  # a step; None: the newest
        self._steps: list[int] = []

    def compose(self) -> ComposeResult:
        with Horizontal():
            for column in range(max(COLUMNS.values())):
                yield QuietStatic(id=f"sample-{column}")

    def on_resize(self) -> None:
        self.refresh_data()

    def step_by(self, by: int) -> None:
        """Go `by` samples to later or earlier ones."""
        if not self._steps:
            return
        at = self._steps.index(self._chosen) if self._chosen in self._steps else len(self._steps) - 1
        at = min(max(0, at + by), len(self._steps) - 1)
        self._chosen = None if at == len(self._steps) - 1 else self._steps[at]  # at the end it follows new ones
        self.refresh_data()
        self.scroll_home(animate=False)

    def refresh_data(self) -> None:
        monitor = self.session.monitor
        by_step: dict[int, list[Sample]] = {}
        for sample in monitor.samples if monitor else []:
            if not self.needle or self.needle.lower() in (sample.prompt + sample.text).lower():
                by_step.setdefault(sample.step, []).append(sample)
        self._steps = sorted(by_step)
        if not self._steps or monitor is None:
            text = f"no sample holds “{one_line(self.needle)}”" if monitor and monitor.samples else self._waiting()
            self._show([Content.styled(text, "$foreground-muted")])
            self.set_title(Content("Samples"))
            return
        chosen = self._chosen if self._chosen in self._steps else self._steps[-1]
        room = next((count for name, count in COLUMNS.items() if self.screen.has_class(name)), 2)
        shown = compare_steps(self._steps, chosen, room)
        self._show([_column(step, by_step[step], monitor) for step in shown])
        self._set_titles(chosen, {step: by_step[step] for step in shown})

    def _show(self, columns: Sequence[Content]) -> None:
        for index, widget in enumerate(self.query(QuietStatic)):
            widget.display = index < len(columns)
            if widget.display:
                widget.show(columns[index])

    def _set_titles(self, chosen: int, shown: dict[int, list[Sample]]) -> None:
        first = max(0, min(self._steps.index(chosen) - STRIP + 2, len(self._steps) - STRIP))
        parts = [clickable(Content.styled("‹", "bold $primary"), "screen.previous_sample")]
        for step in self._steps[first : first + STRIP]:
            style = "bold $text-accent" if step == chosen else "$foreground" if step in shown else "$foreground-muted"
            parts.append(Content.styled(f"{step:,}", style))
        parts.append(clickable(Content.styled("›", "bold $primary"), "screen.next_sample"))
        notes = []
        if len(shown) > 1 and len({tuple(sample.prompt for sample in samples) for samples in shown.values()}) == 1:
            is_same_seed = len({samples[0].seed for samples in shown.values()}) == 1
            notes.append(" same prompt, same seed" if is_same_seed else " same prompt")
        if self.needle:
            notes.append(f" with “{one_line(self.needle)}”")
        note = (" ".join(notes), "$foreground-muted")
        self.set_title(Content.assemble("Samples ── ", Content(" ").join(parts), note))

    def _waiting(self) -> str:
        """Return when the first sample comes."""
        monitor = self.session.monitor
        if monitor is None or not monitor.is_read or monitor.config is None:
            return ""
        if not monitor.is_live:
            return "the run ended before its first sample"
        key = keys.key_hint("sample", self.session.keymap, keys.DASHBOARD)
        asks = f"; {key} asks for one now" if key else ""
        if not monitor.config.sampling.every:
            return f"this run writes none by itself{asks}"
        return f"what the model writes appears here, from its first steps on{asks}"


def compare_steps(steps: Sequence[int], chosen: int, count: int) -> list[int]:
    """Return `chosen` and up to `count` - 1 earlier steps, at about a third, a ninth … of it: losses fall so."""
    picked = [chosen]
    for power in range(1, count):
        left = [step for step in steps if step < chosen and step not in picked]
        if left:
            picked.append(min(left, key=lambda step: abs(math.log((step + 1) / (chosen / 3**power + 1)))))
    return sorted(picked)


def _column(step: int, samples: Sequence[Sample], monitor: RunMonitor) -> Content:
    """Return one step's samples below a heading with its validation loss."""
    losses = [item.val_loss for item in monitor.evals if item.step <= step and item.val_loss is not None]
    loss = f" · val {losses[-1]:.3f}" if losses else ""
    parts = [Content.assemble((f"step {step:,}", "bold $text-accent"), (loss, "$foreground-muted"))]
    for sample in samples:
        prompt, text = clean(sample.prompt), clean(sample.text[:MAX_CHARACTERS]).rstrip("\n")
        end = (" ■" if sample.ended else "", "$foreground-muted")
        parts.append(Content.assemble((prompt, "bold"), text if prompt else text.lstrip(), end))
    return Content("\n").join(parts)
