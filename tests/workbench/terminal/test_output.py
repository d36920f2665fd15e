"""What is sent: the emulator must show the same as when Textual sends all of it, in far fewer bytes."""

from __future__ import annotations

import io

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from tui_gpt.workbench.terminal.output import PLAIN, Pen, TerminalCells, _change

WIDTH, HEIGHT = 24, 4
STYLES = [
    None,
    Style(),
    Style(color="red"),
    Style(bgcolor="#203040"),
    Style(color="#a0b0c0", bgcolor="#203040"),
    Style(color="#a0b0c0", bgcolor="#203040", bold=True),
    Style(dim=True, italic=True),
    Style(bold=True, dim=True),
    Style(reverse=True, color="blue"),
    Style(underline=True, strike=True, bgcolor="color(200)"),
    Style(color="default", bgcolor="default", meta={"offset": (1, 2)}),
]
Frame = list[tuple[Strip, Strip]]  # each row is divided between two widgets
CUT = 10

words = st.lists(st.sampled_from([*"ab  ", "é", "e\u0301", "漢", "字", "😀", "⣿", "─"]), min_size=1, max_size=6)
segments = st.builds(lambda text, style: Segment("".join(text), style), words, st.sampled_from(STYLES))


def strips(width: int) -> st.SearchStrategy[Strip]:
    return st.lists(segments, max_size=4).map(lambda parts: Strip(parts).adjust_cell_length(width))


frames = st.lists(st.tuples(strips(CUT), strips(WIDTH - CUT)), min_size=HEIGHT, max_size=HEIGHT)


def layout(frame: Frame) -> LayoutUpdate:
    return LayoutUpdate(list(frame), Region(0, 0, WIDTH, HEIGHT))


def chops(frame: Frame, spans: list[tuple[int, int, int]]) -> ChopsUpdate:
    return ChopsUpdate([{0: left, CUT: right} for left, right in frame], spans, [[CUT, WIDTH]] * HEIGHT)


class Emulator:
    def __init__(self) -> None:
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        self.screen.reset_mode(7, private=True)  # no wrapping, as Textual sets it
        self.stream = pyte.Stream(self.screen)

    def feed(self, text: str) -> Emulator:
        self.stream.feed(text.replace("\n", "\r\n"))
        return self

    @property
    def cells(self) -> list[list[object]]:
        """What is seen: of a blank only its background."""

        def seen(cell: pyte.screens.Char) -> object:
            shows = cell.reverse or cell.underscore or cell.strikethrough
            return ("", cell.bg) if cell.data == " " and not shows else cell

        return [[seen(self.screen.buffer[y][x]) for x in range(WIDTH)] for y in range(HEIGHT)]


def whole(frame: Frame) -> Emulator:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    return Emulator().feed(layout(frame).render_segments(console))


@settings(max_examples=40, deadline=None)
@given(st.lists(frames, min_size=1, max_size=4), st.data())
def test_the_terminal_shows_what_textual_would_send(shown: list[Frame], data: st.DataObject) -> None:
    cells, emulator = TerminalCells(), Emulator()
    for frame in shown:
        cells.apply(layout(frame), ColorSystem.TRUECOLOR)
        emulator.feed(cells.encode())
        # Textual puts the cursor somewhere after each frame; moves from there are relative.
        x, y = data.draw(st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1)))
        emulator.feed(f"\x1b[{y + 1};{x + 1}H")
        cells.cursor = (x, y)
        assert emulator.cells == whole(frame).cells
        assert cells.encode() == ""


@settings(max_examples=40, deadline=None)
@given(frames, frames, st.sets(st.tuples(st.integers(0, HEIGHT - 1), st.booleans()), min_size=1))
def test_partial_updates_change_what_they_name(before: Frame, after: Frame, changed: set[tuple[int, bool]]) -> None:
    cells, emulator = TerminalCells(), Emulator()
    cells.apply(layout(before), ColorSystem.TRUECOLOR)
    emulator.feed(cells.encode())
    spans = [(y, CUT if right else 0, WIDTH if right else CUT) for y, right in sorted(changed)]
    cells.apply(chops(after, spans), ColorSystem.TRUECOLOR)
    emulator.feed(cells.encode())
    expected = [
        ((after if (y, False) in changed else before)[y][0], (after if (y, True) in changed else before)[y][1])
        for y in range(HEIGHT)
    ]
    assert emulator.cells == whole(expected).cells


pens = st.builds(
    Pen,
    st.frozensets(st.sampled_from(["1", "2", "3", "4", "7", "9"])),
    st.sampled_from(["", "31", "38;2;1;2;3", None]),
    st.sampled_from(["", "41", "48;5;7"]),
    st.just(""),
)


