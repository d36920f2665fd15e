"""Recovery from anomalies and lack of memory, in a trainer in this process whose steps are made to fail."""

from __future__ import annotations

import gc
import math
from pathlib import Path

import pytest
import torch

from tests.training.loop.harness import TrainerHarness
from tui_gpt.config import build, read_toml
from tui_gpt.errors import ConfigError
from tui_gpt.training.loop.guard import MAX_CONSECUTIVE_ANOMALIES


def test_warn_reports_the_text_and_continues(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "training.on_anomaly=warn")
    run.make_loss_nan(12)
    assert run.run().state == "finished"
    (notice,) = run.notices("anomaly")
    assert "step 12: the loss is nan; skipped" in notice.message and notice.level == "warning"
    assert len(notice.data["text"]) >= 10
    lines = run.folder.read_metrics()
    assert [line.step for line in lines] == list(range(1, 31))
    assert lines[11].loss is None and lines[11].non_finite == "nan" and lines[12].loss is not None


def test_a_step_with_a_non_finite_gradient_is_skipped_even_if_the_loss_is_finite(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "training.on_anomaly=warn")
    compute_gradients = run.trainer.state.train_step.compute_gradients

    def with_nan(step: int, micro_batches: list) -> torch.Tensor:
        loss = compute_gradients(step, micro_batches)
        if step == 12:
            run.trainer.state.train_step.parameters[0].grad.fill_(math.nan)  # type: ignore[union-attr]
        return loss

    run.trainer.state.train_step.compute_gradients = with_nan  # type: ignore[method-assign]
    assert run.run().state == "finished"
    assert "step 12: the gradient is not finite; skipped" in run.notices("anomaly")[0].message


def test_the_text_of_an_anomaly_is_found_with_attention_within_documents(tmp_path: Path) -> None:
    settings = ("data.mode=packed", "data.attend_across_documents=false", "training.on_anomaly=skip")
    run = TrainerHarness(tmp_path, *settings)
    seen: list[torch.Tensor | None] = []
    forward = run.trainer.state.model.forward

    def watched(*args: object, documents: torch.Tensor | None = None, **named: object) -> torch.Tensor:
        seen.append(documents)
        return forward(*args, documents=documents, **named)  # type: ignore[arg-type]

    run.make_loss_nan(12)
    run.trainer.dry_run()
    run.trainer.state.model.forward = watched  # type: ignore[method-assign]
    assert run.trainer.run().state == "finished"
    assert run.notices("anomaly")[0].data["text"]
    rows = [documents for documents in seen if documents is not None and len(documents) == 1]
    assert len(rows) == run.trainer.state.config.sequences_per_step


def test_stop_saves_the_state_before_the_step_and_suggests_a_remedy(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "training.on_anomaly=stop")
    run.make_loss_nan(12)
    ended = run.run()
    assert ended.state == "failed" and ended.failure is not None
    assert "the loss is nan" in ended.failure.what and "learning_rate" in ended.failure.do
    assert (run.folder.checkpoints / "step-00000012").is_dir()


def test_rewind_loads_the_last_checkpoint_and_continues_with_other_batches(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "training.on_anomaly=rewind")
    run.make_loss_nan(13)
    assert run.run().state == "finished"
    (notice,) = run.notices("anomaly")
    assert "rewound to step 10" in notice.message
    assert run.trainer.state.progress.batch_shift == 3 and run.trainer.state.progress.rewinds == 1
    lines = run.folder.read_metrics()
    assert [line.step for line in lines] == list(range(1, 31)) and all(line.loss is not None for line in lines)


def test_repeated_rewinds_pass_every_bad_batch_once(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "training.on_anomaly=rewind")
    run.make_loss_nan(13, 15)
    assert run.run().state == "finished"
    assert run.trainer.state.progress.rewinds == 2 and run.trainer.state.progress.batch_shift == 5


def test_a_rewind_evaluates_the_step_that_it_returns_to_only_once(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "training.on_anomaly=rewind", "training.eval_every=10")
    run.make_loss_nan(13)
    run.run()
    assert [line.step for line in run.folder.read_evals()] == [10, 20, 30]


def test_rewind_without_a_checkpoint_skips_the_step(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "training.on_anomaly=rewind")
    run.make_loss_nan(2)
    assert run.run().state == "finished"
    assert "no checkpoint from before to rewind to" in run.notices("anomaly")[0].message


def test_too_many_consecutive_anomalies_end_the_run(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "training.on_anomaly=skip", "training.duration=60")
    run.make_loss_nan(*range(5, 61))
    ended = run.run()
    assert ended.state == "failed" and f"{MAX_CONSECUTIVE_ANOMALIES} steps in a row" in ended.message


@pytest.mark.parametrize("policy", ["warn", "skip", "rewind", "stop"])
def test_a_run_that_diverges_is_an_anomaly_under_every_policy(tmp_path: Path, policy: str) -> None:
    settings = ("optimizer.learning_rate=10", f"training.on_anomaly={policy}", "training.duration=80")
    run = TrainerHarness(tmp_path, *settings)
    ended = run.run()
    if policy == "stop":
        assert ended.state == "failed" and "the run diverges" in ended.message
        assert (run.folder.checkpoints / f"step-{ended.step:08d}").is_dir()
        return
    assert ended.state == "finished"
    messages = [notice.message for notice in run.notices("anomaly") if "the run diverges" in notice.message]
    says = {"warn": "; applied", "skip": "; skipped", "rewind": "; no checkpoint from before"}[policy]
    assert messages and says in messages[0]


