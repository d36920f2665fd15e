"""The draft in the user's own editor, and back: every setting is there, what is not set as a comment with its help."""

from __future__ import annotations

import os
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gpt.errors import UserError
from tui_gpt.workbench.draft import as_text
from tui_gpt.workbench.terminal import editor

if TYPE_CHECKING:
    from tui_gpt.workbench.app import Workbench


def edit_in_editor(workbench: Workbench, text: str | None = None) -> None:
    """Suspend the screen, run $VISUAL or $EDITOR, and take what was saved; what is wrong in it is asked about."""
    draft = workbench.draft
    command = editor(os.environ)
    if not command:
        workbench.say("no editor: set $EDITOR", "error")
        return
    text = as_text(draft.asked, draft.config) if text is None else text
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(text, "utf-8")
        try:
            with workbench.suspend():
                subprocess.run([*command, str(path)], check=False)
            after = path.read_text("utf-8", "replace")
        except OSError as error:
            workbench.say(f"{command[0]} cannot be run: {error.strerror}", "error")
            return
    if after == text:
        return
    try:
        draft.adopt(tomllib.loads(after), "config.toml")
    except (UserError, tomllib.TOMLDecodeError) as error:
        workbench.question(
            "The config cannot be used",
            str(error),
            [("e", "edit it again", "again"), ("d", "drop the changes", "drop")],
            lambda answer: edit_in_editor(workbench, after) if answer == "again" else None,
            bad=True,
        )
    workbench.redraw()
    workbench.study_draft()
