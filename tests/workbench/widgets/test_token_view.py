"""The token view tells neighbours apart with and without colors, and its cursor stays in sight."""

from __future__ import annotations

from textual.app import App, ComposeResult

from tests.workbench.state.corpora.test_token_lines import tokens
from tui_gpt.workbench.state.corpora.token_lines import END
from tui_gpt.workbench.widgets.token_view import TokenView


class ViewApp(App[None]):
    def __init__(self, *, has_color: bool = True) -> None:
        super().__init__()
        self.view = TokenView(has_color=has_color)
        self.moves: list[int] = []

    def compose(self) -> ComposeResult:
        yield self.view

    def on_token_view_moved(self, message: TokenView.Moved) -> None:
        self.moves.append(message.index)


def styles(view: TokenView, y: int = 0) -> list[tuple[str, str, bool]]:
    return [
        (segment.text, str(segment.style.bgcolor and segment.style.bgcolor.name), bool(segment.style.reverse))
        for segment in view.render_line(y)
        if segment.text.strip() and segment.style
    ]


async def test_neighbours_differ_and_the_cursor_and_the_end_stand_out():
    app = ViewApp()
    async with app.run_test(size=(60, 10)):
        app.view.show(tokens(["Once", " upon", " a", " time", None]))
        app.view.move(1)
        shown = {text: color for text, color, _ in styles(app.view)}
        assert list(shown) == ["Once", " upon", " a", " time", END]
        assert shown["Once"] == shown[" a"] != shown[" time"]
        assert len(set(shown.values())) == 4


async def test_without_colors_bars_part_the_tokens_and_the_cursor_is_reversed():
    app = ViewApp(has_color=False)
    async with app.run_test(size=(60, 10)):
        app.view.show(tokens(["Once", " upon"]))
        shown = styles(app.view)
        assert [text for text, _, _ in shown] == ["Once", "│", " upon", "│"]
        assert [reverse for _, _, reverse in shown] == [True, False, False, False]


async def test_the_cursor_stays_in_sight_while_moving_and_resizing():
    app = ViewApp()
    async with app.run_test(size=(40, 8)) as pilot:
        app.view.show(tokens([f"word{number} " for number in range(400)]))
        app.view.move(10**9)
        assert app.view.cursor == 399
        for size in ((40, 8), (23, 5), (100, 20), (1, 1), (60, 6)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            line, top = app.view.lines.line_of(399), app.view.scroll_offset.y
            assert top <= line < top + app.view.size.height or size == (1, 1)
        app.view.move_lines(-1000)
        assert app.view.lines.line_of(app.view.cursor) == 0 and app.view.scroll_offset.y == 0
        await pilot.pause()
        assert app.moves[-1] == app.view.cursor


async def test_a_click_moves_the_cursor_and_another_text_begins_anew():
    app = ViewApp()
    async with app.run_test(size=(40, 8)) as pilot:
        app.view.show(tokens(["雨雨", "ab", "\n", "cd"]))
        await pilot.click(TokenView, offset=(5, 0))
        assert app.view.cursor == 1
        await pilot.click(TokenView, offset=(30, 6))  # where there is no token
        assert app.view.cursor == 1
        app.view.show(tokens(["new"]))
        assert app.view.cursor == 0 and "new" in app.view.render_line(0).text
        app.view.show(tokens([]))
        app.view.move(3)
        app.view.move_lines(1)
