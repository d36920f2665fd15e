"""What run.json records of the environment, the packages and the text."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tui_gpt.run.messages import CorpusInfo, RunInfo, TextOrigin
from tui_gpt.training.run_info import origins_of, package_versions, relevant_environment


def test_of_the_environment_only_an_allow_list_is_recorded() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "0,1", "HF_TOKEN": "secret", "OMP_NUM_THREADS": "1" * 999, "PATH": "/bin"}
    assert relevant_environment(environment) == {"CUDA_VISIBLE_DEVICES": "0,1", "OMP_NUM_THREADS": "1" * 200}


def test_the_versions_of_all_dependencies_are_recorded() -> None:
    versions = package_versions()
    assert {"python", "gpt-tui", "torch", "numpy", "textual", "safetensors", "tokenizers"} <= versions.keys()
    assert "pytest" not in versions


def test_origins_are_inherited_from_the_parent_and_its_parents(tmp_path: Path) -> None:
    old, new = TextOrigin("old", "MIT"), TextOrigin("new", "CC0")
    figures = {"vocab_size": 1, "documents": 1, "train_tokens": 1, "val_tokens": 1}
    corpus = CorpusInfo(name="new", digest="", tokenizer="byte", origins=(new, old), **figures)
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(RunInfo(corpus=corpus, parent_origins=(old,))))
    assert origins_of(tmp_path / "checkpoints" / "step-00000001") == (old, new)
    assert origins_of(tmp_path / "elsewhere" / "checkpoints" / "step-00000001") == ()
    (tmp_path / "run.json").write_text("damaged")
    assert origins_of(tmp_path / "checkpoints" / "step-00000001") == ()
