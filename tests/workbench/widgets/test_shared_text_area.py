"""The text area whose characters remember who wrote them."""

import random
from contextlib import asynccontextmanager

import pytest
from textual import events
from textual.app import App
from textual.widgets.text_area import Selection

from tui_gpt.workbench.widgets.shared_text_area import SharedTextArea


@asynccontextmanager
async def text_area(**options):
    class Host(App):
        def compose(self):
            yield SharedTextArea(**options)

    app = Host()
    async with app.run_test(size=(60, 20)) as pilot:
        area = app.query_one(SharedTextArea)
        area.focus()
        await pilot.pause()
        yield area, pilot


async def test_any_edits_undone_and_done_again_keep_the_authors_in_step():
    async with text_area() as (area, pilot):
        drawn = random.Random(1)
        for _ in range(300):
            lines = area.document.lines
            places = [(row := drawn.randrange(len(lines)), drawn.randint(0, len(lines[row]))) for _ in range(2)]
            match drawn.randrange(7):
                case 0:
                    area.write(drawn.choice(["its", "its words", "its\nits", "\n\n", "後"]), drawn.randint(1, 3))
                case 1:
                    area.replace(drawn.choice(["", "mine", "mine\n"]), *places)
                case 2:
                    area.selection = Selection(*places)
                    area.type(drawn.choice(["mine", "mine\n"]))
                case 3:
                    area.action_delete_line()
                case 4:
                    area.action_delete_word_left()
                case 5:
                    area.action_undo()
                case 6:
                    area.action_redo()
            text, ends = area.text, [0, *(end for _, end, _ in area.spans)]
            assert all(start >= before for before, (start, _, _) in zip(ends, area.spans, strict=False))
            assert ends[-1] <= len(text) and all(end > start for start, end, _ in area.spans)
            assert "mine" not in "".join(area.written_by(number) for number in (1, 2, 3))
            assert "its" not in "".join(text[end:start] for end, (start, _, _) in zip(ends, area.spans, strict=False))
        await pilot.pause()


async def test_an_undone_deletion_gives_the_words_back_to_their_author():
    async with text_area() as (area, _):
        area.type("The ")
        area.write("cat\nsat", 1)
        before = area.spans
        area.replace("dog", (0, 2), (1, 1))
        assert area.spans == ((5, 7, 1),)
        area.action_undo()
        assert (area.text, area.spans) == ("The cat\nsat", before)
        area.take_out(1)
        assert area.text == "The "
        area.action_undo()
        assert (area.text, area.spans) == ("The cat\nsat", before)


async def test_the_view_follows_the_model_while_the_cursor_is_at_the_end():
    async with text_area() as (area, pilot):
        area.write("line\n" * 40, 1)
        await pilot.pause()
        assert area.cursor_at_end_of_text
        assert area.scroll_offset.y > 0
        area.move_cursor((0, 0))
        await pilot.pause()
        area.write("line\n" * 40, 1)
        await pilot.pause()
        assert (area.cursor_location, area.scroll_offset.y) == ((0, 0), 0)


async def test_a_locked_text_holds_what_is_typed_and_pasted():
    async with text_area() as (area, pilot):
        area.type("a")
        area.read_only = True
        await pilot.press("b", "q", "backspace", "space", "delete", "ctrl+k", "ctrl+z", "enter")
        area.post_message(events.Paste("one\r\ntwo\rthree\x1b"))
        await pilot.pause()
        assert (area.text, area.held) == ("a", "b one\ntwo\nthree\ufffd")
        area.write(" model", 1)
        area.unlock_text(area.take_held())
        assert area.text == "a modelb one\ntwo\nthree\ufffd"
        assert area.held == ""


@pytest.mark.parametrize("key", ["f6", "f7", "ctrl+k", "enter", "ctrl+d"])
async def test_a_bound_key_is_left_to_the_screen(key):
    """f6 selected the line, f7 all of the text, and the next letter wiped it."""
    async with text_area(bound_keys=[key]) as (area, pilot):
        area.type("keep")
        await pilot.press("home", key, "x")
        assert area.text == "xkeep"


async def test_a_letter_stays_text_whatever_it_is_bound_to():
    async with text_area(bound_keys=["q", "question_mark", "space"]) as (area, pilot):
        await pilot.press("q", "question_mark", "space")
        assert area.text == "q? "


async def test_a_letter_with_alt_is_no_text():
    async with text_area() as (area, pilot):
        area.post_message(events.Key("alt+r", "r"))
        await pilot.pause()
        assert area.text == ""


async def test_what_the_model_wrote_has_its_own_style():
    async with text_area() as (area, pilot):
        area.type("mine ")
        area.write("its words\nand [bold]more", 1)
        await pilot.pause()
        first, second = area.get_line(0), area.get_line(1)
        assert [(span.start, span.end) for span in first.spans] == [(5, 14)]
        assert (second.plain, len(second.spans)) == ("and [bold]more", 1)


@pytest.mark.parametrize("width", [0, 1, 2])
async def test_a_hint_in_an_area_without_width_is_no_error(width):
    async with text_area() as (area, pilot):
        area.set_hint("Type a beginning and press enter.")
        area.styles.width = width
        area.styles.padding = 0
        await pilot.pause()
        area.render_line(0)
        assert area.is_mounted
