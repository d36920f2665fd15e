"""The workbench: a Textual app over the run folders. No torch, no numpy; nothing heavy before the first frame."""

from __future__ import annotations

from pathlib import Path

__all__ = ["run_app"]


def run_app(workspace: Path, *, run: str | None = None, ascii: bool = False, mouse: bool = True) -> int:
    """Open the workbench on `workspace` (its corpus/ and runs/) until the user leaves, and return the exit code.

    run: the run to open, as `tui_gpt.run.folder.find` takes it; without one, what is live, else the newest.
    """
    from tui_gpt.workbench.startup import open_workbench

    return open_workbench(workspace, run=run, ascii=ascii, mouse=mouse)
