"""The dashboard: nine panes on one run, or on the draft of the next one.

At 100×26 cells for panes on they share the screen; on less each is a tab, and `z` makes the same of a large one.
"""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult

from tui_gpt.config import PURPOSES, Field
from tui_gpt.errors import UserError
from tui_gpt.workbench import actions, steering
from tui_gpt.workbench.canvas import Row, Span, row
from tui_gpt.workbench.corpus_work import prepare
from tui_gpt.workbench.draft import PRESET_NAMES, check_text, flat, written
from tui_gpt.workbench.layout import PaneArea, fits_grid
from tui_gpt.workbench.memory import SMOOTHING
from tui_gpt.workbench.panes.config import ConfigPane
from tui_gpt.workbench.panes.corpus import CorpusPane
from tui_gpt.workbench.panes.events import EventsPane
from tui_gpt.workbench.panes.gauges import GradientPane, ThroughputPane
from tui_gpt.workbench.panes.hardware import MachinePane
from tui_gpt.workbench.panes.loss import LossPane
from tui_gpt.workbench.panes.pane import Pane
from tui_gpt.workbench.panes.run import RunPane
from tui_gpt.workbench.panes.samples import SamplesPane
from tui_gpt.workbench.screen import Bar, Choice, WorkScreen
from tui_gpt.workbench.text import one_line

PANES: tuple[type[Pane], ...] = (
    *(ConfigPane, CorpusPane, LossPane, ThroughputPane, GradientPane),
    *(MachinePane, SamplesPane, EventsPane, RunPane),
)
TOKENIZERS = ("bpe:1024", "bpe:4096", "bpe:16384", "byte", "char", "gpt2")


