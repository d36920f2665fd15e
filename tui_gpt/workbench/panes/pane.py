"""The dashboard's panes: bordered containers that take the focus, scroll, and are brought up to date on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from tui_gpt.workbench.drawing.formatting import cut, width_of, wrap
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.quiet_static import QuietStatic

NOTHING = Content()
BAR_MINIMUM = 6  # cells; a shorter bar says nothing


class Pane(VerticalScroll):
    """One pane. Subclasses set NAME, and bring their widgets up to date in `refresh_data`."""

    NAME: ClassVar[str]
    ALLOW_MAXIMIZE = True
    DEFAULT_CSS = """
    Pane { padding: 0 1; scrollbar-size-vertical: 1; scrollbar-gutter: auto; }
    Pane > Static { height: auto; }
    Pane.-maximized { height: 1fr; width: 1fr; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(id=self.NAME, classes="pane")
        self.session = session
        self._titles = (NOTHING, NOTHING)

    @property
    def target(self) -> Widget:
        """What takes the focus when the pane is chosen."""
        return self

    def refresh_data(self) -> None:
        """Bring the widgets up to date."""

    def on_show(self) -> None:
        self.refresh_data()

    def text(self) -> str:
        """Return what the pane shows, for the clipboard."""
        return "\n\n".join(widget.text for widget in self.query(QuietStatic) if widget.display)

    def set_title(self, title: Content, subtitle: Content = NOTHING) -> None:
        """Set the border's texts, where they changed."""
        if not (title.is_same(self._titles[0]) and subtitle.is_same(self._titles[1])):
            self._titles = title, subtitle
            self.border_title, self.border_subtitle = title, subtitle


class TextPane(Pane):
    """A pane of lines. Subclasses return them from `lines`."""

    def compose(self) -> ComposeResult:
        yield QuietStatic()

    def lines(self, width: int) -> Sequence[Content]:
        """Return the lines, none wider than `width` cells."""
        raise NotImplementedError

    def on_resize(self) -> None:
        self.refresh_data()

    def refresh_data(self) -> None:
        lines = self.lines(max(10, self.scrollable_content_region.width))
        self.query_one(QuietStatic).show(Content("\n").join(lines))


def hanging(mark: Content, text: str, width: int, style: str = "", limit: int = 12) -> list[Content]:
    """Return `text` wrapped behind `mark`, with its further lines indented as far as the first."""
    indent = width_of(mark.plain)
    first, *rest = wrap(text, max(8, width - indent), limit=limit)
    return [Content.assemble(mark, (first, style))] + [Content.assemble(" " * indent, (line, style)) for line in rest]


def meter(label: str, share: float, figure: str, width: int, style: str = "$primary") -> Content:
    """Return `label ━━━━──── figure`; where it is narrow, the bar goes first and the figure stays whole."""
    room = width - width_of(label) - width_of(figure) - 2
    if room < BAR_MINIMUM:
        return sides(label, figure, width)
    full = round(min(1.0, max(0.0, share)) * room)
    return Content.assemble(
        (label, "$foreground-muted"), " ", ("━" * full, style), ("─" * (room - full), "$border-blurred"), f" {figure}"
    )


def sides(label: str, figure: str, width: int) -> Content:
    """Return `label` at the left and `figure` at the right; the label is cut where both do not fit."""
    label = cut(label, max(0, width - width_of(figure) - 1))
    gap = " " * max(1, width - width_of(label) - width_of(figure))
    return Content.assemble((label, "$foreground-muted"), gap, figure)


def clickable(text: Content, action: str) -> Content:
    """Return `text` so that a click on it runs `action`."""
    return text.stylize(Style.from_meta({"@click": action}))
