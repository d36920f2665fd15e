"""A chart that is drawn only when its plot, size or theme changed, with a cursor, zoom and pan by keys and mouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events, work
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_gpt.workbench.drawing import sheet
from tui_gpt.workbench.drawing.decimation import Range
from tui_gpt.workbench.drawing.formatting import cut, width_of
from tui_gpt.workbench.drawing.plot_model import Plot
from tui_gpt.workbench.drawing.rendering import Drawing, render
from tui_gpt.workbench.drawing.sanitizing import one_line

RUN_COLORS = ("$primary", "$accent", "$success", "$secondary", "$warning", "$error", "$foreground", "$text-muted")
ROLES = ("text", "train", "val", "band", "floor", "axis", "mark", "best", "bad", "sample", "cut", "cursor")
ZOOM = 1.5
MOST_ZOOM = 1e6
PAN = 0.25  # of the width of what is shown


class Chart(Widget, can_focus=True):
    """Shows a `Plot`. It does not change what is shown by itself: it posts `ZoomChanged`, and is shown another plot."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"chart--{role}" for role in ROLES),
        *(f"chart--run-{number}" for number in range(len(RUN_COLORS))),
    }
    DEFAULT_CSS = """
    Chart { width: 1fr; height: 1fr; }
    Chart > .chart--text { color: $text-muted; }
    Chart > .chart--train { color: $primary; }
    Chart > .chart--val { color: $accent; }
    Chart > .chart--band { color: $primary 35%; }
    Chart > .chart--floor { color: $text-success; }
    Chart > .chart--axis { color: $text-muted; }
    Chart > .chart--mark { color: $text-muted; }
    Chart > .chart--cut { color: $text-muted; }
    Chart > .chart--best { color: $text-warning; text-style: bold; }
    Chart > .chart--bad { color: $text-error; text-style: bold; }
    Chart > .chart--sample { color: $text-secondary; }
    Chart > .chart--cursor { color: $foreground; background: $foreground 15%; }
    Chart:ansi {
        & > .chart--band { color: ansi_bright_black; }
        & > .chart--floor { color: ansi_green; }
        & > .chart--cursor { color: ansi_default; background: ansi_bright_black; }
    }
    """ + "".join(f"Chart > .chart--run-{number} {{ color: {color}; }}\n" for number, color in enumerate(RUN_COLORS))
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move_cursor(-1)", "Cursor left", show=False),
        Binding("right", "move_cursor(1)", "Cursor right", show=False),
        Binding("up", "zoom(1)", "Zoom in", show=False),
        Binding("down", "zoom(-1)", "Zoom out", show=False),
        Binding("pageup,shift+left", "pan(-1)", "Pan left", show=False),
        Binding("pagedown,shift+right", "pan(1)", "Pan right", show=False),
        Binding("escape", "reset", "Hide the cursor, show all", show=False),
    ]
    ALLOW_SELECT = False

    @dataclass
    class CursorMoved(Message):
        """The cursor is at another x value, or hidden."""

        chart: Chart
        x: float | None

        @property
        def control(self) -> Chart:
            return self.chart

    @dataclass
    class ZoomChanged(Message):
        """The user wants to see another range of x, None for all of it."""

        chart: Chart
        x_range: Range | None

        @property
        def control(self) -> Chart:
            return self.chart

    def __init__(
        self,
        *,
        glyphs: str = "braille",
        has_color: bool = True,
        can_focus: bool = True,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.can_focus = can_focus
        self.plot: Plot | None = None
        self._glyphs, self._has_color = glyphs, has_color
        self._empty_text = ""
        self._cursor_x: float | None = None
        self._drawing: Drawing | None = None
        self._strips: list[Strip] = []
        self._drag: tuple[int, Range] | None = None  # column and range where the mouse went down
        self._has_dragged = False

    def show(self, plot: Plot | None, empty_text: str = "no numbers yet") -> None:
        """Show `plot`, or `empty_text` where there is none or nothing in it that can be drawn."""
        if plot == self.plot and empty_text == self._empty_text:
            return
        self.plot, self._empty_text = plot, empty_text
        self._redraw()

    @property
    def cursor_x(self) -> float | None:
        """Where the cursor is, None while it is hidden. Setting it posts no message."""
        return self._cursor_x

    @cursor_x.setter
    def cursor_x(self, x: float | None) -> None:
        if x != self._cursor_x:
            self._cursor_x = x
            self.refresh()

    # ── drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _redraw(self) -> None:
        self._drawing = None
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawing = None

    def on_resize(self) -> None:
        self._redraw()

    @work(thread=True, exclusive=True, exit_on_error=False)
    def _prewarm(self) -> None:
        try:
            sheet.prewarm()
        except (ImportError, OSError) as error:  # no wheel with a compiled kernel for this machine
            self.app.call_from_thread(self.show, None, f"charts need plotext 6.1: {one_line(str(error))}")
        else:
            self.app.call_from_thread(self._redraw)

    def _draw(self) -> Drawing:
        width, height = self.size
        if self.plot is None or sheet.is_ready():
            drawing = render(self.plot or Plot(), width, height, self._glyphs, has_color=self._has_color)
        else:
            drawing = Drawing([])
            self._prewarm()
        rows = drawing.rows or self._empty_rows(width, height)
        styles = {role: self.get_component_rich_style(f"chart--{role}") for role in {r for row in rows for _, r in row}}
        self._strips = [Strip([Segment(text, styles[role]) for text, role in row], width) for row in rows]
        return drawing

    def _empty_rows(self, width: int, height: int) -> list[list[tuple[str, str]]]:
        text = cut(self._empty_text, width) if self.plot is None or sheet.is_ready() else ""
        before = (width - width_of(text)) // 2
        line = " " * before + text + " " * (width - before - width_of(text))
        return [[(line if row == (height - 1) // 2 else " " * width, "text")] for row in range(height)]

    def render_line(self, y: int) -> Strip:
        if self._drawing is None:
            self._drawing = self._draw()
        if y >= len(self._strips):
            return Strip.blank(self.size.width, self.rich_style)
        strip, drawing = self._strips[y], self._drawing
        column = drawing.column_of(self._cursor_x) if drawing.rows and self._cursor_x is not None else None
        if column is None or y >= drawing.lines:
            return strip
        before, cell, after = strip.divide([column, column + 1, strip.cell_length])
        text = "│" if not cell.text.strip() else cell.text
        text = "|" if self._glyphs == "ascii" and text == "│" else text
        style = self.get_component_rich_style("chart--cursor")
        own = next(iter(cell)).style or Style() if cell.text.strip() else Style()
        return Strip([*before, Segment(text, own + Style(bgcolor=style.bgcolor) if own else style), *after])

    # ── cursor, zoom and pan ────────────────────────────────────────────────────────────────────────────────────────

    def _move_cursor_to(self, x: float | None) -> None:
        if x != self._cursor_x:
            self.cursor_x = x
            self.post_message(self.CursorMoved(self, x))

    def action_move_cursor(self, columns: int) -> None:
        drawing = self._drawing
        if drawing is None or not drawing.rows:
            return
        column = drawing.column_of(self._cursor_x) if self._cursor_x is not None else None
        if column is None:
            column = drawing.column_of(drawing.data_end)
        else:
            column += columns
        if column is not None:
            self._move_cursor_to(drawing.x_at(min(drawing.left + drawing.columns - 1, max(drawing.left, column))))

    def action_zoom(self, direction: int) -> None:
        """Zoom in around the cursor, or around the end of the data; or out with a negative `direction`."""
        drawing = self._drawing
        if drawing is not None and drawing.rows:
            self._zoom(self._cursor_x if self._cursor_x is not None else drawing.data_end, direction)

    def _zoom(self, around: float, direction: int) -> None:
        shown, bounds = self._ranges()
        if shown is None or bounds is None:
            return
        factor = ZOOM ** -(1 if direction > 0 else -1)
        low, high = (around + (end - around) * factor for end in shown)
        if high - low >= (bounds[1] - bounds[0]) * 0.999:
            self._post_range(None)
        elif high - low > (bounds[1] - bounds[0]) / MOST_ZOOM:
            self._post_range((low, high))

    def action_pan(self, direction: int) -> None:
        """Show what is left (negative) or right of what is shown."""
        shown, _ = self._ranges()
        if shown is not None and self.plot is not None and shown != self.plot.x_bounds:
            away = PAN * direction * (shown[1] - shown[0])
            self._post_range((shown[0] + away, shown[1] + away))

    def action_reset(self) -> None:
        """Hide the cursor; show all of x when it is hidden already."""
        if self._cursor_x is not None:
            self._move_cursor_to(None)
        elif self.plot is not None and self.plot.x_range != self.plot.x_bounds:
            self._post_range(None)
        else:
            raise SkipAction  # nothing to leave here: the key is for what is around the chart

    def _ranges(self) -> tuple[Range | None, Range | None]:
        """Return the range that is shown, without the room for labels, and the whole one."""
        if self.plot is None or self._drawing is None or not self._drawing.rows:
            return None, None
        shown = self.plot.x_range or self._drawing.x_range
        return shown, self.plot.x_bounds or shown

    def _post_range(self, x_range: Range | None) -> None:
        """Ask for `x_range`, moved into the bounds."""
        shown, bounds = self._ranges()
        if x_range is not None and bounds is not None:
            width = min(x_range[1] - x_range[0], bounds[1] - bounds[0])
            low = min(max(x_range[0], bounds[0]), bounds[1] - width)
            x_range = low, low + width
        if x_range != shown:
            self.post_message(self.ZoomChanged(self, x_range))

    # ── mouse ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_mouse_down(self, event: events.MouseDown) -> None:
        shown, _ = self._ranges()
        if event.button == 1 and shown is not None and self.can_focus:
            self._drag, self._has_dragged = (event.x, shown), False
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._drag is None or self._drawing is None or self.plot is None:
            return
        column, start = self._drag
        self._has_dragged |= event.x != column
        if self._has_dragged and self.plot.x_bounds is not None and start != self.plot.x_bounds:
            away = (column - event.x) * (start[1] - start[0]) / max(1, self._drawing.columns)
            self._post_range((start[0] + away, start[1] + away))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._drag is None:
            return
        self._drag = None
        self.release_mouse()
        if not self._has_dragged and self._drawing is not None and self._drawing.rows:
            self._move_cursor_to(self._drawing.x_at(event.x))

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2 and self.can_focus:
            self._post_range(None)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll(event, -1)

    def _scroll(self, event: events.MouseEvent, direction: int) -> None:
        if self.can_focus and self._drawing is not None and self._drawing.rows:
            event.stop()
            self._zoom(self._drawing.x_at(event.x), direction)
