"""Out of memory in each part of a run: the step is split or the part skipped, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor.exc import InductorError

from tests.training.loop.harness import TrainerHarness
from tui_gpt.checkpoints import manifest
from tui_gpt.training.loop import outputs, state
from tui_gpt.training.out_of_memory import is_out_of_memory
from tui_gpt.training.recording import checkpoint_writer

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79 GiB")


def chained() -> RuntimeError:
    error = RuntimeError("the backward pass failed")
    error.__cause__ = CUDA
    return error


ERRORS = {
    "torch": CUDA,
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cublas handle": RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    "cudnn": RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "cuda": RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously"),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried"),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB)"),
    "inductor": InductorError(CUDA, None),
    "backend": BackendCompilerFailed("inductor", InductorError(CUDA, None), None),
    "wrapped": chained(),
    "host": MemoryError(),
}
OTHERS = (
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("Triton Error: out of resource: shared memory, Required: 147456, Hardware limit: 101376"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(handle)`"),
    ValueError("CUDA out of memory in a text that somebody else raised"),
    BackendCompilerFailed("inductor", ValueError("no such operator"), None),
)


@pytest.mark.parametrize("name", ERRORS)
def test_lack_of_memory_is_recognized_however_it_is_raised(name: str) -> None:
    assert is_out_of_memory(ERRORS[name])


@pytest.mark.parametrize("error", OTHERS)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not is_out_of_memory(error)


class Failing:
    """Wraps a function so that its call number `at` fails, counted from 1. before: called before it fails."""

    def __init__(self, function: Callable[..., Any], error: Exception, at: int, times: int = 1) -> None:
        self.function, self.error, self.calls, self.at, self.times = function, error, 0, at, times

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        if self.at <= self.calls < self.at + self.times:
            raise self.error
        return self.function(*arguments, **named)


def curve(run: TrainerHarness) -> list[tuple[float | None, float | None]]:
    return [(line.loss, line.grad_norm) for line in run.folder.read_metrics()]


SETTINGS = ("model.dropout=0", "training.duration=20", "optimizer.name=muon")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[float | None, float | None]]:
    run = TrainerHarness(tmp_path_factory.mktemp("undisturbed"), *SETTINGS)
    assert run.run().state == "finished"
    return curve(run)


@pytest.mark.parametrize("name", ERRORS)
def test_the_passes_of_a_step_are_split(tmp_path: Path, name: str, undisturbed: list) -> None:
    run = TrainerHarness(tmp_path, *SETTINGS)
    taken = run.trainer.state.train_step
    taken.compute_gradients = Failing(taken.compute_gradients, ERRORS[name], at=7)  # type: ignore[method-assign]
    assert run.run().state == "finished"
    assert "micro_batch_size from 2 to 1" in run.notices("out_of_memory")[0].message
    for found, expected in zip(curve(run), undisturbed, strict=True):
        assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("place", ["clip_grad_norm_", "get_total_norm"])
def test_clipping_and_norms_by_block_leave_the_weights_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, undisturbed: list
) -> None:
    run = TrainerHarness(tmp_path, *SETTINGS, "training.norms_every=5")
    run.trainer.dry_run()
    original = getattr(torch.nn.utils, place)
    monkeypatch.setattr(torch.nn.utils, place, Failing(original, CUDA, at=8))
    assert run.trainer.run().state == "finished"
    assert run.trainer.state.progress.rewinds == 0
    for found, expected in zip(curve(run), undisturbed, strict=True):
        assert found == pytest.approx(expected, abs=1e-3)


def fail_half_way(run: TrainerHarness, step: int, times: int = 1) -> None:
    """Let AdamW fail at this step, when Muon has already updated the matrices."""
    adamw = run.trainer.state.train_step.optimizers[-1]
    adamw.step = Failing(adamw.step, CUDA, at=step + 1, times=times)  # type: ignore[method-assign]  # after the dry run


@pytest.mark.parametrize("failing_step", [13, 3], ids=["after a checkpoint", "before the first checkpoint"])
def test_a_half_done_update_is_undone_and_the_run_is_bit_identical(
    tmp_path: Path, failing_step: int, undisturbed: list
) -> None:
    run = TrainerHarness(tmp_path, *SETTINGS)
    fail_half_way(run, failing_step)
    assert run.run().state == "finished"
    (notice,) = run.notices("out_of_memory")
    assert f"rewound to step {failing_step // 5 * 5}" in notice.message and "the same batches" in notice.message
    assert [line.step for line in run.folder.read_metrics()] == list(range(1, 21))
    assert curve(run) == undisturbed


def test_updates_that_never_fit_end_the_run_at_the_last_checkpoint(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, *SETTINGS)
    fail_half_way(run, 8, times=1000)
    ended = run.run()
    assert ended.state == "failed" and "out of memory in the update of the weights" in ended.message
    newest = manifest.newest(run.folder.checkpoints, ["full"])
    assert newest is not None and newest.step == 5


def test_a_step_that_cannot_be_split_further_saves_and_ends(tmp_path: Path) -> None:
    run = TrainerHarness(tmp_path, *SETTINGS)
    taken = run.trainer.state.train_step
    taken.compute_gradients = Failing(taken.compute_gradients, CUDA, at=9, times=1000)  # type: ignore[method-assign]
    ended = run.run()
    assert ended.state == "failed" and ended.failure is not None
    assert "activation_checkpointing" in ended.failure.do
    newest = manifest.newest(run.folder.checkpoints, ["full"])
    assert newest is not None and newest.step == ended.step == 7


def test_an_evaluation_is_computed_in_smaller_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list
) -> None:
    run = TrainerHarness(tmp_path, *SETTINGS, "training.eval_every=10")
    forward = run.trainer.state.model.forward
    sizes: list[int] = []

    def small(inputs: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        if not run.trainer.state.model.training:
            sizes.append(len(inputs))
            if len(inputs) > 1:
                raise CUDA
        return forward(inputs, *arguments, **named)

    monkeypatch.setattr(run.trainer.state.model, "forward", small)
    assert run.run().state == "finished"
    assert max(sizes) > 1 and [line.whole for line in run.folder.read_evals()] == [True, True]
    assert curve(run) == undisturbed and run.notices("out_of_memory") == []
    alone = TrainerHarness(tmp_path / "alone", *SETTINGS, "training.eval_every=10")
    alone.run()
    for found, expected in zip(run.folder.read_evals(), alone.folder.read_evals(), strict=True):
        assert found.val_loss == pytest.approx(expected.val_loss, abs=1e-6) and found.tokens == expected.tokens


@pytest.mark.parametrize(
    ("module", "name", "what"),
    [
        (outputs, "evaluate", "skipped the evaluation at step 10"),
        (outputs, "sample_text", "skipped a sample at step 0"),
        (state, "take_snapshot", "skipped the full checkpoint at step 5"),
    ],
)
def test_what_does_not_fit_is_skipped_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list, module: Any, name: str, what: str
) -> None:
    run = TrainerHarness(tmp_path, *SETTINGS, "training.eval_every=10", "sampling.every=10")
    monkeypatch.setattr(module, name, Failing(getattr(module, name), CUDA, at=1))
    assert run.run().state == "finished"
    (notice,) = run.notices("out_of_memory")
    assert what in notice.message and notice.level == "warning"
    assert curve(run) == undisturbed and (run.folder.checkpoints / "step-00000020").is_dir()


def test_a_checkpoint_that_the_host_cannot_write_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list
) -> None:
    run = TrainerHarness(tmp_path, *SETTINGS)
    write = Failing(checkpoint_writer.write_checkpoint, MemoryError(), at=2)
    monkeypatch.setattr(checkpoint_writer, "write_checkpoint", write)
    assert run.run().state == "finished"
    assert any("checkpoint at step 10 not saved: MemoryError" in notice.message for notice in run.notices("checkpoint"))
    assert curve(run) == undisturbed and (run.folder.checkpoints / "step-00000020").is_dir()


def test_a_last_checkpoint_that_does_not_fit_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TrainerHarness(tmp_path, *SETTINGS, "checkpoints.every=0", "checkpoints.best=false")
    monkeypatch.setattr(state, "take_snapshot", Failing(state.take_snapshot, CUDA, at=1, times=9))
    ended = run.run()
    assert ended.state == "failed" and "could not save the last checkpoint: out of memory" in ended.message


def test_a_text_that_cannot_be_quoted_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TrainerHarness(tmp_path, "training.on_anomaly=skip")
    run.make_loss_nan(12)
    monkeypatch.setattr("tui_gpt.training.loop.trainer.highest_loss_text", Failing(lambda: "", CUDA, at=1))
    assert run.run().state == "finished"
    assert run.notices("anomaly")[0].data["text"] == ""


def test_compilation_that_runs_out_of_memory_stays_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def compile_model(model: Callable[..., torch.Tensor], **_: object) -> Callable[..., torch.Tensor]:
        compiled.append(model)
        return Failing(model, InductorError(CUDA, None), at=1 if len(compiled) == 1 else 10**9)

    monkeypatch.setattr(torch, "compile", compile_model)
    monkeypatch.setattr("tui_gpt.training.compute._compile", lambda *_: (True, ""))
    run = TrainerHarness(tmp_path, *SETTINGS)
    assert run.run().state == "finished"
    assert run.trainer.state.train_step.compiled is not None and len(compiled) == 2
    assert run.trainer.state.config.training.micro_batch_size == 1
    assert run.notices("degraded") == []
