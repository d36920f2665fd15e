"""The corpora screen, driven as a user drives it; what is heavy runs in real child processes where that matters."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Input, ProgressBar, Tab

from tests.workbench.conftest import settle, text_of, words_in
from tui_gpt.errors import CorpusError
from tui_gpt.workbench import keys
from tui_gpt.workbench.app import Workbench
from tui_gpt.workbench.dialogs.cleaning import CleaningDialog
from tui_gpt.workbench.dialogs.confirm import Confirm
from tui_gpt.workbench.dialogs.path_picker import PathPicker
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.dialogs.viewer import Viewer
from tui_gpt.workbench.jobs import task as task_module
from tui_gpt.workbench.jobs.task import TaskRequest, TaskUpdate
from tui_gpt.workbench.jobs.task_process import FetchOffer
from tui_gpt.workbench.panes.corpora.corpus_preview import CorpusPreview
from tui_gpt.workbench.screens import corpora as corpora_screen
from tui_gpt.workbench.screens.corpora import CorporaScreen
from tui_gpt.workbench.widgets.row_table import RowTable

BOOK = "It is a truth universally acknowledged, that a single man must be in want of a wife.\n" * 300


@pytest.fixture(autouse=True)
def opens_on_corpora(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each test the screen that it would otherwise open on, and the preview's delay."""
    choose = Workbench._first_screen

    def first_screen(app: Workbench, run: str | None) -> str:
        choose(app, run)
        return keys.CORPORA

    monkeypatch.setattr(Workbench, "_first_screen", first_screen)
    monkeypatch.setattr(corpora_screen, "PREVIEW_DELAY_SECONDS", 0)


@pytest.fixture
def corpus(workspace: Path) -> Path:
    folder = workspace / "corpus"
    (folder / "letters").mkdir(parents=True)
    (folder / "mine.txt").write_text("some text of mine " * 500)
    for number in range(6):
        text = f"Dear friend, the café of number {number % 3} is open. " + "The coffee is good there. " * 20
        (folder / "letters" / f"{number}.txt").write_bytes(text.replace("é", "Ã©").encode())
    return folder


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for every server; it has one book."""
    book = tmp_path / "mirror" / "www.gutenberg.org" / "cache" / "epub" / "1342" / "pg1342.txt"
    book.parent.mkdir(parents=True)
    book.write_text(BOOK)
    monkeypatch.setenv("GPT_TUI_MIRROR", str(tmp_path / "mirror"))
    return book


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[TaskRequest]:
    """Answer each task at once, without a child process; return what was asked."""
    asked: list[TaskRequest] = []

    async def run_task(request: TaskRequest, result_type: type, on_update: object = None) -> object:
        asked.append(request)
        if request.task == "plan":
            return FetchOffer(
                licence="MIT [red]",
                source="a server",
                size_bytes=5_000_000,
                in_parts=True,
            )
        return request.reference

    monkeypatch.setattr(task_module, "run_task", run_task)
    monkeypatch.setattr("tui_gpt.workbench.screens.corpus_tasks.run_task", run_task)
    return asked


async def until(app, pilot, condition: Callable[[], object]) -> None:
    """Wait until something has happened, also while a dialog is open."""
    for _ in range(3000):
        await pilot.pause()
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"did not happen:\n{text_of(app)}")


async def press(app, pilot, *pressed: str) -> None:
    await pilot.press(*pressed)
    await settle(app, pilot)


async def open_corpora(app, pilot) -> CorporaScreen:
    await press(app, pilot, "f5")
    await until(app, pilot, lambda: isinstance(app.screen, CorporaScreen) and app.screen.current)
    return app.screen


def names(app) -> list[str]:
    return [row.name for row in app.screen._listed.values()]


def move_to(app, name: str) -> None:
    app.screen.query_one(RowTable).move_cursor(row=names(app).index(name))


async def mark(app, pilot, name: str) -> None:
    """Put the cursor on a corpus."""
    move_to(app, name)
    await settle(app, pilot)
    assert app.screen.current.name == name


def row_of(app, name: str) -> str:
    return next(line for line in text_of(app).splitlines() if f"│ ● {name} " in line or f"│   {name} " in line)


# ── what is listed ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_lists_what_is_here_and_what_can_be_fetched(opened, corpus):
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        text = text_of(app)
        assert "● stories" in text and "5 here" in text and "tokens with bpe:1024" in text
        for name in ("mine", "letters", "tinystories", "gutenberg:ID[,ID]", "a path…"):
            assert name in text
        row = row_of(app, "tinystories")
        assert "to fetch" in row and "2.07 GiB" in row and "CDLA-Sharing-1.0" in row
        assert "Once upon a time" in text
        assert "the next run trains on stories with bpe:1024" in text


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_what_does_not_fit_is_scrolled_to_and_the_name_stays(opened, corpus, size):
    async with opened(size=size) as (app, pilot):
        await open_corpora(app, pilot)
        assert "bundled" in row_of(app, "tiny")
        await press(app, pilot, *["right"] * 4)
        assert "licence" in text_of(app) and "MIT" in row_of(app, "stories")


async def test_the_list_is_filtered_while_typing_and_enter_then_chooses(opened, corpus):
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await pilot.press("slash", *"mine")
        await until(app, pilot, lambda: "some text of mine" in text_of(app))
        assert "tinystories" not in text_of(app) and "“mine”" in text_of(app)
        await press(app, pilot, "enter")
        assert isinstance(app.focused, RowTable)
        await press(app, pilot, "enter")
        assert app.current_mode == keys.NEW_RUN
        assert app.session.draft.config.data.corpus == "mine"


async def test_escape_takes_back_what_was_typed_into_the_filter_then_the_filter_then_leaves(opened, corpus):
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await press(app, pilot, "slash", *"mine", "enter")
        await press(app, pilot, "slash", *"zzz")
        assert "no corpus matches the filter" in text_of(app)
        await press(app, pilot, "escape")
        assert names(app) == ["mine"]
        await press(app, pilot, "escape")
        assert "tinystories" in text_of(app)
        await press(app, pilot, "escape")
        assert app.current_mode == keys.NEW_RUN


async def test_the_filter_opens_once_and_the_palette_cannot_open_it_again(opened, corpus):
    """The crash of §3: `/`, then the palette's filter, made two dialogs with the same ids."""
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await pilot.press("slash", "ctrl+p", "colon", "slash", "enter", "enter")
        await settle(app, pilot)
        await pilot.press("slash")
        await pilot.pause()
        dialogs = [screen for screen in app.screen_stack if isinstance(screen, Prompt)]
        assert len(dialogs) == 1
        app.screen.dismiss(None)
        await settle(app, pilot)
        screen = app.screen
        for _ in range(2):
            screen.action_filter()
            screen.action_browse()
        await pilot.pause()
        assert len(app.screen_stack) == 2


