"""The command line: data to stdout, progress to stderr. No torch here.

Exit codes: 0 done (also stopped by a command or --stop-at), 2 refused before a run started, 1 failed after, 130 stopped
by a signal. A user's error is one line on stderr, never a traceback.
"""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

from tui_gpt.errors import UserError, reason
from tui_gpt.safe_text import safe, safe_line


def main() -> None:
    """Entry point of `gpt-tui`."""
    if sys.platform == "win32":
        sys.exit("gpt-tui runs on Linux and macOS; on Windows, run it in WSL: https://learn.microsoft.com/windows/wsl")
    _prepare_streams()
    if instruction := os.environ.get("_GPT_TUI_COMPLETE"):  # a shell asks, without arguments
        from tui_gpt.cli.completion import answer

        answer(instruction)
        sys.exit(0)
    try:
        if len(sys.argv) == 1:  # nothing to parse: show the first frame without importing click
            from tui_gpt.cli.workspace import default_workspace
            from tui_gpt.workbench import run_app

            sys.exit(run_app(default_workspace()))
        _run_command()
    except UserError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(f"{safe_line(str(error.filename))}: {reason(error)}" if error.filename else reason(error), 1)
    except Exception as error:
        _fail(_record(error), 1)


def _prepare_streams() -> None:
    """Let any text be printed, whatever the encoding, and let closed standard streams read as empty."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115  # for the life of the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _run_command() -> None:
    import click

    from tui_gpt.cli.root import gpt_tui

    try:
        gpt_tui.main(prog_name="gpt-tui", standalone_mode=False)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        print(safe(shown.getvalue()), end="", file=sys.stderr)
        sys.exit(error.exit_code)
    except click.Abort:
        _fail("interrupted", 130)


def _record(error: Exception) -> str:
    """Write an error that nobody expected to a file, and return the line that tells the user."""
    import traceback

    from tui_gpt.files import write_atomically
    from tui_gpt.workbench.state.preferences import state_dir

    what = safe_line(f"internal error: {type(error).__name__}: {error}")[:500]
    path = state_dir() / "error.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(traceback.format_exception(error)).encode("utf-8", "replace"))
    except OSError:
        return what
    return f"{what}. Details for a bug report: {path}"


def _fail(message: str, code: int) -> NoReturn:
    print(f"gpt-tui: {message}", file=sys.stderr)
    sys.exit(code)
