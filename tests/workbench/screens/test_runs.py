"""The Runs screen, driven as a user drives it."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

from tests.workbench.conftest import Opener, settle, text_of, words_in
from tests.workbench.fake_run import FakeRun, finished, running
from tui_gpt.run import folder as folders
from tui_gpt.workbench import keys
from tui_gpt.workbench.app import Workbench
from tui_gpt.workbench.app_messages import OpenRun, ResumeRun, TalkTo, UseConfig
from tui_gpt.workbench.dialogs.confirm import Confirm
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.dialogs.viewer import Viewer
from tui_gpt.workbench.panes.runs.overlay import Overlay
from tui_gpt.workbench.screens.run_actions import write_texts
from tui_gpt.workbench.screens.runs import RunsScreen
from tui_gpt.workbench.widgets.chart import Chart
from tui_gpt.workbench.widgets.row_table import RowTable


@pytest.fixture(autouse=True)
def opens_on_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each test the screen that it would otherwise open on."""
    choose = Workbench._first_screen
    monkeypatch.setattr(Workbench, "_first_screen", lambda self, run: choose(self, run) and keys.RUNS)


def sweep(workspace: Path, count: int = 3, *, steps: int = 30) -> list[FakeRun]:
    """Make finished runs that differ in width and learning rate, the oldest first."""
    runs = []
    for index in range(count):
        asked = {
            "preset": "pico",
            "model": {"n_embd": 64 + 32 * (index % 5)},
            "optimizer": {"learning_rate": [1e-2, 1e-3][index % 2]},
        }
        name = f"202611{1 + index // 60:02d}-10{index % 60:02d}00-run{index}"
        run = FakeRun(workspace / "runs", name, asked=asked, total=100)
        run.write_info()
        run.train(steps)
        run.evaluate(2.0 + index / 10)
        run.set_status("finished", tokens=run.step * 1024, elapsed_seconds=10.0, tokens_per_second=3072.0)
        run.close()
        runs.append(run)
    return runs


async def show(app: Workbench, pilot: Pilot[int]) -> RunsScreen:
    """Return the Runs screen, once everything is read."""
    screen = app.screen
    assert isinstance(screen, RunsScreen)
    return screen


async def type_text(pilot: Pilot[int], text: str) -> None:
    await pilot.press(*text)
    await pilot.pause()


async def dialog(app: Workbench, pilot: Pilot[int], kind: type) -> None:
    """Wait for a dialog that reads something first."""
    for _ in range(200):
        await pilot.pause()
        if isinstance(app.screen, kind):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"no {kind.__name__}, but {app.screen}")


def listed(screen: RunsScreen) -> list[str]:
    table = screen.query_one(RowTable)
    return [str(table.ordered_rows[index].key.value) for index in range(table.row_count)]


