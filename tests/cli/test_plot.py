"""`gpt-tui plot`: charts in a pipe and on a terminal, and the points as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import gpt_tui
from tests.cli.test_tables import LONG, SHORT, in_terminal, run, workspace, write_run
from tui_gpt.cli.line_chart import Series, draw

__all__ = ["workspace"]  # a fixture


def test_plot_in_a_pipe_has_a_letter_per_run_and_no_colour(workspace: Path) -> None:
    done = run(workspace, "plot", LONG, SHORT, "--width", "70", "--height", "15")
    assert done.exit_code == 0 and "\x1b" not in done.stdout
    *chart, first, second = done.stdout.splitlines()
    assert len(chart) == 15 and max(map(len, chart)) <= 70
    assert first == f"a {LONG}  1.5 at step 5, lowest 1.5" and second == f"b {SHORT}  4 at step 3, lowest 4"
    assert any(0x2800 < ord(character) < 0x2900 for line in chart for character in line)
    assert any("a" in line for line in chart[1:-2]) and any("b" in line for line in chart[1:-2])


def test_plot_prints_the_points_as_json(workspace: Path) -> None:
    (loss,) = json.loads(run(workspace, "plot", LONG, "--json").stdout)
    points = [[1, 4.0], [2, 3.0], [3, None], [4, 2.0], [5, 1.5]]
    assert loss == {"run": LONG, "metric": "loss", "points": points}
    (newest,) = json.loads(run(workspace, "plot", "--metric", "val_loss", "--json").stdout)
    assert newest == {"run": SHORT, "metric": "val_loss", "points": [[2, 1.25]]}


@pytest.mark.parametrize("metric", ["loss", "val_loss", "grad_norm", "learning_rate", "tokens_per_second"])
def test_every_metric_is_drawn_on_both_axes(workspace: Path, metric: str) -> None:
    for options in ([], ["--log-y"]):
        done = run(workspace, "plot", SHORT, "--metric", metric, *options)
        assert done.exit_code == 0 and metric in done.stdout.splitlines()[0]


def test_plot_uses_colours_on_a_terminal_unless_no_color_is_set(workspace: Path) -> None:
    assert "\x1b[38;5;" in in_terminal(workspace, "plot", SHORT)
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in in_terminal(workspace, "plot", SHORT, **environment)


def test_run_without_values_is_reported(workspace: Path) -> None:
    write_run(workspace, "20300103-000000-new", [])
    done = gpt_tui(workspace, "plot", SHORT, "new")
    assert done.returncode == 0 and "20300103-000000-new: no loss recorded yet" in done.stderr
    done = gpt_tui(workspace, "plot", "new")
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.splitlines()[-1] == "gpt-tui: 20300103-000000-new: no loss to plot"


def test_spikes_are_drawn_and_values_without_logarithm_left_out() -> None:
    values: list[float | None] = [1.0] * 5000
    values[2500] = 9.0
    values[1000] = None
    points = [(step, value) for step, value in enumerate([*values, 0.0, float("inf")])]
    chart = draw([Series("a", points)], "loss", width=60, height=12, log_y=False, colour=False)
    assert "▲ 9" in chart.splitlines()[1]
    chart = draw([Series("a", points)], "loss", width=60, height=12, log_y=True, colour=False)
    assert "(log)" in chart.splitlines()[0] and len(chart.splitlines()) == 13


def test_plot_loads_neither_torch_nor_numpy_and_plotext_only_to_draw() -> None:
    code = (
        "import sys, tui_gpt.cli.subcommands.plot;"
        "print([name for name in ('torch', 'numpy', 'plotext') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stderr
