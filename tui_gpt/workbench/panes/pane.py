"""The dashboard's panes: bordered containers that take the focus, scroll, and are brought up to date on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from tui_gpt.workbench.drawing.formatting import width_of, wrap
from tui_gpt.workbench.state.session import Session

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
        self._titles: dict[str, Content] = {}

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
        raise NotImplementedError

    def set_title(self, title: Content, subtitle: Content = NOTHING) -> None:
        """Set the border's texts, where they changed."""
        for name, text in (("border_title", title), ("border_subtitle", subtitle)):
            if not (name in self._titles and self._titles[name].is_same(text)):
                self._titles[name] = text
                setattr(self, name, text)


class TextPane(Pane):
    """A pane of lines. Subclasses return them from `lines`."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._shown: Content | None = None

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def lines(self, width: int) -> Sequence[Content]:
        """Return the lines, none wider than `width` cells."""
        raise NotImplementedError

    def on_resize(self) -> None:
        self.refresh_data()

    def refresh_data(self) -> None:
        lines = self.lines(max(10, self.scrollable_content_region.width))
        content, before = Content("\n").join(lines), self._shown
        if before is None or not content.is_same(before):
            self._shown = content
            is_as_long = before is not None and before.plain.count("\n") == content.plain.count("\n")
            self.query_one(Static).update(content, layout=not is_as_long)

    def text(self) -> str:
        return self._shown.plain if self._shown else ""


def hanging(mark: Content, text: str, width: int, style: str = "", limit: int = 12) -> list[Content]:
    """Return `text` wrapped behind `mark`, with its further lines indented as far as the first."""
    indent = width_of(mark.plain)
    first, *rest = wrap(text, max(8, width - indent), limit=limit)
    return [Content.assemble(mark, (first, style))] + [Content.assemble(" " * indent, (line, style)) for line in rest]


def meter(label: str, share: float, figure: str, width: int, style: str = "$primary") -> Content:
    """Return `label ━━━━──── figure`; where it is narrow, the bar goes first and the figure stays whole."""
    share = min(1.0, max(0.0, share))
    room = width - width_of(label) - width_of(figure) - 2
    if room < BAR_MINIMUM:
        return sides(label, figure, width)
    full = round(share * room)
    return Content.assemble(
        (label, "$foreground-muted"), " ", ("━" * full, style), ("─" * (room - full), "$border-blurred"), f" {figure}"
    )


def sides(label: str, figure: str, width: int, style: str = "") -> Content:
    """Return `label` at the left and `figure` at the right; the label is cut where both do not fit."""
    room = max(0, width - width_of(figure) - 1)
    label = label if width_of(label) <= room else label[: max(0, room - 1)] + "…"
    gap = " " * max(1, width - width_of(label) - width_of(figure))
    return Content.assemble((label, "$foreground-muted"), gap, (figure, style))


def clickable(text: Content, action: str) -> Content:
    """Return `text` so that a click on it runs `action`."""
    return text.stylize(Style.from_meta({"@click": action}))
