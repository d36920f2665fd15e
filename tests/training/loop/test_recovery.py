"""A trainer in this process, with a step made to go wrong: what the run does about it, and what it says."""

from __future__ import annotations

import math
import multiprocessing
from pathlib import Path

import pytest
import torch

from tests.live import SMALL
from tui_gpt.config import build, override, read_toml
from tui_gpt.errors import ConfigError
from tui_gpt.run import folder as folders
from tui_gpt.run.child_process import Channel
from tui_gpt.run.messages import Ended, Notice
from tui_gpt.training.compute import choose_compute
from tui_gpt.training.loop.control import TrainerControl
from tui_gpt.training.loop.guard import MAX_CONSECUTIVE_ANOMALIES
from tui_gpt.training.loop.trainer import Trainer
from tui_gpt.training.run_setup import prepare_run


class Rig:
    """A trainer, and the supervisor's end of its pipe."""

    def __init__(self, workspace: Path, *overrides: str) -> None:
        ours, theirs = multiprocessing.Pipe()
        self.supervisor = Channel(ours)
        asked = override({}, [*SMALL, "training.duration=30", "sampling.every=0", *overrides])
        self.folder = folders.create(workspace / "runs", "run", asked)
        prepared = prepare_run(asked, workspace / "corpus", lambda *_: None)
        compute, control = choose_compute(prepared.config.training), TrainerControl(Channel(theirs))
        self.trainer = Trainer(self.folder, prepared, compute, control, stop_at=None, resume=False)

    def run(self) -> Ended:
        self.trainer.dry_run()
        ended = self.trainer.run()
        self.trainer.recorder.wait()
        return ended

    def notices(self, kind: str) -> list[Notice]:
        found = []
        while (message := self.supervisor.receive(0)) is not None:
            if isinstance(message, Notice) and message.kind == kind:
                found.append(message)
        return found

    def poison(self, *steps: int) -> None:
        """Make the loss of these batches, whenever they come, nan."""
        exact = self.trainer.train_step.compute_gradients

        def gradients(step: int, micro_batches: list) -> torch.Tensor:
            loss = exact(step, micro_batches)
            return loss * math.nan if step + self.trainer.progress.batch_shift in steps else loss

        self.trainer.train_step.compute_gradients = gradients  # type: ignore[method-assign]


def test_warn_says_so_with_the_text_and_goes_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "training.on_anomaly=warn")
    rig.poison(12)
    assert rig.run().state == "finished"
    (notice,) = rig.notices("anomaly")
    assert "at step 12 the loss is nan; left out" in notice.message and notice.level == "warning"
    assert len(notice.data["text"]) >= 10
    lines = rig.folder.read_metrics()
    assert [line.step for line in lines] == list(range(1, 31))
    assert lines[11].loss is None and lines[11].non_finite == "nan" and lines[12].loss is not None


def test_a_gradient_that_is_not_finite_is_left_out_and_called_so_though_the_loss_is_fine(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "training.on_anomaly=warn")
    exact = rig.trainer.train_step.compute_gradients

    def gradients(step: int, micro_batches: list) -> torch.Tensor:
        loss = exact(step, micro_batches)
        if step == 12:
            rig.trainer.train_step.parameters[0].grad.fill_(math.nan)  # type: ignore[union-attr]
        return loss

    rig.trainer.train_step.compute_gradients = gradients  # type: ignore[method-assign]
    assert rig.run().state == "finished"
    assert "at step 12 the gradient is not finite; left out" in rig.notices("anomaly")[0].message


def test_the_text_of_a_batch_whose_documents_keep_to_themselves_is_quoted(tmp_path: Path) -> None:
    settings = ("data.mode=packed", "data.attend_across_documents=false", "training.on_anomaly=skip")
    rig = Rig(tmp_path, *settings)
    seen: list[torch.Tensor | None] = []
    forward = rig.trainer.model.forward

    def watched(*args: object, documents: torch.Tensor | None = None, **named: object) -> torch.Tensor:
        seen.append(documents)
        return forward(*args, documents=documents, **named)  # type: ignore[arg-type]

    rig.poison(12)
    rig.trainer.dry_run()
    rig.trainer.model.forward = watched  # type: ignore[method-assign]
    assert rig.trainer.run().state == "finished"
    assert rig.notices("anomaly")[0].data["text"]
    rows = [documents for documents in seen if documents is not None and len(documents) == 1]
    assert len(rows) == rig.trainer.config.sequences_per_step


