"""What a step asks for is done once, also where a stop or a kill comes in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.training.loop.harness import TrainerHarness
from tui_gpt.checkpoints import manifest
from tui_gpt.config import build
from tui_gpt.run.messages import Command
from tui_gpt.training.loop import outputs
from tui_gpt.training.loop.decisions import due_at

SETTINGS = (
    "training.eval_every=10",
    "sampling.every=10",
    'sampling.prompts=["a", "b"]',
    "checkpoints.every=20",
    "model.dropout=0.2",
)


def journals(run: TrainerHarness) -> dict[str, Any]:
    """Return all that a run recorded, without times."""
    folder = run.folder
    checkpoints = {info.step: (info.kind, info.val_loss) for info in manifest.list_checkpoints(folder.checkpoints)}
    return {
        "metrics": [(line.step, line.loss, line.grad_norm) for line in folder.read_metrics()],
        "evals": [msgspec.structs.replace(line, seconds=0.0) for line in folder.read_evals()],
        "samples": folder.read_samples(),
        "last": checkpoints[30],
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = TrainerHarness(tmp_path_factory.mktemp("reference"), *SETTINGS)
    run.run()
    return journals(run)


@pytest.mark.parametrize("call", range(1, 5))
@pytest.mark.parametrize("name", ["evaluate", "sample_text"])
@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
def test_a_stop_in_the_middle_is_made_up_for_on_resume(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reference: dict[str, Any],
    name: str,
    call: int,
    is_before: bool,
) -> None:
    run = TrainerHarness(tmp_path, *SETTINGS)
    real, calls = getattr(outputs, name), 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and is_before:
            run.trainer.control._enqueue(Command(name="stop"))
        result = real(*arguments, **options)
        if calls == call and not is_before:
            run.trainer.control._enqueue(Command(name="stop"))
        return result

    with monkeypatch.context() as patch:
        patch.setattr(outputs, name, interrupted)
        first = run.run()
    if first.state == "stopped":
        resumed = TrainerHarness(tmp_path, *SETTINGS, resume=run.folder)
        assert resumed.run().state == "finished"
    assert journals(run) == reference


def test_two_resumes_from_the_same_checkpoint_record_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: dict[str, Any]
) -> None:
    """Killed after what was due was done, and before the next checkpoint."""
    run = TrainerHarness(tmp_path, *SETTINGS, "checkpoints.best=false")
    real = outputs.evaluate

    def interrupted(*arguments: Any, **options: Any) -> Any:
        run.trainer.control._enqueue(Command(name="stop"))
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(outputs, "evaluate", interrupted)
        assert run.run().state == "stopped"
    killed = TrainerHarness(tmp_path, *SETTINGS, resume=run.folder)
    assert killed.trainer.state.progress.due[0] == "evaluation"
    killed.trainer.dry_run()
    killed.trainer._begin()
    assert killed.trainer.state.progress.due == ()
    again = TrainerHarness(tmp_path, *SETTINGS, resume=run.folder)
    assert again.run().state == "finished"
    assert journals(run) == reference


def test_a_checkpoint_comes_after_what_it_holds_the_result_of() -> None:
    config = build({"training": {"eval_every": 5}, "checkpoints": {"every": 10, "light_every": 2}})
    assert due_at(config, 5, is_last=False) == ("evaluation", "best")
    assert due_at(config, 10, is_last=False) == ("evaluation", "early sample", "full")
    assert due_at(config, 12, is_last=False) == ("light",)
    assert due_at(config, 13, is_last=True) == ("evaluation", "sample", "full")
