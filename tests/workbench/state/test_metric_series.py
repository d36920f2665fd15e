"""Points become buckets that keep every extreme, and a rewind takes them back."""

import json
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_gpt.run.messages import Metrics, Rewound
from tui_gpt.workbench.state import metric_series
from tui_gpt.workbench.state.metric_series import MAX_BUCKETS, MetricSeries, MetricsReader, Point


def line(step: int, loss: float | None, **changes: object) -> Metrics:
    fields = {
        "step": step,
        "tokens": step * 10,
        "loss": loss,
        "learning_rate": 1e-3,
        "grad_norm": loss,
        "tokens_per_second": 100.0,
        "elapsed_seconds": step / 10,
        "non_finite": None if loss is not None else "nan",
    }
    return Metrics(**(fields | changes))  # type: ignore[arg-type]


def made(losses) -> MetricSeries:
    series = MetricSeries()
    series.extend([line(step, loss) for step, loss in enumerate(losses, 1)])
    return series


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=300))
def test_few_points_are_their_own_buckets(losses):
    buckets = made(losses).buckets("loss")
    assert [bucket.finite for bucket in buckets] == [int(loss is not None) for loss in losses]
    assert [bucket.mean for bucket in buckets if bucket.finite] == [loss for loss in losses if loss is not None]


def test_many_points_fit_into_few_buckets_that_keep_every_extreme():
    losses = [3.0] * 50_000
    losses[31_234], losses[40_000] = 99.0, -7.0
    series = made(losses)
    buckets = series.buckets("loss")
    assert len(buckets) <= MAX_BUCKETS
    assert max(bucket.high for bucket in buckets) == 99.0
    assert min(bucket.low for bucket in buckets) == -7.0
    assert sum(bucket.points for bucket in buckets) == 50_000
    assert buckets[-1].x == 50_000


def test_buckets_grow_with_the_points_as_if_made_at_once():
    grown = MetricSeries()
    losses = [math.sin(step / 50) for step in range(6000)]
    for start in range(0, 6000, 37):
        grown.extend([line(step + 1, losses[step]) for step in range(start, min(6000, start + 37))])
        grown.buckets("loss")
    assert grown.buckets("loss") == made(losses).buckets("loss")


def test_a_zoom_shows_single_points():
    series = made([float(step % 7) for step in range(1, 50_001)])
    buckets = series.buckets("loss", "step", (20_000, 20_100))
    assert [bucket.x for bucket in buckets] == list(range(19_999, 20_102))
    assert [bucket.mean for bucket in buckets] == [step % 7 for step in range(19_999, 20_102)]


SIX_THOUSAND = made([1.0] * 6000)


@settings(deadline=None, max_examples=40)
@given(st.integers(-10, 6100), st.integers(-10, 6100))
def test_any_zoom_has_few_buckets_and_all_points_between(low, high):
    buckets = SIX_THOUSAND.buckets("loss", "step", (low, high))
    assert len(buckets) <= MAX_BUCKETS + 2
    low, high = sorted((low, high))
    assert sum(bucket.points for bucket in buckets) >= max(0, min(high, 6000) - max(low, 1))


def test_a_rewind_drops_what_came_after_and_the_end_of_numbers_with_it():
    series = made([3.0, 2.0, None, None])
    assert series.first_non_finite == 3
    series.buckets("loss")
    series.extend([Rewound(rewound_to=2), line(3, 1.5)])
    assert [bucket.mean for bucket in series.buckets("loss")] == [3.0, 2.0, 1.5]
    assert series.first_non_finite is None
    assert series.last is not None
    assert series.last.step == 3


def test_after_a_rewind_the_newest_line_is_the_one_that_still_stands():
    series = made([3.0, 2.0, 1.0])
    series.extend([Rewound(rewound_to=2)])
    assert series.last is not None
    assert (series.last.step, series.last.loss, series.last.tokens, series.last.learning_rate) == (2, 2.0, 20, 1e-3)


def test_a_rewind_to_zero_leaves_nothing():
    series = made([3.0, 2.0])
    series.extend([Rewound(rewound_to=0)])
    assert len(series) == 0
    assert series.last is None
    assert series.buckets("loss") == series.smoothed("loss") == []
    assert series.smoothed_last() is None


