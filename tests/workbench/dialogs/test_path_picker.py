"""A path is completed while it is typed, refused where it cannot be a corpus, and never obeyed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.workbench.dialogs.dialog_app import shown, text_of
from tui_gpt.errors import CorpusError
from tui_gpt.workbench.dialogs import path_picker
from tui_gpt.workbench.dialogs.path_picker import PathPicker, path_items


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "away.txt").write_text("far away")
    (tmp_path / "far" / "broken.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "far" / "picture.png").write_bytes(b"png")
    (tmp_path / "far" / ".hidden.txt").write_text("hidden")
    (tmp_path / "near.md").write_text("near")
    return tmp_path


async def check(path: str) -> str:
    if "broken" in path:
        raise CorpusError("is UTF-16, not [red]UTF-8 text", where=path)
    return f"corpus {path}"


async def until(pilot, condition: Callable[[], bool]) -> None:
    for _ in range(400):
        await pilot.pause()
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("did not happen")


def labels(text: str, base: Path) -> list[str]:
    return [item.label for item in path_items(text, base)]


def test_folders_and_texts_are_offered_from_the_workspace(base):
    assert labels("", base) == ["far/", "near.md"]
    assert labels("f", base) == ["far/"]
    assert labels("far/", base) == ["far/", "far/away.txt", "far/broken.txt"]
    assert labels("far/.h", base) == ["far/.hidden.txt"]
    assert path_items("far/", base)[0].detail == "this folder: 2 text files here"
    assert labels(f"{base}/n", base) == [f"{base}/near.md"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nowhere/x", "no such file"),
        ("~nobodyatall/", "unknown user"),
        ("a\0/b", "null"),
        ("near.md/", "not a directory"),
    ],
)
def test_what_cannot_be_read_says_why_and_cannot_be_chosen(base, text, reason):
    (item,) = path_items(text, base)
    assert item.value is None and reason in item.detail


def test_names_that_cannot_be_typed_cannot_be_chosen(base):
    (base / "a\x1b[2J.txt").write_text("x")
    os.close(os.open(os.fsencode(base) + b"/\xff.txt", os.O_CREAT))
    evil = [item for item in path_items("", base) if item.label not in ("far/", "near.md")]
    assert len(evil) == 2 and all(item.value is None and "rename" in item.detail for item in evil)


def test_a_huge_folder_is_listed_in_part(base, monkeypatch):
    monkeypatch.setattr(path_picker, "LIMIT", 3)
    for number in range(9):
        (base / f"{number}.txt").write_text("x")
    assert len(path_items("", base)) == 3


async def test_tab_completes_a_wrong_file_is_refused_in_place_and_another_chosen(base):
    async with shown(PathPicker(base, check)) as (app, pilot):
        field = app.screen.query_one(Input)
        await pilot.press("f", "tab")
        await until(pilot, lambda: field.value == "far/" and "away.txt" in text_of(app))
        assert "picture.png" not in text_of(app) and "2 text files here" in text_of(app)
        await pilot.press("b", "tab")
        await until(pilot, lambda: field.value == "far/broken.txt")
        await pilot.press("enter")
        await until(pilot, lambda: "is UTF-16, not [red]UTF-8 text" in " ".join(text_of(app).split()))
        field.value = "far/aw"
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.results))
        assert app.results == [f"corpus {base / 'far' / 'away.txt'}"]
        assert app.focused.id == "beneath"


async def test_enter_waits_until_what_was_typed_last_has_been_looked_up(base, monkeypatch):
    """Else it would choose from the list of the text before."""
    release = asyncio.Event()

    async def slow(function, *args):
        if args and args[0] == "n":
            await release.wait()
        return function(*args)

    monkeypatch.setattr(path_picker.asyncio, "to_thread", slow)
    async with shown(PathPicker(base, check)) as (app, pilot):
        await until(pilot, lambda: "far/" in text_of(app))
        await pilot.press("n", "enter")
        await pilot.pause()
        assert app.results == []
        release.set()
        await until(pilot, lambda: bool(app.results))
        assert app.results == [f"corpus {base / 'near.md'}"]


async def test_tab_never_leaves_the_input_and_escape_cancels(base):
    async with shown(PathPicker(base, check)) as (app, pilot):
        await pilot.press("z", "tab", "tab", "enter")
        await until(pilot, lambda: "no folder and no text file" in text_of(app))
        assert app.focused is app.screen.query_one(Input)
        await pilot.press("escape")
        assert app.results == [None]


async def test_a_path_can_be_chosen_by_mouse(base):
    async with shown(PathPicker(base, check)) as (app, pilot):
        await until(pilot, lambda: "near.md" in text_of(app))
        await pilot.click("OptionList", offset=(3, 1))
        await until(pilot, lambda: bool(app.results))
        assert app.results == [f"corpus {base / 'near.md'}"]


async def test_hostile_and_long_names_are_one_line_each(base):
    (base / ("[red]" + "雨" * 60 + ".txt")).write_text("x")
    (base / "a\x1b[2J.txt").write_text("x")
    async with shown(PathPicker(base, check), (60, 12)) as (app, pilot):
        await until(pilot, lambda: "near.md" in text_of(app))
        text = text_of(app)
        assert sum("雨" in line for line in text.splitlines()) == 1
        assert "[red]雨" in text and "a�[2J.txt" in text
        await pilot.resize_terminal(1, 1)
        await pilot.resize_terminal(40, 10)
        await pilot.press("escape")
