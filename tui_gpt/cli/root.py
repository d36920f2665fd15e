"""The command `gpt-tui` and the table of its subcommands, each imported when it is used."""

from __future__ import annotations

import sys

import click

from tui_gpt.cli.options import Group, Workspace, quiet_option, workspace_option

COMMANDS = {
    "train": "train",
    "attach": "run_control",
    "pause": "run_control",
    "resume": "run_control",
    "checkpoint": "run_control",
    "stop": "run_control",
    "kill": "run_control",
    "wait": "run_control",
    "logs": "run_control",
    "runs": "manage_runs",
    "status": "manage_runs",
    "plot": "plot",
    "delete": "manage_runs",
    "rename": "manage_runs",
    "verify": "upkeep",
    "gc": "upkeep",
    "archive": "upkeep",
    "restore": "upkeep",
    "sample": "sample",
    "eval": "evaluate",
    "import": "model_transfer",
    "export": "model_transfer",
    "corpus": "corpus_commands",
    "bench": "bench_command",
    "doctor": "doctor",
    "completion": "completion_command",
}


@click.group(
    cls=Group,
    commands_by_module=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@workspace_option
@quiet_option
@click.option("--ascii", is_flag=True, help="Draw the workbench with ASCII characters only.")
@click.option("--no-mouse", is_flag=True, help="Do not capture the mouse.")
@click.version_option(package_name="gpt-tui")
@click.pass_context
def gpt_tui(context: click.Context, ascii: bool, no_mouse: bool) -> None:
    """Pretrain small GPTs from scratch in the terminal. Without a command, open the workbench."""
    if context.invoked_subcommand is None:
        from tui_gpt.workbench import run_app

        workspace = context.ensure_object(Workspace)
        sys.exit(run_app(workspace.path, ascii=ascii, mouse=not no_mouse))