async def test_a_text_is_shown_without_what_a_terminal_obeys(opened, corpus):
    (corpus / "mine.txt").write_text("red \x1b[31m ink [bold]here[/bold] \x07 " * 50)
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await mark(app, pilot, "mine")
        text = text_of(app)
        assert "red �[31m ink [bold]here[/bold]" in text and "\x1b" not in text


async def test_hostile_names_are_shown_and_never_obeyed(opened, corpus):
    (corpus / "[red]x[").mkdir()
    (corpus / "[red]x[" / "a.txt").write_text("text in brackets")
    (corpus / ("y" * 240 + ".txt")).write_text("long")
    (corpus / "雨雨.txt").write_text("wide")
    (corpus / "e\x1b[2J.txt").write_text("evil")
    (corpus / "mine.txt").write_bytes(b"\x00\x01" * 500)
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        text = text_of(app)
        assert "[red]x[" in text and "雨雨" in text and "e�[2J" in text and "yyy…" in text
        await mark(app, pilot, "[red]x[")
        assert "text in brackets" in text_of(app)
        await mark(app, pilot, "mine")
        assert "binary" in words_in(text_of(app))
        await mark(app, pilot, "e\x1b[2J")
        assert "rename it" in text_of(app)
        await press(app, pilot, "P", "k", "v", "h", "f", "enter")
        assert app.session.task is None and app.current_mode == keys.CORPORA


async def test_a_folder_that_cannot_be_read_says_why_and_the_rest_can_be_used(opened, corpus, monkeypatch):
    def fail(_: Path) -> None:
        raise CorpusError("cannot be read: permission denied", where="corpus")

    monkeypatch.setattr("tui_gpt.corpora.list_corpora", fail)
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        text = text_of(app)
        assert "✗ corpus: cannot be read: permission denied" in text
        assert "stories" in text and "a path…" in text


async def test_a_corpus_that_vanishes_is_said_to_be_gone_and_the_cursor_stays_near(opened, corpus):
    async with opened() as (app, pilot):
        screen = await open_corpora(app, pilot)
        await mark(app, pilot, "mine")
        at = screen.query_one(RowTable).cursor_row
        (corpus / "mine.txt").unlink()
        await press(app, pilot, "ctrl+r")
        await until(app, pilot, lambda: "   mine " not in text_of(app))
        assert screen.query_one(RowTable).cursor_row == at - (at == len(names(app)))


