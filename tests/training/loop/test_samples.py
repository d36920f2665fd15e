"""When a run writes samples, and that they do not change its training."""

from __future__ import annotations

from pathlib import Path

from tests.training.loop.harness import TrainerHarness


def sampled_steps(run: TrainerHarness) -> list[int]:
    return [sample.step for sample in run.folder.read_samples()]


def test_samples_are_written_early_in_the_run_and_then_at_the_interval(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "sampling.every=60", "training.duration=130")
    run.run()
    assert sampled_steps(run) == [0, 10, 25, 50, 60, 100, 120, 130]


def test_no_samples_are_written_when_the_interval_is_0(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "sampling.every=0")
    run.run()
    assert sampled_steps(run) == []


def test_samples_leave_training_bit_identical(tmp_path: Path) -> None:
    curves = []
    for every in (0, 4):
        run = TrainerHarness(tmp_path / str(every), f"sampling.every={every}", "model.dropout=0.2")
        run.run()
        curves.append([(line.loss, line.grad_norm) for line in run.folder.read_metrics()])
    assert curves[0] == curves[1] and len(curves[0]) == 30


def test_a_resumed_run_does_not_repeat_samples(tmp_path: Path) -> None:
    settings = ("sampling.every=60", "training.duration=30", "checkpoints.every=10")
    first = TrainerHarness(tmp_path, *settings)
    first.trainer.state.schedule.last_step = 25
    first.run()
    resumed = TrainerHarness(tmp_path, *settings, resume=first.folder)
    assert resumed.trainer.state.progress.step == 25
    resumed.run()
    assert sampled_steps(resumed) == [0, 10, 25, 30]


def test_a_run_resumed_at_step_0_does_not_repeat_the_first_sample(tmp_path: Path) -> None:
    settings = ("sampling.every=60", "checkpoints.every=0", "checkpoints.best=false")
    first = TrainerHarness(tmp_path, *settings)
    first.trainer.outputs.sample()
    resumed = TrainerHarness(tmp_path, *settings, resume=first.folder)
    resumed.run()
    assert sampled_steps(resumed) == [0, 10, 25, 30]
