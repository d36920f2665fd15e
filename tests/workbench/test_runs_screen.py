"""The list of runs: every state, and what one can do with each."""

import pytest

from tests.workbench import fake_run
from tests.workbench.conftest import settle, text_of
from tui_gpt.workbench.dialogs import Question, Reader
from tui_gpt.workbench.run_list import RunList


@pytest.fixture
def many(workspace):
    runs = workspace / "runs"
    fake_run.finished(runs, "20261119-101500-pico-tiny", steps=300)
    failed = fake_run.running(runs, steps=50, name="20261120-090000-pico-hot")
    failed.fail()
    crashed = fake_run.running(runs, steps=80, name="20261120-101010-pico-kite")
    crashed.unlock()
    return runs


async def press(app, pilot, *keys):
    await pilot.press(*keys)
    await settle(app, pilot)


async def test_every_run_is_listed_newest_first_with_its_state(opened, many):
    async with opened() as (app, pilot):
        await press(app, pilot, "]")
        text = text_of(app)
        order = [text.index(word) for word in ("crashed", "failed", "finished")]
        assert order == sorted(order)
        assert "50/4000" in text
        assert "3 runs" not in text or "1 of 3" in text


async def test_an_empty_workspace_says_how_to_begin(opened):
    async with opened() as (app, pilot):
        await press(app, pilot, "]")
        assert "no runs yet" in text_of(app)
        for key in ("enter", "space", "r", "R", "n", "d", "l", "e", "o", "down"):
            await press(app, pilot, key)


async def test_live_runs_come_first(opened, many):
    fake_run.running(many, steps=10, name="20261101-000000-old-but-live")
    async with opened() as (app, pilot):
        await press(app, pilot, "]")
        assert app.screen.lines[0].id == "20261101-000000-old-but-live"


async def test_a_run_is_opened_and_escape_goes_back(opened, many):
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "down", "enter")
        assert app.feed.folder.id == "20261120-090000-pico-hot"
        assert "✗ failed" in text_of(app)
        await press(app, pilot, "]")
        await press(app, pilot, "escape")
        assert app.screen.place == "dashboard"


async def test_filtering_shows_only_what_fits_while_one_types(opened, many):
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "/", "k", "i", "t", "e")
        assert [line.id for line in app.screen.lines] == ["20261120-101010-pico-kite"]
        await press(app, pilot, "enter")
        await press(app, pilot, "escape")
        assert len(app.screen.lines) == 3


async def test_a_run_is_deleted_only_when_told_and_its_size_is_said(opened, many):
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "d")
        assert isinstance(app.screen, Question)
        assert "KiB" in text_of(app)
        await press(app, pilot, "escape")
        assert len(list(many.iterdir())) == 3
        await press(app, pilot, "d", "d")
        assert not (many / "20261120-101010-pico-kite").exists()


async def test_a_live_run_is_not_deleted(opened, many):
    live = fake_run.running(many, steps=10, name="20261121-000000-live")
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "d")
        await pilot.pause()
        assert "stop it first" in text_of(app)
        assert live.folder.path.exists()


async def test_rename_keeps_the_date_and_the_cursor(opened, many):
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "R", "ctrl+u")
        for char in "better":
            await pilot.press(char)
        await press(app, pilot, "enter")
        assert (many / "20261120-101010-better").is_dir()
        assert app.screen.current.id == "20261120-101010-better"


async def test_a_name_that_cannot_be_is_said_while_one_types(opened, many):
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "R", "ctrl+u", "/")
        assert "is not a valid run name" in text_of(app)


async def test_a_note_is_written_and_shown(opened, many):
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "n", "h", "o", "t", "enter")
        assert (many / "20261120-101010-pico-kite" / "note.txt").read_text() == "hot"
        assert "hot" in text_of(app)


async def test_log_and_events_are_a_key_away(opened, many):
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "down", "l")
        assert isinstance(app.screen, Reader)
        assert "loss is nan" in text_of(app)
        await press(app, pilot, "escape", "e")
        assert "training on cpu" in text_of(app)


async def test_marked_runs_are_drawn_together(opened, many):
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "space", "down", "space", "down")
        text = text_of(app)
        assert "a ━ 20261120-101010-pico-kite" in text
        assert "b ━ 20261120-090000-pico-hot" in text
        await press(app, pilot, "up", "space")
        assert app.screen.marked == ["20261120-101010-pico-kite"]


async def test_the_order_changes_and_the_cursor_stays_on_its_run(opened, many):
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "down")
        chosen = app.screen.current.id
        for _ in range(4):
            await press(app, pilot, "o")
            assert app.screen.current.id == chosen


async def test_resuming_goes_through_the_starter_and_opens_the_run(opened, many, monkeypatch):
    from tui_gpt import launch

    resumed = []
    monkeypatch.setattr(launch, "resume", lambda folder, corpus: resumed.append(folder.id) or folder)
    async with opened() as (app, pilot):
        await press(app, pilot, "]", "r")
        await settle(app, pilot)
        assert resumed == ["20261120-101010-pico-kite"]
        assert app.feed.folder.id == resumed[0]


async def test_narrow_screens_keep_the_name_and_the_figures(opened, many):
    async with opened(size=(80, 24)) as (app, pilot):
        await press(app, pilot, "]")
        assert "20261120-101010-pico" in text_of(app)
        assert "80/4000" in text_of(app)


def test_a_scan_reads_again_only_what_changed(many, monkeypatch):
    from tui_gpt.workbench import run_list

    found = RunList(many)
    found.scan()
    read = []
    real = run_list._read
    monkeypatch.setattr(run_list, "_read", lambda folder: read.append(folder.id) or real(folder))
    found.scan()
    assert read == []
    (many / "20261119-101500-pico-tiny" / "note.txt").write_text("fine")
    found.scan()
    assert read == ["20261119-101500-pico-tiny"]


def test_a_damaged_run_is_listed_as_such(many):
    (many / "20261119-101500-pico-tiny" / "status.json").write_bytes(b"{")
    found = RunList(many)
    found.scan()
    line = next(line for line in found.lines if line.id.endswith("tiny"))
    assert line.state == "unreadable"
    assert "damaged" in line.problem
