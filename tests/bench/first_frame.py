"""Time from the command to the first frame that names the screens, beside an empty Textual app; bytecode cached.

    python -m tests.bench.first_frame [WORKSPACE]

Without a workspace an empty one is opened. Both run in a pty of 120×40, in turn; medians and their ratio are printed.
"""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time

EMPTY = """
from textual.app import App
from textual.widgets import Static


class Empty(App):
    def compose(self):
        yield Static("Corpora")


Empty().run()
"""
ROUNDS = 7


def seconds_to_first_frame(arguments: list[str], folder: str) -> float:
    """Return the seconds until a program has drawn the word `Corpora`."""
    started = time.perf_counter()
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.execv(sys.executable, [sys.executable, *arguments])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    seen = b""
    while b"Corpora" not in seen:
        seen += os.read(fd, 65536)
    took = time.perf_counter() - started
    os.kill(pid, signal.SIGKILL)
    os.close(fd)
    os.waitpid(pid, 0)
    return took


def main() -> None:
    with tempfile.TemporaryDirectory() as empty:
        folder = sys.argv[1] if len(sys.argv) > 1 else empty
        ours, theirs = [], []
        for _ in range(ROUNDS):
            theirs.append(seconds_to_first_frame(["-c", EMPTY], empty))
            ours.append(seconds_to_first_frame(["-m", "tui_gpt"], folder))
    one, two = statistics.median(ours), statistics.median(theirs)
    print(f"workbench {one:.3f} s, empty app {two:.3f} s, ratio {one / two:.2f}")


if __name__ == "__main__":
    main()
