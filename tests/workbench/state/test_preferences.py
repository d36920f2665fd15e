"""Preferences survive a restart, and no home directory, however broken, ends the program."""

import errno
import os
from pathlib import Path

import msgspec
import pytest

from tui_gpt.workbench.state.preferences import (
    NO_HOME,
    Preferences,
    TalkSettings,
    config_dir,
    keys_path,
    load_keymap,
    load_preferences,
    preferences_path,
    save_preferences,
    state_dir,
)


def test_preferences_come_back_as_they_were_saved():
    mine = Preferences(theme="dusk", x_axis="tokens", smoothing="heavy", talk=TalkSettings(temperature=0.5, seed=7))
    assert save_preferences(preferences_path(), mine)
    assert load_preferences(preferences_path()) == mine
    assert [path.name for path in state_dir().iterdir()] == ["workbench.json"]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe", b"null", b"[]", b'{"theme": 3}', b'{"talk": 1}', b"[" * 100_000],
    ids=["empty", "torn", "not text", "null", "a list", "a wrong type", "wrong talk settings", "deep"],
)
def test_a_damaged_file_means_defaults(data):
    preferences_path().parent.mkdir(parents=True)
    preferences_path().write_bytes(data)
    assert load_preferences(preferences_path()) == Preferences()


def test_a_value_that_is_not_allowed_loses_only_itself():
    found = {"theme": "dusk", "smoothing": 2, "x_axis": "parsecs", "talk": {"tokens": -1, "seed": 5}, "axis": "old"}
    preferences_path().parent.mkdir(parents=True)
    preferences_path().write_bytes(msgspec.json.encode(found))
    assert load_preferences(preferences_path()) == Preferences(theme="dusk", talk=TalkSettings(seed=5))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_a_read_only_or_full_home_ends_nothing_and_leaves_nothing_behind(monkeypatch, number):
    def refuse(fd: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", refuse)
    assert not save_preferences(preferences_path(), Preferences(theme="dusk"))
    assert list(state_dir().iterdir()) == []
    assert load_preferences(preferences_path()) == Preferences()


def test_a_home_whose_parent_is_a_file_ends_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "file"))
    assert load_preferences(preferences_path()) == Preferences()
    assert not save_preferences(preferences_path(), Preferences(theme="dusk"))
    assert load_keymap(keys_path()) == ({}, [])


def test_a_process_without_a_home_directory_starts_with_defaults(monkeypatch):
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "no")))
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert state_dir().is_relative_to(NO_HOME)
    assert config_dir().is_relative_to(NO_HOME)
    assert load_preferences(preferences_path()) == Preferences()
    assert not save_preferences(preferences_path(), Preferences())


def test_without_xdg_variables_files_lie_below_home(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert preferences_path() == Path("/somewhere/.local/state/gpt-tui/workbench.json")
    assert keys_path() == Path("/somewhere/.config/gpt-tui/keys.toml")


def test_a_key_map_is_read_and_its_faults_are_named():
    assert load_keymap(keys_path()) == ({}, [])
    keys_path().parent.mkdir(parents=True)
    keys_path().write_text('pause = ["P"]\n')
    assert load_keymap(keys_path()) == ({"pause": ["P"]}, [])
    for data, problem in ((b"pause = [", "not valid TOML"), (b"\xff", "not UTF-8")):
        keys_path().write_bytes(data)
        found, problems = load_keymap(keys_path())
        assert found == {}
        assert problem in problems[0]
        assert str(keys_path()) in problems[0]
    keys_path().unlink()
    keys_path().mkdir()
    assert "cannot be read: is a directory" in load_keymap(keys_path())[1][0]
