"""What every screen of the workbench has: the header, the footer, and a refresh when data arrived."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.screen import ModalScreen, Screen

from tui_gpt.workbench import keys
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.terminal.current_size import CurrentSize
from tui_gpt.workbench.terminal.key_footer import KeyFooter
from tui_gpt.workbench.widgets.header_bar import HeaderBar

T = TypeVar("T")


class WorkScreen(CurrentSize, Screen[None]):
    """A screen of `keys.SCREENS`. Subclasses compose the body, and refresh it from the session."""

    NAME: ClassVar[str]
    BINDINGS = keys.bindings_of("back")  # before Textual's own escape
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (10, "-short"), (30, "-regular"), (50, "-tall")]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session

    @property
    def is_in_front(self) -> bool:
        """Return whether keys go to this screen. Textual's `is_current` is also true below a dialog."""
        return self.app.screen_stack[-1:] == [self]  # there is none while the app ends

    async def ask(self, dialog: ModalScreen[T]) -> T | None:
        """Show `dialog` and return its answer; None where another one is in front already."""
        if not self.is_in_front:
            return None
        answer: T = await self.app.push_screen_wait(dialog)
        return answer

    def compose(self) -> ComposeResult:
        width, height = self.app.size  # the breakpoints' classes now: set later, they would style every widget twice
        for cells, breakpoints in ((width, self.HORIZONTAL_BREAKPOINTS), (height, self.VERTICAL_BREAKPOINTS)):
            self.add_class(*[name for least, name in breakpoints if cells >= least][-1:])
        yield HeaderBar(self.session, self.NAME)
        yield from self.compose_body()

    def on_mount(self) -> None:
        self.call_after_refresh(self._add_footer)

    async def _add_footer(self) -> None:
        """Add the footer, after the first frame: Textual sends nothing while the footer makes its keys."""
        await self.mount(KeyFooter())
        self.refresh_bindings()

    def compose_body(self) -> ComposeResult:
        """Yield what stands between header and footer."""
        raise NotImplementedError

    async def read_data(self) -> None:
        """Read what only this screen shows, in threads; called before `refresh_data` while the screen is in front."""

    def refresh_data(self) -> None:
        """Bring the widgets up to date; subclasses extend it, and update only what changed."""
        self.query_one(HeaderBar).refresh_data()

    def action_back(self) -> None:
        """Leave what is in front: an input, a maximized pane, the screen."""
        raise NotImplementedError

    def text_to_copy(self) -> str:
        """Return what `Y` copies; empty when there is nothing."""
        return ""
