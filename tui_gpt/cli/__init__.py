"""The command line: data to stdout, progress to stderr. No torch here.

Exit codes: 0 done (also stopped by a command or --stop-at), 2 refused before a run started, 1 failed after, 130 stopped
by a signal. A user's error is one line on stderr, never a traceback.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

from tui_gpt.errors import UserError


def main() -> None:
    """Entry point of `gpt-tui`."""
    if sys.platform == "win32":
        sys.exit("gpt-tui runs on Linux and macOS; on Windows, run it in WSL: https://learn.microsoft.com/windows/wsl")
    try:
        if len(sys.argv) == 1:  # nothing to parse: show the first frame without importing click
            from tui_gpt.workbench import run_app

            sys.exit(run_app(Path.cwd()))
        _run_command()
    except UserError as error:
        _fail(str(error), 2)


def _run_command() -> None:
    import os

    import click

    from tui_gpt.cli.root import gpt_tui

    try:
        gpt_tui.main(prog_name="gpt-tui", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    print(f"gpt-tui: {message}", file=sys.stderr)
    sys.exit(code)
