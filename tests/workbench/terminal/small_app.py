"""A small Textual app for the tests that need a real terminal; `stock` runs it on Textual's own driver."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from tui_gpt.workbench.terminal.crash_report import CrashReport
from tui_gpt.workbench.terminal.driver import MeteredDriver
from tui_gpt.workbench.terminal.output import CellDiffApp


class Box(ModalScreen[None]):
    BINDINGS = [Binding("q", "dismiss", "close")]

    def compose(self) -> ComposeResult:
        yield Static("a dialog")


class Small(App[int]):
    """What is typed appears; f2 opens a dialog, f3 suspends the app for a command, f4 beeps, f10 ends it with 7."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Box { align: center middle; } Box Static { width: 20; height: 3; border: round white; }"
    BINDINGS = [
        Binding("f2", "box", "dialog"),
        Binding("f3", "shell", "shell"),
        Binding("f4", "bell", "beep"),
        Binding("f10", "leave", "leave"),
    ]

    def compose(self) -> ComposeResult:
        field = Input(id="field")
        field.cursor_blink = False
        yield field
        yield Static("ready", id="told", markup=False)
        yield Footer()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one("#told", Static).update(f"typed {event.value}")

    def action_box(self) -> None:
        self.push_screen(Box())

    def action_shell(self) -> None:
        with self.suspend():
            subprocess.run(["stty", "-a"], check=False, capture_output=True)
            sys.__stdout__.write("outside\r\n")  # type: ignore[union-attr]
            sys.__stdout__.flush()  # type: ignore[union-attr]
            time.sleep(0.2)

    def action_leave(self) -> None:
        self.exit(7)


class Ours(CellDiffApp[int], CrashReport[int], Small):
    """f5 raises, f6 in a worker."""

    BINDINGS = [Binding("f5", "fail", "fail"), Binding("f6", "fail_in_worker", "fail")]
    crash_log = Path(os.environ.get("CRASH_LOG", "crash.log"))
    after_crash = "All is saved."

    def action_fail(self) -> None:
        raise KeyError("not expected")

    @work
    async def action_fail_in_worker(self) -> None:
        self.action_fail()


if __name__ == "__main__":
    stock = sys.argv[1:] == ["stock"]
    app = Small() if stock else Ours(driver_class=MeteredDriver)
    code = app.run()
    sys.exit(code if code is not None else app.return_code)
