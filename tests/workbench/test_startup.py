"""The workbench in a real terminal: it leaves it sane, whatever ends it, and loads nothing heavy."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from tests.workbench import fake_run

ROOT = Path(__file__).parents[2]
PROGRAM = (
    "import sys; from pathlib import Path; from tui_gpt.workbench import run_app; sys.exit(run_app(Path(sys.argv[1])))"
)
LEFT_SANE = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1003l", b"\x1b[?2004l")


@pytest.fixture
def terminal(workspace):
    """Starts the workbench in a pty of 120×40 and waits for its first frame."""
    children = []

    def start(expected: bytes = b"Plan", **environment: str) -> pexpect.spawn:
        env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT), **environment}
        child = pexpect.spawn(
            sys.executable,
            ["-c", PROGRAM, str(workspace)],
            dimensions=(40, 120),
            env=env,
            timeout=30,
            cwd=str(workspace),
        )
        children.append(child)
        child.expect(expected)
        return child

    yield start
    for child in children:
        if child.isalive():
            child.kill(signal.SIGKILL)


def ended(child: pexpect.spawn) -> bytes:
    child.expect(pexpect.EOF)
    child.wait()
    return child.before


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_and_leaves_the_terminal_sane(terminal, sig, code):
    child = terminal()
    child.kill(sig)
    tail = ended(child)
    assert child.exitstatus == code
    for sequence in LEFT_SANE:
        assert sequence in tail


def test_q_leaves_with_0(terminal):
    child = terminal()
    child.send("q")
    tail = ended(child)
    assert child.exitstatus == 0
    assert all(sequence in tail for sequence in LEFT_SANE)


def test_a_closed_terminal_ends_it(terminal):
    child = terminal()
    child.ptyproc.fileobj.close()  # the other end goes, as when a connection drops
    assert os.waitpid(child.pid, 0)[0] == child.pid
    child.ptyproc.terminated = True


def sent(child: pexpect.spawn, seconds: float) -> int:
    """Bytes that the program sends in that time."""
    total, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            total += len(child.read_nonblocking(65536, timeout=left))
        except pexpect.TIMEOUT:
            break
    return total


def test_with_no_live_run_it_sends_nothing(terminal):
    child = terminal()
    sent(child, 2)
    assert sent(child, 3) == 0


def test_a_running_dashboard_sends_little(terminal, workspace):
    run = fake_run.running(workspace / "runs", steps=600)
    child = terminal(expected=b"600/4,000")
    sent(child, 4)
    total, beats = 0, 16
    for _ in range(beats):
        run.train(5)
        run.set_status(
            "running", "training", tokens=run.step * 1024, loss=1.2, val_loss=1.25, tokens_per_second=12_000.0
        )
        total += sent(child, 0.5)
    assert 0 < total < 2000 * beats / 2


def test_an_ascii_locale_gets_ascii(terminal, workspace):
    fake_run.running(workspace / "runs", steps=60)
    child = terminal(expected=b"60/4,000", LC_ALL="C")
    child.send("q")
    child.expect(b"the run goes on")
    child.send("d")
    assert ended(child).isascii()


def test_no_colour_means_no_colour(terminal):
    child = terminal(NO_COLOR="1")
    child.send("q")
    assert not re.search(rb"\x1b\[[0-9;]*[34]8;[25];", ended(child))


def test_without_a_terminal_it_says_so_and_returns_2(workspace):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(workspace)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_screen_loads_torch_or_numpy(workspace):
    fake_run.running(workspace / "runs", steps=60).unlock()
    (workspace / "configs").mkdir()
    (workspace / "configs" / "draft.toml").write_text('[data]\ncorpus = "tiny"\n')
    script = """
import asyncio, sys
from pathlib import Path
from tui_gpt.workbench.app import Workbench

async def main():
    app = Workbench(Path(sys.argv[1]), run="pico")
    async with app.run_test(size=(120, 40)) as pilot:
        for key in ("f2", "f3", "f4", "f5"):
            await pilot.press(key)
            await app.poll_once()
            await pilot.pause()
        await pilot.press("v")
        view = app.screen.query_one("TokenView")
        while view.tokens is None:
            await asyncio.sleep(0.01)
        await pilot.press("escape", "f1")
        while "plotext" not in sys.modules:
            await app.poll_once()
            await asyncio.sleep(0.05)

asyncio.run(main())
print([name for name in ("torch", "numpy", "tokenizers", "tiktoken", "pyarrow") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(workspace)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[0] == "[]"


def test_nothing_heavy_is_imported_before_the_first_frame():
    heavy = ("plotext", "torch", "numpy")
    script = f"import sys, tui_gpt.workbench.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