async def test_a_summary_is_read_once_however_often_the_screen_refreshes(opened, corpus, monkeypatch):
    """It was begun anew at each refresh, so that one that took longer never showed."""
    begun, release = [], threading.Event()
    read = corpora_screen.read_summary

    def slow(name: str, *args: object) -> object:
        begun.append(name)
        release.wait(10)
        return read(name, *args)

    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        monkeypatch.setattr(corpora_screen, "read_summary", slow)
        move_to(app, "mine")
        await until(app, pilot, lambda: begun)
        for _ in range(5):
            app.refresh_data()
            await pilot.pause()
        assert begun == ["mine"] and "reading…" in text_of(app)
        release.set()
        await until(app, pilot, lambda: "some text of mine" in text_of(app))


async def test_what_cannot_be_done_is_not_in_the_footer(opened, corpus):
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await mark(app, pilot, "verdict")
        footer = text_of(app).splitlines()[-1]
        assert "fetch" in footer and "choose" in footer and "clean" not in footer and "cancel" not in footer
        await mark(app, pilot, "mine")
        footer = text_of(app).splitlines()[-1]
        assert "clean" in footer and "prepare" in footer and "fetch" not in footer


# ── the mouse ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_click_shows_a_corpus_and_another_chooses_it(opened, corpus):
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        at = names(app).index("mine")
        await pilot.click(RowTable, offset=(5, at + 2))
        await until(app, pilot, lambda: "some text of mine" in text_of(app))
        assert app.current_mode == keys.CORPORA
        await pilot.click(RowTable, offset=(5, at + 2))
        await until(app, pilot, lambda: app.current_mode == keys.NEW_RUN)
        assert app.session.draft.config.data.corpus == "mine"
        await pilot.click(app.screen.query_one(f"Tab#{keys.CORPORA}", Tab))
        await until(app, pilot, lambda: app.current_mode == keys.CORPORA)


# ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_p_prepares_the_corpus_and_its_tokens_are_counted(opened, corpus):
    async with opened() as (app, pilot):
        app.session.draft.set({"data.tokenizer": "byte"})
        await open_corpora(app, pilot)
        await mark(app, pilot, "mine")
        await press(app, pilot, "P")
        await until(app, pilot, lambda: "9k" in row_of(app, "mine"))
        assert "9,001 tokens" in text_of(app)
        assert app.session.draft.config.data.corpus == "stories"


async def test_stories_show_their_floor_once_they_are_counted(opened, workspace):
    async with opened() as (app, pilot):
        app.session.draft.set({"data.tokenizer": "byte"})
        app.session.draft.set({"data.corpus": "stories:0.02:7"})
        screen = await open_corpora(app, pilot)
        await mark(app, pilot, "stories:0.02:7")
        assert "known" in row_of(app, "stories:0.02:7")
        await press(app, pilot, "P")
        await until(app, pilot, lambda: screen.current.floor is not None)
        assert 0.01 < screen.current.floor < 1.0
        await until(app, pilot, lambda: f"{screen.current.floor:.3f}" in row_of(app, "stories:0.02:7"))
        assert f"floor {screen.current.floor:.3f} nats a token" in text_of(app)


async def test_a_book_is_asked_for_by_number_shown_with_its_licence_and_fetched(opened, workspace, mirror):
    async with opened() as (app, pilot):
        screen = await open_corpora(app, pilot)
        await mark(app, pilot, "gutenberg:ID[,ID]")
        await pilot.press("enter", "x")
        await pilot.pause()
        assert "gutenberg:ID[,ID]" in text_of(app) and "✗" in text_of(app)  # what to write, below what is written
        await pilot.press("backspace", *"1342", "enter")
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        assert "licence: public domain in the USA" in text_of(app)
        assert not (workspace / "corpus" / ".cache" / "fetched").exists()
        await pilot.press("y")
        await until(app, pilot, lambda: screen.current and screen.current.name == "gutenberg:1342")
        await settle(app, pilot)
        assert screen.current.kind == "fetched"
        assert "a truth universally acknowledged" in text_of(app)
        await press(app, pilot, "enter")
        assert app.session.draft.config.data.corpus == "gutenberg:1342"


