"""The workbench: one person's view of one workspace.

Everything drawn comes from the shown run's folder (`feed`), the draft of the next run, and the machine's readings; all
three are read in threads. One loop (`_follow`) polls and then redraws; nothing that arrives draws by itself. It beats
twice a second, slower when the terminal cannot keep up, and draws nothing while nothing changes.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import RenderableType
from rich.segment import Segment
from rich.style import Style
from textual._compositor import CompositorUpdate
from textual.app import App
from textual.binding import Binding
from textual.color import Color
from textual.filter import LineFilter, NoColor
from textual.screen import Screen

from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder, find, list_runs
from tui_gpt.run.messages import FINAL_STATES
from tui_gpt.workbench import memory, steering
from tui_gpt.workbench.actions import textual_key
from tui_gpt.workbench.canvas import Row
from tui_gpt.workbench.commander import Commander
from tui_gpt.workbench.dashboard import Dashboard
from tui_gpt.workbench.draft import Draft
from tui_gpt.workbench.machine import Machine
from tui_gpt.workbench.plan import Plan, Speed, known_speed, make_plan
from tui_gpt.workbench.screen import Choice, WorkScreen
from tui_gpt.workbench.terminal import MeteredDriver, is_closed
from tui_gpt.workbench.text import one_line, short, to_ascii
from tui_gpt.workbench.themes import LOOKS, default_theme
from tui_gpt.workbench.wire import tight

if TYPE_CHECKING:
    from tui_gpt.workbench.chores import Chore
    from tui_gpt.workbench.corpus_facts import CorpusFacts
    from tui_gpt.workbench.feed import RunFeed
    from tui_gpt.workbench.voice import Voice

BEAT_SECONDS, IDLE_SECONDS = 0.5, 2.0
BACKLOG = 4096  # characters on their way to the terminal, from where on it is let catch up
MACHINE_SECONDS = 2.0


class _Ascii(LineFilter):
    """The last thing before the terminal: whatever is drawn, it leaves as ASCII."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]


def _runs_screen() -> WorkScreen:
    from tui_gpt.workbench.runs_screen import RunsScreen

    return RunsScreen()


def _corpora_screen() -> WorkScreen:
    from tui_gpt.workbench.corpora_screen import CorporaScreen

    return CorporaScreen()


def _talk_screen() -> WorkScreen:
    from tui_gpt.workbench.talk_screen import TalkScreen

    return TalkScreen()


