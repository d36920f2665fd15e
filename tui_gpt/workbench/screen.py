"""What every screen of the workbench has: header, status line, footer, prompt, and the actions of everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.screen import Screen

from tui_gpt.workbench import actions, steering
from tui_gpt.workbench.canvas import Canvas, Row, Span, row, row_width, sides
from tui_gpt.workbench.text import cut_head, one_line

if TYPE_CHECKING:
    from tui_gpt.run.folder import RunFolder
    from tui_gpt.workbench.app import Workbench

Choice = tuple[str, str, object]  # a picker's line: label, detail, value
SCREENS = (("dashboard", "Dashboard"), ("runs", "Runs"), ("talk", "Talk"), ("corpora", "Corpora"))


class Bar(Canvas):
    """A canvas whose rows a function makes."""

    def __init__(self, content: Callable[[int], Sequence[Sequence[Span]]], *, id: str) -> None:
        super().__init__(id=id)
        self._content = content

    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        return self._content(width)


class WorkScreen(Screen[None]):
    """A screen of the workbench; subclasses give the middle and their actions."""

    place: ClassVar[str]
    AUTO_FOCUS = ""  # no input has the focus until it is asked for, so that letters are keys
    BINDINGS = actions.bindings(actions.EVERYWHERE)

    @property
    def workbench(self) -> Workbench:
        return cast("Workbench", self.app)

    def compose(self) -> ComposeResult:
        yield Bar(lambda width: [self.header_row(width)], id="header")
        yield Bar(lambda width: [self.status_row(width)], id="status")
        yield from self.compose_middle()
        yield Bar(lambda width: [self.footer_row(width)], id="footer")

    def compose_middle(self) -> ComposeResult:
        raise NotImplementedError

    def on_resize(self) -> None:
        self.set_class(self.app.size.height < 10, "low")

    def redraw(self) -> None:
        """Bring everything on screen up to date; what did not change costs nothing."""
        for canvas in self.query(Canvas):
            canvas.redraw()

    async def look(self) -> None:
        """Read what only this screen shows; called at each beat while it is in front."""

    def corpora_changed(self) -> None:
        """Read the corpora again, on the screen that shows them."""

    def choose(self, folder: RunFolder) -> None:
        """Turn to this run, on the screen that can."""

    # text typed by the user

    def ask(self, title: Row, done: Callable[[str], None], **options: Any) -> None:
        """One line from the user, over the bottom of the screen; options as `Prompt` takes them."""
        from tui_gpt.workbench.prompt import Prompt

        self.leave_prompt()
        self.mount(Prompt(title, done, **options))

    def leave_prompt(self) -> bool:
        """Close the prompt; whether there was one."""
        found = self.query("#prompt")
        for prompt in found:
            self.set_focus(None)
            prompt.remove()
        return bool(found)

    # rows around the middle

    def header_row(self, width: int) -> Row:
        spans: list[Span] = [(" gpt-tui ", "bright")]
        for key, name in SCREENS:
            spans += [(f" {name} ", "tab" if key == self.place else "dim"), (" ", "text")]
        feed = self.workbench.feed
        right = one_line(feed.folder.id) if feed else one_line(str(self.workbench.workspace))
        room = width - row_width(spans) - 2
        right = cut_head(right, room if room > 8 else 0)
        return sides(spans, row((right + " ", "dim")), width)

    def status_row(self, width: int) -> Row:
        feed, chore = self.workbench.feed, self.workbench.chore
        if feed is None and chore is not None:
            return sides(row((" ● ", "good"), (one_line(chore.doing), "text")), row((f"{chore.bar} ", "accent")), width)
        if feed is None:
            config = self.workbench.draft.config
            return row(
                (" ○ no run", "dim"),
                (" · ", "dim"),
                ("s", "key"),
                (f" starts {config.preset} on {one_line(config.data.corpus)}", "text"),
                (f" · {config.training.duration}", "dim"),
            )
        from tui_gpt.workbench.status import status_line

        return (
            (" ", "text"),
            *status_line(feed, self.workbench.commander, width - 2, frozen=self.workbench.frozen),
            (" ", "text"),
        )

    def footer_items(self) -> list[tuple[str, str]]:
        """(action id, its word) for what one would do next."""
        raise NotImplementedError

    def footer_key(self, keys: tuple[str, ...]) -> str:
        """Which of an action's keys the footer names."""
        return keys[0]

    def footer_row(self, width: int) -> Row:
        keymap = self.workbench.keymap
        spans: list[Span] = []
        tail = row(("? ", "key"), ("help ", "dim"))
        for name, word in self.footer_items():
            keys = actions.keys_of(actions.BY_ID[name], keymap)
            if not keys:
                continue
            item: list[Span] = [(f" {actions.shown(self.footer_key(keys))}", "key"), (f" {word} ", "dim")]
            if row_width(spans) + row_width(item) + row_width(tail) + 2 > width:
                spans.append((" …", "dim"))
                break
            spans += item
        return sides(spans, tail, width)

    # actions of everywhere

    def action_help(self) -> None:
        from tui_gpt.workbench.dialogs import help_rows

        groups = actions.grouped(self.workbench.keymap, (self.place, actions.EVERYWHERE))
        self.workbench.read("Keys", help_rows(groups))

    def action_palette(self) -> None:
        keymap = self.workbench.keymap
        items = [
            (action.help, " ".join(actions.shown(key) for key in actions.keys_of(action, keymap)), action.id)
            for action in actions.actions_of(self.place, actions.EVERYWHERE)
            if action.palette
        ]

        def chosen(action_id: object) -> None:
            self.call_later(self.run_action, str(action_id))

        self.workbench.pick("Commands", items, chosen)

    def action_next_screen(self) -> None:
        self._go(1)

    def action_previous_screen(self) -> None:
        self._go(-1)

    def _go(self, by: int) -> None:
        names = [key for key, _ in SCREENS]
        self.workbench.show_screen(names[(names.index(self.place) + by) % len(names)])

    def action_talk(self) -> None:
        self.workbench.show_screen("talk")

    def action_theme(self) -> None:
        from tui_gpt.workbench.themes import LOOKS

        about = {"dusk": "dark, for 256 colours and more", "paper": "light", "terminal": "the terminal's own sixteen"}
        items = [(name, about[name], name) for name in LOOKS]
        self.workbench.pick(
            "Colours", items, lambda name: self.workbench.use_theme(str(name)), current=self.workbench.theme
        )

    def action_copy(self) -> None:
        self.workbench.copy(self.text_to_copy())

    def text_to_copy(self) -> str:
        return ""

    async def action_quit(self) -> None:
        steering.ask_to_quit(self.workbench)

    def action_back(self) -> None:
        """Escape, where nothing nearer takes it."""
        self.leave_prompt()

    # movement goes to what is in front; screens without anything to move in leave it be

    def move(self, by: int) -> None:
        """By lines."""

    def move_to(self, end: bool) -> None:
        """To an end."""

    page = 10

    def action_up(self) -> None:
        self.move(-1)

    def action_down(self) -> None:
        self.move(1)

    def action_page_up(self) -> None:
        self.move(-self.page)

    def action_page_down(self) -> None:
        self.move(self.page)

    def action_top(self) -> None:
        self.move_to(end=False)

    def action_bottom(self) -> None:
        self.move_to(end=True)
