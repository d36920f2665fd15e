"""What a start makes: the name of the run, and all that it needs of others in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_gpt import launch
from tui_gpt.config import override
from tui_gpt.corpora.tokenizers.build import from_ranks
from tui_gpt.corpora.tokenizers.tokenizer import load_tokenizer
from tui_gpt.run.folder import rename, validate_name


@pytest.mark.parametrize(
    ("corpus", "name"),
    [
        ("stories", "pico-stories"),
        ("a book, at last.txt", "pico-a-book--at-last"),
        ("0.7 stories + 0.3 tiny", "pico-stories+tiny"),
    ],
)
def test_the_default_name_consists_of_preset_and_corpora(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: str, name: str
) -> None:
    monkeypatch.setattr(launch, "start_supervisor", lambda *_: None)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a book, at last.txt").write_text("It was a dark night. " * 100)
    folder = launch.start(tmp_path / "runs", tmp_path / "corpus", override({}, [f"data.corpus={corpus}"]))
    assert folder.id[16:] == validate_name(name)


def test_a_tokenizer_file_is_copied_and_config_and_run_can_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "start_supervisor", lambda *_: None)
    (tmp_path / "mine.json").write_bytes(from_ranks({bytes([byte]): byte for byte in range(256)}).to_json())
    asked = override({}, [f"data.tokenizer={tmp_path / 'mine.json'}"])
    folder = launch.start(tmp_path / "runs", tmp_path / "corpus", asked)
    (tmp_path / "mine.json").unlink()
    moved = rename(folder, "other")
    assert str(tmp_path) not in moved.config.read_text()
    spec = moved.read_config().data.tokenizer
    assert spec == str(moved.path / "tokenizer.json") and load_tokenizer(Path(spec)).vocab_size == 257
