"""Checkpoints: atomic writing, verification, round trips, and pruning."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import msgspec
import pytest
import torch

from tests.live import ended, start
from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import (
    TrainingProgress,
    _load_tensors,
    load_model,
    load_state,
    optimizer_tensors,
    take_snapshot,
    write_checkpoint,
)
from tui_gpt.config import build
from tui_gpt.corpora import make_tokenizer
from tui_gpt.errors import CheckpointError
from tui_gpt.model import GPT
from tui_gpt.training.optimizers import make_optimizers, update


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = start(tmp_path_factory.mktemp("checkpoints"), "training.duration=6", "checkpoints.light_every=2")
    assert ended(folder).state == "finished"
    return folder.checkpoints


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "step-00000006", tmp_path / "step-00000006"))


def test_a_run_leaves_full_and_light_checkpoints(trained: Path) -> None:
    kinds = {info.step: info.kind for info in manifest.list_checkpoints(trained)}
    assert kinds == {2: "light", 4: "light", 5: "full", 6: "full"}
    assert not (trained / "step-00000002" / "optimizer.safetensors").exists()


def test_a_checkpoint_is_self_contained(checkpoint: Path) -> None:
    loaded = load_model(checkpoint)
    assert loaded.config.model.n_embd == 16 and loaded.manifest.step == 6
    ids = loaded.tokenizer.encode("hello")
    assert loaded.tokenizer.decode(ids) == "hello"
    assert loaded.model(torch.tensor([ids.tolist()])).shape == (1, 5, 257)


def test_a_checkpoint_without_optimizer_state_cannot_be_resumed(trained: Path) -> None:
    light = trained / "step-00000002"
    with pytest.raises(CheckpointError, match="is a light checkpoint"):
        load_state(light, *_fresh(load_model(light).config))


def _fresh(config) -> tuple[GPT, list[torch.optim.Optimizer]]:  # type: ignore[no-untyped-def]
    model = GPT(config.model, 257)
    return model, make_optimizers(model, config.optimizer)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "config.toml", "tokenizer.json"])
@pytest.mark.parametrize("harm", ["truncated", "flipped", "removed"])
def test_a_damaged_file_is_detected_and_named(checkpoint: Path, file: str, harm: str) -> None:
    path = checkpoint / file
    data = bytearray(path.read_bytes())
    if harm == "truncated":
        path.write_bytes(data[:-1])
    elif harm == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match=file):
        load_model(checkpoint)


def test_every_flipped_bit_of_a_manifest_is_found_or_harmless(checkpoint: Path) -> None:
    """One flipped bit changed the vocabulary size and the sampled text."""
    path = checkpoint / manifest.MANIFEST
    good, data = manifest.read_manifest(checkpoint), path.read_bytes()
    found = 0
    for position in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        try:
            read = manifest.read_manifest(checkpoint)
        except CheckpointError:
            found += 1
        else:  # white space, or the version of the format, read as one without a digest
            assert msgspec.structs.replace(read, format_version=2, digest=good.digest) == good
    assert found > 0.8 * len(data) * 8


def test_a_file_that_cannot_be_opened_is_not_said_to_be_missing(checkpoint: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        with pytest.raises(CheckpointError) as caught:
            _load_tensors(checkpoint / manifest.MODEL)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "too many open files" in str(caught.value)


def test_other_folders_pickles_and_newer_formats_raise(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        manifest.locate(tmp_path / "absent")
    (tmp_path / "foreign").mkdir()
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: it has no manifest\.json"):
        manifest.locate(tmp_path / "foreign")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"[Pp]ickles .* are not supported"):
        manifest.locate(tmp_path / "model.pt")
    newer = msgspec.json.decode((checkpoint / manifest.MANIFEST).read_bytes()) | {"format_version": 99}
    (checkpoint / manifest.MANIFEST).write_bytes(msgspec.json.encode(newer))
    with pytest.raises(CheckpointError, match="newer gpt-tui"):
        load_model(checkpoint)
    (checkpoint / manifest.MANIFEST).write_text("{")
    with pytest.raises(CheckpointError, match="damaged manifest"):
        load_model(checkpoint)


def test_weights_that_do_not_match_the_config_are_named(checkpoint: Path) -> None:
    config = (checkpoint / "config.toml").read_text().replace("n_embd = 16", "n_embd = 32")
    (checkpoint / "config.toml").write_text(config)
    old = manifest.read_manifest(checkpoint)
    path = checkpoint / "config.toml"
    entry = manifest.FileEntry(bytes=path.stat().st_size, xxh3_128=manifest.digest(path))
    changed = msgspec.structs.replace(old, files=old.files | {"config.toml": entry})
    (checkpoint / manifest.MANIFEST).write_bytes(msgspec.json.encode(changed.sealed()))
    with pytest.raises(CheckpointError, match="does not match its config"):
        load_model(checkpoint)


@pytest.mark.parametrize("optimizer", [{"name": "adamw"}, {"name": "muon"}, {"name": "galore", "galore_rank": 4}])
def test_save_and_load_are_bit_identical(tmp_path: Path, optimizer: dict[str, object]) -> None:
    config = build({"model": {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 8}, "optimizer": optimizer})
    tokenizer = make_tokenizer("byte", iter(["text"]), lambda *_: None)
    torch.manual_seed(3)
    model, optimizers = _fresh(config)
    tokens = torch.randint(0, 257, (2, 8))
    for _ in range(3):
        model(tokens, tokens).backward()
        update(optimizers, torch.zeros(()))
    guard = (2.1, 0.1, 3.0, 0.0)
    progress = TrainingProgress(step=3, tokens=48, elapsed_seconds=1.5, best_val_loss=2.0, guard=guard, batch_shift=2)
    snapshot = take_snapshot("full", config, tokenizer.to_json(), model, optimizers, progress, val_loss=2.0)
    path = write_checkpoint(snapshot, tmp_path / "checkpoints", lambda: None)
    again, again_optimizers = _fresh(config)
    assert load_state(path, again, again_optimizers) == progress
    before, after = optimizer_tensors(model, optimizers), optimizer_tensors(again, again_optimizers)
    assert before.keys() == after.keys() and len(before) > len(list(model.parameters()))
    for name, tensor in (model.state_dict() | before).items():
        assert torch.equal(tensor, (again.state_dict() | after)[name]), name


def _shots(tmp_path: Path, kinds: dict[int, tuple[str, float | None]], *, file_bytes: int = 0) -> Path:
    files = {manifest.MODEL: manifest.FileEntry(bytes=file_bytes, xxh3_128="")}
    checkpoints = tmp_path / "checkpoints"
    for step, (kind, val_loss) in kinds.items():
        path = manifest.step_folder(checkpoints, step)
        path.mkdir(parents=True)
        text = manifest.Manifest(
            kind=kind, step=step, tokens=step, vocab_size=2, parameters=1, files=files, val_loss=val_loss
        )
        (path / manifest.MANIFEST).write_bytes(msgspec.json.encode(text.sealed()))
    return checkpoints


def test_prune_keeps_the_last_full_all_light_and_the_best_checkpoints(tmp_path: Path) -> None:
    checkpoints = _shots(
        tmp_path,
        {
            1: ("full", 1.0),
            2: ("light", None),
            3: ("full", 3.0),
            4: ("best", 2.0),
            5: ("full", None),
            6: ("full", None),
            7: ("full", 1.5),
        },
    )
    gone = {info.step for info in manifest.prune(checkpoints, keep=3)}
    assert gone == {3, 4}
    assert [info.step for info in manifest.list_checkpoints(checkpoints)] == [1, 2, 5, 6, 7]


def test_prune_keeps_at_least_two_full_checkpoints(tmp_path: Path) -> None:
    checkpoints = _shots(tmp_path, dict.fromkeys(range(1, 5), ("full", None)))
    manifest.prune(checkpoints, keep=0)
    assert [info.step for info in manifest.list_checkpoints(checkpoints)] == [3, 4]


@pytest.mark.parametrize(
    ("limit", "left"),
    [(700, [1, 2, 5, 6, 7]), (500, [1, 2, 5, 6, 7]), (400, [1, 5, 6, 7]), (300, [1, 6, 7]), (1, [1, 6, 7])],
)
def test_prune_bounds_the_size_but_keeps_the_newest_and_the_best(tmp_path: Path, limit: int, left: list[int]) -> None:
    kinds = {
        1: ("best", 1.0),
        2: ("light", None),
        3: ("full", 3.0),
        5: ("full", None),
        6: ("full", None),
        7: ("light", None),
    }
    checkpoints = _shots(tmp_path, kinds, file_bytes=100)
    manifest.prune(checkpoints, 2, limit)
    assert [info.step for info in manifest.list_checkpoints(checkpoints)] == left


@pytest.mark.parametrize("kill_after", [1, 2])
def test_a_step_saved_again_is_there_wherever_the_save_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_after: int
) -> None:
    checkpoints = _shots(tmp_path, {5: ("full", 1.0)})
    target = manifest.step_folder(checkpoints, 5)
    partial = Path(shutil.copytree(target, tmp_path / ".partial-step-00000005"))
    real, calls = Path.rename, 0

    def rename(self: Path, to: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls > kill_after:
            raise SystemExit("killed")
        return real(self, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        patch.setattr(shutil, "rmtree", lambda *_, **__: (_ for _ in ()).throw(SystemExit("killed")))
        with pytest.raises(SystemExit):
            manifest.publish(partial, target)
    manifest.recover(checkpoints)
    assert [info.step for info in manifest.list_checkpoints(checkpoints)] == [5]
    assert not list(tmp_path.glob(".replaced-*"))


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = build({"model": {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 8}})
    model, optimizer = _fresh(config)
    tokenizer = make_tokenizer("byte", iter(["text"]), lambda *_: None)
    snapshot = take_snapshot(
        "full", config, tokenizer.to_json(), model, optimizer, TrainingProgress(step=1, tokens=1, elapsed_seconds=0)
    )

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(snapshot, tmp_path / "checkpoints", lambda: None)
    assert list(tmp_path.rglob("*step*")) == []
