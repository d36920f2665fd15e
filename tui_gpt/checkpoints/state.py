"""Save and load checkpoints: weights and, for full ones, everything that an exact resume needs.

Files are safetensors or JSON, so loading one cannot run code. `take_snapshot` copies the state to host memory, which is
the only time that the training step waits; `write_checkpoint` may then run in another thread.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tui_gpt.checkpoints import manifest as manifests
from tui_gpt.checkpoints.manifest import (
    CONFIG,
    MANIFEST,
    MODEL,
    OPTIMIZER,
    PROGRESS,
    TOKENIZER,
    FileEntry,
    Kind,
    Manifest,
)
from tui_gpt.config import Config, build, read_toml, set_key, to_dict, to_toml
from tui_gpt.corpora import Tokenizer, load_tokenizer
from tui_gpt.errors import CheckpointError, reason
from tui_gpt.files import sync, write_atomically
from tui_gpt.model import GPT


class TrainingProgress(msgspec.Struct, kw_only=True):
    """State of a run besides its tensors, for an exact resume."""

    step: int
    tokens: int
    elapsed_seconds: float
    best_val_loss: float | None = None
    evals_since_best: int = 0
    scaler: dict[str, int | float] = {}  # a count must stay an int: torch accepts nothing else
    guard: tuple[float, ...] = ()  # the running mean and variance of the loss
    batch_shift: int = 0  # batches skipped by rewinds
    due: tuple[str, ...] = ()  # what its step still asks for, besides the next one: a resume does it first
    rewinds: int = 0


@dataclass
class Snapshot:
    """A checkpoint in host memory, ready to be written."""

    kind: Kind
    config: Config
    tokenizer_json: bytes
    vocab_size: int
    parameters: int
    progress: TrainingProgress
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    val_loss: float | None = None
    run: str = ""


def take_snapshot(
    kind: Kind,
    config: Config,
    tokenizer_json: bytes,
    model: GPT,
    optimizers: Sequence[torch.optim.Optimizer],
    progress: TrainingProgress,
    *,
    val_loss: float | None = None,
    run: str = "",
) -> Snapshot:
    """Copy the training state to host memory and return it."""
    return Snapshot(
        kind=kind,
        config=config,
        tokenizer_json=tokenizer_json,
        vocab_size=model.vocab_size,
        parameters=model.num_parameters(),
        progress=msgspec.structs.replace(progress),
        model=_to_host(model.state_dict()),
        optimizer=_to_host(optimizer_tensors(model, optimizers)) if kind == "full" else {},
        val_loss=val_loss,
        run=run,
    )


def _to_host(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    copies = {
        name: torch.empty_like(tensor, device="cpu").copy_(tensor, non_blocking=tensor.is_cuda)
        for name, tensor in tensors.items()
    }
    if any(tensor.is_cuda for tensor in tensors.values()):
        torch.cuda.synchronize()
    return copies


def optimizer_tensors(model: GPT, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Return the state of the optimizers, each tensor under the name `parameter/key`."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for optimizer in optimizers
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def write_checkpoint(snapshot: Snapshot, checkpoints: Path, before_publish: Callable[[], None]) -> Path:
    """Write `snapshot` atomically as `checkpoints/step-N` and return that folder.

    before_publish: called just before the checkpoint appears. Raise OSError, for example when the disk is full, and
    leave nothing behind.
    """
    target = manifests.step_folder(checkpoints, snapshot.progress.step)
    partial = checkpoints.parent / f".partial-{target.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()  # without parents: a run folder that was deleted is not made again
    checkpoints.mkdir(exist_ok=True)
    try:
        tensors = [*snapshot.model.values(), *snapshot.optimizer.values()]
        _reserve(
            partial / "reserved", sum(tensor.nbytes for tensor in tensors) + len(snapshot.tokenizer_json) + (1 << 16)
        )
        _save_tensors(snapshot.model, partial / MODEL)
        config = to_dict(snapshot.config)
        if snapshot.config.data.tokenizer.endswith(".json"):
            set_key(config, "data.tokenizer", TOKENIZER)  # the one beside it
        write_atomically(partial / CONFIG, to_toml(config).encode(), durable=False)  # all are flushed below
        write_atomically(partial / TOKENIZER, snapshot.tokenizer_json, durable=False)
        if snapshot.kind == "full":
            _save_tensors(snapshot.optimizer, partial / OPTIMIZER)
            write_atomically(partial / PROGRESS, msgspec.json.encode(snapshot.progress), durable=False)
        files = {
            path.name: FileEntry(bytes=path.stat().st_size, xxh3_128=manifests.digest(path))
            for path in sorted(partial.iterdir())
        }
        manifest = Manifest(
            kind=snapshot.kind,
            step=snapshot.progress.step,
            tokens=snapshot.progress.tokens,
            vocab_size=snapshot.vocab_size,
            parameters=snapshot.parameters,
            files=files,
            val_loss=snapshot.val_loss,
            run=snapshot.run,
        ).sealed()
        write_atomically(partial / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)), durable=False)
        for path in partial.iterdir():
            sync(path)
        sync(partial)
        before_publish()
        manifests.publish(partial, target)
        return target
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _reserve(path: Path, size: int) -> None:
    """Raise OSError if the disk, or a quota, has no room for `size` bytes, before anything is written."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif shutil.disk_usage(path.parent).free < size:
            raise OSError(28, "No space left on device")
    path.unlink()


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:  # safetensors wraps OSError
        raise OSError(f"{path.name}: {error}") from None


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:  # safetensors says so of whatever keeps a file from being opened
        try:
            path.open("rb").close()
        except OSError as error:
            raise CheckpointError(f"cannot be opened: {reason(error)}", where=str(path)) from None
        raise CheckpointError("could not be opened, and now can: try again", where=str(path)) from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"cannot be read as safetensors: {error}", where=str(path)) from None


