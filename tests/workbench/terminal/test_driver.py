"""A real terminal under a small Textual app: bad input, job control, a lost connection."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workbench.terminal.pseudo_terminal import PseudoTerminal
from tui_gpt.workbench.terminal.driver import _Output

LEAVE = "\x1b[21~"  # f10


@pytest.fixture
def terminal() -> Iterator[PseudoTerminal]:
    with PseudoTerminal() as terminal:
        terminal.until(lambda: "ready" in terminal.text and "f10 leave" in terminal.text)
        terminal.settle()
        yield terminal


def type_and_leave(terminal: PseudoTerminal) -> None:
    terminal.send("ok")
    terminal.until("ok")
    terminal.send(LEAVE)
    assert terminal.ended() == 7
    assert not terminal.is_raw


@pytest.mark.parametrize(
    "data",
    [
        b"caf\xe9 x",  # Latin-1
        b"\xff\xfe\x80",
        b"\x1b[1114112u",  # a key past the end of Unicode
        b"\x1b[1;1;1114112u",
        b"\x1b[55296u",  # half a surrogate pair
        b"\x1b[48;0;0;0;0t\x1b[<0;1;1M",  # a terminal of no size
        b"\x1b[48;99999;99999;1;1t",
        b"\x1b[" + b"9" * 40 + b"u",
        b"\x1b[<99999999999;1;1M\x1b[M\x01\x01\x01",
        b"\x1b[200~half a paste \xf0\x9f",
        b"\x00\x01\x02\x1b\x1b\x1b[\x1b]\x1bP",
    ],
)
def test_no_input_ends_the_app(terminal: PseudoTerminal, data: bytes) -> None:
    terminal.send(data)
    terminal.settle(0.15)
    terminal.send("\x1b[201~")
    terminal.settle(0.15)
    type_and_leave(terminal)


def test_what_is_no_utf_8_is_shown_and_the_rest_is_kept(terminal: PseudoTerminal) -> None:
    terminal.send(b"caf\xe9 au lait")
    terminal.until("typed caf\ufffd au lait")


def test_a_character_that_arrives_in_two_parts_is_whole(terminal: PseudoTerminal) -> None:
    terminal.send(b"\xc3")
    terminal.settle(0.15)
    terminal.send(b"\xa9")
    terminal.until("typed é")


@pytest.mark.parametrize("key", ["\x1b", "\x03"])
def test_a_paste_whose_end_is_lost_is_ended_by_a_key(terminal: PseudoTerminal, key: str) -> None:
    terminal.send("\x1b[200~ab")
    terminal.settle(0.15)
    terminal.send("\x1b[20")  # half of a marker is no key
    terminal.settle(0.15)
    terminal.send(key)
    terminal.settle(0.3)
    type_and_leave(terminal)


def test_an_error_in_one_key_leaves_its_neighbours(terminal: PseudoTerminal) -> None:
    terminal.send(b"ab\x1b[1114112ucd")
    terminal.until("typed abcd")


def test_a_dialog_survives_a_doubled_key(terminal: PseudoTerminal) -> None:
    terminal.send("\x1bOQqq")
    terminal.settle()
    assert terminal.process.poll() is None


def test_idle_sends_nothing_and_a_beep_only_itself(terminal: PseudoTerminal) -> None:
    assert terminal.settle(1.0) == 0
    terminal.send("\x1bOS")
    terminal.until(lambda: terminal.received.endswith(b"\x07"))
    assert terminal.settle() == 0


def test_a_key_costs_a_few_bytes(terminal: PseudoTerminal) -> None:
    terminal.send("a")
    first = terminal.settle()
    terminal.send("b")
    assert terminal.settle() <= first < 400
    assert "typed ab" in terminal.text


def test_a_dialog_over_the_screen_comes_and_goes(terminal: PseudoTerminal) -> None:
    before = terminal.text
    terminal.send("\x1bOQ")
    terminal.until("a dialog")
    terminal.send("q")
    terminal.until(lambda: terminal.text == before)


def test_a_resize_draws_all_again_also_back_to_the_same_size(terminal: PseudoTerminal) -> None:
    for size in ((60, 12), (100, 30), (1, 1), (80, 24)):
        terminal.resize(*size)
        terminal.signal(signal.SIGWINCH)
        terminal.settle()
    assert "ready" in terminal.text and "beep" in terminal.text
    terminal.screen.reset()
    terminal.signal(signal.SIGWINCH)  # it was another size in between, too short a time to be seen
    terminal.until("ready")


def test_a_command_outside_gets_the_terminal_and_all_is_drawn_again(terminal: PseudoTerminal) -> None:
    terminal.send("\x1bOR")
    terminal.until("outside")
    assert not terminal.is_raw
    terminal.until("ready")
    terminal.settle()
    assert terminal.is_raw and "outside" not in terminal.text and "beep" in terminal.text
    type_and_leave(terminal)


def state(terminal: PseudoTerminal) -> str:
    return Path(f"/proc/{terminal.process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]


proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the state of a process from /proc")


@proc
def test_a_suspended_app_gives_the_terminal_back_and_draws_all_on_return(terminal: PseudoTerminal) -> None:
    terminal.signal(signal.SIGTSTP)
    terminal.until(lambda: state(terminal) == "T")
    assert not terminal.is_raw
    terminal.screen.reset()  # the shell writes over it
    terminal.signal(signal.SIGCONT)
    terminal.until("ready")
    terminal.settle()
    assert terminal.is_raw and "beep" in terminal.text
    type_and_leave(terminal)
    assert "okok" not in terminal.text


@proc
def test_continuing_without_a_suspend_starts_no_second_reader(terminal: PseudoTerminal) -> None:
    terminal.signal(signal.SIGSTOP)
    terminal.until(lambda: state(terminal) == "T")
    terminal.screen.reset()
    terminal.signal(signal.SIGCONT)
    terminal.until("ready")
    terminal.settle()
    terminal.send("abc")
    terminal.until("typed abc")
    type_and_leave(terminal)


@proc
@pytest.mark.parametrize("moment", [b"\x1b[?1049h", b"\x1b[?25l", b"\x1b[?2004h"])
def test_a_stop_during_the_start_leaves_the_terminal_as_it_was(moment: bytes) -> None:
    with PseudoTerminal() as terminal:
        deadline = time.monotonic() + 15
        while moment not in terminal.received and time.monotonic() < deadline:
            terminal.read(0.05)
        terminal.signal(signal.SIGTSTP)
        terminal.until(lambda: state(terminal) == "T")
        assert not terminal.is_raw
        terminal.signal(signal.SIGCONT)
        terminal.until("ready")
        terminal.settle()
        type_and_leave(terminal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_app_and_restores_the_terminal(terminal: PseudoTerminal, number: signal.Signals) -> None:
    terminal.signal(number)
    assert terminal.ended() == 128 + number
    assert not terminal.is_raw
    assert b"\x1b[?1049l" in terminal.received


def test_a_dropped_connection_ends_the_app(terminal: PseudoTerminal) -> None:
    terminal.close_slave()
    terminal.hang_up()
    assert terminal.process.wait(10) in (129, -signal.SIGHUP)


def type_blindly(terminal: PseudoTerminal, keys: list[str]) -> None:
    """Send keys without reading what comes back, until the terminal's buffer has long been full."""
    for key in keys:
        terminal.send(key)
        time.sleep(0.002)


def test_frames_that_a_terminal_does_not_take_are_merged(terminal: PseudoTerminal) -> None:
    type_blindly(terminal, list("0123456789" * 40))
    terminal.until(lambda: "".join(terminal.screen.display[3:9]).replace(" ", "") == "typed" + "0123456789" * 40)
    type_and_leave(terminal)


def test_a_terminal_that_takes_nothing_does_not_hold_up_the_end(terminal: PseudoTerminal) -> None:
    type_blindly(terminal, list("0123456789" * 10))
    for _ in range(20):
        type_blindly(terminal, ["\x1bOQ", "", *[""] * 8, "q", *[""] * 8])
    terminal.signal(signal.SIGTERM)
    assert terminal.process.wait(8) == 128 + signal.SIGTERM
    assert not terminal.is_raw


def test_output_is_counted_and_survives_a_narrow_encoding_and_a_closed_terminal() -> None:
    reader, writer = os.pipe()
    with open(writer, "w", encoding="latin-1") as file:  # noqa: PTH123
        output = _Output(file)
        assert output.write("é ⣿") == 3
        assert os.read(reader, 9) == "é ?".encode("latin-1")
        os.close(reader)
        assert output.write("more") == 4
        assert output.written == 7
