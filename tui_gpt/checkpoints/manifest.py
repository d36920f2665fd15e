"""Checkpoint folders and their manifests: list, verify, prune, locate. This module does not import torch.

A checkpoint is self-contained and is created atomically: it is written beside `checkpoints/`, fsynced and renamed, so
any folder under `checkpoints/` with a manifest is complete. The manifest lists the size and digest of every file, and
has a digest of its own; it is deleted first, so a partly deleted checkpoint does not count as one. Kinds: `full` can be
resumed; `light` holds the weights only; `best` holds the weights with the lowest validation loss so far.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from tui_gpt.errors import CheckpointError, reason
from tui_gpt.files import read_file, sync

FORMAT_VERSION = 2  # 1 had no digest of the manifest itself
MANIFEST = "manifest.json"
MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
PROGRESS = "progress.json"
CONFIG = "config.toml"
TOKENIZER = "tokenizer.json"

_HINT = "Use another checkpoint (see `gpt-tui status RUN`), or delete this one to resume from the one before"

Kind = Literal["full", "light", "best"]


class FileEntry(msgspec.Struct, frozen=True):
    """Size and digest of a file of a checkpoint."""

    bytes: int
    xxh3_128: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of manifest.json.

    val_loss: None if no evaluation was made at its step. digest: of the other fields; see `sealed`.
    """

    kind: Kind
    step: int
    tokens: int
    vocab_size: int
    parameters: int
    files: dict[str, FileEntry]
    val_loss: float | None = None
    run: str = ""
    created: float = msgspec.field(default_factory=time.time)
    format_version: int = FORMAT_VERSION
    digest: str = ""

    def sealed(self) -> Manifest:
        """Return the manifest with the digest of its fields, so that a flipped bit in one of them is found."""
        import xxhash

        fields = msgspec.json.encode(msgspec.structs.replace(self, digest=""), order="sorted")
        return msgspec.structs.replace(self, digest=xxhash.xxh3_128_hexdigest(fields))


class CheckpointInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A complete checkpoint: its folder and the main fields of its manifest."""

    path: Path
    kind: Kind
    step: int
    tokens: int
    val_loss: float | None
    bytes: int
    created: float


def read_manifest(checkpoint: Path) -> Manifest:
    """Return the manifest. Raise CheckpointError if there is none, or it is damaged or of a newer version."""
    try:
        data = read_file(checkpoint / MANIFEST)
    except FileNotFoundError:
        if not checkpoint.exists():
            raise CheckpointError("does not exist", where=str(checkpoint)) from None
        raise CheckpointError(
            f"is not a checkpoint: it has no {MANIFEST}",
            where=str(checkpoint),
            do="Give a run, or a folder such as runs/RUN/checkpoints/step-00000500",
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot be read: {reason(error)}", where=str(checkpoint)) from None
    try:
        version = msgspec.json.decode(data, type=dict).get("format_version", 0)
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise CheckpointError(
                f"was written by a newer gpt-tui (format {version}, this one reads {FORMAT_VERSION})",
                where=str(checkpoint),
                do="Upgrade gpt-tui",
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"has a damaged manifest: {error}", where=str(checkpoint), do=_HINT) from None
    if manifest.format_version > 1 and manifest != manifest.sealed():
        what = "has a damaged manifest: its content does not match its digest"
        raise CheckpointError(what, where=str(checkpoint), do=_HINT)
    return manifest


def verify(checkpoint: Path) -> Manifest:
    """Compare every file with the manifest and return it. Raise CheckpointError at the first difference."""
    manifest = read_manifest(checkpoint)
    for name, entry in manifest.files.items():
        path = checkpoint / name
        try:
            size = path.stat().st_size
            if size != entry.bytes:
                raise CheckpointError(
                    f"is damaged: it has {size:,} bytes, and the manifest says {entry.bytes:,}",
                    where=str(path),
                    do=_HINT,
                )
            if digest(path) != entry.xxh3_128:
                raise CheckpointError("is damaged: its content does not match its digest", where=str(path), do=_HINT)
        except OSError as error:
            raise CheckpointError(f"cannot be read: {reason(error)}", where=str(path), do=_HINT) from None
    return manifest


def digest(path: Path) -> str:
    """Return the xxh3_128 of a file. It detects damage (1.5 GB in less than 2 s), not tampering."""
    import xxhash

    hasher = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            hasher.update(block)
    return hasher.hexdigest()


def step_folder(checkpoints: Path, step: int) -> Path:
    """Return the folder of the checkpoint of `step`."""
    return checkpoints / f"step-{step:08d}"


def publish(partial: Path, target: Path) -> None:
    """Move a written checkpoint to its place, and only then remove an older one of the same step.

    Where that older one is in the way of a process that is killed in between, `recover` puts it back.
    """
    replaced = target.parent.parent / f".replaced-{target.name}"
    if target.exists():  # the same step saved before, by this run or before a rewind
        target.rename(replaced)
    try:
        partial.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise
    sync(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def recover(checkpoints: Path) -> None:
    """Finish what a killed `publish` left. Call while the run is locked. Raise CheckpointError if that fails."""
    for replaced in checkpoints.parent.glob(".replaced-step-*"):
        target = checkpoints / replaced.name.removeprefix(".replaced-")
        try:
            if target.exists():
                shutil.rmtree(replaced)
            else:
                replaced.rename(target)
        except OSError as error:
            raise CheckpointError(f"cannot be restored: {reason(error)}", where=str(replaced)) from None


def list_checkpoints(checkpoints: Path) -> list[CheckpointInfo]:
    """Return the complete checkpoints under a run's `checkpoints/`, oldest first. Skip other folders."""
    found = []
    for path in sorted(checkpoints.glob("step-*")) if checkpoints.is_dir() else []:
        try:
            manifest = read_manifest(path)
        except CheckpointError:
            continue
        found.append(
            CheckpointInfo(
                path=path,
                kind=manifest.kind,
                step=manifest.step,
                tokens=manifest.tokens,
                val_loss=manifest.val_loss,
                bytes=sum(entry.bytes for entry in manifest.files.values()),
                created=manifest.created,
            )
        )
    return found