async def test_a_fetch_without_a_network_is_one_clear_line(opened, workspace, mirror):
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await mark(app, pilot, "verdict")
        await pilot.press("f")
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(app, pilot, lambda: app.session.task_error and app.session.task is None)
        assert "mirror" in app.session.task_error and "\n" not in app.session.task_error
        await settle(app, pilot)
        assert "✗ " in text_of(app) and "GPT_TUI_MIRROR" in words_in(text_of(app))


@pytest.mark.parametrize("answer", ["escape", "enter", "f"])
async def test_nothing_is_fetched_unless_the_answer_is_given(opened, workspace, offered, answer):
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await mark(app, pilot, "verdict")
        await pilot.press("f")
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        assert "licence: MIT [red]" in text_of(app)
        await pilot.press(answer, "escape")
        await settle(app, pilot)
        assert [request.task for request in offered] == ["plan"] and app.current_mode in (keys.CORPORA, keys.NEW_RUN)


async def test_a_part_of_a_set_is_asked_for_in_megabytes(opened, workspace, offered):
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await mark(app, pilot, "tinystories")
        await pilot.press("f")
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("m")
        await until(app, pilot, lambda: isinstance(app.screen, Prompt))
        await pilot.press("x", "enter")
        assert "a number of megabytes" in text_of(app)
        await pilot.press("backspace", *"20", "enter")
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(app, pilot, lambda: len(offered) == 3)
        assert [(request.task, request.megabytes) for request in offered] == [
            ("plan", None),
            ("plan", 20.0),
            ("fetch", 20.0),
        ]


async def test_an_offer_that_comes_while_something_else_is_in_front_takes_no_keys(opened, workspace, offered):
    """It took the keys of the filter, or closed it."""
    async with opened() as (app, pilot):
        screen = await open_corpora(app, pilot)
        await pilot.press("slash")
        await until(app, pilot, lambda: isinstance(app.screen, Prompt))
        screen.offer_fetch("verdict")
        await until(app, pilot, lambda: "verdict can be fetched" in words_in(text_of(app)))
        await pilot.press("y")
        assert app.screen.query_one(Input).value == "y"
        await press(app, pilot, "escape", "f2")
        screen.offer_fetch("tiny")
        await until(app, pilot, lambda: "tiny can be fetched" in words_in(text_of(app)))
        assert app.current_mode == keys.NEW_RUN and len(app.screen_stack) == 1
        assert [request.task for request in offered] == ["plan", "plan"]


