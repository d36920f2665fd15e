"""A run whose last checkpoint cannot be written is still under control."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.training.loop.harness import TrainerHarness
from tui_gpt.checkpoints import manifest
from tui_gpt.run.messages import Command


@pytest.mark.parametrize("is_full_again", [True, False])
def test_a_run_that_is_done_but_not_saved_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_full_again: bool
) -> None:
    run = TrainerHarness(tmp_path, "training.duration=5", "checkpoints.every=5", "checkpoints.best=false")
    reserve, calls = os.posix_fallocate, []

    def full(fd: int, offset: int, size: int) -> None:
        calls.append(size)
        if len(calls) == 1 or is_full_again:
            run.trainer.control._enqueue(Command(name="stop"))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reserve(fd, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", full)
    ended = run.run()
    assert len(calls) == 2, "what could not be written is tried again before the run ends"
    newest = manifest.newest(run.folder.checkpoints, ["full"])
    if is_full_again:
        assert ended.state == "failed" and "No space left on device" in ended.message and newest is None
    else:
        assert ended.state == "stopped" and newest is not None and newest.step == 5
