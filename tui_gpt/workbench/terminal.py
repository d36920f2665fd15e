"""The terminal as it is: a driver that knows how far behind it is, and what can be said about it before drawing.

Textual hands frames to a thread whose queue blocks the event loop when 30 are waiting, which a 10 kB/s link reaches in
seconds. Counting what was asked and what went out lets the redraw timer slow down long before that. A terminal that was
closed under the program swallows output and ends the input thread instead of raising in either.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Mapping
from typing import IO, Any

from textual.drivers.linux_driver import LinuxDriver


class _Counted:
    """A text file that counts the characters it has passed on, and stays quiet once its other end is gone."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.written = 0

    def write(self, text: str) -> int:
        try:
            self._file.write(text)
        except UnicodeEncodeError:
            self._file.write(text.encode("utf-8", "replace").decode("ascii", "replace"))
        except OSError:
            pass
        self.written += len(text)
        return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError:
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class MeteredDriver(LinuxDriver):
    """Textual's driver, with the size of its backlog."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._counted = _Counted(self._file or sys.stderr)
        self._file = self._counted  # type: ignore[assignment]
        self._asked = 0

    def write(self, data: str) -> None:
        self._asked += len(data)
        super().write(data)

    @property
    def backlog(self) -> int:
        """Characters on their way to the terminal."""
        return self._asked - self._counted.written

    def run_input_thread(self) -> None:
        try:
            super().run_input_thread()
        except OSError:  # the terminal is gone
            self._app.call_later(self._app.exit, 129)


def is_closed(fileno: int) -> bool:
    """Whether the terminal's other end is gone: a read would then return at once, for ever, with nothing."""
    poll = select.poll()
    poll.register(fileno, select.POLLHUP)
    return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


def missing_terminal(environment: Mapping[str, str]) -> str:
    """Why there is nothing to draw on; empty when there is."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return "the workbench needs a terminal for its input and output"
    if environment.get("TERM", "") in ("", "dumb"):
        return f"the workbench cannot draw on TERM={environment.get('TERM') or '(unset)'}"
    return ""


def glyphs_for(environment: Mapping[str, str]) -> str:
    """The glyph set that locale and terminal can show: braille, block (a bare console), or ascii."""
    locale = next((environment[key] for key in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(key)), "")
    if locale and "UTF-8" not in locale.upper() and "UTF8" not in locale.upper():
        return "ascii"
    return "block" if environment.get("TERM") == "linux" else "braille"


def editor(environment: Mapping[str, str]) -> list[str]:
    """The user's editor as a command; empty where there is none."""
    import shlex
    import shutil

    named = environment.get("VISUAL") or environment.get("EDITOR")
    if named:
        return shlex.split(named)
    return next(([name] for name in ("nano", "vim", "vi") if shutil.which(name)), [])
