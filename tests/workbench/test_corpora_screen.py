"""The list of corpora: chosen, filtered, fetched, cleaned and prepared by keys; what is heavy runs in real children."""

import asyncio
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.workbench.conftest import settle, text_of, words_in
from tui_gpt.errors import CorpusError
from tui_gpt.workbench import chores
from tui_gpt.workbench.chore_process import Said, Work
from tui_gpt.workbench.cleaning_dialog import CleaningDialog
from tui_gpt.workbench.dialogs import Question, Reader

BOOK = "It is a truth universally acknowledged, that a single man must be in want of a wife.\n" * 300


@pytest.fixture
def corpus(workspace) -> Path:
    folder = workspace / "corpus"
    (folder / "letters").mkdir(parents=True)
    (folder / "mine.txt").write_text("some text of mine " * 500)
    for number in range(6):
        text = f"Dear friend, the café of number {number % 3} is open. " + "The coffee is good there. " * 20
        (folder / "letters" / f"{number}.txt").write_bytes(text.replace("é", "Ã©").encode())
    return folder


@pytest.fixture
def mirror(tmp_path, monkeypatch) -> Path:
    """Stands in for every server; it has one book."""
    book = tmp_path / "mirror" / "www.gutenberg.org" / "cache" / "epub" / "1342" / "pg1342.txt"
    book.parent.mkdir(parents=True)
    book.write_text(BOOK)
    monkeypatch.setenv("GPT_TUI_MIRROR", str(tmp_path / "mirror"))
    return book


async def press(app, pilot, *keys):
    await pilot.press(*keys)
    await settle(app, pilot)


async def mark(app, pilot, name):
    """Put the cursor on a corpus."""
    app.screen.selected = name
    app.screen.cursor_moved()
    await settle(app, pilot)
    assert app.screen.current.name == name


def marked_row(app, name):
    return next(line for line in text_of(app).splitlines() if f"│ {name} " in line or f"  {name} " in line)


async def test_enter_on_the_corpus_pane_lists_what_is_here_and_what_can_be_fetched(opened, corpus):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        text = text_of(app)
        assert "● stories" in text and "5 here · tokens with bpe:1024" in text
        for name in ("mine", "letters", "tinystories", "gutenberg:ID[,ID]", "a path…"):
            assert name in text
        row = marked_row(app, "tinystories")
        assert "to fetch" in row and "2.07 GiB" in row and "CDLA-Sharing-1.0" in row
        assert "Once upon a time" in text


async def test_the_list_is_filtered_and_enter_chooses(opened, corpus):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter", "/", *"mine")
        assert "tinystories" not in text_of(app)
        await press(app, pilot, "enter")
        assert "some text of mine" in text_of(app)
        await press(app, pilot, "enter")
        assert app.screen.place == "dashboard"
        assert app.draft.config.data.corpus == "mine"


async def test_the_marked_text_is_shown_without_what_a_terminal_obeys(opened, corpus):
    (corpus / "mine.txt").write_text("red \x1b[31m ink [bold]here[/bold] \x07 " * 50)
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "mine")
        text = text_of(app)
        assert "red �[31m ink [bold]here[/bold]" in text and "\x1b" not in text


async def test_a_text_that_cannot_be_read_says_why_in_its_place(opened, corpus):
    (corpus / "mine.txt").write_bytes(b"\x00\x01" * 500)
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "mine")
        assert "binary file" in words_in(text_of(app))


async def test_p_prepares_the_marked_corpus_and_its_tokens_are_counted(opened, corpus):
    async with opened() as (app, pilot):
        app.draft.set("data.tokenizer", "byte")
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "mine")
        await press(app, pilot, "p")
        assert "9k" in marked_row(app, "mine")
        assert "9,001 tokens" in text_of(app)
        assert app.draft.config.data.corpus == "stories"


async def test_stories_show_their_floor_once_they_are_counted(opened, workspace):
    async with opened() as (app, pilot):
        app.draft.set("data.tokenizer", "byte")
        app.draft.set("data.corpus", "stories:0.02:7")
        await press(app, pilot, "2", "enter")
        assert "known" in marked_row(app, "● stories:0.02:7")
        await press(app, pilot, "p")
        line = app.screen.current
        assert 0.01 < line.floor < 1.0
        assert f"{line.floor:.3f}" in marked_row(app, "● stories:0.02:7")
        assert f"floor {line.floor:.3f} nats a token" in text_of(app)


