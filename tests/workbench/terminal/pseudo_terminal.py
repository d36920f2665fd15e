"""A program in a pseudo terminal, with an emulator that shows what its screen looks like."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence

import pyte

MODULE = ("-m", "tests.workbench.terminal.small_app")


class PseudoTerminal:
    """Start `python ARGUMENTS` in a terminal of that size; read with `until` or `settle`, write with `send`."""

    def __init__(
        self,
        arguments: Sequence[str] = MODULE,
        *,
        size: tuple[int, int] = (80, 24),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self.received = b""
        self.master, self.slave = pty.openpty()
        self.resize(*size)
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(environment or {})},
        )

    def __enter__(self) -> PseudoTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()
        if self.slave >= 0:
            os.close(self.slave)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.screen.resize(height, width)

    def send(self, data: bytes | str) -> None:
        os.write(self.master, data.encode() if isinstance(data, str) else data)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def hang_up(self) -> None:
        """Close the terminal under the program, as a dropped connection does."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def close_slave(self) -> None:
        os.close(self.slave)
        self.slave = -1

    def read(self, seconds: float) -> bytes:
        """Return what the program sends first within this time."""
        if not select.select([self.master], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return b""
        self.received += data
        self._stream.feed(data.replace(b"\x1b[?2026$p", b"").replace(b"\x1b[?2048$p", b""))
        return data

    def until(self, condition: str | Callable[[], bool], timeout: float = 15.0) -> None:
        """Read until the screen shows this text, or until the condition holds."""
        deadline = time.monotonic() + timeout
        while not (condition in self.text if isinstance(condition, str) else condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"never came: {condition!r}; exit {self.process.poll()}\n{self.text}")
            self.read(0.05)

    def settle(self, quiet: float = 0.3) -> int:
        """Read until nothing has come for a while; return the number of bytes."""
        count = 0
        while data := self.read(quiet):
            count += len(data)
        return count

    def ended(self, timeout: float = 10.0) -> int:
        """Wait for the program's end and return its exit code."""
        self.until(lambda: self.process.poll() is not None, timeout)
        self.settle(0.05)
        return int(self.process.returncode)

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    @property
    def is_raw(self) -> bool:
        """Whether the terminal has neither echo nor line editing."""
        return not termios.tcgetattr(self.slave)[3] & (termios.ECHO | termios.ICANON)
