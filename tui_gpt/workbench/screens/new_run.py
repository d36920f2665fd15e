"""The next run: its config as a form beside what it will cost. `s` starts it."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Button, Input, Static, Tab, Tabs

from tui_gpt.config import PRESETS, PURPOSES, Field, field, fields, read_toml
from tui_gpt.errors import UserError
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import DraftChanged, RunTask, ShowScreen, StartRun, ViewTokens
from tui_gpt.workbench.dialogs.confirm import Answer, Confirm
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.jobs.task import TaskRequest
from tui_gpt.workbench.panes.plan import PlanPane
from tui_gpt.workbench.screens.external_editor import edit_text
from tui_gpt.workbench.screens.work_screen import WorkScreen
from tui_gpt.workbench.state.draft import differences_from_preset, flatten, format_value, to_editable_toml
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.setting_row import SettingRow

SECTIONS = ("main", "model", "data", "optimizer", "schedule", "training", "checkpoints", "sampling")
MAIN = (  # what most runs change
    "preset",
    "data.corpus",
    "data.tokenizer",
    "model.n_layer",
    "model.n_head",
    "model.n_embd",
    "model.context_length",
    "training.duration",
    "training.micro_batch_size",
    "optimizer.learning_rate",
    "training.seed",
)
TOKENIZERS = ("bpe:1024", "bpe:4096", "bpe:16384", "byte", "char", "gpt2", "cl100k_base", "o200k_base")
SETTLE_SECONDS = 0.3  # after the last keystroke, before the draft is saved and its corpus read again


class NewRunScreen(WorkScreen):
    """A form over `session.draft`; a value that cannot stand is marked and left out until it can."""

    NAME = keys.NEW_RUN
    BINDINGS = keys.bindings(keys.NEW_RUN)
    AUTO_FOCUS = "#sections"
    DEFAULT_CSS = """
    NewRunScreen #sections { margin-top: 1; }
    NewRunScreen #body { height: 1fr; margin-top: 1; }
    NewRunScreen #left { border: round $border-blurred; border-title-color: $text-muted; }
    NewRunScreen #left:focus-within { border: round $primary; border-title-color: $text; }
    NewRunScreen #form { width: 1fr; height: 1fr; scrollbar-size-vertical: 1; }
    NewRunScreen #help { height: auto; max-height: 4; padding: 0 1; color: $text-muted; }
    NewRunScreen #help.-problem { color: $text-error; }
    NewRunScreen #right { width: 46; }
    NewRunScreen PlanPane { height: 1fr; }
    NewRunScreen #start { width: 1fr; }
    NewRunScreen.-narrow #right { width: 34; }
    NewRunScreen.-narrow SettingRow Select, NewRunScreen.-narrow SettingRow Input { width: 1fr; }
    NewRunScreen.-wide #right { width: 64; }
    NewRunScreen.-short #sections, NewRunScreen.-short #body { margin-top: 0; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._section, self._needle = "main", ""
        self._pending: dict[str, str] = {}  # what was entered and cannot stand, by key
        self._problems: dict[str, str] = {}
        self._configs: dict[str, Path] = {}  # saved configs, by name
        self._settle: Timer | None = None
        self._asked_shown: object = None

    def compose_body(self) -> ComposeResult:
        yield Tabs(*(Tab(name.capitalize(), id=name) for name in SECTIONS), id="sections")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield VerticalScroll(id="form", can_focus=False)
                yield Static(id="help", markup=False)
            with Vertical(id="right"):
                yield PlanPane(self.session)
                yield Button("▶ Start training  (s)", id="start", variant="primary", compact=True)

    async def read_data(self) -> None:
        self._configs = {path.stem: path for path in await asyncio.to_thread(self.session.draft.saved)}

    def refresh_data(self) -> None:
        super().refresh_data()
        self.query_one(PlanPane).refresh_data()
        asked = self.session.draft.asked
        if asked is not self._asked_shown:  # loaded, reset or edited elsewhere
            self._asked_shown = asked
            self._show_values()

    # ── the form ────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Tabs.TabActivated, "#sections")
    def _section_chosen(self, event: Tabs.TabActivated) -> None:
        event.stop()
        self._section, self._needle = event.tab.id or "main", ""
        # The first frame does not wait for it; Textual holds back what the first refresh drew, hence two of them.
        self.call_after_refresh(self.call_after_refresh, self._build_form)

    @work(group="form", exclusive=True)
    async def _build_form(self) -> None:
        form = self.query_one("#form", VerticalScroll)
        await form.remove_children()
        await form.mount_all(self._row(item) for item in self._listed())
        self._say(f"{self._section.capitalize()}: tab moves to the settings, ← → change the section")

    def _listed(self) -> list[Field]:
        if self._needle:
            words = self._needle.lower().split()
            texts = {item.key: f"{item.key} {item.help}".lower() for item in fields().values()}
            return [item for item in fields().values() if all(word in texts[item.key] for word in words)]
        if self._section == "main":
            return [field(key) for key in MAIN]
        return [item for item in fields().values() if item.section == self._section]

    def _row(self, item: Field) -> SettingRow:
        value = self._pending.get(item.key, format_value(flatten(self.session.draft.config)[item.key]))
        return SettingRow(
            item,
            value,
            is_set=self.session.draft.is_set(item.key),
            suggestions=TOKENIZERS if item.key == "data.tokenizer" else (),
            choices=self._presets() if item.key == "preset" else (),
            label=item.key if self._needle else "",
        )

    def _presets(self) -> list[tuple[str, str]]:
        """Return the presets and the saved configs, each with what it is for where there is room."""
        purposes = PURPOSES | {name: "saved config" for name in self._configs if name not in PRESETS}
        if self.has_class("-narrow"):
            return [(one_line(name), name) for name in purposes]
        width = max(map(len, PRESETS))
        return [(f"{one_line(name):<{width}}  {purpose}", name) for name, purpose in purposes.items()]

    def _show_values(self) -> None:
        draft = self.session.draft
        values = flatten(draft.config)
        for row in self.query(SettingRow):
            key = row.field.key
            if key not in self._pending:
                row.show(format_value(values[key]), is_set=draft.is_set(key))
            row.judge(self._problems.get(key, ""))
        self.query_one(PlanPane).refresh_data()

    @on(SettingRow.Entered)
    def _entered(self, message: SettingRow.Entered) -> None:
        message.stop()
        draft, key = self.session.draft, message.row.field.key
        if key == "preset":
            self._use_preset(message.text)
        else:
            entered = self._pending | {key: message.text}
            self._problems = draft.set_what_can_be(entered)
            self._pending = {name: entered[name] for name in self._problems}
        self._asked_shown = draft.asked
        self._show_values()
        self._show_help(message.row)
        if self._settle is not None:
            self._settle.stop()
        self._settle = self.set_timer(SETTLE_SECONDS, lambda: self.post_message(DraftChanged()))

    def _use_preset(self, name: str) -> None:
        draft = self.session.draft
        self._pending, self._problems = {}, {}
        try:
            if name in PRESETS:
                draft.set({"preset": name})
            elif name in self._configs:
                draft.replace(read_toml(self._configs[name]), str(self._configs[name]))
        except UserError as error:
            self._problems["preset"] = str(error)

    @on(SettingRow.Focused)
    def _focused(self, message: SettingRow.Focused) -> None:
        message.stop()
        self._show_help(message.row)

    def _show_help(self, row: SettingRow) -> None:
        if row.problem:
            self._say(f"✗ {row.problem}", is_problem=True)
            return
        item, config = row.field, self.session.draft.config
        parts = [f"{item.key}: {item.help}", f"allowed: {item.allowed}"]
        if item.key in (changed := differences_from_preset(config)):
            parts.append(f"{config.preset} has {format_value(changed[item.key][0])}")
        self._say(" · ".join(parts))

    def _say(self, text: str, *, is_problem: bool = False) -> None:
        target = self.query_one("#help", Static)
        target.update(one_line(text))
        target.set_class(is_problem, "-problem")

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.focus_next(Input)

    # ── actions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        if self._problems:
            key, problem = next(iter(self._problems.items()))
            self.notify(f"{key} cannot be used: {problem}", severity="error")
            return
        self.post_message(StartRun())

    def action_back(self) -> None:
        """Leave a field for the sections, then the screen."""
        if self._needle:
            self._needle = ""
            self._build_form()
        elif self.focused is not None and self.focused.id != "sections":
            self.query_one("#sections").focus()
        elif self.session.monitor is not None:
            self.post_message(ShowScreen(keys.DASHBOARD))

    def action_reset_field(self) -> None:
        row = next((row for row in self.query(SettingRow) if row.has_focus_within), None)
        if row is None:
            self._reset_all()
            return
        key, draft = row.field.key, self.session.draft
        self._pending.pop(key, None)
        self._problems.pop(key, None)
        if key != "preset":
            try:
                draft.reset(key)
            except UserError as error:
                self.notify(str(error), severity="error")
        self.set_focus(self.query_one("#sections"))  # so that the control takes the value
        self._show_values()
        row.control.focus()
        self.post_message(DraftChanged())

    @work(group="reset", exclusive=True)
    async def _reset_all(self) -> None:
        draft = self.session.draft
        count = len(differences_from_preset(draft.config))
        if not count:
            self.notify(f"every setting is as {draft.config.preset} has it")
            return
        text = f"{count} settings go back to the values of {draft.config.preset}."
        if await self.app.push_screen_wait(Confirm("Reset the config", text, [Answer("y", "reset", "reset")])):
            self._pending, self._problems = {}, {}
            draft.replace({"preset": draft.config.preset})
            self.post_message(DraftChanged())

    def action_browse(self) -> None:
        self.post_message(ShowScreen(keys.CORPORA))

    def action_tokens(self) -> None:
        self.post_message(ViewTokens(self.session.draft.config.data.corpus))

    def action_prepare(self) -> None:
        data = self.session.draft.config.data
        request = TaskRequest(
            task="prepare",
            reference=data.corpus,
            corpus_dir=str(self.session.corpus_dir),
            tokenizer=data.tokenizer,
            val_fraction=data.val_fraction,
        )
        from tui_gpt.corpora import ShardsInfo

        def done(info: ShardsInfo) -> None:
            self.notify(f"{data.corpus} is prepared for {data.tokenizer}: {info.tokens:,} tokens")

        self.post_message(RunTask(request, f"preparing {one_line(data.corpus)}", ShardsInfo, done))

    @work(group="dialog", exclusive=True)
    async def action_save(self) -> None:
        name = await self.app.push_screen_wait(Prompt("Save the config as", hint="a name: configs/NAME.toml"))
        if not name:
            return
        try:
            path = await asyncio.to_thread(self.session.draft.save_as, name.strip())
        except UserError as error:
            self.notify(str(error), severity="error")
            return
        self.notify(f"saved: gpt-tui train --config {path}")

    @work(group="dialog", exclusive=True)
    async def action_filter(self) -> None:
        def narrow(text: str) -> None:
            self._needle = text.strip()
            self._build_form()

        await self.app.push_screen_wait(Prompt("Find a setting", value=self._needle, on_change=narrow))
        self.query_one("#sections").focus()

    @work(group="dialog", exclusive=True)
    async def action_editor(self) -> None:
        """Edit the draft as TOML; what is wrong in it can be edited again."""
        draft = self.session.draft
        before = text = to_editable_toml(draft)
        while True:
            try:
                text = await edit_text(self.app, text)
            except UserError as error:
                self.notify(str(error), severity="error")
                return
            if text == before:
                return
            try:
                draft.replace(tomllib.loads(text), "config.toml")
            except (UserError, tomllib.TOMLDecodeError, RecursionError) as error:
                answers = [Answer("a", "edit it again", "again"), Answer("d", "drop the changes", "drop", True)]
                question = Confirm("The config cannot be used", str(error), answers)
                if await self.app.push_screen_wait(question) != "again":
                    return
            else:
                self._pending, self._problems = {}, {}
                self.post_message(DraftChanged())
                return

    def text_to_copy(self) -> str:
        return to_editable_toml(self.session.draft)
