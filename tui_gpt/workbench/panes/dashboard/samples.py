"""What the model writes as it learns: the same prompt at several steps beside each other, the newest at the right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from tui_gpt.run.messages import Sample
from tui_gpt.workbench import keys
from tui_gpt.workbench.drawing.sanitizing import clean, one_line
from tui_gpt.workbench.panes.pane import Pane

if TYPE_CHECKING:
    from tui_gpt.workbench.state.run_monitor import RunMonitor
    from tui_gpt.workbench.state.session import Session

COLUMNS = 4  # the style sheet hides those for which there is no room
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
        self._known: object = None
        self._texts: list[Content] = []

    def compose(self) -> ComposeResult:
        with Horizontal():
            for column in range(COLUMNS):
                yield Static(id=f"sample-{column}", markup=False)

    def on_resize(self) -> None:
        self._known = None
        self.refresh_data()

    @property
    def room(self) -> int:
        """How many columns the style sheet leaves."""
        names = self.screen.classes
        return 2 if "-narrow" in names else COLUMNS if "-wide" in names else 3

    def step_by(self, by: int) -> None:
        """Go `by` samples to later or earlier ones."""
        if not self._steps:
            return
        at = self._steps.index(self._chosen) if self._chosen in self._steps else len(self._steps) - 1
        at = min(max(0, at + by), len(self._steps) - 1)
        self._chosen = None if at == len(self._steps) - 1 else self._steps[at]  # at the end it follows new ones
        self._known = None
        self.refresh_data()
        self.scroll_home(animate=False)

    def refresh_data(self) -> None:
        monitor = self.session.monitor
        samples = monitor.samples if monitor else []
        waiting = _until_first(monitor, self.session.keymap) if monitor and not samples else ""
        newest = (samples[-1].step, len(monitor.evals) if monitor else 0) if samples else None
        subject = (id(monitor), len(samples), newest, self.needle, self._chosen, self.room, waiting)
        if subject == self._known:
            return
        self._known = subject
        found = [sample for sample in samples if self.needle.lower() in (sample.prompt + sample.text).lower()]
        self._steps = sorted({sample.step for sample in found})
        if not self._steps:
            text = waiting if not samples else f"no sample holds “{one_line(self.needle)}”"
            self._show([Content.styled(text, "$foreground-muted")])
            self.set_title(Content("Samples"))
            return
        chosen = self._chosen if self._chosen in self._steps else self._steps[-1]
        shown = compare_steps(self._steps, chosen, self.room)
        by_step = {step: [sample for sample in found if sample.step == step] for step in shown}
        self._show([_column(step, by_step[step], monitor) for step in shown])
        self._set_titles(shown, chosen, by_step)

    def _show(self, columns: Sequence[Content]) -> None:
        self._texts = list(columns)
        for index, widget in enumerate(self.query(Static)):
            widget.display = index < len(columns)
            if index < len(columns):
                widget.update(columns[index])

    def _set_titles(self, shown: Sequence[int], chosen: int, by_step: dict[int, list[Sample]]) -> None:
        at = self._steps.index(chosen)
        first = max(0, min(at - STRIP + 2, len(self._steps) - STRIP))
        parts = [_link("‹", "screen.previous_sample")]
        for step in self._steps[first : first + STRIP]:
            style = "bold $text-accent" if step == chosen else "$foreground" if step in shown else "$foreground-muted"
            parts.append(Content.styled(f"{step:,}", style))
        parts.append(_link("›", "screen.next_sample"))
        seeds = {sample.seed for samples in by_step.values() for sample in samples[:1]}
        prompts = [tuple(sample.prompt for sample in samples) for samples in by_step.values()]
        same = (
            ""
            if len(set(prompts)) > 1 or len(shown) < 2
            else "same prompt, same seed"
            if len(seeds) == 1
            else "same prompt"
        )
        found = f"with “{one_line(self.needle)}”" if self.needle else ""
        note = "  ".join(filter(None, (same, found)))
        self.set_title(
            Content.assemble("Samples ── ", Content(" ").join(parts), (f" {note}" if note else "", "$foreground-muted"))
        )

    def text(self) -> str:
        return "\n\n".join(text.plain for text in self._texts)


def compare_steps(steps: Sequence[int], chosen: int, count: int) -> list[int]:
    """Return `chosen` and up to `count` - 1 earlier steps, at about a third, a ninth … of it: losses fall so."""
    earlier = [step for step in steps if step < chosen]
    picked: list[int] = []
    for power in range(1, count):
        target = chosen / 3**power
        left = [step for step in earlier if step not in picked]
        if left:
            picked.append(min(left, key=lambda step: abs(math.log((step + 1) / (target + 1)))))
    return sorted([*picked, chosen])


def _column(step: int, samples: Sequence[Sample], monitor: RunMonitor | None) -> Content:
    """Return one step's samples below a heading with its validation loss."""
    known = [item for item in monitor.evals if item.step <= step and item.val_loss is not None] if monitor else []
    loss = f" · val {known[-1].val_loss:.3f}" if known else ""
    parts = [Content.assemble((f"step {step:,}", "bold $text-accent"), (loss, "$foreground-muted"))]
    for sample in samples:
        prompt, text = clean(sample.prompt), clean(sample.text[:MAX_CHARACTERS])
        text = text if prompt else text.lstrip()
        parts.append(
            Content.assemble((prompt, "bold"), text.rstrip("\n"), (" ■" if sample.ended else "", "$foreground-muted"))
        )
    return Content("\n").join(parts)


def _link(text: str, action: str) -> Content:
    return Content.styled(text, Style.parse("bold $primary") + Style.from_meta({"@click": action}))


def _until_first(monitor: RunMonitor, keymap: keys.Keymap) -> str:
    """Return when the first sample comes."""
    if not monitor.is_read or monitor.config is None:
        return ""
    if not monitor.is_live:
        return "the run ended before its first sample"
    key = keys.key_hint("sample", keymap, keys.DASHBOARD)
    asks = f"; {key} asks for one now" if key else ""
    if not monitor.config.sampling.every:
        return f"this run writes none by itself{asks}"
    return f"what the model writes appears here, from its first steps on{asks}"
