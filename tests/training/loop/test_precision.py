"""A run resumed in another precision, or from a checkpoint that another device wrote."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.training.loop import harness
from tests.training.loop.harness import TrainerHarness
from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import optimizer_tensors
from tui_gpt.model.cross_entropy import linear_cross_entropy
from tui_gpt.training.compute import choose_compute

PRECISIONS = ("fp32", "bf16", "fp16")


def in_precision(
    monkeypatch: pytest.MonkeyPatch, workspace: Path, precision: str, first: TrainerHarness | None = None
) -> TrainerHarness:
    """Return a trainer on the CPU in this precision, also fp16, which users may only choose on a GPU."""

    def compute(config):  # type: ignore[no-untyped-def]
        return dataclasses.replace(choose_compute(config), precision=precision)

    monkeypatch.setattr(harness, "choose_compute", compute)
    return TrainerHarness(workspace, "model.dropout=0", resume=first.folder if first else None)


@pytest.mark.parametrize("before", PRECISIONS)
@pytest.mark.parametrize("after", PRECISIONS)
def test_a_run_resumes_in_any_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    first = in_precision(monkeypatch, tmp_path, before)
    first.trainer.state.schedule.last_step = 20
    first.run()
    assert bool(first.trainer.state.progress.scaler) == (before == "fp16")
    second = in_precision(monkeypatch, tmp_path, after, first)
    assert second.trainer.state.progress.step == 20
    assert second.trainer.state.train_step.scaler.is_enabled() == (after == "fp16")
    assert second.run().state == "finished"
    assert bool(second.trainer.state.progress.scaler) == (after == "fp16")
    losses = [line.loss for line in second.folder.read_metrics()]
    assert len(losses) == 30 and all(loss is not None for loss in losses)
    assert sum(losses[20:]) / 10 < sum(losses[:10]) / 10  # type: ignore[operator,arg-type]


def test_fp16_resumes_bit_identically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = in_precision(monkeypatch, tmp_path / "whole", "fp16")
    whole.run()
    first = in_precision(monkeypatch, tmp_path / "parts", "fp16")
    first.trainer.state.schedule.last_step = 20
    first.run()
    in_precision(monkeypatch, tmp_path / "parts", "fp16", first).run()
    curves = [[line.loss for line in run.folder.read_metrics()] for run in (whole, first)]
    assert curves[0] == curves[1]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_checkpoint_does_not_depend_on_the_device(tmp_path: Path, optimizer: str) -> None:
    """Its tensors are the host's, and loading puts all of them on the device of the parameters, counters too."""
    run = TrainerHarness(tmp_path, f"optimizer.name={optimizer}", "training.duration=10")
    run.run()
    newest = manifest.newest(run.folder.checkpoints, ["full"])
    assert newest is not None
    other = TrainerHarness(tmp_path, f"optimizer.name={optimizer}", resume=run.folder).trainer.state
    parameters = dict(other.model.named_parameters())
    loaded = optimizer_tensors(other.model, other.train_step.optimizers)
    saved = other.snapshot("full", None, "run")
    assert loaded.keys() == saved.optimizer.keys()
    for name, tensor in loaded.items():
        assert tensor.device == parameters[name.rpartition("/")[0]].device, name
        assert saved.optimizer[name].device.type == "cpu" and torch.equal(saved.optimizer[name], tensor.cpu())
        assert tensor.dtype == torch.float32, name


@pytest.mark.parametrize("scale", [1024.0, 65536.0])
@pytest.mark.parametrize("sharpness", [0.02, 0.5], ids=["untrained", "trained"])
def test_the_gradients_of_the_head_are_as_precise_as_fp16_at_any_scale(scale: float, sharpness: float) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(rows, 64, generator=generator) for rows in (256, 5000))
    weight *= sharpness
    targets = torch.randint(0, 5000, (256,), generator=generator)
    exact = [tensor.double().requires_grad_() for tensor in (hidden.half(), weight)]
    torch.nn.functional.cross_entropy(exact[0] @ exact[1].T, targets, reduction="sum").div(256).backward()
    found = [hidden.half().requires_grad_(), weight.clone().requires_grad_()]
    with torch.autocast("cpu", torch.float16):
        loss = linear_cross_entropy(*found, targets, 5000, 0.0) / 256
    (loss * scale).backward()
    for one, other in zip(found, exact, strict=True):
        assert one.grad is not None and other.grad is not None
        assert (one.grad.double() / scale - other.grad).norm() < 5e-3 * other.grad.norm()
