"""A chart that is drawn only when its plot, size or theme changed, with a cursor, zoom and pan by keys and mouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events, work
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from tui_gpt.workbench.drawing import sheet
from tui_gpt.workbench.drawing.decimation import Range
from tui_gpt.workbench.drawing.formatting import cut
from tui_gpt.workbench.drawing.plot_model import Plot
from tui_gpt.workbench.drawing.rendering import Drawing, render
from tui_gpt.workbench.drawing.sanitizing import one_line

RUN_COLORS = ("$primary", "$accent", "$success", "$secondary", "$warning", "$error", "$foreground", "$text-muted")
STYLES = {  # by role; what is not named here is muted
    "train": "$primary",
    "val": "$accent",
    "band": "$primary dim",
    "floor": "$text-success",
    "best": "bold $text-warning",
    "bad": "bold $text-error",
    "sample": "$text-secondary",
    **{f"run-{number}": color for number, color in enumerate(RUN_COLORS)},
}
CURSOR = RichStyle(reverse=True)
ZOOM = 1.5
MOST_ZOOM = 1e6
PAN = 0.25  # of the width of what is shown


class Chart(Widget, can_focus=True):
    """Shows a `Plot`. It does not change what is shown by itself: it posts `ZoomChanged`, and is shown another plot."""

    DEFAULT_CSS = "Chart { width: 1fr; height: 1fr; }"
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

    plot: reactive[Plot | None] = reactive(None)
    empty_text: reactive[str] = reactive("")  # shown where there is no plot, or nothing in it that can be drawn
    cursor_x: reactive[float | None] = reactive(None)  # None while the cursor is hidden

    @dataclass
    class CursorMoved(Message):
        """The user moved the cursor to another x value, or hid it."""

        x: float | None

    @dataclass
    class ZoomChanged(Message):
        """The user wants to see another range of x, None for all of it."""

        x_range: Range | None

    def __init__(
        self, *, glyphs: str = "braille", has_color: bool = True, can_focus: bool = True, **options: Any
    ) -> None:
        super().__init__(**options)
        self.can_focus = can_focus
        self._glyphs, self._has_color = glyphs, has_color
        self._drawing: Drawing | None = None  # None: to be drawn anew
        self._strips: list[Strip] = []
        self._drag: tuple[int, Range] | None = None  # column and range where the mouse went down
        self._has_dragged = False

    def show(self, plot: Plot | None, empty_text: str = "no numbers yet") -> None:
        """Show `plot`, or `empty_text` where there is none or nothing in it that can be drawn."""
        self.plot, self.empty_text = plot, empty_text

    # ── drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def redraw(self) -> None:
        """Draw the plot anew with the next frame."""
        self._drawing = None
        self.refresh()

    watch_plot = watch_empty_text = on_resize = redraw

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawing = None

    @work(thread=True, exclusive=True, exit_on_error=False)
    def _prewarm(self) -> None:
        try:
            sheet.prewarm()
        except (ImportError, OSError) as error:  # no wheel with a compiled kernel for this machine
            self.app.call_from_thread(self.show, None, f"charts need plotext 6.1: {one_line(str(error))}")
        else:
            self.app.call_from_thread(self.redraw)

    def _draw(self) -> Drawing:
        width, height = self.size
        drawing, text = Drawing([]), self.empty_text
        if self.plot is not None and sheet.is_ready():
            drawing = render(self.plot, width, height, self._glyphs, has_color=self._has_color)
        elif self.plot is not None:
            text = ""
            self._prewarm()
        if drawing.rows:
            base = self.visual_style
            roles = {role for row in drawing.rows for _, role in row}
            styles = {role: (base + Style.parse(STYLES.get(role, "$text-muted"))).rich_style for role in roles}
            self._strips = [Strip([Segment(text, styles[role]) for text, role in row], width) for row in drawing.rows]
        else:
            self._strips = [Strip.blank(width, self.rich_style)] * height
            empty = Strip([Segment(cut(text, width).center(width), self.rich_style)], width)
            self._strips[(height - 1) // 2 : (height + 1) // 2] = [empty]
        return drawing

    def render_line(self, y: int) -> Strip:
        if self._drawing is None:
            self._drawing = self._draw()
        if y >= len(self._strips):
            return Strip.blank(self.size.width, self.rich_style)
        strip, drawing = self._strips[y], self._drawing
        column = drawing.column_of(self.cursor_x) if drawing.rows and self.cursor_x is not None else None
        if column is None or y >= drawing.lines:
            return strip
        before, cell, after = strip.divide([column, column + 1, strip.cell_length])
        line = "|" if self._glyphs == "ascii" else "│"
        cursor = cell.apply_style(CURSOR) if cell.text.strip() else Strip([Segment(line, self.rich_style)])
        return Strip.join([before, cursor, after])

    # ── cursor, zoom and pan ────────────────────────────────────────────────────────────────────────────────────────

    def _move_cursor_to(self, x: float | None) -> None:
        if x != self.cursor_x:
            self.cursor_x = x
            self.post_message(self.CursorMoved(x))

    @property
    def _shown(self) -> Drawing | None:
        """What is on screen, None while that is no plot."""
        return self._drawing if self._drawing is not None and self._drawing.rows else None

    def action_move_cursor(self, columns: int) -> None:
        if (drawing := self._shown) is None:
            return
        column = drawing.column_of(self.cursor_x) if self.cursor_x is not None else None
        column = drawing.column_of(drawing.data_end) if column is None else column + columns
        if column is not None:
            self._move_cursor_to(drawing.x_at(min(drawing.left + drawing.columns - 1, max(drawing.left, column))))

    def action_zoom(self, direction: int) -> None:
        """Zoom in around the cursor, or around the end of the data; or out with a negative `direction`."""
        if (drawing := self._shown) is not None:
            self._zoom(self.cursor_x if self.cursor_x is not None else drawing.data_end, direction)

    def _zoom(self, around: float, direction: int) -> None:
        (low, high), bounds = self._ranges()
        low, high = (around + (end - around) * ZOOM**-direction for end in (low, high))
        whole = bounds[1] - bounds[0]
        if high - low >= whole * 0.999:
            self._ask_for(None)
        elif high - low > whole / MOST_ZOOM:
            self._ask_for((low, high))

    def action_pan(self, direction: int) -> None:
        """Show what is left (negative) or right of what is shown."""
        if self._shown is not None:
            self._pan(self._ranges()[0], PAN * direction)

    def _pan(self, start: Range, share: float) -> None:
        """Move the range `start` by a share of its width."""
        away = share * (start[1] - start[0])
        if start != self._ranges()[1]:
            self._ask_for((start[0] + away, start[1] + away))

    def action_reset(self) -> None:
        """Hide the cursor; show all of x when it is hidden already."""
        if self.cursor_x is not None:
            self._move_cursor_to(None)
        elif self.plot is not None and self.plot.x_range != self.plot.x_bounds:
            self._ask_for(None)
        else:
            raise SkipAction  # nothing to leave here: the key is for what is around the chart

    def _ranges(self) -> tuple[Range, Range]:
        """Return the range that is shown, without the room for labels, and the whole one. Only while a plot is."""
        assert self.plot is not None and self._drawing is not None
        shown = self.plot.x_range or self._drawing.x_range
        return shown, self.plot.x_bounds or shown

    def _ask_for(self, x_range: Range | None) -> None:
        """Post that the user wants to see `x_range`, moved into the bounds."""
        shown, (first, last) = self._ranges()
        if x_range is not None:
            width = min(x_range[1] - x_range[0], last - first)
            low = min(max(x_range[0], first), last - width)
            x_range = low, low + width
        if x_range != shown:
            self.post_message(self.ZoomChanged(x_range))

    # ── mouse ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.button == 1 and self._shown is not None and self.can_focus:
            self._drag, self._has_dragged = (event.x, self._ranges()[0]), False
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._drag is None or (drawing := self._shown) is None:
            return
        column, start = self._drag
        self._has_dragged |= event.x != column
        if self._has_dragged:
            self._pan(start, (column - event.x) / max(1, drawing.columns))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._drag is None:
            return
        self._drag = None
        self.release_mouse()
        if not self._has_dragged and self._shown is not None:
            self._move_cursor_to(self._shown.x_at(event.x))

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2 and self.can_focus and self._shown is not None:
            self._ask_for(None)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll(event, -1)

    def _scroll(self, event: events.MouseEvent, direction: int) -> None:
        if self.can_focus and self._shown is not None:
            event.stop()
            self._zoom(self._shown.x_at(event.x), direction)