class _Stalls(BaseHTTPRequestHandler):
    """Sends half of what it promised, and then nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1115394")
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(b"x" * 600_000)
        self.wfile.flush()
        self.server.released.wait()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stalling(monkeypatch: pytest.MonkeyPatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Stalls)
    server.released = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GPT_TUI_MIRROR", f"http://127.0.0.1:{server.server_port}")
    yield
    server.released.set()
    server.shutdown()
    server.server_close()


async def test_a_fetch_shows_its_progress_and_what_arrived_stays_when_it_is_cancelled(opened, workspace, stalling):
    async with opened() as (app, pilot):
        screen = await open_corpora(app, pilot)
        await mark(app, pilot, "shakespeare")
        await pilot.press("f")
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(app, pilot, lambda: app.session.task and app.session.task.fraction is not None)
        app.refresh_data()
        await pilot.pause()
        assert re.search(r"● .*fetch.* \d+ %.* delete cancels", text_of(app))
        assert screen.query_one(ProgressBar).display and screen.query_one(ProgressBar).percentage > 0
        await press(app, pilot, "delete")
        await until(app, pilot, lambda: app.session.task is None)
        assert app.session.task_error == ""
        await settle(app, pilot)
        assert screen.current.kind == "to fetch"
        (partial,) = (workspace / "corpus" / ".cache" / "fetched").glob("*.partial/*.txt.partial")
        assert partial.stat().st_size > 0


async def test_one_task_at_a_time_and_a_key_cancels_it(opened, workspace, monkeypatch):
    async def endless(request: TaskRequest, result_type: type, on_update: Callable[[TaskUpdate], object]):
        on_update(TaskUpdate(phase="encoding stories", fraction=0.25))
        await asyncio.sleep(3600)

    monkeypatch.setattr(task_module, "run_task", endless)
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await pilot.press("P")
        await until(app, pilot, lambda: app.session.task and app.session.task.fraction)
        app.refresh_data()
        await pilot.pause()
        assert "encoding stories 25 % · delete cancels" in text_of(app)
        first = app.session.task
        await pilot.press("P")
        await pilot.pause()
        assert app.session.task is first
        await pilot.press("q")
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("q", "enter")  # cancel: change nothing
        await pilot.pause()
        assert app.session.task is first and app.is_running
        await pilot.press("f2", "f5", "delete")
        await until(app, pilot, lambda: app.session.task is None)
        assert first.is_cancelled


async def test_cleaning_shows_its_steps_then_its_report(opened, corpus):
    async with opened() as (app, pilot):
        screen = await open_corpora(app, pilot)
        await mark(app, pilot, "letters")
        await pilot.press("h")
        await until(app, pilot, lambda: isinstance(app.screen, Viewer))
        assert "What cleaning would do to letters" in text_of(app)
        assert not (corpus / "letters-clean").exists()
        await press(app, pilot, "escape")
        await pilot.press("k", "k")
        await until(app, pilot, lambda: isinstance(app.screen, CleaningDialog))
        assert "its clean copy is called letters-clean" in text_of(app)
        await pilot.press(*["down"] * 6, "space", "enter")  # not the exact copies
        await until(app, pilot, lambda: isinstance(app.screen, Viewer))
        text = text_of(app)
        assert "6 changed" in text and "cafÃ©" in text and "café" in text
        assert "exact " not in text
        await press(app, pilot, "escape")
        await until(app, pilot, lambda: screen.current and screen.current.name == "letters-clean")
        assert isinstance(app.focused, RowTable)
        assert (corpus / "letters" / "0.txt").exists() and (corpus / "letters-clean").exists()


async def test_a_path_is_chosen_and_becomes_the_drafts_corpus(opened, corpus, workspace):
    (workspace / "far").mkdir()
    (workspace / "far" / "away.txt").write_text("far away " * 500)
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await pilot.press("b")
        await until(app, pilot, lambda: isinstance(app.screen, PathPicker))
        await pilot.press(*"far/aw", "enter")
        await until(app, pilot, lambda: app.current_mode == keys.NEW_RUN)
        path = str(workspace / "far" / "away.txt")
        assert app.session.draft.config.data.corpus == path
        await open_corpora(app, pilot)
        assert "away.txt" in text_of(app)


async def test_a_mixture_is_written_checked_and_listed(opened, corpus):
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await mark(app, pilot, "0.7 NAME + 0.3 NAME")
        await pilot.press("enter", *"tiny + mine", "enter")
        await pilot.pause()
        assert "write 0.7 NAME + 0.3 NAME" in text_of(app)  # refused while it is typed
        app.screen.query_one(Input).value = "1 tiny + 3 mine"
        await pilot.press("enter")
        await until(app, pilot, lambda: app.current_mode == keys.NEW_RUN)
        assert app.session.draft.config.data.corpus == "0.25 tiny + 0.75 mine"
        await open_corpora(app, pilot)
        await settle(app, pilot)
        assert "mixture" in row_of(app, "0.25 tiny + 0.75 mine")
        assert "A language model" in text_of(app)
        await mark(app, pilot, "stories:MEGABYTES[:SEED]")
        await pilot.press("enter", *"1:3", "enter")
        await until(app, pilot, lambda: app.current_mode == keys.NEW_RUN)
        assert app.session.draft.config.data.corpus == "stories:1:3"


async def test_of_a_long_path_the_end_is_shown(opened, corpus):
    async with opened(size=(80, 24)) as (app, pilot):
        app.session.draft.set({"data.corpus": str(corpus / "letters")})
        await open_corpora(app, pilot)
        assert "corpus/letters" in text_of(app).splitlines()[3]


async def test_a_refresh_without_news_changes_nothing(opened, corpus):
    """Idle sends nothing: the table is not filled again, and the cursor and the scroll offsets stay."""
    async with opened(size=(80, 24)) as (app, pilot):
        screen = await open_corpora(app, pilot)
        await mark(app, pilot, "tinystories")
        table, preview = screen.query_one(RowTable), screen.query_one(CorpusPreview)
        before = (table.scroll_y, table.cursor_coordinate, preview.scroll_y)
        updates = table._update_count
        for _ in range(3):
            app.refresh_data()
            await pilot.pause()
        assert (table.scroll_y, table.cursor_coordinate, preview.scroll_y) == before
        assert table._update_count == updates and table.cursor_coordinate != Coordinate(0, 0)


async def test_it_survives_a_resize_with_a_dialog_open(opened, corpus):
    async with opened() as (app, pilot):
        await open_corpora(app, pilot)
        await pilot.press("slash")
        await until(app, pilot, lambda: isinstance(app.screen, Prompt))
        for size in ((1, 1), (40, 10), (300, 100), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        await press(app, pilot, *"mine", "enter")
        assert isinstance(app.focused, DataTable)
        assert names(app) == ["mine"]
