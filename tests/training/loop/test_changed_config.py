"""A config that differs from the checkpoint's, because somebody or a damaged disk changed it, is refused or named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.loop.harness import TrainerHarness
from tui_gpt import launch
from tui_gpt.config import to_dict, to_toml
from tui_gpt.errors import ConfigError

SETTINGS = ("training.duration=5", "checkpoints.every=5")


def test_a_config_that_changed_since_the_checkpoint_is_refused_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """config.toml has no digest: one flipped bit in a digit would train something else."""
    started: list[object] = []
    monkeypatch.setattr(launch, "start_supervisor", lambda *arguments: started.append(arguments))
    run = TrainerHarness(tmp_path, *SETTINGS, "training.eval_every=0")
    run.run()
    folder, text = run.folder, to_toml(to_dict(run.trainer.state.config))
    folder.config.write_text(text.replace("beta2 = 0.95", "beta2 = 0.91"))
    with pytest.raises(ConfigError, match=r"differs from the checkpoint's in optimizer.beta2"):
        launch.resume(folder, tmp_path / "corpus")
    assert not started
    folder.config.write_text(text.replace("eval_every = 0", "eval_every = 8"))  # which a resume may change
    launch.resume(folder, tmp_path / "corpus")
    assert len(started) == 1
    resumed = TrainerHarness(tmp_path, *SETTINGS, "training.eval_every=8", resume=folder)
    resumed.trainer.dry_run()
    assert "training.eval_every 0 → 8" in str(resumed.notices("note"))
