"""From a shell into the workbench and back, with the terminal restored whatever ends it.

`resource_tracker` starts before the app does: inside it, where stderr is the app's, starting a multiprocessing process
fails with `bad value(s) in fds_to_keep`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path

from tui_gpt.workbench.terminal.capabilities import glyphs_for, missing_terminal


def open_workbench(workspace: Path, *, run: str | None = None, ascii: bool = False, mouse: bool = True) -> int:
    """Run the workbench and return the exit code: 0, 2 where there is no terminal, 128 + N after signal N."""
    problem = missing_terminal(os.environ)
    if problem:
        print(
            f"gpt-tui: {problem}. In scripts use `gpt-tui train`, `gpt-tui status` and `gpt-tui attach`",
            file=sys.stderr,
        )
        return 2
    gc.disable()  # until the first frame stands: what is imported stays anyway
    from multiprocessing import resource_tracker

    from tui_gpt.workbench.app import Workbench

    os.environ.setdefault("PYTHONSAFEPATH", "1")  # no process of ours looks for modules in the current folder
    resource_tracker.ensure_running()
    app = Workbench(workspace, run=run, glyphs="ascii" if ascii else glyphs_for(os.environ))
    code = asyncio.run(app.run_async(mouse=mouse))
    return app.return_code or code or 0
