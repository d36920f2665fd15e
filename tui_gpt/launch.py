"""Start and resume runs: validate the request, create the run folder, start the supervisor.

The command line, the workbench and the Python API all start runs with these functions.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tui_gpt.checkpoints import manifest
from tui_gpt.config import (
    Config,
    PartialConfig,
    build,
    changed_keys,
    check_resumable,
    fields,
    flatten_keys,
    override,
    read_toml,
    set_key,
)
from tui_gpt.corpora import check_corpus, check_tokenizer
from tui_gpt.corpora.sources.mixtures import parse_mixture
from tui_gpt.errors import CheckpointError, ConfigError, RunError, reason
from tui_gpt.files import read_file
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.supervisor import StartRequest

FIRST_STATUS_SECONDS = 20.0

# Keys that say where something is: it may have been moved. A corpus is compared by digest, and of a start the run has
# its own checkpoints.
NAMES_ONLY = {"preset", "data.corpus", "training.init_from", "training.fork_from"}


def start(
    runs: Path,
    corpus_dir: Path,
    asked: PartialConfig,
    *,
    name: str | None = None,
    stop_at: int | None = None,
    is_shared: bool = False,
    command: str = "",
) -> RunFolder:
    """Start a new run and return its folder. Raise UserError if the request is invalid.

    is_shared: the members of the folder's group may control it, too. command: the command line, for the record.

    Blocks until the supervisor has written its first status (well under a second). The run is then still `starting`.
    """
    asked = validate_request(asked, corpus_dir)
    config = build(asked)
    folder = folders.create(runs, name or f"{config.preset}-{_slug(config.data.corpus)}", asked, is_shared=is_shared)
    start_supervisor(folder, StartRequest(corpus_dir=str(corpus_dir.resolve()), stop_at=stop_at, command=command))
    return folder


def resume(
    folder: RunFolder,
    corpus_dir: Path,
    changes: dict[str, Any] | None = None,
    *,
    stop_at: int | None = None,
    command: str = "",
) -> RunFolder:
    """Resume a run from its newest full checkpoint, in the same folder. Raise UserError if it cannot be resumed.

    changes: config keys to change, among those that set how long, where or how a run computes. command: the command
    line, for the record.
    """
    if folder.is_locked():
        raise RunError("is already live", where=folder.id, do=f"Run gpt-tui attach {folder.id}")
    with folders.claimed(folder, "resumed"):
        request = _resume_request(folder, corpus_dir, changes or {}, stop_at)
        request = msgspec.structs.replace(request, command=command)
    start_supervisor(folder, request)  # takes the lock itself, and refuses where another start was faster
    return folder


def _resume_request(folder: RunFolder, corpus_dir: Path, changes: dict[str, Any], stop_at: int | None) -> StartRequest:
    """Return the request to resume a run. Raise UserError if it cannot be resumed."""
    folder.read_info()  # raises if a newer version wrote it
    status = folder.read_status()
    if status is not None and status.state == "finished" and "training.duration" not in changes:
        raise RunError(
            f"is already finished, at step {status.step:,}",
            where=folder.id,
            do=f"To train it longer, run gpt-tui train --resume {folder.id} --steps {2 * status.step}",
        )
    asked = folder.read_asked()
    before = build(asked, str(folder.config))
    for key, value in changes.items():
        set_key(asked, key, value)
    check_resumable(before, build(asked))
    manifest.recover(folder.checkpoints)
    if newest := manifest.newest(folder.checkpoints, ["full"]):
        manifest.verify(newest.path)  # before the status of the last start is overwritten
        _check_unchanged(folder, before, newest.path)
    return StartRequest(corpus_dir=str(corpus_dir.resolve()), resume=True, changes=changes, stop_at=stop_at)


def _check_unchanged(folder: RunFolder, config: Config, checkpoint: Path) -> None:
    """Raise ConfigError if config.toml, which has no digest, differs from the checkpoint's in what the run computes."""
    file = checkpoint / manifest.CONFIG
    saved = build(read_toml(file), str(file))
    ignored = NAMES_ONLY | ({"data.tokenizer"} if config.data.tokenizer.endswith(".json") else set())
    changed = [key for key in changed_keys(saved, config) if not fields()[key].resumable and key not in ignored]
    if changed:
        raise ConfigError(
            f"differs from the checkpoint's in {', '.join(changed)}, which a resumed run cannot change",
            where=str(folder.config),
            do=f"Put it right, or copy {file} over it",
        )


def validate_request(asked: PartialConfig, corpus_dir: Path) -> PartialConfig:
    """Return `asked` with absolute paths and, if it starts from a checkpoint, the checkpoint's model and tokenizer.

    Raise UserError for every error that can be found without torch.
    """
    config = build(asked)
    flat = flatten_keys(asked)
    asked = override(asked, [])  # a copy
    for key in ("training.init_from", "training.fork_from"):
        if source := flat.get(key):
            _apply_source_checkpoint(asked, flat, key, manifest.locate(Path(source).expanduser().resolve()))
    set_key(asked, "data.corpus", check_corpus(config.data.corpus, corpus_dir))
    if "data.tokenizer" in flat:
        set_key(asked, "data.tokenizer", check_tokenizer(config.data.tokenizer))
    build(asked)
    return asked


