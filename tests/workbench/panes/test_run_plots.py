"""What a run logged becomes the right curves, marks and numbers, on any axis."""

import math
from types import SimpleNamespace

import pytest

from tui_gpt.run.messages import CorpusInfo, Eval, Event, Metrics, RunInfo, Sample, Status
from tui_gpt.workbench.drawing.formatting import format_loss
from tui_gpt.workbench.drawing.metrics import METRICS
from tui_gpt.workbench.drawing.rendering import render
from tui_gpt.workbench.panes.run_plots import View, loss_plot, metric_plot, overlay_plot, readout, x_extent
from tui_gpt.workbench.state.metric_series import MetricSeries


def run(steps: int = 1240, *, total: int = 4000, is_live: bool = True, losses=None) -> SimpleNamespace:
    """Return a run whose loss falls from 6 to 0.4, with an evaluation every 200 steps."""
    series = MetricSeries()
    losses = losses if losses is not None else [0.4 + 5.6 * math.exp(-step / 60) for step in range(1, steps + 1)]
    series.extend(
        [
            Metrics(
                step=step,
                tokens=step * 1024,
                loss=loss,
                learning_rate=3e-3,
                grad_norm=0.5,
                tokens_per_second=18_400.0,
                elapsed_seconds=step / 10,
                memory_bytes=2**30,
                mfu=0.31,
                data_wait_seconds=0.002,
                grad_norms={f"block {number}": 0.1 + number for number in range(12)} if step % 50 == 0 else {},
            )
            for step, loss in enumerate(losses, 1)
        ]
    )
    evals = [
        Eval(
            step=step,
            val_loss=0.5 + 0.01 * abs(step - 600) / 200,
            perplexity=1,
            bits_per_byte=1.1,
            tokens=1,
            whole=True,
        )
        for step in range(200, steps + 1, 200)
    ]
    corpus = CorpusInfo(
        name="stories",
        digest="",
        tokenizer="",
        vocab_size=1,
        documents=1,
        train_tokens=1,
        val_tokens=1,
        floor_loss=0.224,
    )
    return SimpleNamespace(
        series=series,
        evals=evals,
        best=min(evals, key=lambda item: item.val_loss, default=None),
        samples=[
            Sample(step=step, prompt="Once", text="a \x1b[31mduck\nnamed Lily", seed=1, tokens=9, temperature=1.0)
            for step in (100, 500, 1000)
        ],
        events=[],
        checkpoints=[SimpleNamespace(step=400), SimpleNamespace(step=800)],
        status=Status(state="running", total_steps=total),
        info=RunInfo(corpus=corpus),
        is_live=is_live,
    )


def text_of(plot, width: int = 120, height: int = 25) -> str:
    return "\n".join("".join(text for text, _ in row) for row in render(plot, width, height).rows)


def test_the_legend_shows_the_number_of_header_and_lists():
    one = run()
    text = text_of(loss_plot(one, View()))
    assert f"train {format_loss(one.series.smoothed_last())}" in text
    assert "val 0.530" in text


def test_the_loss_chart_has_floor_samples_checkpoints_and_the_best_evaluation():
    plot = loss_plot(run(), View())
    text = text_of(plot)
    assert plot.levels[0].y == 0.224
    assert "⚑ 500 “a �[31mduck¶named" in text.replace("…", "")
    assert text.count("▴") == 2
    assert [mark.x for mark in plot.marks if mark.role == "best"] == [600]


def test_resumes_and_anomalies_are_marked_at_their_steps():
    one = run()
    one.events = [
        Event(time=0, kind="ready", message="", step=0),
        Event(time=1, kind="anomaly", message="", step=300),
        Event(time=2, kind="resumed", message=""),
        Event(time=3, kind="ready", message="", step=700),
    ]
    marks = [(mark.glyph, mark.x) for mark in loss_plot(one, View()).marks if mark.glyph in "✗↻"]
    assert marks == [("✗", 300), ("↻", 700)]


def test_a_loss_that_stops_being_a_number_is_marked_there():
    one = run(losses=[2.0, 1.5, None, None])
    assert [(mark.glyph, mark.x) for mark in loss_plot(one, View()).marks if mark.role == "bad"] == [("✗", 3)]


@pytest.mark.parametrize("view", [View(axis=axis, is_log=log) for axis in ("step", "tokens", "time") for log in (0, 1)])
@pytest.mark.parametrize("key", list(METRICS))
def test_every_metric_can_be_shown_on_every_axis(key, view):
    plot = metric_plot(run(), key, view) if key != "update_norms" else None
    if key == "update_norms":
        assert metric_plot(run(), key, view) is None  # none was logged
    else:
        assert render(plot, 80, 20).rows
        assert render(metric_plot(run(), key, view, is_compact=True), 30, 6).rows


@pytest.mark.parametrize("losses", [[], [None], [math.nan], [math.inf], [0.0], [-1.0, 0.0], [2.0], [2.0] * 9])
@pytest.mark.parametrize("is_log", [False, True])
def test_any_losses_can_be_shown(losses, is_log):
    one = run(losses=losses)
    one.evals, one.samples = [], []
    plot = loss_plot(one, View(is_log=is_log))
    if plot is not None:
        render(plot, 80, 20)


def test_x_fits_the_data_and_a_flag_shows_the_whole_plan():
    assert x_extent([run(1240)], View()) == (0.0, 1250.0)
    assert x_extent([run(1240)], View(whole_plan=True)) == (0.0, 4000.0)
    assert x_extent([run(1240, is_live=False)], View()) == (0.0, 1240.0)
    assert x_extent([run(3900)], View()) == (0.0, 4000.0)
    assert x_extent([run(1240)], View(axis="tokens", whole_plan=True)) == (0.0, 4000 * 1024.0)


def test_the_fitted_axis_seldom_moves():
    assert len({x_extent([run(steps)], View()) for steps in range(800, 1000, 10)}) <= 2


def test_each_run_keeps_the_color_that_the_caller_gives():
    empty = run()
    empty.series = MetricSeries()
    plot = overlay_plot([(run(), "a", 0), (empty, "b", 1), (run(), "c", 2)], "loss", View())
    assert [(curve.label, curve.role) for curve in plot.curves] == [("a", "run-0"), ("c", "run-2")]
    assert overlay_plot([(empty, "b", 1)], "loss", View()) is None


def test_a_chart_by_block_shows_the_largest_in_different_colors():
    curves = metric_plot(run(), "grad_norms", View()).curves
    assert [curve.label for curve in curves] == [f"block {number} {number}.1" for number in range(11, 3, -1)]
    assert len({curve.role for curve in curves}) == 8


def test_the_gap_is_in_percent_of_the_training_loss():
    points = metric_plot(run(), "gap", View()).curves[-1].points
    assert points[-1][1] == pytest.approx(100 * (0.53 / 0.4 - 1), abs=1)


def test_the_readout_tells_what_is_known_at_the_cursor():
    pairs = dict(readout(run(), 650.4, View()))
    assert pairs["step"] == "650"
    assert pairs["loss"] == "0.400" and pairs["val @600"] == "0.500"
    assert pairs["lr"] == "3.00e-3" and pairs["tok/s"] == "18.4k"
    empty = run()
    empty.series = MetricSeries()
    assert readout(empty, 1.0, View()) == []


def test_a_zoom_shows_only_its_part():
    plot = loss_plot(run(), View(x_range=(600.0, 700.0)))
    assert plot.x_range == (600.0, 700.0) and plot.x_bounds == (0.0, 1250.0)
    assert len(plot.curves[0].points) <= 204  # and what is beside it, as far as half of it
