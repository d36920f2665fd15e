"""What the user sees when the app ends by an error of ours: a few words, and where its details are.

Private names of Textual used here (`test_textual_contract.py` holds them): `App._fatal_error`, `App._exception`,
`App._exit_renderables`, `App._close_messages_no_wait`.
"""

from __future__ import annotations

import platform
import time
import traceback
from importlib.metadata import version
from pathlib import Path

from rich.text import Text
from textual.app import App, ReturnType
from textual.worker import WorkerFailed

from tui_gpt.files import write_atomically


class CrashReport(App[ReturnType]):
    """An app that writes an unexpected error to `crash_log`, instead of printing a page of it with its variables."""

    crash_log: Path | None = None
    after_crash = ""

    def _fatal_error(self) -> None:
        error = self._exception
        if error is None or self.crash_log is None:
            super()._fatal_error()
            return
        if isinstance(error, WorkerFailed) and isinstance(error.error, Exception):
            error = error.error
        words = f"error: the app ended unexpectedly: {type(error).__name__}: {error}\n{self.after_crash}\n"
        details = "".join(traceback.format_exception(error))
        about = (
            f"{time.strftime('%Y-%m-%d %H:%M:%S')} gpt-tui, textual {version('textual')}, "
            f"Python {platform.python_version()}, {platform.platform()}, {self.size.width}×{self.size.height}\n"
        )
        try:
            self.crash_log.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.crash_log, (about + details).encode("utf-8", "replace"))
            words += f"details, for a bug report: {self.crash_log}"
        except OSError:
            words += details
        if not self._exit_renderables:  # what follows the first error is mostly its consequence
            self._exit_renderables.append(Text(words))
        self._close_messages_no_wait()