class Workbench(App[int], inherit_bindings=False):
    """See the module. `run`: what to open; without one it is what is live."""

    CSS_PATH = "workbench.tcss"
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    SCREENS = {"runs": _runs_screen, "talk": _talk_screen, "corpora": _corpora_screen}
    BINDINGS = [Binding("ctrl+c", "ask_quit", show=False, priority=True)]

    def __init__(self, workspace: Path, *, run: str | None = None, glyphs: str = "braille") -> None:
        super().__init__(driver_class=MeteredDriver)
        self.workspace = workspace
        self.runs, self.corpus_dir = workspace / "runs", workspace / "corpus"
        self.glyphs = glyphs
        self.view = memory.load_view(memory.view_path())
        self.keymap, self._problems = memory.load_keymap(memory.keys_path())
        self.draft = Draft(workspace / "configs")
        self.feed: RunFeed | None = None
        self.commander = Commander()
        self.machine = Machine()
        self.facts: CorpusFacts | None = None
        self.speed: Speed | None = None
        self.voice: Voice | None = None
        self.chore: Chore | None = None  # what is being done to a corpus, in a child process
        self.chore_problem = ""  # why the last one failed
        self.frozen = False
        self._run = run
        self._colourless = NoColor()
        self._ascii = _Ascii(enabled=glyphs == "ascii")
        self._wake, self._beating = asyncio.Event(), asyncio.Lock()
        self._machine_read = 0.0
        self._last_state: tuple[str, str] = ("", "")
        for look in LOOKS.values():
            self.register_theme(look.textual)
        colors = None if self.no_color else self.console.color_system
        suited = default_theme(colors)
        self.theme = self.view.theme if self.view.theme in LOOKS and colors else suited
        self.set_keymap({name: ",".join(map(textual_key, keys)) for name, keys in self.keymap.items()})

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def roles(self) -> dict[str, Style]:
        return LOOKS[self.theme].roles

    @property
    def colourless(self) -> bool:
        """Whether what is in front must show by more than its colour."""
        return bool(self.no_color) or self.glyphs == "ascii"

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = [self._colourless] if self.no_color else super().get_line_filters()
        return [*filters, self._ascii] if self._ascii.enabled else filters

    def get_default_screen(self) -> Dashboard:
        return Dashboard(id="_default")

    def on_mount(self) -> None:
        self._open_first()
        self.run_worker(self._follow(), group="follow")
        self.call_after_refresh(self._settle_in)

    def _open_first(self) -> None:
        try:
            self.draft.load()
            if self._run is not None:
                self.feed = self._feed_of(find(self.runs, self._run))
            elif len(live := [folder for folder in list_runs(self.runs) if folder.is_locked()]) == 1:
                self.feed = self._feed_of(live[0])
            elif live:
                self.call_after_refresh(self.show_screen, "runs")
        except UserError as error:
            self._problems.append(str(error))

    def _feed_of(self, folder: RunFolder) -> RunFeed:
        from tui_gpt.workbench.feed import RunFeed

        return RunFeed(folder)

    def _settle_in(self) -> None:
        """What can wait until the first frame stands."""
        for problem in self._problems:
            self.say(problem, "warning")
        self.study_draft()
        gc.freeze()
        gc.enable()

    def _display(self, screen: Screen, renderable: RenderableType | None) -> None:
        super()._display(screen, tight(renderable) if isinstance(renderable, CompositorUpdate) else renderable)

    async def _follow(self) -> None:
        while True:
            await self._beat()
            live = self.feed is not None and self.feed.is_live
            wait = BEAT_SECONDS if live or self.commander.asks or self.chore else IDLE_SECONDS
            if self.backlog > BACKLOG:
                wait = IDLE_SECONDS
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue
            finally:
                self._wake.clear()

    async def _beat(self) -> None:
        """Read what is new, then draw it; one at a time, since a feed is not read by two threads."""
        async with self._beating:
            await self._read_and_draw()

    async def _read_and_draw(self) -> None:
        driver = self._driver
        if isinstance(driver, MeteredDriver) and is_closed(driver.fileno):
            self.exit(129)
            return
        feed = self.feed
        if feed is not None:
            known = feed.info
            await self.read_feed(feed)
            if known is None and feed.info is not None:
                self.study_draft()  # its corpus has been prepared: counts instead of estimates
            self._take_note(feed)
            if feed.is_live and time.monotonic() - self._machine_read > MACHINE_SECONDS:
                await self._read_machine()
        if isinstance(self.screen, WorkScreen):
            await self.screen.look()
        if not self.frozen and self.backlog <= BACKLOG:
            self.redraw()

    async def read_feed(self, feed: RunFeed) -> None:
        """Bring a feed up to date, a long journal piece by piece with a picture now and then."""
        drawn = time.monotonic()
        while feed.take(await asyncio.to_thread(feed.read)):
            if time.monotonic() - drawn > BEAT_SECONDS:
                self.redraw()
                drawn = time.monotonic()

    @property
    def backlog(self) -> int:
        return self._driver.backlog if isinstance(self._driver, MeteredDriver) else 0

    async def _read_machine(self) -> None:
        self._machine_read = time.monotonic()
        pids = self.feed.status.trainer_pids if self.feed and self.feed.status and self.feed.is_live else ()
        await asyncio.to_thread(self.machine.take, pids)

    def redraw(self) -> None:
        redraw = getattr(self.screen, "redraw", None)
        if redraw is not None:
            redraw()

    def wake(self) -> None:
        """Look at once instead of at the next beat."""
        self._wake.set()

    def _take_note(self, feed: RunFeed) -> None:
        """Answers to what was asked, and an end that the user should hear of."""
        for answer in self.commander.settle(feed):
            if not answer.ok:
                self.say(f"{answer.command or 'command'}: {answer.message}", "error")
            elif answer.command == "checkpoint":
                self.say(answer.message)
        run, before = self._last_state
        self._last_state = (feed.folder.id, feed.state)
        if run != feed.folder.id or before == feed.state or before in FINAL_STATES:
            return
        if feed.state in ("finished", "stopped"):
            words = feed.status.message if feed.status else ""
            self.say(words or f"{feed.state} at step {feed.step}", bell=True)
        elif feed.state in ("failed", "crashed", "gone"):
            self.say(f"{feed.state}: {feed.failure()}", "error", bell=True)

    # ── saying things ───────────────────────────────────────────────────────────────────────────────────────────────

    def say(
        self, text: str, severity: Literal["information", "warning", "error"] = "information", *, bell: bool = False
    ) -> None:
        """A notice in the corner; errors stay longer."""
        sign = {"information": "", "warning": "▲ ", "error": "✗ "}[severity]
        self.notify(
            sign + one_line(text), severity=severity, timeout=4 if severity == "information" else 12, markup=False
        )
        if bell:
            self.bell()

    def pick(self, title: str, choices: Sequence[Choice], chosen: Callable[[object], None], **options: Any) -> None:
        """Let the user choose; `chosen` is called with the value unless they leave. Options as `Picker` takes them."""
        from tui_gpt.workbench.dialogs import Picker, as_items

        def answered(value: object) -> None:
            if value is not None:
                chosen(value)

        self.push_screen(Picker(title, as_items(choices), **options), answered)

    def question(
        self,
        title: str,
        text: str,
        choices: Sequence[tuple[str, str, str]],
        answered: Callable[[str], None],
        *,
        bad: bool = False,
    ) -> None:
        """Ask with single keys: (key, what it does, answer); `answered` is called unless they leave."""
        from tui_gpt.workbench.dialogs import Question

        def told(answer: str | None) -> None:
            if answer:
                answered(answer)

        if not isinstance(self.screen, Question):
            self.push_screen(Question(title, text, choices, bad=bad), told)

    def read(self, title: str, content: Callable[[int], Sequence[Row]], *, at_end: bool = False) -> None:
        """Show a text over the whole screen."""
        from tui_gpt.workbench.dialogs import Reader

        self.push_screen(Reader(title, content, at_end=at_end))

    def copy(self, text: str) -> None:
        """Into the terminal's clipboard (OSC 52), and into a file for terminals that have none."""
        if not text.strip():
            self.say("there is nothing to copy here")
            return
        self.copy_to_clipboard(text)
        path = memory.view_path().with_name("copied.txt")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", "replace")
            self.say(f"copied {len(text):,} characters, also into {path}")
        except OSError:
            self.say(f"copied {len(text):,} characters")

    def use_theme(self, name: str) -> None:
        self.theme = name
        self.view.theme = name
        for screen in self.screen_stack:
            screen.refresh(layout=True)

    # ── screens and runs ────────────────────────────────────────────────────────────────────────────────────────────

    def show_screen(self, name: str) -> None:
        """The dashboard lies at the bottom; the others come over it, one at a time."""
        if getattr(self.screen, "place", None) == name:
            return
        if name == "dashboard":
            self.pop_screen()
        elif isinstance(self.screen, Dashboard):
            self.push_screen(name)
        else:
            self.switch_screen(name)
        self.wake()

    def open_run(self, folder: RunFolder | None) -> None:
        """Show a run on the dashboard, or the draft."""
        self.feed = self._feed_of(folder) if folder is not None else None
        self.frozen = False
        self.show_screen("dashboard")
        self.redraw()
        self.wake()

    def talk_to(self, folder: RunFolder) -> None:
        """Go to the sampling screen with this run's newest checkpoint."""
        self.show_screen("talk")
        screen = self.screen
        if isinstance(screen, WorkScreen):
            screen.choose(folder)

    # ── the draft ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def plan(self) -> Plan:
        return self._tried or make_plan(self.draft.config, self.facts, self.machine.readings, self.speed)

    _tried: Plan | None = None

    @property
    def speed_note(self) -> str:
        return f"{short(self.speed.tokens_per_second)} tokens/s, as in {self.speed.run}" if self.speed else ""

    def edit_draft(self, change: Callable[[], None]) -> None:
        """Carry out a change of the draft, or say why it cannot be."""
        self._tried = None
        try:
            change()
        except UserError as error:
            self.say(str(error), "error")
        self.redraw()
        self.study_draft()

    def try_value(self, key: str, text: str) -> None:
        """Let the plan follow a value that is still being typed."""
        try:
            trial = self.draft.trial(key, text)
        except UserError:
            return
        self._tried = make_plan(trial, self.facts, self.machine.readings, self.speed)
        self.redraw()

    def load_config(self, path: Path) -> None:
        from tui_gpt.config import read_toml

        self.edit_draft(lambda: self.draft.adopt(read_toml(path), str(path)))

    def study_draft(self) -> None:
        """Read corpus, machine and earlier runs anew for what the draft needs to know."""
        self.run_worker(self._study(), group="study", exclusive=True)

    async def _study(self) -> None:
        from tui_gpt.workbench.corpus_facts import read_facts

        config = self.draft.config
        data = config.data
        facts = self.facts
        if facts is None or (facts.reference, facts.tokenizer) != (data.corpus, data.tokenizer) or not facts.prepared:
            self.facts = await asyncio.to_thread(
                read_facts, data.corpus, data.tokenizer, data.val_fraction, self.corpus_dir
            )
        self.speed = await asyncio.to_thread(known_speed, self.runs, config)
        await self._read_machine()
        self._tried = None
        self.redraw()

    def open_editor(self) -> None:
        from tui_gpt.workbench.editing import edit_in_editor

        edit_in_editor(self)

    def corpora_changed(self) -> None:
        """Read again what is known of the corpora: one was fetched, cleaned or prepared, or could not be."""
        self.study_draft()
        for screen in self.screen_stack:
            if isinstance(screen, WorkScreen):
                screen.corpora_changed()
        self.redraw()

    def view_tokens(self, reference: str) -> None:
        """Show how the draft's tokenizer cuts the beginning of a corpus."""
        from tui_gpt.workbench.tokens_screen import TokensScreen

        self.push_screen(TokensScreen(reference, self.draft.config.data.tokenizer))

    # ── leaving ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_ask_quit(self) -> None:
        steering.ask_to_quit(self)

    def leave(self, code: int = 0) -> None:
        memory.save_view(memory.view_path(), self.view)
        if self.voice is not None:
            self.voice.close()
        self.exit(code)