def newest(checkpoints: Path, kinds: Iterable[Kind] = ("full", "light", "best")) -> CheckpointInfo | None:
    """Return the complete checkpoint with the highest step among `kinds`, or None."""
    wanted = set(kinds)
    return next((info for info in reversed(list_checkpoints(checkpoints)) if info.kind in wanted), None)


def best(checkpoints: Path) -> CheckpointInfo | None:
    """Return the checkpoint with the lowest validation loss, or None."""
    scored = [info for info in list_checkpoints(checkpoints) if info.val_loss is not None]
    return min(scored, key=lambda info: info.val_loss or 0.0, default=None)


def prune(checkpoints: Path, keep: int, max_bytes: float = math.inf) -> list[CheckpointInfo]:
    """Delete all full checkpoints but the last `keep` (at least two), and superseded best ones; return those deleted.

    Light checkpoints stay, and so does the checkpoint with the lowest validation loss, whatever its kind. While they
    all have more than `max_bytes`, the oldest is deleted, whether full or light, but never the newest full one, the
    newest of all, or the best one.
    """
    known = list_checkpoints(checkpoints)
    lowest = best(checkpoints)
    fulls = [info for info in known if info.kind == "full"]
    superseded = fulls[: -max(keep, 2)] + [info for info in known if info.kind == "best"]
    kept = {info.path for info in (*fulls[-1:], *known[-1:], lowest) if info is not None}
    superseded = [info for info in superseded if info.path not in kept]
    left = [info for info in known if info not in superseded]
    for info in list(left):
        if sum(each.bytes for each in left) > max_bytes and info.path not in kept:
            left.remove(info)
            superseded.append(info)
    for info in superseded:
        remove(info.path)
    return superseded


def remove(checkpoint: Path) -> None:
    """Delete a checkpoint, its manifest first."""
    (checkpoint / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


def locate(reference: Path) -> Path:
    """Return the checkpoint at `reference`: that folder itself, or the newest checkpoint of that run folder.

    Raise CheckpointError if there is none.
    """
    if (reference / MANIFEST).is_file():
        return reference
    checkpoints = reference / "checkpoints"
    if checkpoints.is_dir():
        if info := newest(checkpoints):
            return info.path
        raise CheckpointError(
            "has no complete checkpoint yet",
            where=str(reference),
            do=f"Run gpt-tui checkpoint {reference.name}",
        )
    if reference.is_file():
        raise CheckpointError(
            "is a file; a checkpoint is a folder with a manifest, and pickles (.pt, .bin) are not supported",
            where=str(reference),
            do="Give a run, or a folder such as runs/RUN/checkpoints/step-00000500",
        )
    read_manifest(reference)
    return reference