async def test_a_book_is_asked_for_by_number_shown_with_its_licence_and_fetched(opened, workspace, mirror):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "gutenberg:ID[,ID]")
        await press(app, pilot, "enter", "x")
        assert "gutenberg:ID[,ID]: books" in text_of(app)  # what to write, under what is written
        await press(app, pilot, "backspace", *"1342", "enter")
        assert isinstance(app.screen, Question)
        assert "licence: public domain in the USA" in text_of(app)
        assert not (workspace / "corpus" / ".cache" / "fetched").exists()
        await press(app, pilot, "f")
        assert app.screen.current.name == "gutenberg:1342" and app.screen.current.kind == "fetched"
        assert "a truth universally acknowledged" in text_of(app)
        await press(app, pilot, "enter")
        assert app.draft.config.data.corpus == "gutenberg:1342"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Stands in for the `datasets` library in child processes: a set of a hundred short poems."""
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "datasets.py").write_text(
        "def load_dataset(repository, config, *, split, streaming):\n"
        "    assert (repository, config, split, streaming) == ('someone/poems', None, 'train', True)\n"
        "    return ({'text': f'Poem {n}: ' + 'roses are red, ' * 10} for n in range(100))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hub"))


async def test_of_a_set_of_the_hub_a_part_is_asked_for_in_megabytes_and_streamed(opened, workspace, hub):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "hf:OWNER/NAME[:CONFIG][:COLUMN]")
        await press(app, pilot, "enter", *"someone/poems", "enter")
        assert isinstance(app.screen, Question) and "of a size that nobody says" in text_of(app)
        await press(app, pilot, "m", "x", "enter")
        assert "a number of megabytes" in text_of(app)
        await press(app, pilot, "backspace", *"0.001", "enter")
        assert isinstance(app.screen, Question) and "0.001 MB" in text_of(app)
        await press(app, pilot, "f")
        assert app.chore_problem == ""
        assert app.screen.current.name == "hf:someone/poems" and app.screen.current.kind == "fetched"
        assert "Poem 0: roses are red" in text_of(app)
        (texts,) = (workspace / "corpus" / ".cache" / "fetched").glob("*/documents.jsonl")
        assert len(texts.read_text().splitlines()) == 7  # 160 bytes each


async def test_a_fetch_that_fails_is_one_clear_line(opened, workspace, mirror):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "verdict")
        await press(app, pilot, "f")
        await press(app, pilot, "f")
        assert "the mirror does not have it" in app.chore_problem and "\n" not in app.chore_problem
        said = text_of(app).splitlines()[1]
        assert "✗ …" in said and said.rstrip().endswith("GPT_TUI_MIRROR says where it looks")  # the cause, not the path
        assert app.chore is None


class _Stalls(BaseHTTPRequestHandler):
    """Sends half of what it promised, and then nothing."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1115394")
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(b"x" * 600_000)
        self.wfile.flush()
        self.server.released.wait()

    def log_message(self, *_):
        pass


@pytest.fixture
def stalling(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Stalls)
    server.released = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GPT_TUI_MIRROR", f"http://127.0.0.1:{server.server_port}")
    yield
    server.released.set()
    server.shutdown()
    server.server_close()


async def test_a_fetch_says_how_far_it_is_and_what_arrived_stays_when_it_is_cancelled(opened, workspace, stalling):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "shakespeare")
        await press(app, pilot, "f")
        await pilot.press("f")
        while app.chore.fraction is None:
            await asyncio.sleep(0.01)
        app.redraw()
        await pilot.pause()
        assert re.search(r"fetching .* \d+%", text_of(app)) and "╌" in text_of(app).splitlines()[1]
        await press(app, pilot, "x")
        assert app.chore is None and app.chore_problem == ""
        assert app.screen.current.kind == "to fetch"
        (partial,) = (workspace / "corpus" / ".cache" / "fetched").glob("*.partial/*.txt.partial")
        assert partial.stat().st_size > 0


async def test_leaving_the_question_fetches_nothing(opened, workspace, mirror):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "verdict")
        await press(app, pilot, "f")
        await press(app, pilot, "escape")
        assert app.chore is None and app.chore_problem == ""
        assert app.screen.place == "corpora"


async def test_cleaning_shows_its_steps_then_its_report(opened, corpus):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "letters")
        await pilot.press("c")
        await pilot.pause()
        assert isinstance(app.screen, CleaningDialog)
        assert "[x] mojibake" in text_of(app) and "[ ] overlap" in text_of(app)
        await pilot.press(*["down"] * 6, "space")  # not the exact copies
        await pilot.pause()
        assert "[ ] exact" in text_of(app) and "called letters-clean" in text_of(app)
        await press(app, pilot, "enter")
        assert isinstance(app.screen, Reader)
        text = text_of(app)
        assert "6 changed" in text and "cafÃ©" in text and "café" in text
        assert "exact " not in text
        await press(app, pilot, "escape")
        assert app.screen.current.name == "letters-clean"
        assert (corpus / "letters" / "0.txt").exists()
        await pilot.press("c")
        await pilot.pause()
        assert "called letters-clean-clean" in text_of(app)


