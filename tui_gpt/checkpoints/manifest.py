"""Checkpoints as folders: which there are, whether they are whole, and which may go. No torch here.

A checkpoint is self-contained and appears all at once: it is written beside `checkpoints/`, fsynced and renamed, so a
folder under `checkpoints/` with a manifest is complete. The manifest lists every file's size and digest; it is removed
first on deletion, so a half-deleted checkpoint is no checkpoint. Kinds: `full` can be resumed, `light` holds weights,
`best` holds weights kept because the validation loss was the lowest so far.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from tui_gpt.errors import CheckpointError, reason

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
PROGRESS = "progress.json"
CONFIG = "config.toml"
TOKENIZER = "tokenizer.json"

Kind = Literal["full", "light", "best"]


class FileEntry(msgspec.Struct, frozen=True):
    bytes: int
    xxh3_128: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint says of itself. `val_loss` is None where no evaluation was made at its step."""

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


class CheckpointInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A complete checkpoint: its folder and the heart of its manifest."""

    path: Path
    kind: Kind
    step: int
    tokens: int
    val_loss: float | None
    bytes: int
    created: float


def read_manifest(checkpoint: Path) -> Manifest:
    """Raises CheckpointError when the folder is no checkpoint of ours, or a newer version's."""
    try:
        data = (checkpoint / MANIFEST).read_bytes()
    except FileNotFoundError:
        if not checkpoint.exists():
            raise CheckpointError("does not exist", where=str(checkpoint)) from None
        raise CheckpointError(
            f"is not a checkpoint: it has no {MANIFEST}",
            where=str(checkpoint),
            do="Name a run, or a folder such as runs/RUN/checkpoints/step-00000500",
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot be read: {reason(error)}", where=str(checkpoint)) from None
    try:
        version = msgspec.json.decode(data, type=dict).get("format_version", 0)
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise CheckpointError(
                f"was written by a newer gpt-tui (format {version}, this one reads {FORMAT_VERSION})",
                where=str(checkpoint),
                do="Upgrade gpt-tui to open it",
            )
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"has a damaged manifest: {error}", where=str(checkpoint)) from None


def verify(checkpoint: Path) -> Manifest:
    """Compare every file with the manifest. Raises CheckpointError naming the first that differs."""
    manifest = read_manifest(checkpoint)
    for name, entry in manifest.files.items():
        path = checkpoint / name
        try:
            size = path.stat().st_size
            if size != entry.bytes:
                raise CheckpointError(
                    f"is damaged: {size:,} bytes where the manifest says {entry.bytes:,}", where=str(path), do=_OTHER
                )
            if digest(path) != entry.xxh3_128:
                raise CheckpointError("is damaged: its content does not match its digest", where=str(path), do=_OTHER)
        except OSError as error:
            raise CheckpointError(f"cannot be read: {reason(error)}", where=str(path), do=_OTHER) from None
    return manifest


_OTHER = "`gpt-tui status RUN` lists the run's others; with this folder removed, a resume takes the one before"


def digest(path: Path) -> str:
    """xxh3_128 of a file: finds damage at memory speed (1.5 GB in well under 2 s); it is no signature."""
    import xxhash

    hasher = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            hasher.update(block)
    return hasher.hexdigest()


def step_folder(checkpoints: Path, step: int) -> Path:
    return checkpoints / f"step-{step:08d}"


def list_checkpoints(checkpoints: Path) -> list[CheckpointInfo]:
    """Every complete checkpoint under a run's `checkpoints/`, oldest first. Folders that are none are passed over."""
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
    """The complete checkpoint with the highest step among `kinds`."""
    wanted = set(kinds)
    return next((info for info in reversed(list_checkpoints(checkpoints)) if info.kind in wanted), None)


def best(checkpoints: Path) -> CheckpointInfo | None:
    """The checkpoint with the lowest validation loss."""
    scored = [info for info in list_checkpoints(checkpoints) if info.val_loss is not None]
    return min(scored, key=lambda info: info.val_loss or 0.0, default=None)


def prune(checkpoints: Path, keep: int) -> list[CheckpointInfo]:
    """Delete full checkpoints but the last `keep` (never fewer than two) and superseded best ones.

    Light checkpoints stay: they are the run's history. The best of all stays, whatever its kind. Returns what went.
    """
    known = list_checkpoints(checkpoints)
    lowest = best(checkpoints)
    fulls = [info for info in known if info.kind == "full"]
    gone = fulls[: -max(keep, 2)] + [info for info in known if info.kind == "best"]
    gone = [info for info in gone if lowest is None or info.path != lowest.path]
    for info in gone:
        remove(info.path)
    return gone


def remove(checkpoint: Path) -> None:
    """Delete a checkpoint, its manifest first."""
    (checkpoint / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


def locate(reference: Path) -> Path:
    """The checkpoint that a path means: itself, or the newest of the run whose folder it is. Raises CheckpointError."""
    if (reference / MANIFEST).is_file():
        return reference
    checkpoints = reference / "checkpoints"
    if checkpoints.is_dir():
        if info := newest(checkpoints):
            return info.path
        raise CheckpointError(
            "has no complete checkpoint yet", where=str(reference), do=f"gpt-tui checkpoint {reference.name} saves one"
        )
    if reference.is_file():
        raise CheckpointError(
            "is a file; a checkpoint is a folder with a manifest, and pickles (.pt, .bin) are never opened",
            where=str(reference),
            do="Name a run, or a folder such as runs/RUN/checkpoints/step-00000500",
        )
    read_manifest(reference)
    return reference
