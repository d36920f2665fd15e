"""The workbench: one person's view of one workspace.

Screens get the `Session` and post messages; the app alone starts runs and switches screens (`run_operations`), and
reads what is new (`polling`).
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual import on, work
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.color import Color
from textual.filter import LineFilter, NoColor
from textual.screen import Screen

from tui_gpt.errors import UserError, reason
from tui_gpt.files import write_atomically
from tui_gpt.run.folder import RunFolder, find, list_runs
from tui_gpt.workbench import app_messages, keys
from tui_gpt.workbench.drawing.sanitizing import one_line, to_ascii
from tui_gpt.workbench.palette import ActionPalette, ActionProvider
from tui_gpt.workbench.polling import Polling
from tui_gpt.workbench.run_operations import RunOperations
from tui_gpt.workbench.screens.work_screen import WorkScreen
from tui_gpt.workbench.state import preferences
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.terminal.crash_report import CrashReport
from tui_gpt.workbench.terminal.driver import MeteredDriver
from tui_gpt.workbench.terminal.output import CellDiffApp
from tui_gpt.workbench.themes import default_theme, load_themes

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel as Severity


class _AsciiFilter(LineFilter):
    """Turn whatever is drawn into ASCII, as the last step before the terminal."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]


class Workbench(Polling, RunOperations, CellDiffApp[int], CrashReport[int], inherit_bindings=False):
    """The app. `run`: the run to open; without one, what is live, else the newest."""

    CSS_PATH = "app.tcss"
    ALLOW_SELECT = False
    COMMANDS = {ActionProvider}
    after_crash = "Runs go on in the background; start gpt-tui again to see them."
    BINDINGS = [*keys.bindings(keys.EVERYWHERE), Binding("ctrl+c", "quit", show=False, priority=True)]

    def __init__(self, workspace: Path, *, run: str | None = None, glyphs: str = "braille") -> None:
        saved = preferences.load_preferences(preferences.preferences_path())
        raw_keymap, problems = preferences.load_keymap(preferences.keys_path())
        keymap, more = keys.check_keymap(raw_keymap)
        self.session = Session(workspace, saved, keymap, glyphs)
        self.crash_log = preferences.state_dir() / "crash.log"
        self._problems = problems + [f"{preferences.keys_path()}: {problem}" for problem in more]
        self.DEFAULT_MODE = self._first_screen(run)  # type: ignore[misc]  # read by App.__init__
        super().__init__(driver_class=MeteredDriver)
        for name, factory in self._factories().items():
            self.add_mode(name, factory)
        self.session.has_color = not self.no_color and glyphs != "ascii"
        self._no_color, self._ascii = NoColor(), _AsciiFilter(enabled=glyphs == "ascii")
        colors = None if self.no_color else self.console.color_system
        themes, theme_problems = load_themes(preferences.config_dir() / "themes")
        self._problems += theme_problems
        for theme in themes:
            self.register_theme(theme)
        self.theme = saved.theme if saved.theme in self.available_themes and colors else default_theme(colors)
        self.animation_level = "none"  # an animation is bytes on the wire
        self.set_keymap({name: ",".join(map(keys.textual_key, mapped)) for name, mapped in keymap.items()})

    def _factories(self) -> dict[str, Callable[[], Screen[None]]]:
        """Return what makes each screen; its module is imported when it is first shown."""

        def make(module: str, name: str) -> Callable[[], Screen[None]]:
            def factory() -> Screen[None]:
                from importlib import import_module

                return getattr(import_module(f"tui_gpt.workbench.screens.{module}"), name)(self.session)

            return factory

        return {
            keys.DASHBOARD: make("dashboard", "DashboardScreen"),
            keys.NEW_RUN: make("new_run", "NewRunScreen"),
            keys.RUNS: make("runs", "RunsScreen"),
            keys.TALK: make("talk", "TalkScreen"),
            keys.CORPORA: make("corpora", "CorporaScreen"),
        }

    def _first_screen(self, run: str | None) -> str:
        """Load the draft, choose the run to show, and return the screen to open on."""
        session = self.session
        try:
            session.draft.load()
        except UserError as error:
            self._problems.append(str(error))
        try:
            if run is not None:
                session.show(find(session.runs_dir, run))
                return keys.DASHBOARD
            session.live_runs = session.find_live_runs()
            if len(session.live_runs) > 1:
                return keys.RUNS
            folders = session.live_runs or list_runs(session.runs_dir)[-1:]
            session.show(folders[0] if folders else None)
        except UserError as error:
            self._problems.append(str(error))
        except OSError as error:
            self._problems.append(f"{session.runs_dir}: {reason(error)}")
        return keys.DASHBOARD if session.monitor else keys.NEW_RUN

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def get_css_variables(self) -> dict[str, str]:
        """Return the theme's variables, with a color for muted text: `auto 60%` is white in a Content."""
        variables = super().get_css_variables()
        if variables["text-muted"].startswith("auto"):
            background, foreground = Color.parse(variables["background"]), Color.parse(variables["foreground"])
            variables["text-muted"] = background.blend(foreground, 0.6).hex
        return variables

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = [self._no_color] if self.no_color else super().get_line_filters()
        return [*filters, self._ascii] if self._ascii.enabled else filters

    def get_key_display(self, binding: Binding) -> str:
        return keys.display_key(binding.key.partition(",")[0])

    def on_mount(self) -> None:
        self.poll()
        self.call_after_refresh(self._after_first_frame)

    def _after_first_frame(self) -> None:
        """Do what can wait until the first frame stands."""
        for problem in self._problems:
            self.notify(one_line(problem), severity="warning", timeout=12, markup=False)
        self.read_draft()
        gc.freeze()
        gc.enable()

    # ── what screens ask for ────────────────────────────────────────────────────────────────────────────────────────

    @on(app_messages.ShowScreen)
    def _show_screen(self, message: app_messages.ShowScreen) -> None:
        self.action_show_screen(message.name)

    @on(app_messages.OpenRun)
    def _open_run(self, message: app_messages.OpenRun) -> None:
        self.open_run(message.folder)

    @on(app_messages.TalkTo)
    def _talk_to(self, message: app_messages.TalkTo) -> None:
        self.session.show(message.folder)
        self.action_show_screen(keys.TALK)

    @on(app_messages.DraftChanged)
    @work(group="draft", exclusive=True)
    async def _draft_changed(self) -> None:
        self.read_draft()
        self.refresh_data()
        try:
            await asyncio.to_thread(self.session.draft.save)
        except UserError as error:
            self.notify(str(error), severity="warning")

    @on(app_messages.UseConfig)
    def _use_config(self, message: app_messages.UseConfig) -> None:
        try:
            self.session.draft.replace(message.asked, message.source)
        except UserError as error:
            self.notify(str(error), severity="error")
            return
        self.read_draft()
        self.action_show_screen(keys.NEW_RUN)

    @on(app_messages.ViewTokens)
    def _view_tokens(self, message: app_messages.ViewTokens) -> None:
        from tui_gpt.workbench.screens.tokens import TokensScreen

        self.push_screen(TokensScreen(self.session, message.reference))

    @on(app_messages.CopyText)
    def _copy_text(self, message: app_messages.CopyText) -> None:
        self.copy(message.text)

    def open_run(self, folder: RunFolder) -> None:
        """Show a run on the dashboard; a dialog that is open stays in front."""
        self.session.show(folder)
        if isinstance(self.screen, WorkScreen):
            self.action_show_screen(keys.DASHBOARD)
        self.wake()

    # ── actions of every screen ─────────────────────────────────────────────────────────────────────────────────────

    def action_show_screen(self, name: str) -> None:
        if name != self.current_mode:
            self.switch_mode(name)
            self.wake()

    def action_next_screen(self) -> None:
        self._show_neighbour(1)

    def action_previous_screen(self) -> None:
        self._show_neighbour(-1)

    def _show_neighbour(self, by: int) -> None:
        names = list(keys.SCREENS)
        self.action_show_screen(names[(names.index(self.current_mode) + by) % len(names)])

    def action_new_run(self) -> None:
        self.action_show_screen(keys.NEW_RUN)

    def action_talk(self) -> None:
        self.action_show_screen(keys.TALK)

    def action_copy(self) -> None:
        if isinstance(self.screen, WorkScreen):
            self.copy(self.screen.text_to_copy())

    def copy(self, text: str) -> None:
        """Copy to the terminal's clipboard (OSC 52), and to a file for terminals that have none."""
        if not text.strip():
            self.notify("nothing to copy here")
            return
        self.copy_to_clipboard(text)
        path = preferences.state_dir() / "copied.txt"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode("utf-8", "replace"))
            self.notify(f"copied {len(text):,} characters, also to {path}")
        except OSError:
            self.notify(f"copied {len(text):,} characters")

    def pop_screen(self) -> AwaitComplete:
        """Close the screen in front. A dialog that is closed twice, by click and key, never closes what is below."""
        return super().pop_screen() if len(self.screen_stack) > 1 else AwaitComplete.nothing()

    def action_command_palette(self) -> None:
        if isinstance(self.screen, WorkScreen):
            self.push_screen(ActionPalette())

    def action_help(self) -> None:
        from tui_gpt.workbench.dialogs.viewer import Viewer, key_table

        scopes = (self.current_mode, keys.EVERYWHERE)
        self.push_screen(Viewer("Keys", key_table(keys.grouped(self.session.keymap, scopes))))

    def action_change_theme(self) -> None:
        self._choose_theme()

    @work(group="theme", exclusive=True)
    async def _choose_theme(self) -> None:
        from tui_gpt.workbench.dialogs.picker import Item, Picker

        themes = self.available_themes
        items = [Item(name, "dark" if themes[name].dark else "light", name) for name in sorted(themes)]
        chosen = await self.push_screen_wait(Picker("Theme", items, current=self.theme))
        if chosen is not None:
            self.theme = self.session.preferences.theme = str(chosen)

    # ── notices and the end ─────────────────────────────────────────────────────────────────────────────────────────

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: Severity = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Show a notice in the corner, made safe; warnings and errors stay longer."""
        sign = {"information": "", "warning": "▲ ", "error": "✗ "}[severity]
        seconds = timeout or (4 if severity == "information" else 12)
        super().notify(sign + one_line(message), title=title, severity=severity, timeout=seconds, markup=False)

    async def on_unmount(self) -> None:
        """Keep the draft and the preferences, however the app ends."""
        with suppress(UserError):  # was said when it was edited
            await asyncio.to_thread(self.session.draft.save)
        preferences.save_preferences(preferences.preferences_path(), self.session.preferences)
