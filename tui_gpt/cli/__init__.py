"""The command line: one thin module a noun. Data to stdout, narration to stderr. No torch here.

Exit codes: 0 done (also stopped by command or --stop-at), 2 refused before a run started, 1 failed after, 130 stopped
by a signal. A user's mistake is one line on stderr, never a traceback.
"""

from __future__ import annotations

import os
import sys

import click

from tui_gpt.cli.options import Group, Workspace, workspace_option
from tui_gpt.errors import UserError

COMMANDS = {
    "train": "train",
    "attach": "live",
    "pause": "live",
    "resume": "live",
    "checkpoint": "live",
    "stop": "live",
    "runs": "runs",
    "status": "runs",
    "delete": "runs",
    "rename": "runs",
    "sample": "sample",
    "eval": "evaluate",
    "corpus": "corpus",
    "doctor": "doctor",
}


@click.group(
    cls=Group,
    commands_by_module=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@workspace_option
@click.option("--ascii", is_flag=True, help="Draw the workbench with ASCII characters only.")
@click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal.")
@click.version_option(package_name="gpt-tui")
@click.pass_context
def gpt_tui(context: click.Context, ascii: bool, no_mouse: bool) -> None:
    """Pretrain small GPTs from scratch, in one terminal. Without a command: the workbench."""
    if context.invoked_subcommand is None:
        from tui_gpt.workbench import run_app

        workspace = context.ensure_object(Workspace)
        sys.exit(run_app(workspace.path, ascii=ascii, mouse=not no_mouse))


def main() -> None:
    """Entry point of `gpt-tui`."""
    if sys.platform == "win32":
        sys.exit("gpt-tui runs on Linux and macOS; on Windows, run it in WSL: https://learn.microsoft.com/windows/wsl")
    try:
        gpt_tui.main(prog_name="gpt-tui", standalone_mode=False)
    except UserError as error:
        fail(str(error), 2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        fail("interrupted", 130)
    except BrokenPipeError:  # the reader of our output, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def fail(message: str, code: int) -> None:
    click.echo(f"gpt-tui: {message}", err=True)
    sys.exit(code)
