"""The run folder: the source of truth about a run. Only this module knows its paths.

A run is live while it is locked: the supervisor holds `flock` on `run.lock` and the trainer inherits it, so reused
pids, clock changes and suspended machines do not matter. A run whose state is not final while its lock is free has
crashed; this state is derived, never written. A run of another host, on a shared file system, is `elsewhere`.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tui_gpt.config import (
    Config,
    PartialConfig,
    build,
    flatten_keys,
    override,
    read_toml,
    set_key,
    to_toml,
    with_relative_paths,
)
from tui_gpt.errors import RunError, reason
from tui_gpt.files import is_intact, read_file, sync, write_atomically
from tui_gpt.run.jsonl import read_jsonl
from tui_gpt.run.messages import (
    FINAL_STATES,
    SCHEMA_VERSION,
    Eval,
    Event,
    Message,
    Metrics,
    RunInfo,
    Sample,
    Status,
)

S = TypeVar("S", bound=Message)

FRESH_SECONDS = 10.0  # since the last heartbeat, which is written every second
LOST_SECONDS = 600.0  # since the last heartbeat of a run on another host, whose clock may differ
LOCK_TIMEOUT_SECONDS = 3.0

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class RunFolder:
    """The paths of a run, and readers of its files."""

    def __init__(self, path: Path) -> None:
        self.path = path = path.absolute()
        self.config = path / "config.toml"
        self.info = path / "run.json"
        self.status = path / "status.json"
        self.metrics = path / "metrics.jsonl"
        self.evals = path / "evals.jsonl"
        self.samples = path / "samples.jsonl"
        self.events = path / "events.jsonl"
        self.commands = path / "commands"
        self.log = path / "trainer.log"
        self.log_before = path / "trainer.log.1"  # what was in it before it grew too large
        self.lock = path / "run.lock"
        self.tokenizer = path / "tokenizer.json"  # of a run whose tokenizer is a file
        self.note = path / "note.txt"
        self.tags = path / "tags.txt"
        self.checkpoints = path / "checkpoints"

    @property
    def id(self) -> str:
        """The name of the folder, which identifies the run."""
        return self.path.name

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def read_asked(self) -> PartialConfig:
        """Return the settings in config.toml, without defaults."""
        return read_toml(self.config)

    def read_config(self) -> Config:
        """Return the config of the run. Raise ConfigError if it is invalid."""
        return build(self.read_asked(), str(self.config))

    def write_config(self, asked: PartialConfig, *, moved_from: Path | None = None) -> None:
        """Write config.toml; what is in the run folder, or was when it had another place, is named relative to it."""
        write_atomically(self.config, to_toml(with_relative_paths(asked, moved_from or self.path)).encode())

    def read_status(self) -> Status | None:
        """Return the status, or None before the supervisor has written it. Raise RunError if it cannot be read."""
        return _read(self.status, Status)

    def read_info(self) -> RunInfo | None:
        """Return run.json, or None before the first step. Raise RunError if a newer version wrote it."""
        return _read(self.info, RunInfo, check=_check_version)

    def read_metrics(self) -> list[Metrics]:
        """Return the lines of metrics.jsonl."""
        return read_jsonl(self.metrics, Metrics)

    def read_evals(self) -> list[Eval]:
        """Return the lines of evals.jsonl."""
        return read_jsonl(self.evals, Eval)

    def read_samples(self) -> list[Sample]:
        """Return the lines of samples.jsonl."""
        return read_jsonl(self.samples, Sample)

    def read_events(self) -> list[Event]:
        """Return the lines of events.jsonl."""
        return read_jsonl(self.events, Event)

    def missing_metrics(self, step: int, log_every: int) -> str:
        """Return which steps up to that of a checkpoint have no metrics at the end of the file, or an empty string.

        All lines before a checkpoint are flushed to disk before it appears. log_every: when it was saved.
        """
        last = step // log_every * log_every
        logged = max((line.step for line in self.read_metrics() if line.step <= step), default=0)
        if logged >= last:
            return ""
        first = logged // log_every * log_every + log_every
        return f"{first:,} to {last:,}" if logged else f"up to {last:,}"

    def is_locked(self) -> bool:
        """Whether a supervisor or trainer of this run is alive, on this host or any other that shares flock.

        Where the lock of another user's run may not be opened, its heartbeat answers.
        """
        try:
            fd = os.open(self.lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except PermissionError:
            return self.seen_within(FRESH_SECONDS)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return self.seen_within(FRESH_SECONDS)
        else:
            return False
        finally:
            os.close(fd)

    def seen_within(self, within_seconds: float) -> bool:
        """Whether the last sign of life is recent; True where that cannot be read."""
        try:
            status = self.read_status()
        except RunError:
            return True
        if status is None or status.state in FINAL_STATES:
            return False
        return abs(time.time() - status.heartbeat) < within_seconds

    def state(self, status: Status | None = None) -> str:
        """Return the state of the run: one of `State`, `crashed`, or `elsewhere` if it is on another host."""
        status = status or self.read_status()
        if status is None:
            return "starting" if self.is_locked() else "crashed"
        if status.state in FINAL_STATES:
            return status.state
        if self.is_locked():
            return status.state
        if status.host and status.host != socket.gethostname():
            return "elsewhere"
        return "crashed"

    def size_bytes(self) -> int:
        """Return the size of all files of the run; those that go meanwhile, or cannot be read, count as empty."""
        total = 0
        for parent, _, names in os.walk(self.path):
            for name in names:
                with suppress(OSError):
                    total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118  # faster, for many files
        return total


def take_lock(
    folder: RunFolder, *, refusal: str = "is already live", do: str = "", timeout_seconds: float = LOCK_TIMEOUT_SECONDS
) -> int:
    """Lock the run and return the file descriptor of the lock. Raise RunError if it cannot be locked.

    Retries for some seconds: a reader that tests the lock holds it for microseconds, and the trainer of a stopped run
    for a moment after its last message.
    """
    deadline = time.monotonic() + timeout_seconds
    try:
        is_shared = folder.commands.is_dir() and folder.commands.stat().st_mode & 0o070
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(folder.lock, flags, 0o660 if is_shared else 0o600)
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(fd)
                    raise RunError(refusal, where=folder.id, do=do or f"Run gpt-tui attach {folder.id}") from None
                time.sleep(0.02)
    except OSError as error:
        raise RunError(f"cannot be locked: {reason(error)}", where=str(folder.lock)) from None


@contextmanager
def claimed(folder: RunFolder, verb: str) -> Iterator[None]:
    """Hold the lock of a run while it is deleted, renamed or restarted. Raise RunError if it is or may be live.

    verb: what is to be done, for the message ("deleted").
    """
    if folder.path.is_symlink():
        raise RunError(f"is a symbolic link and cannot be {verb}", where=str(folder.path))
    refusal, do = f"is live and cannot be {verb}", f"Stop it first: gpt-tui stop {folder.id}"
    fd = take_lock(folder, refusal=refusal, do=do, timeout_seconds=0.5)
    try:
        try:
            status = folder.read_status()
        except RunError:
            status = None  # a damaged status does not keep a run from being deleted
        if status and status.host not in ("", socket.gethostname()) and folder.seen_within(LOST_SECONDS):
            raise RunError(
                f"is live on {status.host}, seen {time.time() - status.heartbeat:.0f} s ago, and cannot be {verb}",
                where=folder.id,
                do=f"Stop it on that host; a run not seen for {LOST_SECONDS / 60:.0f} minutes counts as dead",
            )
        yield
    finally:
        os.close(fd)


def _check_version(raw: dict[str, Any], path: Path) -> None:
    version = raw.get("schema_version", 1)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RunError(
            f"was written by a newer gpt-tui (run format {version}, this one reads {SCHEMA_VERSION})",
            where=str(path.parent),
            do="Upgrade gpt-tui",
        )


def _read(path: Path, kind: type[S], check: Callable[[dict[str, Any], Path], None] | None = None) -> S | None:
    try:
        data = read_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"cannot be read: {reason(error)}", where=str(path)) from None
    if not is_intact(data):
        raise RunError("is damaged: it does not match its checksum", where=str(path))
    try:
        if check is not None:
            check(msgspec.json.decode(data, type=dict), path)
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        raise RunError(f"is damaged: {error}", where=str(path)) from None


def validate_name(name: str, what: str = "run name") -> str:
    """Return `name` if it is valid as the name of a folder. Raise RunError otherwise."""
    if not NAME.fullmatch(name):
        raise RunError(
            f"{name!r} is not a valid {what}",
            do="Use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit",
        )
    return name


def create(runs: Path, name: str, asked: PartialConfig, *, is_shared: bool = False) -> RunFolder:
    """Create the folder `<date>-<time>-<name>` under `runs` with its config.toml. Raise RunError if that fails.

    A tokenizer that is a file is copied: it may belong to a checkpoint of another run, which can be deleted.
    is_shared: the members of the folder's group may send it commands, too.
    """
    validate_name(name)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    try:
        runs.mkdir(parents=True, exist_ok=True)
        for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
            folder = RunFolder(runs / f"{stamp}-{name}{suffix}")
            try:
                folder.path.mkdir()
                break
            except FileExistsError:
                continue
        folder.commands.mkdir()
        folder.commands.chmod(0o2770 if is_shared else 0o700)  # mkdir's mode is subject to the umask
        folder.checkpoints.mkdir()
        tokenizer = flatten_keys(asked).get("data.tokenizer", "")
        if tokenizer.endswith(".json"):
            write_atomically(folder.tokenizer, read_file(Path(tokenizer)))
            asked = override(asked, [])  # a copy
            set_key(asked, "data.tokenizer", str(folder.tokenizer))
        folder.write_config(asked)
    except OSError as error:
        raise RunError(
            f"cannot create a run: {reason(error)}", where=str(runs), do="Choose another folder with --workspace"
        ) from None
    return folder


def list_runs(runs: Path) -> list[RunFolder]:
    """Return all runs under `runs`, oldest first; folders that cannot be read are left out."""
    if not runs.is_dir():
        return []
    found = (RunFolder(path) for path in runs.iterdir() if not path.name.startswith("."))
    return sorted((folder for folder in found if os.access(folder.config, os.F_OK)), key=lambda folder: folder.id)


def find(runs: Path, reference: str) -> RunFolder:
    """Return the run that `reference` names: a path, an id, or a part of exactly one id. Raise RunError otherwise."""
    if not reference.strip():
        raise RunError("the name of the run is empty", where=str(runs), do="List the runs with `gpt-tui runs`")
    path = Path(reference).expanduser()
    if (path / "config.toml").is_file() and (path / "checkpoints").is_dir():
        return RunFolder(path.resolve())
    known = list_runs(runs)
    matches = [folder for folder in known if folder.id == reference] or [
        folder for folder in known if reference in folder.id
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RunError(
            f"{reference!r} matches {len(matches)} runs: {', '.join(folder.id for folder in matches[-4:])}",
            where=str(runs),
        )
    raise RunError(f"no run matches {reference!r}", where=str(runs), do="List the runs with `gpt-tui runs`")


def rename(folder: RunFolder, name: str) -> RunFolder:
    """Rename a run, keeping its date and time, and return it. Raise RunError if it is live or the name is taken."""
    validate_name(name)
    stamp = re.match(r"\d{8}-\d{6}-", folder.id)
    target = folder.path.with_name((stamp.group() if stamp else "") + name)
    with claimed(folder, "renamed"):
        if target.exists():
            raise RunError(f"{target.name} already exists", where=str(folder.path.parent))
        try:
            folder.path.rename(target)
            sync(target.parent)
        except OSError as error:
            raise RunError(f"cannot be renamed: {reason(error)}", where=str(folder.path)) from None
    return RunFolder(target)


def delete(folder: RunFolder) -> None:
    """Delete a run with all its files. Raise RunError if it is live."""
    with claimed(folder, "deleted"):
        try:
            folder.config.unlink(missing_ok=True)  # first, so that a partly deleted run is not listed
            shutil.rmtree(folder.path)
        except OSError as error:
            raise RunError(f"cannot be deleted: {reason(error)}", where=str(folder.path)) from None
