"""Whole runs: the loss floor, memorizing a corpus, and starting from weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live import ended, start
from tui_gpt.config import override
from tui_gpt.errors import ConfigError


def test_a_run_on_stories_reports_the_loss_floor(tmp_path: Path) -> None:
    settings = ("data.corpus=stories:0.05", "data.mode=packed", "model.context_length=512", "training.duration=2")
    folder = start(tmp_path, *settings, "checkpoints.every=0", "sampling.every=0")
    ended(folder)
    info, last = folder.read_info(), folder.read_evals()[-1]
    assert info is not None and info.corpus is not None and info.corpus.floor_loss is not None
    assert info.corpus.floor_note == ""
    assert last.whole and last.tokens == info.corpus.val_tokens
    assert last.val_loss is not None and last.val_loss > info.corpus.floor_loss
    said = f"cannot fall below {info.corpus.floor_loss:.4f} nats per token, the entropy of the text"
    assert any(event.message.endswith(said) for event in folder.read_events())


def test_a_small_corpus_is_memorized(tmp_path: Path) -> None:
    folder = start(
        tmp_path,
        "model.n_embd=64",
        "model.dropout=0",
        "model.context_length=32",
        "optimizer.learning_rate=5e-3",
        "training.duration=250",
        "sampling.temperature=0",
        "sampling.tokens=40",
        "training.eval_every=0",
        "checkpoints.every=0",
    )
    assert ended(folder).state == "finished"
    lines = folder.read_metrics()
    assert lines[0].loss > 5 and lines[-1].loss < 0.5
    from tui_gpt.corpora import find_corpus

    text = next(iter(find_corpus("tiny", tmp_path / "corpus").documents()))
    assert text[8:28] == folder.read_samples()[-1].text[:20]


def test_weights_can_start_a_new_run(tmp_path: Path) -> None:
    first = start(tmp_path, "training.duration=10")
    ended(first)
    from tui_gpt.checkpoints import manifest
    from tui_gpt.launch import start as launch_start

    source = manifest.newest(first.checkpoints).path
    asked = override(
        {"training": {"init_from": str(source), "duration": 3}, "data": {"corpus": "tiny"}, "sampling": {"every": 0}},
        [],
    )
    second = launch_start(tmp_path / "runs", tmp_path / "corpus", asked)
    assert ended(second).state == "finished"
    assert second.read_config().model.n_embd == 16
    assert second.read_info().parent == str(source)
    assert second.read_metrics()[0].loss < first.read_metrics()[0].loss
    with pytest.raises(ConfigError, match="differs from the checkpoint"):
        launch_start(tmp_path / "runs", tmp_path / "corpus", override(asked, ["model.n_layer=3"]))
