"""The default name of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_gpt import launch
from tui_gpt.config import override
from tui_gpt.run.folder import validate_name


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