class Dashboard(WorkScreen):
    place = actions.DASHBOARD
    BINDINGS = actions.bindings(actions.DASHBOARD)

    def compose_middle(self) -> ComposeResult:
        yield Bar(lambda width: [self.tab_row(width)], id="tabs")
        self.panes: dict[str, Pane] = {kind.key: kind() for kind in PANES}
        yield PaneArea(*self.panes.values(), id="panes")

    @property
    def active(self) -> str:
        return self.workbench.view.pane

    @property
    def pane(self) -> Pane:
        return self.panes[self.active]

    @property
    def single(self) -> bool:
        """Whether one pane has the whole screen."""
        width, height = self.app.size
        return self.workbench.view.maximised or not fits_grid(width, height - 3)

    def on_mount(self) -> None:
        self.place_panes()

    def on_resize(self) -> None:
        super().on_resize()
        self.place_panes()

    def place_panes(self) -> None:
        """Show the panes that the size and the view ask for."""
        single = self.single
        self.query_one("#tabs").display = single and self.app.size.height >= 8
        for key, pane in self.panes.items():
            pane.display = not single or key == self.active

    def tab_row(self, width: int) -> Row:
        spans: list[Span] = [(" ", "text")]
        for pane in self.panes.values():
            front = pane.key == self.active
            name = pane.tab or pane.name_now() if width < 100 else pane.name_now()
            if width < 76 and not front:
                name = ""
            spans += [
                (f"{pane.number} ", "key"),
                (name, "bright" if front else "dim"),
                (" " if width < 100 else "   ", "text"),
            ]
        if self.workbench.view.maximised and width >= 100:
            spans += [("z", "key"), (" back", "dim")]
        return tuple(spans)

    def footer_items(self) -> list[tuple[str, str]]:
        feed, items = self.workbench.feed, []
        if feed is not None and feed.is_live:
            items += [("pause", "resume" if feed.state == "paused" else "pause"), ("checkpoint", "checkpoint")]
            items += [("sample", "sample"), ("stop", "stop")]
        else:
            items += [("start", "start next" if feed else "start")]
        if feed is not None and feed.state in ("failed", "crashed"):
            items += [("log", "log")]
        if self.active == "config":
            items += [("activate", "edit"), ("reset", "reset"), ("editor", "editor"), ("save", "save")]
        elif self.active == "corpus":
            items += [("activate", "choose"), ("prepare", "prepare"), ("tokens", "tokens")]
        elif self.active == "loss":
            items += [("log_y", "log-y"), ("smoother", "smooth"), ("axis", "x axis")]
        elif self.pane.can_filter:
            items += [("filter", "filter")]
        items += [("maximise", "back" if self.workbench.view.maximised else "zoom"), ("next_screen", "runs")]
        items += [("freeze", "go on" if self.workbench.frozen else "freeze"), ("talk", "talk"), ("quit", "quit")]
        return items

    # panes

    def focus_pane(self, key: str) -> None:
        if key == self.active:
            return
        self.workbench.view.pane = key
        self.place_panes()
        self.redraw()

    def action_pane(self, number: int) -> None:
        self.focus_pane(PANES[number - 1].key)

    def action_next_pane(self) -> None:
        self._step_pane(1)

    def action_previous_pane(self) -> None:
        self._step_pane(-1)

    def _step_pane(self, by: int) -> None:
        keys = list(self.panes)
        self.focus_pane(keys[(keys.index(self.active) + by) % len(keys)])

    def action_maximise(self) -> None:
        self.workbench.view.maximised = not self.workbench.view.maximised
        self.place_panes()
        self.redraw()

    def move(self, by: int) -> None:
        self.pane.move(by)

    def move_to(self, end: bool) -> None:
        self.pane.move_to(end)

    @property
    def page(self) -> int:  # type: ignore[override]
        return self.pane.page

    def action_activate(self) -> None:
        self.pane.activate()

    def action_back(self) -> None:
        if not self.leave_prompt() and self.workbench.view.maximised:
            self.action_maximise()

    def text_to_copy(self) -> str:
        width = max(20, self.pane.size.width - 4)
        rows = self.pane.body(width, max(1, self.pane.size.height - 2))
        return "\n".join("".join(text for text, _ in line).rstrip() for line in rows)

    # the view

    def action_log_y(self) -> None:
        self.workbench.view.log_y = not self.workbench.view.log_y
        self.redraw()

    def action_smoother(self) -> None:
        self._smooth(min(self.workbench.view.smoothing + 1, len(SMOOTHING) - 1))

    def action_rougher(self) -> None:
        self._smooth(max(self.workbench.view.smoothing - 1, 0))

    def action_unsmoothed(self) -> None:
        self._smooth(0)

    def _smooth(self, index: int) -> None:
        self.workbench.view.smoothing = index
        self.redraw()

    def action_axis(self) -> None:
        view = self.workbench.view
        view.axis = {"step": "tokens", "tokens": "time", "time": "step"}[view.axis]  # type: ignore[assignment]
        self.redraw()

    def action_freeze(self) -> None:
        self.workbench.frozen = not self.workbench.frozen
        self.redraw()

    def action_filter(self) -> None:
        pane = self.pane
        if not pane.can_filter:
            self.focus_pane("config" if self.workbench.feed is None else "events")
            pane = self.pane
        self.ask(
            row(("Filter ", "bright"), (pane.name_now(), "dim")),
            pane.filter,
            typed=pane.filter,
            hint=row(("empty shows everything", "dim")),
        )

    def action_refresh(self) -> None:
        self.workbench.study_draft()

    def action_log(self) -> None:
        feed = self.workbench.feed
        if feed is None:
            self.workbench.say("there is no run to read the log of")
            return
        from tui_gpt.workbench.dialogs import text_rows

        self.workbench.read(f"{one_line(feed.folder.id)} · trainer.log", text_rows(feed.log_tail()), at_end=True)

    # the run

    def action_start(self) -> None:
        steering.start_run(self.workbench)

    def action_pause(self) -> None:
        feed = self.workbench.feed
        steering.command(self.workbench, "resume" if feed and feed.state == "paused" else "pause")

    def action_checkpoint(self) -> None:
        steering.command(self.workbench, "checkpoint")

    def action_sample(self) -> None:
        steering.command(self.workbench, "sample")

    def action_stop(self) -> None:
        steering.ask_to_stop(self.workbench)

    def action_draft(self) -> None:
        self.workbench.open_run(None)

    # the config

    def edit(self, item: Field) -> None:
        """Let the user change one setting, in the way that its type asks for."""
        draft = self.workbench.draft
        if item.key == "preset":
            self._choose_preset()
        elif item.key == "data.corpus":
            self.action_choose_corpus()
        elif item.kind == "bool":
            self.workbench.edit_draft(lambda: draft.set(item.key, written(not flat(draft.config)[item.key])))
        elif item.kind == "choice":
            self._choose_value(item)
        else:
            unit = f" ({item.unit})" if item.unit else ""
            self.ask(
                row((item.key, "bright"), (unit, "dim"), (f"  {item.help}", "dim")),
                lambda text: self.workbench.edit_draft(lambda: draft.set(item.key, text)),
                value=written(flat(draft.config)[item.key]),
                check=lambda text: check_text(draft, item, text),
                hint=row((f"allowed: {item.allowed}", "dim")),
                typed=lambda text: self.workbench.try_value(item.key, text),
                words=(lambda _: TOKENIZERS) if item.key == "data.tokenizer" else None,
            )

    def _choose_value(self, item: Field) -> None:
        draft = self.workbench.draft
        self.workbench.pick(
            f"{item.key}: {item.help}",
            [(choice, "", choice) for choice in item.choices],
            lambda value: self.workbench.edit_draft(lambda: draft.set(item.key, str(value))),
            current=flat(draft.config)[item.key],
        )

    def _choose_preset(self) -> None:
        draft = self.workbench.draft
        choices: list[Choice] = [(name, PURPOSES[name], name) for name in PRESET_NAMES]
        choices += [(path.stem, "saved config", path) for path in draft.saved()]

        def chosen(value: object) -> None:
            if isinstance(value, Path):
                self.workbench.load_config(value)
            else:
                self.workbench.edit_draft(lambda: draft.use_preset(str(value)))

        self.workbench.pick("Preset", choices, chosen, current=draft.config.preset)

    def action_choose_corpus(self) -> None:
        self.workbench.show_screen("corpora")

    def action_prepare(self) -> None:
        prepare(self.workbench, self.workbench.draft.config.data.corpus)

    def action_tokens(self) -> None:
        self.workbench.view_tokens(self.workbench.draft.config.data.corpus)

    def action_reset(self) -> None:
        pane = self.pane
        if isinstance(pane, ConfigPane) and pane.current is not None:
            key = pane.current.key
            if key == "preset":
                self.workbench.edit_draft(self.workbench.draft.start_over)
            else:
                self.workbench.edit_draft(lambda: self.workbench.draft.reset(key))

    def action_editor(self) -> None:
        self.workbench.open_editor()

    def action_save(self) -> None:
        draft = self.workbench.draft

        def save(name: str) -> None:
            try:
                path = draft.save_as(name.strip())
            except UserError as error:
                self.workbench.say(str(error), "error")
                return
            self.workbench.say(f"saved: gpt-tui train --config {path}")

        self.ask(row(("Save the config as ", "bright"), ("configs/NAME.toml", "dim")), save)

    def action_adopt(self) -> None:
        feed = self.workbench.feed
        if feed is None or not feed.asked:
            self.workbench.say("there is no run whose config could be used")
            return
        asked = feed.asked
        self.workbench.edit_draft(lambda: self.workbench.draft.adopt(asked, str(feed.folder.config)))