@dataclass
class LoadedModel:
    """A loaded model with its tokenizer, config and manifest."""

    model: GPT
    tokenizer: Tokenizer
    config: Config
    manifest: Manifest
    path: Path

    def is_from(self, path: Path, device: torch.device, dtype: torch.dtype) -> bool:
        """Whether `load_model` would return this model."""
        weight = self.model.embedding.weight
        return (self.path, weight.device.type, weight.dtype) == (path, device.type, dtype)


def load_model(checkpoint: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Verify a checkpoint and load its model in evaluation mode on `device`. Raise CheckpointError if it is damaged.

    dtype: of the weights. Buffers, such as the rotary angles, stay in fp32.
    """
    manifest = manifests.verify(checkpoint)
    config = build(read_toml(checkpoint / CONFIG), str(checkpoint / CONFIG))
    with torch.device("meta"):
        model = GPT(config.model, manifest.vocab_size)
    _load_into(model, checkpoint)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    tokenizer = load_tokenizer(checkpoint / TOKENIZER)
    return LoadedModel(model.to(device).eval(), tokenizer, config, manifest, checkpoint)


def _load_into(model: GPT, checkpoint: Path) -> None:
    """Load the weights into a model on the meta device. Raise CheckpointError naming the first tensor that differs."""
    tensors = _load_tensors(checkpoint / MODEL)
    expected = model.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        have, need = tensors.get(name), expected.get(name)
        if have is None or need is None or have.shape != need.shape:
            raise CheckpointError(
                f"does not match its config: {name} is {'missing' if have is None else tuple(have.shape)},"
                f" expected {'no such tensor' if need is None else tuple(need.shape)}",
                where=str(checkpoint / MODEL),
            )
    model.load_state_dict(tensors, assign=True)


def load_state(checkpoint: Path, model: GPT, optimizers: Sequence[torch.optim.Optimizer]) -> TrainingProgress:
    """Load weights and optimizer states from a full checkpoint, and return its progress. Raise CheckpointError."""
    manifest = manifests.verify(checkpoint)
    if manifest.kind != "full":
        raise CheckpointError(
            f"is a {manifest.kind} checkpoint without optimizer state, and cannot be resumed",
            where=str(checkpoint),
            do="Start a new run from its weights: gpt-tui train --init-from CHECKPOINT",
        )
    load_weights(checkpoint, model)
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in _load_tensors(checkpoint / OPTIMIZER).items():
        parameter_name, _, key = name.rpartition("/")
        states.setdefault(parameter_name, {})[key] = tensor
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    if unknown := states.keys() - names.values():
        raise CheckpointError(f"has optimizer state of an unknown parameter: {min(unknown)}", where=str(checkpoint))
    for optimizer in optimizers:
        order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
        state = {index: states[name] for index, name in enumerate(order) if name in states}
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return msgspec.json.decode((checkpoint / PROGRESS).read_bytes(), type=TrainingProgress)


def load_weights(checkpoint: Path, model: GPT) -> None:
    """Copy the weights of a checkpoint into `model`, on its device. Raise CheckpointError if they do not match."""
    with torch.device("meta"):
        source = GPT(model.config, model.vocab_size)
    _load_into(source, checkpoint)
    model.load_state_dict(source.state_dict())
