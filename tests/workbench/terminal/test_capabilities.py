"""What is read from the environment before the first frame."""

from __future__ import annotations

import io
import os
import pty
import shutil
import sys

import pytest

from tui_gpt.errors import UserError
from tui_gpt.workbench.terminal import capabilities
from tui_gpt.workbench.terminal.capabilities import editor, glyphs_for, is_closed, missing_terminal


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "glyphs"),
    [
        ({}, "braille"),
        ({"LANG": "en_US.UTF-8"}, "braille"),
        ({"LANG": "de_DE.utf8"}, "braille"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, "ascii"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": ""}, "braille"),
        ({"LANG": "de_DE.ISO-8859-1"}, "ascii"),
        ({"TERM": "linux", "LANG": "C.UTF-8"}, "block"),
    ],
)
def test_glyphs_are_those_that_locale_and_terminal_show(environment: dict[str, str], glyphs: str) -> None:
    assert glyphs_for(environment) == glyphs


def test_the_editor_is_visual_then_editor_then_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert editor({"VISUAL": "code --wait", "EDITOR": "vim"}) == ["code", "--wait"]
    assert editor({"VISUAL": "  ", "EDITOR": "'my vim' -n"}) == ["my vim", "-n"]
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "vi" else None)
    assert editor({}) == ["vi"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"no editor was found. Set \$EDITOR"):
        editor({})


def test_an_editor_that_cannot_be_parsed_is_named() -> None:
    with pytest.raises(UserError, match=r"\$EDITOR: 'vim \"' is no command: no closing quotation. Set it to"):
        editor({"EDITOR": 'vim "'})


def test_a_terminal_is_needed_and_must_be_able_to_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(sys, stream, Tty())
    assert missing_terminal({"TERM": "xterm"}) == ""
    assert "TERM=dumb" in missing_terminal({"TERM": "dumb"})
    assert "TERM=(unset)" in missing_terminal({})
    monkeypatch.setattr(sys, "stdin", None)  # closed by whoever started it
    assert "needs a terminal" in missing_terminal({"TERM": "xterm"})


def test_a_terminal_without_its_other_end_is_closed() -> None:
    master, slave = pty.openpty()
    assert not is_closed(slave)
    os.close(master)
    assert is_closed(slave)
    os.close(slave)
    assert capabilities.is_closed(slave)
