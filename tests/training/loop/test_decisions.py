"""Decisions: what commands, anomalies and lack of memory lead to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_gpt.checkpoints.manifest import CheckpointInfo
from tui_gpt.checkpoints.state import TrainingProgress
from tui_gpt.config import build
from tui_gpt.run.messages import CommandName
from tui_gpt.training.loop.decisions import (
    MAX_REWINDS,
    Continue,
    Decision,
    Pause,
    Resume,
    Rewind,
    Sample,
    Save,
    Split,
    Stop,
    decide_on_anomaly,
    decide_on_command,
    decide_on_oom,
)
from tui_gpt.training.loop.guard import MAX_CONSECUTIVE_ANOMALIES, Anomaly

PROGRESS = TrainingProgress(step=40, tokens=640, elapsed_seconds=1.0)
SPIKE = Anomaly(step=39, num_steps=1, consecutive=1, skipped=True, loss=9.0, mean=3.0, sigma=0.1)
NEWEST = CheckpointInfo(
    path=Path("step-00000030"), step=30, kind="full", tokens=480, val_loss=None, bytes=0, created=0.0
)


@pytest.mark.parametrize(
    ("name", "step", "is_paused", "problem", "decision"),
    [
        ("pause", 7, False, "", Pause()),
        ("pause", 7, True, "", Continue("already paused, at step 7")),
        ("resume", 7, True, "", Resume()),
        ("resume", 7, False, "", Continue("already running, at step 7")),
        ("checkpoint", 7, False, "", Save()),
        ("checkpoint", 7, True, "", Save()),
        ("checkpoint", 0, False, "", Continue("nothing to save before the first step", ok=False)),
        ("sample", 0, False, "", Sample()),
        ("resume", 7, True, "disk full", Resume()),
        ("sample", 7, True, "disk full", Continue("paused, waiting for disk space: disk full", ok=False)),
        ("pause", 7, True, "disk full", Pause()),
    ],
)
def test_commands(name: CommandName, step: int, is_paused: bool, problem: str, decision: Decision) -> None:
    assert decide_on_command(name, step, is_paused=is_paused, problem=problem) == decision


def test_the_policy_decides_on_an_anomaly() -> None:
    assert decide_on_anomaly(SPIKE, "skip", "text", PROGRESS, NEWEST) == Continue("skipped")
    assert decide_on_anomaly(SPIKE._replace(skipped=False), "warn", "text", PROGRESS, NEWEST) == Continue("applied")
    assert decide_on_anomaly(SPIKE, "rewind", "text", PROGRESS, NEWEST) == Rewind(NEWEST.path, other_batches=True)
    stop = decide_on_anomaly(SPIKE, "stop", "some text", PROGRESS, NEWEST)
    assert isinstance(stop, Stop) and stop.save and stop.failure is not None and "'some text'" in stop.failure.what


def test_a_rewind_without_a_checkpoint_or_beyond_the_limit_continues() -> None:
    assert decide_on_anomaly(SPIKE, "rewind", "", PROGRESS, None) == Continue("no checkpoint from before to rewind to")
    tired = TrainingProgress(step=40, tokens=640, elapsed_seconds=1.0, rewinds=MAX_REWINDS)
    assert isinstance(decide_on_anomaly(SPIKE, "rewind", "", tired, NEWEST), Continue)


@pytest.mark.parametrize("policy", ["warn", "skip", "rewind"])
def test_many_anomalies_in_a_row_end_the_run_under_every_policy(policy: str) -> None:
    row = SPIKE._replace(consecutive=MAX_CONSECUTIVE_ANOMALIES)
    assert isinstance(decide_on_anomaly(row, policy, "", PROGRESS, NEWEST), Stop)


def test_a_step_without_memory_is_split_while_it_can_be() -> None:
    config = build({"training": {"micro_batch_size": 12, "accumulation_steps": 1}})
    sizes = []
    while isinstance(decision := decide_on_oom(config, PROGRESS, NEWEST, is_half_updated=False), Split):
        config = decision.config
        assert config.sequences_per_step == 12
        sizes.append(config.training.micro_batch_size)
    assert sizes == [6, 3, 1]
    assert isinstance(decision, Stop) and decision.save and decision.failure is not None
    assert "activation_checkpointing" in decision.failure.do


def test_half_updated_weights_are_never_saved() -> None:
    config = build({})
    assert decide_on_oom(config, PROGRESS, NEWEST, is_half_updated=True) == Rewind(NEWEST.path, other_batches=False)
    assert decide_on_oom(config, PROGRESS, None, is_half_updated=True) == Rewind(None, other_batches=False)
    tired = TrainingProgress(step=40, tokens=640, elapsed_seconds=1.0, rewinds=MAX_REWINDS)
    stop = decide_on_oom(config, tired, NEWEST, is_half_updated=True)
    assert isinstance(stop, Stop) and not stop.save
