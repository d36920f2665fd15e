"""`gpt-tui verify`: whatever is damaged is found, and nothing else is said to be."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from tests.training.loop.harness import TrainerHarness
from tui_gpt.cli.root import gpt_tui
from tui_gpt.files import write_atomically
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlWriter
from tui_gpt.run.messages import CorpusInfo, Event, RunInfo, Status


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that has files of every kind."""
    workspace = tmp_path_factory.mktemp("verify")
    settings = ("training.duration=10", "sampling.every=5", "checkpoints.light_every=3")
    harness = TrainerHarness(workspace, *settings)
    harness.run()
    folder, shards = harness.folder, harness.trainer.shards.info
    corpus = CorpusInfo(
        name="tiny",
        digest=shards.digest,
        tokenizer="byte",
        vocab_size=257,
        documents=1,
        train_tokens=shards.train_tokens,
        val_tokens=shards.val_tokens,
    )
    write_atomically(folder.info, msgspec.json.encode(RunInfo(corpus=corpus)))
    write_atomically(folder.status, msgspec.json.encode(Status(state="finished", step=10)))
    JsonlWriter(folder.events).append(Event(time=1.0, kind="finished", message="done"))
    shutil.copy(folder.path / "checkpoints" / "step-00000010" / "tokenizer.json", folder.tokenizer)
    return workspace


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> RunFolder:
    """A copy of the run, with its workspace."""
    shutil.copytree(trained, tmp_path / "w", dirs_exist_ok=True)
    (path,) = (tmp_path / "w" / "runs").iterdir()
    return RunFolder(path)


def verify(run: RunFolder, target: str, *options: str) -> Result:
    workspace = run.path.parent.parent
    return CliRunner().invoke(gpt_tui, ["verify", target, "--workspace", str(workspace), *options])


def test_a_whole_run_and_corpus_are_not_damaged(run: RunFolder) -> None:
    for target, kind in ((run.id, "run"), ("tiny", "corpus")):
        result = verify(run, target, "--json")
        assert result.exit_code == 0, result.output
        facts = json.loads(result.stdout)
        assert facts["kind"] == kind and facts["files"] >= 4 and facts["bytes"] > 4_000 and facts["damaged"] == []
    assert "nothing is damaged" in verify(run, run.id).stdout


def flip(path: Path, at: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)


def cut_metrics(run: RunFolder) -> Path:
    lines = run.metrics.read_bytes().splitlines(keepends=True)
    run.metrics.write_bytes(b"".join(lines[: len(lines) // 2]))
    return run.metrics


def damage_line(run: RunFolder) -> Path:
    run.evals.write_bytes(b'{"step": "x"}\n' + run.evals.read_bytes())
    return run.evals


def flip_digit(run: RunFolder) -> Path:
    run.evals.write_bytes(run.evals.read_bytes().replace(b'"step":10', b'"step":11', 1))
    return run.evals


def remove(name: str) -> Callable[[RunFolder], Path]:
    def damage(run: RunFolder) -> Path:
        path = run.path / name
        path.unlink()
        return path

    return damage


def overwrite(name: str, data: bytes) -> Callable[[RunFolder], Path]:
    def damage(run: RunFolder) -> Path:
        path = run.path / name
        path.write_bytes(data)
        return path

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        cut_metrics,
        damage_line,
        flip_digit,
        remove("checkpoints/step-00000005/model.safetensors"),
        remove("checkpoints/step-00000005/manifest.json"),
        overwrite("config.toml", b"[model\n"),
        overwrite("run.json", b"{"),
        overwrite("status.json", b"[[[["),
        overwrite("tokenizer.json", b"{}"),
    ],
)
def test_each_kind_of_damage_is_one_line_with_a_remedy(run: RunFolder, damage: Callable[[RunFolder], Path]) -> None:
    path = damage(run)
    result = verify(run, run.id)
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    assert str(path.parent) in line and any(word in line for word in ("Delete", "Replace", "lost")), line


def test_every_flipped_bit_of_what_has_digests_is_found(run: RunFolder) -> None:
    workspace = run.path.parent.parent
    files = [path for path in run.checkpoints.rglob("*") if path.is_file()]
    files += [path for path in (workspace / "corpus" / ".cache" / "shards").glob("*/*") if path.is_file()]
    assert {path.name for path in files} >= {
        *("model.safetensors", "optimizer.safetensors", "progress.json", "config.toml", "tokenizer.json"),
        *("manifest.json", "meta.json", "train.bin", "val.bin"),
    }
    chosen = random.Random(1)
    for path in files:
        whole = path.read_bytes()
        flip(path, chosen.randrange(len(whole)), chosen.randrange(8))
        result = verify(run, run.id, "--json")
        folders = [damage["path"] for damage in json.loads(result.stdout)["damaged"]]
        assert result.exit_code == 1 and all(str(path.parent) in folder for folder in folders), (path, result.stdout)
        path.write_bytes(whole)
    assert verify(run, run.id).exit_code == 0


def test_a_line_cut_off_by_a_kill_is_no_damage(run: RunFolder) -> None:
    run.samples.write_bytes(run.samples.read_bytes()[:-20])
    result = verify(run, run.id)
    assert result.exit_code == 0 and "cut off" in result.stderr


def test_what_is_neither_a_run_nor_a_corpus_is_a_usage_error(run: RunFolder) -> None:
    from tui_gpt.errors import UserError

    result = verify(run, "nothing-of-that-name")
    assert isinstance(result.exception, UserError) and "nothing-of-that-name" in str(result.exception)
