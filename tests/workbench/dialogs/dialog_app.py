"""An app that shows one dialog and keeps its result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input

import tui_gpt.workbench


class DialogApp(App[None]):
    CSS_PATH = Path(tui_gpt.workbench.__file__).with_name("app.tcss")

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Any] = []
        self.copied: list[str] = []

    def compose(self) -> ComposeResult:
        yield Input(id="beneath")

    def on_copy_text(self, message: Any) -> None:
        self.copied.append(message.text)


@asynccontextmanager
async def shown(
    dialog: ModalScreen[Any], size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[DialogApp, Pilot[None]]]:
    """Show a dialog over an input that has the focus."""
    app = DialogApp()
    async with app.run_test(size=size) as pilot:
        app.push_screen(dialog, app.results.append)
        await pilot.pause()
        yield app, pilot


def text_of(app: App[Any]) -> str:
    """Return what is on screen, as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)
