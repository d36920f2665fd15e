"""The command palette: the action table for the screen in front, found by its words and by what people call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from textual import events
from textual.binding import Binding
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.widgets import OptionList

from tui_gpt.workbench import keys
from tui_gpt.workbench.dialogs.dialog import DismissOnce
from tui_gpt.workbench.dialogs.picker import move_highlight
from tui_gpt.workbench.screens.work_screen import WorkScreen


class ActionPalette(DismissOnce, CommandPalette):
    """Textual's palette, without errors of 8.2 that end the app.

    Its list's page keys raise KeyError while the list has not been laid out. What is typed while the palette closes,
    and a palette closed before it is mounted, start a search whose widgets are gone when it ends. A click made
    before the terminal shrank hits no widget. A palette that another screen has covered before it is mounted finds
    no screen to search for: it closes when it comes in front.
    """

    _is_empty = False

    BINDINGS = [
        Binding("pageup", "page(-10)", show=False, priority=True),
        Binding("pagedown", "page(10)", show=False, priority=True),
    ]

    def on_mount(self, event: events.Mount) -> None:
        if self.app.screen is not self:
            self._is_empty = True
            event.prevent_default()

    def on_screen_resume(self) -> None:
        if self._is_empty and self.app.screen is self:
            self.dismiss()

    def action_page(self, by: int) -> None:
        move_highlight(self.query_one(OptionList), by)

    def on_click(self, event: events.Click) -> None:
        if not self.region.contains_point(event.screen_offset):
            event.prevent_default()

    def run_worker(self, *arguments: Any, **options: Any) -> Any:
        """Start a worker, but no more searches once the palette closes."""
        return None if self.is_answered else super().run_worker(*arguments, **options)


class ActionProvider(Provider):
    """Offers each action with its key; those of other screens are left out."""

    def _actions(self) -> Iterator[tuple[keys.Action, str, str]]:
        """Yield each action, its title, and its keys."""
        if not isinstance(self.screen, WorkScreen):
            return
        keymap = self.screen.session.keymap
        for action in keys.actions_of(self.screen.NAME, keys.EVERYWHERE):
            if action.palette and not action.id.startswith("focus_pane("):
                shown = " ".join(keys.display_key(key) for key in keys.keys_of(action, keymap))
                yield action, action.help[:1].upper() + action.help[1:], shown

    async def discover(self) -> Hits:
        for action, title, shown in self._actions():
            yield DiscoveryHit(title, self._runner(action), help=shown)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action, title, shown in self._actions():
            score = max(matcher.match(title), matcher.match(action.words), matcher.match(action.label))
            if score > 0:
                yield Hit(score, matcher.highlight(title), self._runner(action), help=shown)

    def _runner(self, action: keys.Action) -> Callable[[], None]:
        namespace = "app" if action.scope == keys.EVERYWHERE else "screen"
        screen, app = self.screen, self.app

        def run() -> None:
            app.call_later(app.run_action, f"{namespace}.{action.id}", screen)

        return run
