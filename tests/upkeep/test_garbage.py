"""`gpt-tui gc`: leftovers go; what is live, complete or cannot be made again stays."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tui_gpt.cli.root import gpt_tui
from tui_gpt.config import DataConfig
from tui_gpt.corpora import prepare
from tui_gpt.corpora.sources.locks import exclusive_lock, try_lock
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder, take_lock

OLD = time.time() - 200_000


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("GPT_TUI_CACHE", raising=False)
    return tmp_path


def make(path: Path, *, old: bool = False) -> Path:
    """Make a file of 10 bytes, or with a name that ends in a slash a folder with one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0123456789")
    if old:
        os.utime(path, (OLD, OLD))
        os.utime(path.parent, (OLD, OLD))
    return path


def leftovers(run: RunFolder) -> list[Path]:
    """Make what a killed trainer leaves in a run folder."""
    checkpoints = run.checkpoints
    make(checkpoints / "step-00000005" / "manifest.json")
    return [
        make(run.path / ".partial-step-00000010" / "model.safetensors").parent,
        make(run.path / ".replaced-step-00000005" / "model.safetensors").parent,
        make(checkpoints / "step-00000003" / "model.safetensors").parent,
        make(run.path / ".status.json.123.456.tmp"),
    ]


def gc(workspace: Path, *options: str) -> Result:
    return CliRunner().invoke(gpt_tui, ["gc", "--workspace", str(workspace), *options])


def everything(workspace: Path) -> set[Path]:
    return set(workspace.rglob("*"))


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(workspace: Path) -> None:
    run = folders.create(workspace / "runs", "run", {})
    cache = workspace / "corpus" / ".cache"
    shards = prepare(DataConfig(corpus="stories", tokenizer="byte"), workspace / "corpus", lambda *_: None)
    make(workspace / "corpus" / "mine.txt")
    make(cache / "fetched" / "book" / "book.txt")
    make(cache / "tokenizers" / "gpt2.json")
    make(run.path / ".replaced-step-00000009" / "manifest.json")  # the only copy
    make(workspace / "runs" / "notes" / "text.txt", old=True)  # of somebody else
    for lock in cache.rglob("*.lock"):
        lock.unlink()
    stays = everything(workspace)
    goes = [
        *leftovers(run),
        make(workspace / "runs" / "20260101-101010-gone" / "metrics.jsonl", old=True).parent,
        make(workspace / ".bench-x" / "file", old=True).parent,
        make(cache / "shards" / "0123.partial" / "tokens").parent,
        make(cache / "shards" / "0123.lock"),
        make(cache / "shards" / "4567" / "meta.json").parent,
        make(cache / "fetched" / "other.partial" / "book.txt").parent,
        make(cache / "stories-0123.jsonl"),
        make(workspace / "corpus" / ".cleaning-novels" / "part").parent,
        make(workspace / "corpus" / ".adding-novels-1", old=True),
    ]
    before = everything(workspace)
    listed = gc(workspace, "--dry-run")
    assert listed.exit_code == 0 and everything(workspace) == before
    assert all(str(path) in listed.stdout for path in goes) and len(listed.stdout.splitlines()) == len(goes)
    refused = CliRunner().invoke(gpt_tui, ["gc", "--workspace", str(workspace)], input="n\n")
    assert refused.exception is not None and everything(workspace) == before
    facts = json.loads(gc(workspace, "--json", "--yes").stdout)
    assert sorted(facts["removed"]) == sorted(map(str, goes)) and facts["failed"] == []
    assert facts["bytes"] == sum(each["bytes"] for each in facts["found"]) > 100
    left = everything(workspace)
    assert stays <= left and not any(path.exists() for path in goes)
    assert shards.path in left
    assert gc(workspace, "--yes").stdout == ""


def test_nothing_of_a_live_run_is_removed(workspace: Path) -> None:
    run = folders.create(workspace / "runs", "run", {})
    leftovers(run)
    lock = take_lock(run)
    try:
        assert json.loads(gc(workspace, "--json", "--yes").stdout)["found"] == []
    finally:
        os.close(lock)
    assert len(json.loads(gc(workspace, "--json", "--yes").stdout)["removed"]) == 4


def test_what_another_process_works_on_is_not_removed(workspace: Path) -> None:
    shards = workspace / "corpus" / ".cache" / "shards"
    partial = make(shards / "0123.partial" / "tokens")
    with exclusive_lock(shards / "0123.lock", lambda: None):
        facts = json.loads(gc(workspace, "--json", "--yes").stdout)
        assert facts["removed"] == [] and partial.exists()
        with try_lock(shards / "0123.lock") as is_held:
            assert not is_held


def test_caches_are_removed_on_request_and_made_again(workspace: Path) -> None:
    data, corpus = DataConfig(corpus="tiny", tokenizer="bpe:300"), workspace / "corpus"
    before = prepare(data, corpus, lambda *_: None)
    tokens = before.train.tolist()
    downloaded = make(corpus / ".cache" / "tokenizers" / "gpt2.json")
    gc(workspace, "--caches", "--yes")
    assert not before.path.exists() and downloaded.exists()
    assert len(list((corpus / ".cache" / "tokenizers").iterdir())) == 1
    assert prepare(data, corpus, lambda *_: None).train.tolist() == tokens


def test_caches_of_a_live_run_that_does_not_say_its_corpus_yet_stay(workspace: Path) -> None:
    shards = prepare(DataConfig(corpus="tiny", tokenizer="byte"), workspace / "corpus", lambda *_: None)
    lock = take_lock(folders.create(workspace / "runs", "run", {}))
    try:
        gc(workspace, "--caches", "--yes")
        assert shards.path.exists()
    finally:
        os.close(lock)


def test_a_lock_that_was_removed_while_it_was_waited_for_is_taken_anew(tmp_path: Path) -> None:
    lock, waited = tmp_path / "x.lock", []
    with exclusive_lock(lock, lambda: None):
        lock.unlink()
        with exclusive_lock(lock, lambda: waited.append(1)):
            assert lock.exists() and not waited