@given(pens, pens)
def test_a_change_of_style_is_complete_and_no_longer_than_naming_it_anew(first: Pen, second: Pen) -> None:
    codes, pen = _change(PLAIN, first)
    delta, pen = _change(pen, second)
    anew, _ = _change(PLAIN, second)
    assert (
        Emulator().feed(codes + delta + "x ").cells[0][1 if second.ink is None else 0]
        == (Emulator().feed(anew + "x ").cells[0][1 if second.ink is None else 0])
    )
    assert second.ink is None or len(delta) <= len("\x1b[0m" + anew)


def text_row(text: str, style: Style | None = STYLES[4]) -> tuple[Strip, Strip]:
    strip = Strip([Segment(text, style)]).adjust_cell_length(WIDTH)
    return strip.crop(0, CUT), strip.crop(CUT, WIDTH)


def sent(cells: TerminalCells, *lines: str) -> str:
    cells.apply(layout([text_row(line) for line in (*lines, *[""] * HEIGHT)[:HEIGHT]]), ColorSystem.TRUECOLOR)
    return cells.encode()


def test_nothing_is_sent_where_nothing_changed() -> None:
    cells = TerminalCells()
    assert len(sent(cells, "loss 3.20", "step 100")) > WIDTH * HEIGHT
    assert sent(cells, "loss 3.20", "step 100") == ""


def test_only_the_changed_cells_are_sent() -> None:
    cells = TerminalCells()
    sent(cells, "loss 3.20", "step 100")
    pen = "\x1b[38;2;160;176;192;48;2;32;64;48m"
    text = sent(cells, "loss 3.19", "step 101")
    assert text.count("m") == 2  # named once, reset once
    assert "19" in text and "1" in text and "loss" not in text and "step" not in text
    assert len(text) < len(pen) + 25


def test_a_short_gap_is_sent_again_instead_of_a_move() -> None:
    cells = TerminalCells()
    sent(cells, "12:00:05")
    assert "1:06" in sent(cells, "12:01:06")


def test_forgotten_cells_are_sent_again() -> None:
    cells = TerminalCells()
    first = sent(cells, "all")
    cells.forget()
    assert sent(cells, "all") == first


def test_after_forgetting_a_partial_update_sends_only_what_it_names() -> None:
    cells = TerminalCells()
    sent(cells, "left        right")
    cells.forget()
    cells.apply(chops([text_row("left        right")] * HEIGHT, [(0, CUT, WIDTH)]), ColorSystem.TRUECOLOR)
    text = cells.encode()
    assert "right" in text and "left" not in text


@pytest.mark.parametrize("cluster", ["👩\u200d🚀", "❤\ufe0f", "👍🏽", "🇩🇪"])
def test_characters_of_disputed_width_do_not_shift_what_follows(cluster: str) -> None:
    cells, emulator = TerminalCells(), Emulator()
    emulator.feed(sent(cells, "x" * WIDTH))
    emulator.feed(sent(cells, f"a{cluster}b end"))
    emulator.feed(sent(cells, f"a{cluster}c end"))
    assert emulator.screen.display[0].rstrip()[-5:] == "c end"
    emulator.feed(sent(cells, "plain"))
    assert emulator.screen.display[0].rstrip() == "plain"
    assert not cells._disputed


def test_escape_codes_in_a_text_do_not_reach_the_terminal() -> None:
    text = sent(TerminalCells(), "a\x1b]0;title\x07b\x9b31m")
    assert "\x1b]0" not in text and "\x07" not in text and "\x9b" not in text


def test_links_are_opened_and_closed_once() -> None:
    cells = TerminalCells()
    link = Style(link="https://example.org", color="red")
    strip = Strip([Segment("see ", None), Segment("the ", link), Segment("page", link), Segment(".", None)])
    cells.apply(layout([(strip.adjust_cell_length(WIDTH), Strip([]))] * HEIGHT), ColorSystem.TRUECOLOR)
    text = cells.encode()
    assert text.count("\x1b]8;;https://example.org\x1b\\") == HEIGHT and text.count("\x1b]8;;\x1b\\") == HEIGHT


@pytest.mark.parametrize(("colors", "code"), [(ColorSystem.STANDARD, "3"), (ColorSystem.EIGHT_BIT, "38;5;")])
def test_colours_are_those_of_the_terminal(colors: ColorSystem, code: str) -> None:
    cells = TerminalCells()
    cells.apply(layout([text_row("x")] * HEIGHT), colors)
    assert code in (text := cells.encode()) and "38;2;" not in text