@pytest.mark.parametrize(
    "recipe",
    [
        ("optimizer.learning_rate=1e-3",),
        ("optimizer.learning_rate=0.1", "schedule.warmup_steps=0"),
        ("optimizer.name=muon", "schedule.warmup_steps=0"),
        ("optimizer.learning_rate=1e-9",),
    ],
)
def test_healthy_runs_have_no_anomaly(tmp_path: Path, recipe: tuple[str, ...]) -> None:
    run = TrainerHarness(tmp_path, "training.duration=200", *recipe)
    assert run.run().state == "finished"
    assert [n.message for n in run.notices("anomaly") if "diverges" in n.message] == []


def test_a_divergence_rewinds_to_before_it_began_and_later_checkpoints_go(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "training.on_anomaly=rewind", "training.duration=60", "checkpoints.keep=9")
    compute_gradients = run.trainer.state.train_step.compute_gradients

    def high(step: int, micro_batches: list) -> torch.Tensor:
        loss = compute_gradients(step, micro_batches)
        return loss + 20 if step >= 18 and not run.trainer.state.progress.rewinds else loss

    run.trainer.state.train_step.compute_gradients = high  # type: ignore[method-assign]
    assert run.run().state == "finished"
    (notice,) = run.notices("anomaly")
    assert "the run diverges" in notice.message and "; rewound to step 15" in notice.message
    assert 20 <= run.trainer.state.progress.batch_shift <= 26
    assert [line.step for line in run.folder.read_metrics()] == list(range(1, 61))


def test_out_of_memory_halves_the_micro_batch_without_changing_the_losses(tmp_path: Path) -> None:
    settings = ("training.micro_batch_size=8", "training.accumulation_steps=1", "model.dropout=0")
    whole = TrainerHarness(tmp_path / "whole", *settings)
    whole.run()
    split = TrainerHarness(tmp_path / "split", *settings)
    split.limit_memory(2)
    assert split.run().state == "finished"
    messages = [notice.message for notice in split.notices("out_of_memory")]
    assert len(messages) == 2 and "micro_batch_size from 4 to 2, with accumulation_steps 4" in messages[1]
    curves = [[line.loss for line in run.folder.read_metrics()] for run in (whole, split)]
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    config = build(read_toml(split.folder.config))
    assert (config.training.micro_batch_size, config.training.accumulation_steps) == (2, 4)


def test_a_micro_batch_of_one_that_does_not_fit_raises_with_a_remedy(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path)
    run.limit_memory(0)
    with pytest.raises(ConfigError, match="activation_checkpointing"):
        run.run()


def test_patience_ends_the_run_and_keeps_the_best_checkpoint(tmp_path: Path) -> None:
    run = TrainerHarness(
        tmp_path, "training.patience=2", "training.eval_every=3", "training.duration=300", "optimizer.learning_rate=3",
        "optimizer.grad_clip=0",
    )  # fmt: skip
    ended = run.run()
    assert ended.state == "finished" and "finished early" in ended.message
    evals = run.folder.read_evals()
    best = [line.step for line in evals if line.best][-1]
    assert evals[-1].step == ended.step < 300 and sum(line.step > best for line in evals) == 2
    assert (run.folder.checkpoints / f"step-{ended.step:08d}").is_dir()


def test_norms_by_block_are_logged_at_their_interval(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, "training.norms_every=10", "training.duration=25")
    run.run()
    lines = {line.step: line for line in run.folder.read_metrics()}
    assert [step for step, line in lines.items() if line.grad_norms] == [10, 20]
    assert set(lines[10].grad_norms) == set(lines[10].update_norms) == {"embedding", "block 0", "head"}
    total = math.sqrt(sum(norm**2 for norm in lines[10].grad_norms.values() if norm is not None))
    assert total == pytest.approx(lines[10].grad_norm, rel=1e-4)
    assert all(norm and norm > 0 for norm in lines[10].update_norms.values())
    assert lines[20].flops == pytest.approx(2 * lines[10].flops)


@pytest.mark.parametrize(("kept", "missing"), [(12, "13 to 20"), (0, "up to 20"), (20, ""), (22, "")])
def test_a_resume_says_which_steps_metrics_have_lost(tmp_path: Path, kept: int, missing: str) -> None:
    run = TrainerHarness(tmp_path, "training.duration=20")
    run.run()
    lines = run.folder.metrics.read_bytes().splitlines(keepends=True)
    run.folder.metrics.write_bytes(b"".join(lines[:kept]))
    again = TrainerHarness(tmp_path, "training.duration=25", resume=run.folder)
    notices = again.notices("metrics")
    assert [notice.level for notice in notices] == ["warning"] * bool(missing)
    assert all(f"steps {missing};" in notice.message for notice in notices)


def test_objects_are_frozen_once_and_not_counted_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    monkeypatch.setattr(gc, "get_freeze_count", lambda: pytest.fail("walks every frozen object: 25 ms a step"))
    assert TrainerHarness(tmp_path, "training.duration=5").run().state == "finished"
    assert frozen == [True]