def test_stop_saves_what_was_before_the_step_and_says_what_to_do(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "training.on_anomaly=stop")
    rig.poison(12)
    ended = rig.run()
    assert ended.state == "failed" and ended.failure is not None
    assert "the loss is nan" in ended.failure.what and "learning_rate" in ended.failure.do
    assert (rig.folder.checkpoints / "step-00000012").is_dir()


def test_rewind_goes_back_to_the_last_checkpoint_and_on_with_other_batches(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "training.on_anomaly=rewind")
    rig.poison(13)
    assert rig.run().state == "finished"
    (notice,) = rig.notices("anomaly")
    assert "back to step 10" in notice.message
    assert rig.trainer.progress.batch_shift == 3 and rig.trainer.progress.rewinds == 1
    lines = rig.folder.read_metrics()
    assert [line.step for line in lines] == list(range(1, 31)) and all(line.loss is not None for line in lines)


def test_rewind_without_a_checkpoint_leaves_the_step_out(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "training.on_anomaly=rewind")
    rig.poison(2)
    assert rig.run().state == "finished"
    assert "no checkpoint to go back to" in rig.notices("anomaly")[0].message


def test_a_run_that_only_goes_wrong_ends(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "training.on_anomaly=skip", "training.duration=60")
    rig.poison(*range(5, 61))
    ended = rig.run()
    assert ended.state == "failed" and f"{MAX_CONSECUTIVE_ANOMALIES} steps in a row" in ended.message


def short_of_memory(rig: Rig, fits: int) -> None:
    exact = rig.trainer.train_step.compute_gradients

    def gradients(step: int, micro_batches: list) -> torch.Tensor:
        if len(micro_batches[0].inputs) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return exact(step, micro_batches)

    rig.trainer.train_step.compute_gradients = gradients  # type: ignore[method-assign]


def test_out_of_memory_splits_the_step_and_the_losses_stay(tmp_path: Path) -> None:
    settings = ("training.micro_batch_size=8", "training.accumulation_steps=1", "model.dropout=0")
    whole = Rig(tmp_path / "whole", *settings)
    whole.run()
    split = Rig(tmp_path / "split", *settings)
    short_of_memory(split, fits=2)
    assert split.run().state == "finished"
    messages = [notice.message for notice in split.notices("out_of_memory")]
    assert len(messages) == 2 and "micro_batch_size 4 becomes 2 and accumulation_steps 4" in messages[1]
    curves = [[line.loss for line in rig.folder.read_metrics()] for rig in (whole, split)]
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    config = build(read_toml(split.folder.config))
    assert (config.training.micro_batch_size, config.training.accumulation_steps) == (2, 4)


def test_a_sequence_that_does_not_fit_alone_is_refused_with_what_to_do(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    short_of_memory(rig, fits=0)
    with pytest.raises(ConfigError, match="activation_checkpointing"):
        rig.run()


def test_patience_ends_the_run_and_keeps_the_best(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path, "training.patience=2", "training.eval_every=3", "training.duration=300", "optimizer.learning_rate=3",
        "optimizer.grad_clip=0",
    )  # fmt: skip
    ended = rig.run()
    assert ended.state == "finished" and "finished early" in ended.message
    evals = rig.folder.read_evals()
    best = [line.step for line in evals if line.best][-1]
    assert evals[-1].step == ended.step < 300 and sum(line.step > best for line in evals) == 2
    assert (rig.folder.checkpoints / f"step-{ended.step:08d}").is_dir()


def test_norms_by_block_come_with_every_so_many_steps(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "training.norms_every=10", "training.duration=25")
    rig.run()
    lines = {line.step: line for line in rig.folder.read_metrics()}
    assert [step for step, line in lines.items() if line.grad_norms] == [10, 20]
    assert set(lines[10].grad_norms) == set(lines[10].update_norms) == {"embedding", "block 0", "head"}
    total = math.sqrt(sum(norm**2 for norm in lines[10].grad_norms.values() if norm is not None))
    assert total == pytest.approx(lines[10].grad_norm, rel=1e-4)
    assert all(norm and norm > 0 for norm in lines[10].update_norms.values())
    assert lines[20].flops == pytest.approx(2 * lines[10].flops)
