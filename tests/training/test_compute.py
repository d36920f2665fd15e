"""Device and precision of a run."""

from __future__ import annotations

import pytest
import torch

from tui_gpt.config import build, override
from tui_gpt.errors import ConfigError
from tui_gpt.training.compute import choose_compute


def test_settings_that_a_cpu_does_not_support_raise() -> None:
    threads = torch.get_num_threads()
    try:
        for assignment, says in {
            "training.precision=fp16": "needs a GPU",
            "training.device=mps": "Metal",
            "training.device=tpu": "unknown",
        }.items():
            with pytest.raises(ConfigError, match=says):
                choose_compute(build(override({}, [assignment])).training)
    finally:
        torch.set_num_threads(threads)
