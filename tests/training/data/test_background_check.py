"""Large token files are checked while a run trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.loop.harness import TrainerHarness
from tui_gpt.config import DataConfig
from tui_gpt.corpora import prepare
from tui_gpt.corpora.shards import shard_files
from tui_gpt.training.data.background_check import BackgroundCheck


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The training tokens that a harness in `tmp_path` reads, which count as a large file."""
    monkeypatch.setattr(shard_files, "PIECE_BYTES", 1000)
    shards = prepare(DataConfig(corpus="tiny", tokenizer="byte"), tmp_path / "corpus", lambda *_: None)
    monkeypatch.setattr(shard_files, "CHECKED_BYTES", 0)
    return shards.path / "train.bin"


def test_damaged_tokens_end_the_run_saved_and_a_resume_prepares_them_again(tmp_path: Path, file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    harness = TrainerHarness(tmp_path)
    harness.trainer.data_check.wait()
    ended = harness.run()
    assert ended.state == "failed" and ended.failure is not None
    assert ended.failure.where == str(file) and "do not match their digest" in ended.failure.what
    assert "delete the checkpoints after it" in ended.failure.do
    resumed = TrainerHarness(tmp_path, resume=harness.folder)
    assert file.read_bytes() == whole
    resumed.trainer.data_check.wait()
    assert resumed.run().state == "finished"
    assert any("are whole" in notice.message for notice in resumed.notices("note"))


def test_the_check_takes_a_small_share_of_the_time(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [0.0], []
    monkeypatch.setattr("tui_gpt.training.data.background_check.time.perf_counter", lambda: now[0])

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("tui_gpt.training.data.background_check.time.sleep", sleep)
    shards = shard_files.open_shards(file.parent)
    check = shards.check

    def slowly(path: Path):
        for at in check(path):
            now[0] += 0.02
            yield at

    monkeypatch.setattr(shards, "check", slowly)
    said: list[str] = []
    BackgroundCheck(shards, said.append).wait()
    assert len(said) == 1 and len(slept) >= 2 and all(seconds == pytest.approx(0.18) for seconds in slept)
