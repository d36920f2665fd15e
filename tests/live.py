"""Real runs for tests: a model whose steps take milliseconds, with everything enabled that resume must restore."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tui_gpt import launch
from tui_gpt.config import override
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import FINAL_STATES, Status

PATIENCE_SECONDS = 90.0

SMALL = (
    "model.n_layer=1",
    "model.n_head=2",
    "model.n_embd=16",
    "model.context_length=16",
    "model.dropout=0.1",
    "data.corpus=tiny",
    "data.tokenizer=byte",
    "schedule.warmup_steps=5",
    "training.micro_batch_size=2",
    "training.accumulation_steps=2",
    "training.threads=1",
    "training.eval_every=20",
    "checkpoints.every=5",
    "sampling.every=20",
    "sampling.tokens=8",
)


def start(workspace: Path, *overrides: str, **options: Any) -> RunFolder:
    asked = override({}, [*SMALL, *overrides])
    return launch.start(workspace / "runs", workspace / "corpus", asked, **options)


def resume(folder: RunFolder, changes: dict[str, Any] | None = None, **options: Any) -> RunFolder:
    return launch.resume(folder, folder.path.parent.parent / "corpus", changes, **options)


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait for a condition. The timeout is long because the machine may be busy; no test depends on it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := true():
            return value
        time.sleep(0.02)
    raise AssertionError(f"never came: {what}")


def at_step(folder: RunFolder, step: int) -> Status:
    def there() -> Status | None:
        status = folder.read_status()
        if status and status.state in FINAL_STATES:
            raise AssertionError(f"the run ended before step {step}: {status.state}: {status.message}")
        return status if status and status.step >= step else None

    return until(there, f"step {step}")


def ended(folder: RunFolder) -> Status:
    until(lambda: not folder.is_locked(), "the end of the run")
    status = folder.read_status()
    assert status is not None
    return status


def losses(folder: RunFolder) -> dict[int, float | None]:
    lines = folder.read_metrics()
    assert len({line.step for line in lines}) == len(lines), "a step is there twice"
    return {line.step: line.loss for line in lines}
