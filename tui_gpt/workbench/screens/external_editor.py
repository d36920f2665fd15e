"""A text in the user's own editor, with the workbench suspended meanwhile."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from pathlib import Path

from textual.app import App

from tui_gpt.errors import UserError, reason
from tui_gpt.workbench.terminal.capabilities import editor


async def edit_text(app: App[object], text: str, name: str = "config.toml") -> str:
    """Return `text` as the user's editor leaves it. Raise UserError when the editor cannot be run."""
    command = editor(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, "utf-8")
        try:
            with app.suspend():
                await asyncio.to_thread(subprocess.run, [*command, str(path)], check=False)
            return path.read_text("utf-8", "replace")
        except OSError as error:
            raise UserError(f"cannot be run: {reason(error)}", where=command[0], do="Set $EDITOR") from None
