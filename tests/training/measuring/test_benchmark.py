"""The benchmark in this process: the diagnosis, the batch size search with simulated limits, and the fallbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.live import SMALL
from tui_gpt.config import Config, override
from tui_gpt.errors import ConfigError
from tui_gpt.run.messages import BatchSizeTrial
from tui_gpt.training.compute import Compute
from tui_gpt.training.loop.engine import Engine
from tui_gpt.training.loop.step import TrainStep
from tui_gpt.training.measuring import batch_size_search, benchmark
from tui_gpt.training.measuring.batch_size_search import recommend
from tui_gpt.training.measuring.bottleneck import Measurements, diagnose_bottleneck
from tui_gpt.training.measuring.step_timing import DeviceTimer, StepTimes

GIB = 2**30


def figures(**changes: Any) -> Measurements:
    fine = Measurements(
        on_gpu=False,
        data_wait_share=0.01,
        memory_peak_bytes=GIB,
        memory_limit_bytes=8 * GIB,
        doubling_gain=1.05,
        no_doubling="",
        mfu=0.42,
        peak_source="data sheet",
    )
    return fine._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "begins", "rests_on"),
    [
        ({}, "compute-bound", "1.05 times"),
        ({"on_gpu": True}, "compute-bound", "42% of the peak (data sheet)"),
        ({"data_wait_share": 0.11, "doubling_gain": 2.0}, "data-bound", "11% of the time"),
        ({"data_wait_share": 0.10}, "compute-bound", "1.05"),
        ({"memory_peak_bytes": int(7.5 * GIB), "doubling_gain": 1.8}, "memory nearly full", "94% of 8.0 GiB"),
        ({"doubling_gain": 1.31, "on_gpu": True}, "launch-bound", "1.31 times"),
        ({"doubling_gain": 1.31}, "overhead-bound", "1.31 times"),
        ({"doubling_gain": 1.30}, "compute-bound", "only 1.30 times"),
        ({"doubling_gain": None, "no_doubling": "there is no memory for it"}, "compute-bound", "no memory for it"),
    ],
)
def test_the_first_applicable_rule_gives_the_diagnosis_and_its_evidence(
    changes: dict[str, Any], begins: str, rests_on: str
) -> None:
    said = diagnose_bottleneck(figures(**changes))
    assert said.startswith(f"{begins}:") and rests_on in said


def tried(*speeds: float | None) -> list[BatchSizeTrial]:
    return [
        BatchSizeTrial(micro_batch_size=2**n, accumulation_steps=1, fits=speed is not None, tokens_per_second=speed)
        for n, speed in enumerate(speeds)
    ]


@pytest.mark.parametrize(
    ("speeds", "best"),
    [((100, 200, 300), 4), ((100, 291, 300), 2), ((100, 290, 300), 4), ((100, 90, 80, None), 1)],
)
def test_the_smallest_size_within_3_percent_of_the_fastest_is_recommended(
    speeds: tuple[float | None, ...], best: int
) -> None:
    assert recommend(tried(*speeds)).micro_batch_size == best


def test_parts_of_a_step_add_up_and_accumulation_amortizes_the_update() -> None:
    times = StepTimes(wait=[0.1, 0.1], passes=[0.4, 0.4], update=[0.5, 0.5], accumulation_steps=2)
    assert times.whole == pytest.approx([1.0, 1.0]) and times.share(times.update) == pytest.approx(0.5)
    assert times.tokens_per_second(100, 2) == pytest.approx(200 / 1.0)
    assert times.tokens_per_second(100, 12) == pytest.approx(1200 / 3.0)
    disturbed = StepTimes([0.1, 9.0, 0.1], [9.0, 0.4, 9.0], [0.5, 0.5, 9.0], accumulation_steps=2)
    assert disturbed.fastest().tokens_per_second(100, 2) == pytest.approx(200 / 1.0)


def test_device_timer_returns_the_seconds_between_marks() -> None:
    marks = DeviceTimer(torch.device("cpu"))
    for _ in range(4):
        marks.mark()
    assert len(marks.seconds()) == 3 and min(marks.seconds()) >= 0


# ── the search ──────────────────────────────────────────────────────────────────────────────────────────────────────

QUICK = ("training.micro_batch_size=4", "training.accumulation_steps=6", "sampling.every=0")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace timing: a pass takes 10 ms and 1 ms for each sequence, an update 20 ms."""

    def times(engine: Engine, config: Config, compute: Compute, **_: object) -> StepTimes:
        accumulation = config.training.accumulation_steps
        seconds = accumulation * (0.010 + 0.001 * config.training.micro_batch_size)
        return StepTimes([0.0], [seconds], [0.02], accumulation)

    monkeypatch.setattr(batch_size_search, "time_steps", times)


