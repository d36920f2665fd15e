"""The Textual app: screens, panes, charts, keys. No torch, no numpy; nothing heavy before the first frame."""

from __future__ import annotations

from pathlib import Path

__all__ = ["run_app"]


def run_app(workspace: Path, *, run: str | None = None, ascii: bool = False, mouse: bool = True) -> int:
    """Open the workbench on `workspace` (its corpus/ and runs/) until the user leaves; the exit code.

    run: the run to open, as `find` takes it; without one, the live run, the list of several, or the draft config.
    """
    from tui_gpt.workbench.session import open_workbench

    return open_workbench(workspace, run=run, ascii=ascii, mouse=mouse)