def posted(screen: RunsScreen, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list of the messages that the screen posts, which go no further."""
    messages: list[object] = []

    def post(message: object) -> bool:
        if isinstance(message, OpenRun | ResumeRun | TalkTo | UseConfig):
            messages.append(message)
            return True
        return type(screen).post_message(screen, message)  # type: ignore[arg-type]

    monkeypatch.setattr(screen, "post_message", post)
    return messages


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_rows_show_states_names_and_losses_whole(opened: Opener, workspace: Path, size: tuple[int, int]) -> None:
    sweep(workspace)
    running(workspace / "runs", steps=20)
    async with opened(size=size) as (app, pilot):
        screen = await show(app, pilot)
        assert listed(screen)[0] == "20261120-231542-pico-stories"  # live: on top
        text = text_of(app)
        for part in ("● running", "✓ finished", "w96·lr1e-3", "2.100", "30/100", "val", "loss"):
            assert part in text
        assert "0.…" not in text


async def test_an_empty_workspace_says_what_to_do(opened: Opener) -> None:
    async with opened() as (app, pilot):
        await show(app, pilot)
        assert "No runs yet. n sets up the first one" in words_in(text_of(app))


async def test_an_unreadable_runs_folder_is_said_not_raised(
    opened: Opener, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def refuse(path: str | Path = ".") -> object:
        if Path(path) == workspace / "runs":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    async with opened() as (app, pilot):
        await show(app, pilot)
        assert "cannot be read: permission denied" in words_in(text_of(app))


async def test_damaged_runs_are_rows_with_their_problem(opened: Opener, workspace: Path) -> None:
    sweep(workspace, 1)
    bad = finished(workspace / "runs", "20261201-000000-bad")
    bad.close()
    bad.folder.metrics.unlink()
    bad.folder.metrics.mkdir()
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        assert listed(screen)[0] == bad.folder.id
        assert "✗ unreadable" in text_of(app) and "metrics.jsonl: cannot be read" in words_in(text_of(app))
        for key in ("i", "l", "E"):
            await pilot.press(key)
            await dialog(app, pilot, Viewer)
            await pilot.press("escape")
            await settle(app, pilot)


async def test_a_changed_run_updates_its_cells_alone(opened: Opener, workspace: Path) -> None:
    runs = sweep(workspace)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        table = screen.query_one(RowTable)
        filled = []
        table._fill = lambda: filled.append(1)  # type: ignore[method-assign]
        runs[1].set_status("failed", tokens=1, elapsed_seconds=10.0)
        await app.poll_once()
        await settle(app, pilot)
        assert "✗ failed" in text_of(app)
        assert not filled


async def test_new_and_deleted_runs_come_and_go(opened: Opener, workspace: Path) -> None:
    runs = sweep(workspace)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        await pilot.press("down")
        current = screen.current.id
        finished(workspace / "runs", "20261202-000000-new", steps=5)
        folders.delete(runs[0].folder)
        await settle(app, pilot)
        assert listed(screen) == ["20261202-000000-new", runs[2].folder.id, runs[1].folder.id]
        assert screen.current.id == current  # the cursor stays on its run


async def test_freezing_the_dashboard_does_not_stop_this_screen(opened: Opener, workspace: Path) -> None:
    sweep(workspace, 1)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        app.session.is_frozen = True
        finished(workspace / "runs", "20261202-000000-new", steps=5)
        await settle(app, pilot)
        assert listed(screen)[0] == "20261202-000000-new"


async def test_nothing_is_drawn_while_nothing_changes(opened: Opener, workspace: Path) -> None:
    sweep(workspace)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        await settle(app, pilot)
        drawn: list[object] = []
        for widget in screen.query("*"):
            real = widget.refresh
            widget.refresh = lambda *a, real=real, widget=widget, **k: drawn.append(widget) or real(*a, **k)  # type: ignore[method-assign]
        await app.poll_once()
        await pilot.pause()
        assert not [widget for widget in drawn if widget is not screen and widget.id != "header-run"]


# ── order and filter ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_sorting_by_key_and_by_header_both_ways_is_remembered(opened: Opener, workspace: Path) -> None:
    runs = [run.folder.id for run in sweep(workspace)]
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        assert listed(screen) == runs[::-1]
        table = screen.query_one(RowTable)
        column = next(column for column in table.ordered_columns if str(column.label) == "val")
        place = sum(
            item.get_render_width(table) for item in table.ordered_columns[: table.ordered_columns.index(column)]
        )
        await pilot.click(RowTable, offset=(place + 2, 0))
        await settle(app, pilot)
        assert listed(screen) == runs and "val ▲" in text_of(app)
        assert screen.text_to_copy().splitlines()[0].startswith("id\tstate\tname")
        await pilot.press("O")
        assert listed(screen) == runs[::-1] and "val ▼" in text_of(app)
        assert (app.session.preferences.sort_column, app.session.preferences.sort_reverse) == ("best_val", True)
        await pilot.press("o")
        assert app.session.preferences.sort_column not in ("best_val", "")


async def test_the_filter_narrows_while_it_is_typed_and_escape_puts_it_back(opened: Opener, workspace: Path) -> None:
    runs = [run.folder.id for run in sweep(workspace)]
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        await pilot.press("slash")
        await dialog(app, pilot, Prompt)
        await type_text(pilot, "lr1e-3")
        assert listed(screen) == [runs[1]]
        await pilot.press("escape")
        await pilot.pause()
        assert listed(screen) == runs[::-1]
        await pilot.press("slash")
        await dialog(app, pilot, Prompt)
        await type_text(pilot, "w64")
        await pilot.press("enter")
        await settle(app, pilot)
        assert listed(screen) == [runs[0]] and "1 of 3 with “w64”" in text_of(app)
        await pilot.press("escape")
        assert listed(screen) == runs[::-1]


async def test_a_filter_that_nothing_fits_says_so_and_escape_goes_back_step_by_step(
    opened: Opener, workspace: Path
) -> None:
    runs = sweep(workspace)
    async with opened(run=runs[0].folder.id) as (app, pilot):
        screen = await show(app, pilot)
        screen._filter("bananas")
        await pilot.pause()
        assert "No run fits “bananas”. esc shows every run again." in words_in(text_of(app))
        assert screen.current is None
        for key in ("enter", "space", "d", "r", "D", "i", "u", "N"):
            await pilot.press(key)
        assert app.screen is screen
        screen._filter("run")
        await pilot.press("space", "escape")
        assert not screen.table.filter and len(screen.marks) == 1
        await pilot.press("escape")
        assert len(screen.marks) == 0
        await pilot.press("escape")
        await pilot.pause()
        assert app.current_mode == keys.DASHBOARD


async def test_the_palette_over_the_filter_does_not_crash(opened: Opener, workspace: Path) -> None:
    sweep(workspace)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        for _ in range(3):
            await pilot.press("slash")
            await pilot.pause()
            await pilot.press("ctrl+p")
            await pilot.pause()
            await type_text(pilot, "filter")
            await pilot.press("enter")
            await pilot.pause()
            while app.screen is not screen:
                await pilot.press("escape")
                await pilot.pause()
            await settle(app, pilot)
        screen._filter("")
        assert app.screen is screen and len(listed(screen)) == 3


# ── marks and the overlay ───────────────────────────────────────────────────────────────────────────────────────────


def charted(screen: RunsScreen) -> list[tuple[str, str]]:
    """Return role and label of each curve in the chart."""
    plot = screen.query_one(Overlay).query_one(Chart).plot
    return [(curve.role, curve.label) for curve in plot.curves] if plot else []


async def test_marked_runs_are_charted_by_any_metric_on_any_axis(opened: Opener, workspace: Path) -> None:
    sweep(workspace)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        assert charted(screen) == [("run-0", "w128·lr1e-2")]
        await pilot.press("space", "space")
        await settle(app, pilot)
        assert charted(screen) == [("run-0", "a w128·lr1e-2"), ("run-1", "b w96·lr1e-3")]
        assert "● a" in text_of(app) and "2 marked" in text_of(app)
        await pilot.press("m")
        await pilot.pause()
        await type_text(pilot, "gradient")
        await pilot.press("enter")
        await settle(app, pilot)
        assert "Gradient norm" in text_of(app) and app.session.preferences.metric == "grad_norm"
        await pilot.press("x", "y")
        await settle(app, pilot)
        assert "Gradient norm · over tokens · log y" in text_of(app)
        assert len(charted(screen)) == 2


async def test_overlay_colors_stay_when_a_marked_run_has_no_losses(opened: Opener, workspace: Path) -> None:
    sweep(workspace, 2)
    empty = FakeRun(workspace / "runs", "20261130-000000-empty")
    empty.set_status("failed")
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        await pilot.press("A")
        await settle(app, pilot)
        assert screen.marks == {listed(screen)[0]: 0, listed(screen)[1]: 1, listed(screen)[2]: 2}
        assert [role for role, _ in charted(screen)] == ["run-1", "run-2"]
        assert "no loss yet: a" in words_in(text_of(app))
        empty.train(5)
        empty.set_status("stopped")
        await pilot.press("home", "space")  # unmarked and marked again: the others keep theirs
        await settle(app, pilot)
        assert [role for role, _ in charted(screen)] == ["run-1", "run-2"]
        await pilot.press("home", "space")
        await settle(app, pilot)
        assert [role for role, _ in charted(screen)] == ["run-0", "run-1", "run-2"]


async def test_more_runs_than_colors_can_be_marked(opened: Opener, workspace: Path) -> None:
    sweep(workspace, 10, steps=3)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        await pilot.press("A")
        await settle(app, pilot)
        assert len(screen.marks) == 10 and len(charted(screen)) == 8
        await pilot.press("A")
        assert len(screen.marks) == 0


async def test_an_ended_run_is_read_once_and_a_live_one_followed(opened: Opener, workspace: Path) -> None:
    ended = sweep(workspace, 1)[0]
    live = running(workspace / "runs", steps=10)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        app.session.show(None)
        await pilot.press("A")
        await settle(app, pilot)
        overlay = screen.query_one(Overlay)
        monitors = dict(overlay._monitors)
        live.train(5)
        await settle(app, pilot)
        assert overlay._monitors == monitors
        assert len(monitors[live.folder.id].series) == 15 and len(monitors[ended.folder.id].series) == 30
        monitors[ended.folder.id].read = lambda: pytest.fail("read again")  # type: ignore[method-assign]
        await app.poll_once()


# ── acting on runs ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_enter_a_second_click_and_keys_hand_the_run_on(
    opened: Opener, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = sweep(workspace)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        messages = posted(screen, monkeypatch)
        await pilot.press("down", "enter")
        assert messages == [OpenRun(screen.scanner.rows[1].folder)]
        await pilot.click(RowTable, offset=(10, 3))
        await pilot.pause()
        assert screen.current.id == runs[0].folder.id and len(messages) == 1
        await pilot.click(RowTable, offset=(10, 3))
        await pilot.pause()
        assert len(messages) == 2
        await pilot.press("up", "r", "t", "u")
        await settle(app, pilot)
        folder = screen.current.folder
        assert messages[2:4] == [ResumeRun(folder), TalkTo(folder)]
        assert isinstance(messages[4], UseConfig) and messages[4].asked["model"]["n_embd"] == 96


async def test_a_live_run_is_neither_resumed_nor_deleted(opened: Opener, workspace: Path) -> None:
    live = running(workspace / "runs", steps=5)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        assert screen.check_action("resume", ()) is None
        await pilot.press("d")
        await pilot.pause()
        assert app.screen is screen and "is live: stop it first" in words_in(text_of(app))
        assert live.folder.path.is_dir()


async def test_deleting_asks_once_lists_runs_and_size_and_works_off_the_event_loop(
    opened: Opener, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = sweep(workspace)
    threads: list[threading.Thread] = []
    real = folders.delete
    monkeypatch.setattr(folders, "delete", lambda folder: threads.append(threading.current_thread()) or real(folder))
    async with opened(run=runs[2].folder.id) as (app, pilot):
        screen = await show(app, pilot)
        await pilot.press("space", "space", "d")
        await dialog(app, pilot, Confirm)
        text = words_in(text_of(app))
        assert "Delete 2 runs" in text and runs[2].folder.id in text and runs[1].folder.id in text and "KiB" in text
        for key in ("d", "enter"):  # neither the key that opened it nor enter deletes
            await pilot.press(key)
            await pilot.pause()
        await settle(app, pilot)
        assert all(run.folder.path.is_dir() for run in runs)
        if not isinstance(app.screen, Confirm):
            await pilot.press("d")
            await dialog(app, pilot, Confirm)
        await pilot.press("y")
        await settle(app, pilot)
        assert listed(screen) == [runs[0].folder.id] and not runs[2].folder.path.exists()
        assert len(screen.marks) == 0 and app.session.monitor is None
        assert threads and all(thread is not threading.main_thread() for thread in threads)


async def test_the_confirming_key_is_never_the_key_that_opened_the_question(
    opened: Opener, workspace: Path, tmp_path: Path
) -> None:
    sweep(workspace, 1)
    (tmp_path / "config" / "gpt-tui").mkdir(parents=True)
    (tmp_path / "config" / "gpt-tui" / "keys.toml").write_text('delete = "y"\n')
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        await pilot.press("y")
        await dialog(app, pilot, Confirm)
        await pilot.press("y")
        await pilot.pause()
        assert isinstance(app.screen, Confirm) and listed(screen)


async def test_an_error_while_deleting_is_shown(
    opened: Opener, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = sweep(workspace, 1)
    monkeypatch.setattr(
        folders.shutil, "rmtree", lambda path: (_ for _ in ()).throw(OSError(30, "Read-only file system"))
    )
    async with opened() as (app, pilot):
        await show(app, pilot)
        await pilot.press("d")
        await dialog(app, pilot, Confirm)
        await pilot.press("y")
        await settle(app, pilot)
        assert "cannot be deleted: read-only file system" in words_in(text_of(app))
        assert run.folder.path.is_dir()


def test_notes_and_tags_survive_a_power_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    write_texts({tmp_path / "note.txt": "kept"})
    assert synced == [(tmp_path / "note.txt").stat().st_ino, tmp_path.stat().st_ino]
    write_texts({tmp_path / "note.txt": ""})
    assert not (tmp_path / "note.txt").exists()


async def test_notes_are_kept_in_the_run_folder(opened: Opener, workspace: Path) -> None:
    (run,) = sweep(workspace, 1)
    run.folder.note.write_text("first\nsecond\n")
    async with opened(size=(200, 40)) as (app, pilot):
        screen = await show(app, pilot)
        screen.action_note()
        screen.action_note()  # twice, as by a key and a click: one dialog, whose answer counts
        await dialog(app, pilot, Prompt)
        assert app.screen.query_one(Input).value == "first ¶ second"
        await type_text(pilot, " line")
        await pilot.press("enter")
        await settle(app, pilot)
        assert len(app.screen_stack) == 1
        assert run.folder.note.read_text() == "first\nsecond line\n"
        assert "first¶second line" in text_of(app)


async def test_tags_of_marked_runs_change_only_what_they_have_in_common(opened: Opener, workspace: Path) -> None:
    runs = sweep(workspace)
    runs[0].folder.tags.write_text("base\nold\n")
    runs[1].folder.tags.write_text("base\n")
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        await pilot.press("down", "space", "space", "a")
        await dialog(app, pilot, Prompt)
        field = app.screen.query_one(Input)
        assert field.value == "base"
        field.value = "keep, lr"
        await pilot.press("enter")
        await settle(app, pilot)
        assert runs[0].folder.tags.read_text() == "old\nkeep\nlr\n"
        assert runs[1].folder.tags.read_text() == "keep\nlr\n" and not runs[2].folder.tags.exists()
        screen._filter("keep")
        assert len(listed(screen)) == 2


async def test_diff_lists_the_settings_that_differ_and_the_losses(opened: Opener, workspace: Path) -> None:
    sweep(workspace)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        assert screen.check_action("diff", ()) is None
        await pilot.press("space", "space", "D")
        await dialog(app, pilot, Viewer)
        text = words_in(text_of(app))
        for part in (
            "Differences of 2 runs",
            "model.n_embd 128 96",
            "optimizer.learning_rate 0.01 0.001",
            "val 2.200 2.100",
        ):
            assert part in text
        assert "model.n_layer" not in text


async def test_config_log_and_events_open_for_reading(
    opened: Opener, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = sweep(workspace, 1)
    run.folder.log.write_text("a line of the log\n")
    run.event("finished", "finished at step 30")
    async with opened() as (app, pilot):
        await show(app, pilot)
        for key, part in (("i", "optimizer.learning_rate"), ("l", "a line of the log"), ("E", "finished at step 30")):
            await pilot.press(key)
            await dialog(app, pilot, Viewer)
            await pilot.pause()
            assert part in text_of(app)
            await pilot.press("escape")
            await settle(app, pilot)


async def test_export_says_where_it_wrote_and_asks_before_it_replaces(
    opened: Opener, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(workspace)
    monkeypatch.chdir(tmp_path)
    async with opened() as (app, pilot):
        await show(app, pilot)
        await pilot.press("space", "S")
        await dialog(app, pilot, Prompt)
        app.screen.query_one(Input).value = "out.json"
        await pilot.press("enter")
        await settle(app, pilot)
        content = json.loads((tmp_path / "out.json").read_text())
        assert len(content["runs"]) == 3 and len(content["curves"]) == 1
        assert any("wrote" in note.message and "out.json" in note.message for note in app._notifications)
        await pilot.press("S")
        await dialog(app, pilot, Prompt)
        app.screen.query_one(Input).value = "out.json"
        await pilot.press("enter")
        await dialog(app, pilot, Confirm)
        assert "would be replaced" in words_in(text_of(app))


async def test_a_thousand_runs_are_listed_and_the_cursor_moves(opened: Opener, workspace: Path) -> None:
    sweep(workspace, 300, steps=1)
    async with opened() as (app, pilot):
        screen = await show(app, pilot)
        assert screen.query_one(DataTable).row_count == 300
        await pilot.press("end")
        assert screen.current.id.endswith("run0")
        await pilot.press("home")
        assert screen.current.id.endswith("run299")


@pytest.mark.parametrize("size", [(1, 1), (10, 4), (40, 9), (300, 100)])
async def test_any_size_can_be_drawn(opened: Opener, workspace: Path, size: tuple[int, int]) -> None:
    sweep(workspace)
    async with opened(size=size) as (app, pilot):
        await show(app, pilot)
        await pilot.press("down", "space")
        await pilot.resize_terminal(120, 40)
        await settle(app, pilot)
        assert "● a" in text_of(app)