def fitting(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let dry runs of more than `most` sequences run out of memory, and return the list of the sizes tried."""
    dry_run, sizes = TrainStep.dry_run, []

    def short(self: TrainStep, step: int, micro_batches: list) -> None:
        size = len(micro_batches[0].inputs)
        sizes.append(size)
        if size > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        dry_run(self, step, micro_batches)

    monkeypatch.setattr(TrainStep, "dry_run", short)
    return sizes


@pytest.mark.parametrize("most", [1, 5, 23])
def test_the_largest_size_that_fits_is_found_by_doubling_and_bisection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None, most: int
) -> None:
    tried_sizes = fitting(monkeypatch, most)
    found = benchmark.search_batch_size(override({}, [*SMALL, *QUICK]), tmp_path, lambda _: None)
    assert most - max(1, most // 8) < found.largest_micro_batch_size <= most
    assert found.ended_by == "memory" and "runs out of memory" in found.reason
    assert len(set(tried_sizes)) == len(tried_sizes) < 12 and set(tried_sizes) == {
        s.micro_batch_size for s in found.sizes
    }
    assert all(size.fits == (size.micro_batch_size <= most) for size in found.sizes)
    assert all((size.tokens_per_second is not None) == size.fits for size in found.sizes)
    assert [size.micro_batch_size for size in found.sizes] == sorted(tried_sizes)
    for size in found.sizes:
        if size.fits:
            micro, accumulation = size.micro_batch_size, size.accumulation_steps
            seconds = accumulation * (0.010 + 0.001 * micro) + 0.02
            assert size.tokens_per_second == pytest.approx(16 * micro * accumulation / seconds)
    values = dict(pair.split("=") for pair in found.overrides_keeping_step.split())
    assert int(values["training.micro_batch_size"]) * int(values["training.accumulation_steps"]) == 24


def test_the_search_raises_when_one_sequence_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    fitting(monkeypatch, 0)
    with pytest.raises(ConfigError, match=r"does not fit.*runs out of memory.*activation_checkpointing"):
        benchmark.search_batch_size(override({}, [*SMALL, *QUICK]), tmp_path, lambda _: None)


def test_on_a_cpu_no_size_beyond_the_memory_budget_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    held = {"sequences": 0}
    dry_run = TrainStep.dry_run

    def holding(self: TrainStep, step: int, micro_batches: list) -> None:
        held["sequences"] = max(held["sequences"], len(micro_batches[0].inputs))
        dry_run(self, step, micro_batches)

    monkeypatch.setattr(TrainStep, "dry_run", holding)
    monkeypatch.setattr(batch_size_search, "peak_bytes", lambda _: GIB + held["sequences"] * GIB)
    monkeypatch.setattr(batch_size_search, "limit_bytes", lambda _: 41 * GIB)  # a budget of 33: room for 32 sequences
    found = benchmark.search_batch_size(override({}, [*SMALL, *QUICK]), tmp_path, lambda _: None)
    assert held["sequences"] == found.largest_micro_batch_size <= 32
    assert found.largest_micro_batch_size > 28
    assert found.ended_by == "memory budget" and "80% of the free memory" in found.reason


def test_too_slow_a_pass_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size_search, "MAX_PASS_SECONDS", 0.0)
    found = benchmark.search_batch_size(override({}, [*SMALL, *QUICK]), tmp_path, lambda _: None)
    assert found.largest_micro_batch_size == 1 and found.ended_by == "time" and "2 sequences" in found.reason


# ── the measurement ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_out_of_memory_and_a_failed_compilation_fall_back_with_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(*_: object, **__: object) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise ValueError("no such backend")

        return fail

    monkeypatch.setattr(torch, "compile", no_compiler)
    monkeypatch.setattr("tui_gpt.training.compute._compile", lambda *_: (True, ""))
    fitting(monkeypatch, 3)
    monkeypatch.setattr(benchmark, "measure_peak_flops", lambda _: 1e12)
    said: list[str] = []
    found = benchmark.benchmark(override({}, [*SMALL, *QUICK]), tmp_path / "corpus", tmp_path, 2, said.append)
    assert not found.compiled and (found.micro_batch_size, found.accumulation_steps) == (2, 12)
    assert any("torch.compile failed" in note and "no such backend" in note for note in found.notes)
    assert any("micro_batch_size from 4 to 2" in note for note in found.notes)
    assert set(found.notes) <= set(said)


def test_a_full_disk_adds_a_note_to_the_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(benchmark, "write_checkpoint", full)
    monkeypatch.setattr(benchmark, "measure_peak_flops", lambda _: 1e12)
    found = benchmark.benchmark(override({}, SMALL), tmp_path / "corpus", tmp_path, 2, lambda _: None)
    assert found.checkpoint_write_ms is None and found.checkpoint_stall_ms > 0
    assert found.notes[-1] == "the checkpoint could not be written: no space left on device"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