def test_x_follows_the_axis():
    series = made([1.0, 2.0])
    assert [bucket.x for bucket in series.buckets("loss", "tokens")] == [10, 20]
    assert [bucket.x for bucket in series.buckets("loss", "time")] == [0.1, 0.2]
    assert series.step_at(15, "tokens") == 1.5
    assert series.x_at(1.5, "time") == pytest.approx(0.15)


def test_every_logged_metric_has_a_curve():
    series = MetricSeries()
    series.extend([line(step, 2.0, memory_bytes=7, mfu=0.3, data_wait_seconds=0.1) for step in range(1, 4)])
    for metric, value in (("memory_bytes", 7), ("mfu", 0.3), ("data_wait_seconds", 0.1), ("learning_rate", 1e-3)):
        assert [bucket.mean for bucket in series.buckets(metric)] == [value] * 3
        assert series.value_at(metric, 2.4) == (2, value)
    assert series.buckets("bananas") == []


def test_norms_by_block_are_a_series_of_their_own_steps():
    series = MetricSeries()
    points = [line(step, 2.0) for step in range(1, 101)]
    points[49] = msgspec.structs.replace(points[49], grad_norms={"block 0": 1.0}, update_norms={"block 0": 0.1})
    points[89] = msgspec.structs.replace(points[89], grad_norms={"block 0": 2.0, "head": None})
    series.extend(points)
    assert [(bucket.x, bucket.mean) for bucket in series.buckets("grad_norms.block 0")] == [(50, 1.0), (90, 2.0)]
    assert set(series.blocks) == {"grad_norms.block 0", "grad_norms.head", "update_norms.block 0"}
    series.extend([Rewound(rewound_to=60)])
    assert [bucket.x for bucket in series.buckets("grad_norms.block 0")] == [50]


def test_the_smoothed_curve_is_the_same_with_and_without_a_zoom():
    series = made([1.0 + math.exp(-step / 500) + 0.1 * math.sin(step * 1.7) for step in range(20_000)])
    whole = dict(series.smoothed("loss"))
    for x, value in series.smoothed("loss", x_range=(8000, 9000)):
        if x in whole:
            assert value == pytest.approx(whole[x], abs=0.01)
    assert series.smoothed_last() == series.smoothed("loss")[-1][1] == series.smoothed("loss", axis="time")[-1][1]


def journal(path: Path, steps: int) -> list[Metrics]:
    lines = [line(step, None if step == 900 else 2.0 + step % 3) for step in range(1, steps + 1)]
    path.write_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in lines))
    return lines


def read(path: Path) -> MetricSeries:
    series, reader = MetricSeries(), MetricsReader(path)
    while updates := reader.poll(at_once=False):
        series.extend(updates)
    return series


def test_a_long_journal_keeps_every_loss_and_some_of_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(metric_series, "CHUNK_BYTES", 100_000)
    monkeypatch.setattr(metric_series, "SAMPLE_BYTES", 5_000)
    lines = journal(tmp_path / "metrics.jsonl", 5_000)
    series = read(tmp_path / "metrics.jsonl")
    assert len(series) == 5_000
    assert series.last == lines[-1]
    assert series.first_non_finite == 900
    assert sum(bucket.points for bucket in series.buckets("loss")) == 5_000
    assert 100 < sum(bucket.points for bucket in series.buckets("learning_rate")) < 1_000
    assert series.x_at(2_345, "tokens") == 23_450


def test_a_torn_line_and_a_rewind_in_a_long_journal_are_honoured(tmp_path, monkeypatch):
    monkeypatch.setattr(metric_series, "SAMPLE_BYTES", 5_000)
    path = tmp_path / "metrics.jsonl"
    journal(path, 1_000)
    with path.open("ab") as file:
        file.write(b'{"step":1001,"los\n' + json.dumps({"rewound_to": 800}).encode() + b"\n")
        file.write(b"".join(msgspec.json.encode(line(step, 1.0)) + b"\n" for step in range(801, 1200)))
    series = read(path)
    assert len(series) == 1_199
    assert series.first_non_finite is None
    assert series.smoothed("loss", "raw")[-1] == (1199, 1.0)


def test_points_without_the_other_metrics_are_enough():
    series = MetricSeries()
    series.extend([Point(step=step, loss=1.0, grad_norm=None) for step in (1, 2)])
    assert series.last is not None and series.last.step == 2 and series.last.grad_norm is None
    assert [bucket.x for bucket in series.buckets("loss", "tokens")] == [1, 2]
