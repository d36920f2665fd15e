"""The chart widget draws when something changed, and asks for what the user wants to see."""

import math

import pytest
from textual.app import App

from tui_gpt.workbench.drawing import sheet
from tui_gpt.workbench.drawing.plot_model import Curve, Plot
from tui_gpt.workbench.widgets import chart as chart_module
from tui_gpt.workbench.widgets.chart import Chart

FALL = tuple((float(step), 0.4 + 5.6 * math.exp(-step / 60)) for step in range(1, 1001))
PLOT = Plot(curves=(Curve(FALL, "train", "train 0.400"),), x_range=(0.0, 1000.0), x_bounds=(0.0, 1000.0))
ZOOMED = Plot(curves=PLOT.curves, x_range=(400.0, 600.0), x_bounds=(0.0, 1000.0))


@pytest.fixture(scope="module", autouse=True)
def plotext():
    sheet.prewarm()


class ChartApp(App):
    def __init__(self, **options):
        super().__init__()
        self.options = options
        self.posted = []

    def compose(self):
        yield Chart(**self.options)

    def on_chart_cursor_moved(self, message):
        self.posted.append(("cursor", message.x))

    def on_chart_zoom_changed(self, message):
        self.posted.append(("zoom", message.x_range))

    @property
    def chart(self) -> Chart:
        return self.query_one(Chart)

    def text(self) -> str:
        return "\n".join(strip.text for strip in self.screen._compositor.render_strips())


async def test_a_plot_is_drawn_once_until_it_size_or_theme_changes(monkeypatch):
    drawn = []
    render = chart_module.render
    monkeypatch.setattr(chart_module, "render", lambda *args, **options: drawn.append(args) or render(*args, **options))
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.show(PLOT)
        await pilot.pause()
        assert "train 0.400" in app.text()
        drawn.clear()
        app.chart.show(Plot(curves=PLOT.curves, x_range=(0.0, 1000.0), x_bounds=(0.0, 1000.0)))
        app.chart.cursor_x = 500.0
        await pilot.pause()
        assert drawn == []
        app.theme = "dracula"
        await pilot.pause()
        assert len(drawn) == 1
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert len(drawn) == 2


async def test_without_numbers_a_text_says_so():
    app = ChartApp()
    async with app.run_test(size=(60, 10)) as pilot:
        app.chart.show(None, "compiling")
        await pilot.pause()
        assert "compiling" in app.text()
        app.chart.show(PLOT)
        await pilot.pause()
        assert "compiling" not in app.text()
        app.chart.show(Plot(curves=(Curve(((1.0, math.nan),), "train"),)), "no number to show")
        await pilot.pause()
        assert "no number to show" in app.text()


async def test_the_cursor_moves_by_keys_and_hides():
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.show(PLOT)
        app.chart.focus()
        await pilot.pause()
        await pilot.press("left", "left", "right", "left")
        xs = [x for kind, x in app.posted if kind == "cursor"]
        assert xs[0] == pytest.approx(1000, abs=20)
        assert xs[1] < xs[0] and xs[2] == pytest.approx(xs[0]) and xs[3] == pytest.approx(xs[1])
        assert "│" in app.text().splitlines()[3][20:]
        await pilot.press("escape")
        assert app.posted[-1] == ("cursor", None)


async def test_zoom_and_pan_ask_for_ranges_within_the_bounds():
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.show(ZOOMED)
        app.chart.focus()
        await pilot.pause()
        await pilot.press("up", "pagedown", "pageup", "down")
        zoom_in, right, left, out = (x_range for _, x_range in app.posted)
        assert 400 < zoom_in[0] < zoom_in[1] <= 601
        assert right == (450.0, 650.0)
        assert left == (350.0, 550.0)
        assert out[1] - out[0] == pytest.approx(300)
        app.chart.show(PLOT)
        await pilot.pause()
        app.posted.clear()
        await pilot.press("down", "pagedown", "pageup")
        assert app.posted == [] or app.posted == [("zoom", None)]


async def test_the_mouse_sets_the_cursor_zooms_pans_and_resets():
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.show(ZOOMED)
        await pilot.pause()
        await pilot.click(Chart, offset=(40, 5))
        assert app.posted[-1][0] == "cursor"
        assert 400 < app.posted[-1][1] < 600
        await pilot.mouse_down(Chart, offset=(40, 5))
        await pilot.hover(Chart, offset=(50, 5))
        await pilot.mouse_up(Chart, offset=(50, 5))
        kind, (low, high) = app.posted[-1]
        assert kind == "zoom" and low < 400 and high - low == pytest.approx(200)
        await pilot.double_click(Chart, offset=(40, 5))
        assert ("zoom", None) in app.posted


async def test_a_chart_that_cannot_be_focused_ignores_the_mouse():
    app = ChartApp(can_focus=False)
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.show(ZOOMED)
        await pilot.pause()
        await pilot.click(Chart, offset=(40, 5))
        await pilot.double_click(Chart, offset=(40, 5))
        assert app.posted == []


@pytest.mark.parametrize("glyphs", ["braille", "block", "ascii"])
async def test_any_size_can_be_drawn(glyphs):
    app = ChartApp(glyphs=glyphs, has_color=glyphs != "ascii")
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.show(PLOT)
        app.chart.cursor_x = 500.0
        for size in ((1, 1), (3, 100), (300, 2), (17, 6), (300, 100)):
            await pilot.resize_terminal(*size)
            await pilot.pause()


async def test_plotext_is_imported_in_a_thread_and_the_chart_drawn_then(monkeypatch):
    monkeypatch.setattr(sheet, "_plotext", None)
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.show(PLOT)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "train 0.400" in app.text()


async def test_without_plotext_the_chart_says_so(monkeypatch):
    def fail():
        raise ImportError("no kernel")

    monkeypatch.setattr(sheet, "_plotext", None)
    monkeypatch.setattr(sheet, "prewarm", fail)
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.show(PLOT)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "charts need plotext 6.1: no kernel" in app.text()


async def test_the_word_for_nothing_to_draw_stands_on_the_background_of_the_chart():
    app = ChartApp()
    async with app.run_test(size=(40, 5)) as pilot:
        app.chart.show(None, "no loss yet")
        await pilot.pause()
        rows = [app.chart.render_line(y) for y in range(5)]
        assert "no loss yet" in rows[2].text
        assert len({segment.style.bgcolor for row in rows for segment in row}) == 1
