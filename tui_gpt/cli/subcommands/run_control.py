"""`gpt-tui attach|pause|resume|checkpoint|stop|kill|wait|logs`: watch and control a live run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import click

from tui_gpt import launch
from tui_gpt.cli.arguments import Handler, named_run_argument, run_argument
from tui_gpt.cli.completion import complete_live_run
from tui_gpt.cli.follow import exit_code, follow
from tui_gpt.cli.options import Workspace, command, command_line, json_option
from tui_gpt.cli.output import echo, narrate, print_action
from tui_gpt.errors import RunError, reason
from tui_gpt.run import command_files, log_rotation
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlReader
from tui_gpt.run.messages import Command, CommandName, Event

TIMEOUT_SECONDS = 60.0

live_run_argument = click.argument("run", required=False, metavar="[RUN]", shell_complete=complete_live_run)
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=TIMEOUT_SECONDS,
    show_default=True,
    help="Seconds to wait for the run to answer.",
)


def control_command(
    name: str, run: Callable[[Handler], Handler] = live_run_argument
) -> Callable[[Handler], click.Command]:
    """Return a decorator for a subcommand that sends a command to a run: it takes the run, --timeout and --json."""

    def decorate(function: Handler) -> click.Command:
        return command(name)(run(timeout_option(json_option(function))))

    return decorate


@command("attach")
@live_run_argument
@json_option
def attach_command(workspace: Workspace, run: str | None, as_json: bool) -> None:
    """Follow a run; Ctrl-C detaches. When the run ends, exit with its exit code."""
    folder = workspace.find(run)
    raise SystemExit(follow(folder, as_json=as_json, owns=False))


@control_command("pause")
def pause_command(workspace: Workspace, run: str | None, timeout: float, as_json: bool) -> None:
    """Pause a live run after the current step."""
    _send(workspace.find(run), Command(name="pause", sender="cli"), timeout, as_json)


@control_command("resume", run_argument)
def resume_command(workspace: Workspace, run: str | None, timeout: float, as_json: bool) -> None:
    """Let a paused run go on, or continue one that has ended, from its newest full checkpoint, and follow it."""
    folder = workspace.find(run)
    if folder.is_locked() or folder.state() == "elsewhere":
        _send(folder, Command(name="resume", sender="cli"), timeout, as_json)
        return
    launch.resume(folder, workspace.corpus, command=command_line())
    raise SystemExit(follow(folder, as_json=as_json, owns=True, from_now=True))


@control_command("checkpoint")
def checkpoint_command(workspace: Workspace, run: str | None, timeout: float, as_json: bool) -> None:
    """Save a full checkpoint now."""
    _send(workspace.find(run), Command(name="checkpoint", sender="cli"), timeout, as_json)


@control_command("stop")
@click.option("--now", is_flag=True, help="Stop without saving; kill the trainer if it does not react.")
def stop_command(workspace: Workspace, run: str | None, now: bool, timeout: float, as_json: bool) -> None:
    """Save a full checkpoint and stop a live run."""
    _send(workspace.find(run), Command(name="stop", sender="cli", now=now), timeout, as_json)


@command("kill")
@named_run_argument(complete_live_run)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
def kill_command(workspace: Workspace, run: str, yes: bool, as_json: bool) -> None:
    """Kill a run that no longer answers; what it did since its last checkpoint is lost."""
    folder = workspace.find(run)
    command_files.require_live(folder, "kill")
    if not yes:
        click.confirm(f"Kill {folder.id} without saving?", abort=True, err=True)
    message = f"killed {command_files.kill(folder)} processes; resume it with gpt-tui resume {folder.id}"
    if as_json:
        print_action(folder.id, "kill", message)
    else:
        narrate(f"{folder.id}: {message}")


@command("wait")
@live_run_argument
@click.option("--timeout", type=click.FloatRange(0), help="Give up after so many seconds, with exit code 124.")
@json_option
def wait_command(workspace: Workspace, run: str | None, timeout: float | None, as_json: bool) -> None:
    """Wait until a run ends, and exit with its exit code."""
    folder = workspace.find(run)
    deadline = time.monotonic() + timeout if timeout is not None else float("inf")
    while folder.is_locked() or folder.state() == "elsewhere":
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    status = folder.read_status()
    state = folder.state(status)
    has_ended = not folder.is_locked() and state != "elsewhere"
    code = exit_code(state, status) if has_ended else 124  # as timeout(1)
    if as_json:
        print_action(folder.id, "wait", status.message if status else "", ok=code == 0, state=state, exit_code=code)
    raise SystemExit(code)


@command("logs")
@run_argument
@click.option("-n", "--lines", type=click.IntRange(0), default=50, show_default=True, help="Lines from the end.")
@click.option("-f", "--follow", "follows", is_flag=True, help="Print what is added until the run ends.")
def logs_command(workspace: Workspace, run: str | None, lines: int, follows: bool) -> None:
    """Print the log of a run's processes: their warnings and tracebacks."""
    folder = workspace.find(run)
    try:
        with folder.log.open("rb") as file:
            for line in deque(log_rotation.lines(file, folder.log_before), maxlen=lines):
                echo(line.decode("utf-8", "replace").rstrip("\n"))
            while follows:
                is_live = folder.is_locked()  # first: what it wrote before its end is read below
                for line in log_rotation.added_lines(file, folder.log_before):
                    echo(line.decode("utf-8", "replace").rstrip("\n"))
                if not is_live:
                    return
                time.sleep(0.2)
    except FileNotFoundError:
        raise RunError("has no log yet", where=folder.id) from None
    except OSError as error:
        raise RunError(f"cannot be read: {reason(error)}", where=str(folder.log)) from None


def _send(folder: RunFolder, command: Command, timeout: float, as_json: bool) -> None:
    """Send a command and print the acknowledgement. Exit 1 if the run refuses or does not answer in time."""
    reader = JsonlReader(folder.events, Event)
    reader.poll()
    command_files.send(folder, command)
    event = command_files.wait_for_ack(folder, command.id, reader, timeout)
    if event is None:
        raise SystemExit(_report_timeout(folder, command.name, command.id, timeout, as_json))
    if as_json:
        print_action(folder.id, command.name, event.message, ok=event.ok)
    else:
        echo(f"{folder.id}: {event.message}", err=not event.ok)
    if not event.ok:
        raise SystemExit(1)


def _report_timeout(folder: RunFolder, name: CommandName, id: str, timeout: float, as_json: bool) -> int:
    status = folder.read_status()
    if status is None:
        raise RunError("no status yet", where=folder.id)
    message = (
        f"no answer to {name} within {timeout:.0f} s: the run is {status.state} ({status.phase})"
        " and will execute it when it can"
    )
    if as_json:
        print_action(folder.id, name, message, ok=False, command_id=id)
    else:
        echo(f"{folder.id}: {message}", err=True)
    return 1
