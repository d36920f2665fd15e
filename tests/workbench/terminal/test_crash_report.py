"""An unexpected error: a few words in the terminal, and the traceback in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workbench.terminal.pseudo_terminal import PseudoTerminal


@pytest.mark.parametrize("key", ["\x1b[15~", "\x1b[17~"])
@pytest.mark.parametrize("is_writable", [True, False])
def test_an_unexpected_error_is_told_in_a_few_words(tmp_path: Path, is_writable: bool, key: str) -> None:
    if not is_writable:
        (tmp_path / "state").write_text("in the way")
    log = tmp_path / "state" / "crash.log"
    with PseudoTerminal(environment={"CRASH_LOG": str(log)}, size=(200, 60)) as terminal:
        terminal.until("ready")
        terminal.send(key)
        assert terminal.ended() == 1
        shown = terminal.received.decode().rpartition("\x1b[?1049l")[2]
    assert "ended unexpectedly: KeyError: 'not expected'" in shown and "All is saved." in shown
    if is_writable:
        assert str(log) in shown.replace("\r\n", "") and "Traceback" not in shown
        assert "KeyError: 'not expected'" in log.read_text() and "Traceback" in log.read_text()
    else:
        assert "action_fail" in shown