def cooldown_request(checkpoint: Path, steps: int, changes: PartialConfig) -> PartialConfig:
    """Return the settings of a run that continues a full checkpoint and decays its learning rate over `steps`.

    One long run at a constant rate can thus be the trunk of many finished ones (Hägele et al. 2024). Raise UserError if
    the checkpoint cannot be used.
    """
    info = manifest.verify(checkpoint)
    asked = override(read_toml(checkpoint / manifest.CONFIG), [])
    warmup = build(asked).schedule.warmup_steps
    if info.step < warmup:
        raise ConfigError(
            f"step {info.step} is within the warmup of {warmup} steps, so there is nothing to cool down from",
            where=str(checkpoint),
            do="Choose a later checkpoint",
        )
    del asked["data"]["tokenizer"]  # the run uses the tokenizer of the checkpoint
    last = info.step + steps
    settings = {
        "training.duration": f"{last} steps",
        "training.init_from": "",
        "training.fork_from": str(checkpoint),
        "schedule.name": "wsd",
        "schedule.cooldown": steps / (last - warmup),
    }
    for key, value in (settings | flatten_keys(changes)).items():
        set_key(asked, key, value)
    return asked


def _apply_source_checkpoint(asked: PartialConfig, flat: dict[str, Any], key: str, checkpoint: Path) -> None:
    """Use the model shape and tokenizer of the checkpoint. Raise ConfigError if the user set a different shape."""
    info = manifest.verify(checkpoint)
    if key == "training.fork_from" and info.kind != "full":
        raise CheckpointError(
            f"is a {info.kind} checkpoint without optimizer state, and no run can continue from it",
            where=str(checkpoint),
            do="Start from its weights: gpt-tui train --init-from CHECKPOINT",
        )
    source = read_toml(checkpoint / manifest.CONFIG)
    build(source, str(checkpoint / manifest.CONFIG))
    for name, value in source["model"].items():
        if name == "dropout":
            continue
        if flat.get(f"model.{name}", value) != value:
            raise ConfigError(
                f"model.{name} = {flat[f'model.{name}']} differs from the checkpoint's {value}",
                where=str(checkpoint),
                do=f"Remove model.{name}: the run uses the shape of the checkpoint",
            )
        set_key(asked, f"model.{name}", value)
    tokenizer = str(checkpoint / manifest.TOKENIZER)
    if not Path(tokenizer).is_file():
        raise CheckpointError(f"has no {manifest.TOKENIZER}", where=str(checkpoint))
    if not _is_copy(flat.get("data.tokenizer", tokenizer), tokenizer):
        raise ConfigError(
            "data.tokenizer cannot be set for a run that starts from a checkpoint",
            where=str(checkpoint),
            do="Remove it: the run uses the tokenizer of the checkpoint",
        )
    set_key(asked, "data.tokenizer", tokenizer)
    set_key(asked, key, str(checkpoint))


def _is_copy(spec: str, tokenizer: str) -> bool:
    """Whether `spec` names the file `tokenizer`, or a copy of it, as in the config of a run that began from it."""
    if spec == tokenizer:
        return True
    try:
        return spec.endswith(".json") and read_file(Path(spec)) == read_file(Path(tokenizer))
    except OSError:
        return False


def _slug(corpus: str) -> str:
    """Return the name of a corpus, or the names of a mixture, in a form that is valid in folder names."""
    references = [term.reference for term in parse_mixture(corpus)] or [corpus]
    name = "+".join(Path(reference).stem or "corpus" for reference in references)
    return "".join(char if char.isascii() and (char.isalnum() or char in "._-+") else "-" for char in name)[:40]


def start_supervisor(folder: RunFolder, request: StartRequest) -> None:
    """Start the supervisor in its own session and wait for its first status. Raise RunError if it does not start."""
    argv = [sys.executable, "-P", "-m", "tui_gpt.run.supervisor", str(folder.path)]
    try:
        log = folder.log.open("ab")
    except OSError as error:
        raise RunError(f"cannot be written: {reason(error)}", where=str(folder.log)) from None
    with log:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd=folder.path
        )
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as pipe:  # not an argument: every user of the machine reads those
        pipe.write(msgspec.json.encode(request))
    deadline = time.monotonic() + FIRST_STATUS_SECONDS
    while time.monotonic() < deadline:
        status = folder.read_status()
        if status is not None and status.supervisor_pid == process.pid:
            return
        if process.poll() is not None:
            lines = folder.log.read_text("utf-8", "replace").strip().splitlines()
            raise RunError(
                f"did not start: {lines[-1] if lines else 'its supervisor printed nothing'}", where=folder.id
            )
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own
    process.wait()
    raise RunError(f"did not start within {FIRST_STATUS_SECONDS:.0f} s", where=folder.id, do=f"See {folder.log}")
