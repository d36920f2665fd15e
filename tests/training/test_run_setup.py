"""Preparation of a run: adapting the config to the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tui_gpt.config import build, flatten_keys, override
from tui_gpt.errors import ConfigError
from tui_gpt.training.data.batches import BatchLoader
from tui_gpt.training.run_setup import fit, prepare_run


def test_preset_values_are_adapted_to_a_short_corpus_and_user_values_are_not() -> None:
    config, notes = fit(build({"preset": "nano"}), 4630, by_hand={})
    assert config.training.micro_batch_size == 2 and config.model.context_length == 256
    assert "8 steps" in notes[0]
    config, notes = fit(build({}), 30, by_hand={})
    assert (config.model.context_length, config.training.micro_batch_size, len(notes)) == (29, 1, 2)
    config, notes = fit(
        build({"preset": "nano", "training": {"duration": 100}}), 10**6, by_hand={"training.duration": 100}
    )
    assert config.schedule.warmup_steps == 10 and "a tenth" in notes[0]
    asked = override({}, ["training.micro_batch_size=16"])
    config, notes = fit(build(asked), 1000, by_hand=flatten_keys(asked))
    assert config.training.micro_batch_size == 16 and not notes
    asked = override({}, ["model.context_length=64"])
    with pytest.raises(ConfigError, match="longer than the corpus, which has 30 training tokens"):
        fit(build(asked), 30, by_hand=flatten_keys(asked))


def test_a_validation_split_far_from_the_configured_share_is_noted(tmp_path: Path) -> None:
    for count in (2, 10):
        (tmp_path / f"{count}").mkdir()
        for number in range(count):
            (tmp_path / f"{count}" / f"{number}.txt").write_text("It was a dark and stormy night. " * 40)
        asked = override({}, [f"data.corpus={count}", "data.tokenizer=byte"])
        said = [note for note in prepare_run(asked, tmp_path, lambda *_: None).notes if "validation" in note]
        assert said == (["validation has 50% of the tokens, not 10%: documents are not split"] if count == 2 else [])


@pytest.mark.parametrize("mode", ["windows", "sliding", "random", "packed"])
def test_fit_counts_the_same_rows_as_the_batch_loader(mode: Literal["windows", "sliding", "random", "packed"]) -> None:
    asked = override({}, [f"data.mode={mode}", "data.stride=4", "model.context_length=16"])
    tokens = 1281
    config, _ = fit(build(asked), tokens, by_hand=flatten_keys(asked))
    batches = BatchLoader(np.zeros(tokens, np.uint16), mode, 16, config.sequences_per_step, 1, stride=4)
    expected = 317 if mode == "sliding" else 80
    assert batches.rows == expected + (mode == "packed")  # which also predicts the first token
    assert config.sequences_per_step == min(build(asked).sequences_per_step, expected // 8)