async def test_the_report_of_a_corpus_can_be_read_without_cleaning_it(opened, corpus):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "letters")
        await press(app, pilot, "R")
        assert isinstance(app.screen, Reader)
        assert "What cleaning would do to letters" in text_of(app)
        assert not (corpus / "letters-clean").exists()


async def test_what_is_not_here_is_neither_prepared_nor_cleaned(opened, workspace):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "verdict")
        await press(app, pilot, "p", "c", "v")
        assert app.screen.place == "corpora" and app.chore is None


async def test_a_path_is_completed_refused_in_place_and_chosen(opened, corpus, workspace):
    (workspace / "far").mkdir()
    (workspace / "far" / "away.txt").write_text("far away " * 500)
    (workspace / "far" / "broken.txt").write_bytes(b"\xff\xfe\x00\x00" * 100)
    (workspace / "far" / "picture.png").write_bytes(b"png")
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter", "o", "f", "a", "tab")
        field = app.screen.query_one(Input)
        assert field.value == "far/"
        text = text_of(app)
        assert "away.txt" in text and "picture.png" not in text and "2 text files here" in text
        await press(app, pilot, "b", "right")
        assert field.value == "far/broken.txt"
        await press(app, pilot, "enter")
        assert "UTF-16" in text_of(app)
        field.value = "far/aw"
        await press(app, pilot, "enter")
        assert app.screen.place == "dashboard"
        assert app.draft.config.data.corpus == str(workspace / "far" / "away.txt")


async def test_a_mixture_is_written_checked_and_listed(opened, corpus):
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await mark(app, pilot, "0.7 NAME + 0.3 NAME")
        await press(app, pilot, "enter", *"tiny + mine", "enter")
        assert "write 0.7 NAME + 0.3 NAME" in text_of(app)  # refused while it is typed
        app.screen.query_one(Input).value = "1 tiny + 3 mine"
        await press(app, pilot, "enter")
        assert app.draft.config.data.corpus == "0.25 tiny + 0.75 mine"
        await press(app, pilot, "2", "enter")
        assert "mixture" in marked_row(app, "● 0.25 tiny + 0.75 mine")
        assert "A language model" in text_of(app) and "some text of mine" in text_of(app)


async def test_of_a_long_path_the_end_is_shown(opened, corpus):
    async with opened(size=(80, 24)) as (app, pilot):
        app.draft.set("data.corpus", str(corpus / "letters"))
        await press(app, pilot, "2", "enter")
        assert "corpus/letters" in text_of(app).splitlines()[4]


async def test_one_thing_at_a_time_and_a_key_cancels_it(opened, workspace, monkeypatch):
    begun = asyncio.Event()

    async def endless(work, kind, heard):
        heard(Said(phase="encoding stories", fraction=0.25))
        begun.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr("tui_gpt.workbench.corpus_work.ask_child", endless)
    async with opened() as (app, pilot):
        await press(app, pilot, "2", "enter")
        await pilot.press("p")
        await begun.wait()
        app.redraw()
        await pilot.pause()
        assert "encoding stories 25%" in text_of(app) and "x cancels" in text_of(app)
        first = app.chore
        await pilot.press("p")
        assert app.chore is first
        await pilot.press("escape")
        await app._beat()
        await pilot.pause()
        assert "preparing 25%" in text_of(app)  # it goes on, and the dashboard says so
        assert "encoding stories 25%" in text_of(app).splitlines()[1]
        await pilot.press("2", "enter")
        await pilot.press("x")
        await settle(app, pilot)
        assert app.chore is None and first.cancelled


async def test_a_cancelled_child_is_gone(workspace, monkeypatch):
    children = []
    create = asyncio.create_subprocess_exec

    async def watched(*argv, **options):
        children.append(await create(*argv, **options))
        return children[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    heard = asyncio.Event()
    work = Work(task="prepare", reference="stories:900:1", corpus_dir=str(workspace / "corpus"), tokenizer="byte")
    task = asyncio.create_task(chores.ask_child(work, str, lambda _: heard.set()))
    await heard.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children[0].returncode == 143


async def test_a_child_that_dies_without_a_word_is_an_error_in_words(workspace, monkeypatch):
    monkeypatch.setattr(chores, "_argv", lambda work: [sys.executable, "-c", "raise SystemExit(7)"])
    work = Work(task="prepare", reference="tiny", corpus_dir=str(workspace), tokenizer="byte")
    with pytest.raises(CorpusError, match="prepare ended with 7"):
        await chores.ask_child(work, str)
