"""`gpt-tui plot`: draw the curves of runs in the shell."""

from __future__ import annotations

import os
import shutil
import sys

import click

from tui_gpt.cli.completion import complete_run
from tui_gpt.cli.line_chart import Series, draw
from tui_gpt.cli.options import Workspace, command, json_option
from tui_gpt.cli.output import narrate, print_json
from tui_gpt.errors import RunError
from tui_gpt.run.folder import RunFolder

METRICS = ("loss", "val_loss", "grad_norm", "learning_rate", "tokens_per_second")
MIN_WIDTH, MIN_HEIGHT = 30, 8
DEFAULT_HEIGHT = 20


@command("plot")
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=complete_run)
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    default="loss",
    show_default=True,
    metavar="NAME",
    help=f"What to draw: {', '.join(METRICS)}.",
)
@click.option("--log-y", is_flag=True, help="Use a logarithmic y axis.")
@click.option("--width", type=click.IntRange(MIN_WIDTH), help="Columns (default: the terminal's, 80 in a pipe).")
@click.option("--height", type=click.IntRange(MIN_HEIGHT), default=DEFAULT_HEIGHT, show_default=True, help="Lines.")
@json_option
def plot_command(
    workspace: Workspace, runs: tuple[str, ...], metric: str, log_y: bool, width: int | None, height: int, as_json: bool
) -> None:
    """Draw a metric of one or several runs over their steps.

    Without RUN: the live run or, when none is live, the newest.
    """
    folders = [workspace.find(run) for run in runs] or [workspace.find(None)]
    folders = list({folder.id: folder for folder in folders}.values())
    series = [Series(folder.id, _points(folder, metric)) for folder in folders]
    if as_json:
        print_json([{"run": curve.name, "metric": metric, "points": curve.points} for curve in series])
        return
    for curve in series:
        if all(value is None for _, value in curve.points):
            narrate(f"{curve.name}: no {metric} recorded yet")
    drawn = [curve for curve in series if any(value is not None for _, value in curve.points)]
    if not drawn:
        raise RunError(f"no {metric} to plot", where=", ".join(folder.id for folder in folders))
    columns = width or max(MIN_WIDTH, shutil.get_terminal_size((80, 24)).columns)
    click.echo(draw(drawn, metric, width=columns, height=height, log_y=log_y, colour=_use_colour()), color=True)


def _points(folder: RunFolder, metric: str) -> list[tuple[int, float | None]]:
    lines = folder.read_evals() if metric == "val_loss" else folder.read_metrics()
    return [(line.step, getattr(line, metric)) for line in lines]


def _use_colour() -> bool:
    """Return whether stdout is a terminal with colours and NO_COLOR (https://no-color.org) is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
