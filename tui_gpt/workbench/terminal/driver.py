"""Textual's driver, made to survive bad input, a slow or closed terminal, and job control at any moment.

What Textual 8.2 does and this mends: a byte that is no UTF-8, or a key code past the end of Unicode, ends the app;
SIGTSTP during start, or SIGCONT without a suspend, sets the terminal up twice and leaves it raw at the end; after `fg`
nothing is repainted; a terminal that takes nothing, or is suspended, blocks the event loop after 30 writes; a paste
whose end is lost swallows all keys.

Private names of Textual used here (`test_textual_contract.py` holds them): `textual._xterm_parser.XTermParser`,
`Driver._app`, `Driver._debug`, `Driver._loop`, `LinuxDriver._file`, `_writer_thread`, `_in_band_window_resize` and
`_must_signal_resume`, and `WriterThread._queue`.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from codecs import getincrementaldecoder
from contextlib import suppress
from threading import Thread
from typing import Any, TextIO

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

CLOSED = 128 + signal.SIGHUP
CLOSE_SECONDS = 2.0
BACKLOG_CHARACTERS = 16_384
PASTE_START, PASTE_END = "\x1b[200~", "\x1b[201~"


class _Output:
    """The terminal's output: counts what it has passed on, and stays quiet once the other end is gone."""

    def __init__(self, file: TextIO) -> None:
        file.flush()
        self._fileno, self._encoding = file.fileno(), file.encoding
        self.written = 0

    def write(self, text: str) -> int:
        # Not through the file: a thread that waits in there holds a lock that Python's own end needs.
        data = text.encode(self._encoding, "replace")
        with suppress(OSError):
            while data:
                data = data[os.write(self._fileno, data) :]
        self.written += len(text)
        return len(text)

    def flush(self) -> None: ...

    def fileno(self) -> int:
        return self._fileno


class MeteredDriver(LinuxDriver):
    """See the module. `generation` counts how often the terminal was taken over: each time its content is unknown."""

    _is_pasting = False
    _last_input = ""  # the last characters, which may be the beginning of a marker

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._output = _Output(self._file or sys.stderr)
        self._file = self._output  # type: ignore[assignment]
        self._asked = 0
        self.generation = 0
        # Textual's handlers may run in the middle of anything; ours run on the event loop, once the terminal is ours.
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)

    @property
    def is_active(self) -> bool:
        """Whether the terminal is in application mode, so that what is written arrives."""
        return self._writer_thread is not None and self._writer_thread.is_alive()

    @property
    def backlog(self) -> int:
        """Return the number of characters on their way to the terminal."""
        return self._asked - self._output.written

    @property
    def is_behind(self) -> bool:
        """Return whether frames should wait until the terminal has taken more."""
        return self.backlog > BACKLOG_CHARACTERS

    def write(self, data: str) -> None:
        if self.is_active:
            self._asked += len(data)
            super().write(data)

    def start_application_mode(self) -> None:
        # Handlers first: from here on a signal waits until the terminal is set up, or taken down, as a whole.
        self._loop.add_signal_handler(signal.SIGTSTP, self._stop)
        self._loop.add_signal_handler(signal.SIGCONT, self._continue)
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._loop.add_signal_handler(number, self._end, 128 + number)
        self._asked = self._output.written
        self.generation += 1
        super().start_application_mode()
        if self._writer_thread is not None:
            self._writer_thread._queue.maxsize = 0  # a full queue blocks the event loop; `is_behind` is the limit

    def stop_application_mode(self) -> None:
        if self.is_active:
            super().stop_application_mode()
        # Until the next start (an editor has the terminal) the system's own handling is right.
        for number in (signal.SIGTSTP, signal.SIGCONT, signal.SIGTERM, signal.SIGHUP):
            self._loop.remove_signal_handler(number)

    def resume_application_mode(self) -> None:
        super().resume_application_mode()
        self._app.call_later(self._app.refresh)

    def close(self) -> None:
        """Stop writing, without waiting for ever for a terminal that takes nothing."""
        closing = Thread(target=super().close, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def _stop(self) -> None:
        """Give the terminal back, stop the process, and take the terminal again once it continues."""
        self.suspend_application_mode()
        self._must_signal_resume = True
        signal.raise_signal(signal.SIGSTOP)
        self.resume_application_mode()

    def _continue(self) -> None:
        """After a stop that could not be caught, the shell may have changed the terminal: set it up anew."""
        if self.is_active:
            self.suspend_application_mode()
        self.resume_application_mode()

    def _end(self, code: int) -> None:
        self._app.exit(code, return_code=code)

    def run_input_thread(self) -> None:
        """Read and dispatch input until the terminal is given back; nothing that is read ends the app."""
        parser = XTermParser(self._debug)
        decoder = getincrementaldecoder("utf-8")("replace")
        while not self.exit_event.is_set():
            text = ""
            try:
                if select.select([self.fileno], [], [], 0.1)[0]:
                    data = os.read(self.fileno, 4096)
                    if not data:
                        raise OSError("end of input")
                    text = decoder.decode(data)
            except OSError:  # the terminal is gone
                self._app.call_later(self._end, CLOSED)
                return
            parser = self._dispatch(parser, self._end_lost_paste(text))

    def _end_lost_paste(self, text: str) -> str:
        """Return `text`, and the end of a paste whose own was lost once escape or ctrl+c is pressed.

        A key comes alone: nothing follows the escape for a while, and then `text` is empty.
        """
        seen = self._last_input + text
        start, end = seen.rfind(PASTE_START), seen.rfind(PASTE_END)
        self._is_pasting = start > end or (start == end and self._is_pasting)
        self._last_input = seen[1 - len(PASTE_START) :]
        if self._is_pasting and (text == "\x03" or (not text and seen.endswith("\x1b"))):
            self._is_pasting, self._last_input = False, ""
            return text + PASTE_END
        return text

    def _dispatch(self, parser: XTermParser, text: str) -> XTermParser:
        """Pass on the messages in a text, one character at a time, so that an error costs no more than its sequence."""
        for character in (*text, ""):
            try:
                for message in parser.feed(character) if character else parser.tick():
                    self.process_message(message)
            except Exception:  # a parser that raised cannot go on
                if self._loop.is_closed():
                    break
                broken, parser = parser, XTermParser(self._debug)
                parser.mouse_pixels = broken.mouse_pixels
                parser.terminal_size, parser.terminal_pixel_size = broken.terminal_size, broken.terminal_pixel_size
        return parser

    def process_message(self, message: Message) -> None:
        if isinstance(message, events.Key) and "\ud800" <= (message.character or "") <= "\udfff":
            return  # half a character can be neither drawn nor saved
        if isinstance(message, events.Resize) and not self._in_band_window_resize:
            return  # nobody asked for it, and a size of 0 or of millions would be believed
        super().process_message(message)
