"""The supervisor: the order in which it writes its files, and that no error leaves a run that cannot be controlled."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.live import until
from tui_gpt import launch
from tui_gpt.config import override
from tui_gpt.errors import RunError
from tui_gpt.run import command_files, supervisor
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.folder_place import WORKSPACE_LOG
from tui_gpt.run.messages import Ack, Command, Progress
from tui_gpt.run.supervisor import StartRequest, Supervisor

TRAINER, DEAF = "tests.run.fake_trainer:run", "tests.run.fake_trainer:run_deaf"


def new_folder(workspace: Path) -> RunFolder:
    return folders.create(workspace / "runs", "run", override({}, []))


def live(workspace: Path, trainer: str = TRAINER) -> RunFolder:
    """Start a supervised run with a trainer that needs no torch."""
    folder = new_folder(workspace)
    launch.start_supervisor(folder, StartRequest(corpus_dir=str(workspace), trainer=trainer))
    until(lambda: (status := folder.read_status()) and status.step, "a first step")
    return folder


def in_this_process(folder: RunFolder, trainer: str = TRAINER) -> Supervisor:
    return Supervisor(folder, StartRequest(corpus_dir=str(folder.path), trainer=trainer))


@pytest.fixture
def signals() -> object:
    """Restore the handlers that a supervisor in this process sets."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_the_status_is_written_before_the_acknowledgement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_folder(tmp_path)
    subject = in_this_process(folder)
    seen = []

    def event(kind: str, message: str, **fields: object) -> None:
        status = folder.read_status()
        seen.append((kind, message, status.state if status else None))

    monkeypatch.setattr(subject, "_event", event)
    subject._handle_message(Progress(state="paused", phase=""))
    subject._handle_message(Ack(command_id="1", command="pause", ok=True, message="paused at step 0", step=0))
    assert seen == [("ack", "paused at step 0", "paused")]


# ── what somebody else puts into the folder ──────────────────────────────────────────────────────────────────────────


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("x")


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 << 30)  # sparse


HOSTILE: dict[str, Callable[[Path], object]] = {
    "a folder": make_folder,
    "a fifo": os.mkfifo,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "8 GiB": make_huge,
    "deep": lambda path: path.write_text("[" * 60_000),
    "a deep command": lambda path: path.write_text('{"name":"stop","id":' + "[" * 30_000),
    "no JSON": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "an unknown command": lambda path: path.write_text('{"name":"format"}'),
}


def test_files_that_are_no_commands_are_refused_and_deleted(tmp_path: Path) -> None:
    folder = live(tmp_path)
    for name, make in HOSTILE.items():
        make(folder.commands / f"{name}.json")
    until(lambda: not list(folder.commands.iterdir()), "the removal")
    refused = [event.message for event in folder.read_events() if event.kind == "refused"]
    assert len(refused) == len(HOSTILE), refused
    stop(folder)


def test_a_file_that_cannot_be_deleted_is_refused_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_folder(tmp_path)
    (folder.commands / "x.json").write_bytes(msgspec.json.encode(Command(name="stop")))

    def unlink(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", unlink)
    found = [list(command_files.receive(folder)) for _ in range(2)]
    assert found == [[command_files.Refused("x.json", "cannot be deleted: permission denied", is_deleted=False)]] * 2


def test_a_missing_commands_folder_is_made_again(tmp_path: Path) -> None:
    folder = live(tmp_path)
    folder.commands.rmdir()
    until(folder.commands.is_dir, "the folder")
    stop(folder)


def test_only_the_owner_may_send_commands(tmp_path: Path) -> None:
    folder = live(tmp_path)
    assert folder.commands.stat().st_mode & 0o777 == 0o700
    assert folder.lock.stat().st_mode & 0o777 == 0o600
    stop(folder)
    shared = folders.create(tmp_path / "runs", "shared", override({}, []), is_shared=True)
    assert shared.commands.stat().st_mode & 0o777 == 0o770


def test_the_request_is_not_in_the_process_list(tmp_path: Path) -> None:
    folder = live(tmp_path)
    status = folder.read_status()
    assert status is not None
    command = Path(f"/proc/{status.supervisor_pid}/cmdline")
    if command.exists():
        assert b"corpus_dir" not in command.read_bytes()
    stop(folder)


# ── errors that nobody expected ──────────────────────────────────────────────────────────────────────────────────────


def stop(folder: RunFolder) -> None:
    command_files.send(folder, Command(name="stop"))
    until(lambda: not folder.is_locked(), "the end of the run")


@pytest.mark.parametrize("method", ["_handle_message", "_forward", "_write_status", "_record_exit"])
def test_an_unexpected_error_saves_and_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: object, method: str
) -> None:
    folder = new_folder(tmp_path)
    subject = in_this_process(folder)
    real, calls = getattr(subject, method), 0

    def fail(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if method == "_record_exit" or calls == 3:
            raise ZeroDivisionError("nobody expected it")
        real(*arguments)

    monkeypatch.setattr(subject, method, fail)
    for name in ("checkpoint", "checkpoint", "checkpoint", "stop"):
        command = Command(name=name)
        (folder.commands / f"{command.id}.json").write_bytes(msgspec.json.encode(command))
    monkeypatch.setattr(subject, "_reject_stale_commands", lambda: None)
    subject.run()
    status = folder.read_status()
    assert status is not None and status.state == "failed" and "nobody expected it" in status.message
    assert (folder.checkpoints / "saved").exists()
    assert subject.process is not None and not subject.process.is_alive()


def test_a_trainer_that_does_not_answer_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: object
) -> None:
    monkeypatch.setattr(supervisor, "SAVE_SECONDS", 0.5)
    monkeypatch.setattr(supervisor, "STOP_NOW_SECONDS", 0.5)
    folder = new_folder(tmp_path)
    subject = in_this_process(folder, DEAF)
    monkeypatch.setattr(subject, "_handle_message", lambda message: 1 / 0)
    subject.run()
    status = folder.read_status()
    assert status is not None and status.state == "failed" and "The trainer was killed" in status.failure.do
    assert subject.process is not None and not subject.process.is_alive()


def test_neither_status_nor_log_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: object
) -> None:
    """A full disk holds the log, too: printing the error raises."""

    class Full:
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def flush(self) -> None: ...

    folder = new_folder(tmp_path)
    subject = in_this_process(folder)
    real = supervisor.write_atomically
    calls = 0

    def write(path: Path, data: bytes, *, durable: bool = True) -> None:
        nonlocal calls
        calls += 1
        if calls < 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if calls == 8:
            (folder.commands / "x.json").write_bytes(msgspec.json.encode(Command(name="stop")))
        real(path, data, durable=durable)

    monkeypatch.setattr(supervisor, "write_atomically", write)
    monkeypatch.setattr(supervisor.sys, "stderr", Full())
    subject.run()
    status = folder.read_status()
    assert status is not None and status.state == "stopped"


def test_the_reason_of_a_failure_on_a_full_disk_is_in_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: object
) -> None:
    """The status could not be replaced, and the run was said to have been killed."""
    folder = new_folder(tmp_path)
    subject = in_this_process(folder, "tests.run.fake_trainer:run_and_fail")
    real, calls = supervisor.write_atomically, 0

    def write(path: Path, data: bytes, *, durable: bool = True) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, data, durable=durable)

    monkeypatch.setattr(supervisor, "write_atomically", write)
    subject.run()
    status = folder.read_status()
    assert status is not None and (status.state, status.message) == ("failed", "no space for the cache")


# ── a folder that is moved or deleted ────────────────────────────────────────────────────────────────────────────────


def test_a_run_whose_folder_is_moved_saves_there(tmp_path: Path) -> None:
    folder = live(tmp_path)
    moved = RunFolder(folder.path.with_name("moved"))
    folder.path.rename(moved.path)
    folder.path.mkdir()  # nothing may be written into another folder of that name
    until(lambda: (status := moved.read_status()) and status.state == "failed", "the end of the run")
    until(lambda: not moved.is_locked(), "a free lock")
    assert (moved.checkpoints / "saved").exists() and not list(folder.path.iterdir())
    status = moved.read_status()
    assert status is not None and "was moved to" in status.message
    assert folder.id in (tmp_path / "runs" / WORKSPACE_LOG).read_text()


def test_a_run_whose_folder_is_deleted_saves_beside_it(tmp_path: Path) -> None:
    folder = live(tmp_path)
    status = folder.read_status()
    assert status is not None
    while folder.path.exists():  # the supervisor writes meanwhile
        for path in sorted(folder.path.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        try:
            folder.path.rmdir()
        except OSError:
            continue
    rescued = RunFolder(folder.path.with_name(f"{folder.id}-rescued"))
    until(lambda: rescued.status.exists(), "the end of the run")
    assert (rescued.checkpoints / "saved").exists() and not folder.path.exists()
    assert "was deleted while the run was live" in (tmp_path / "runs" / WORKSPACE_LOG).read_text()
    until(lambda: not alive(status.supervisor_pid), "the end of the supervisor")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ── start and kill ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_start_that_times_out_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "FIRST_STATUS_SECONDS", 0.0)
    folder = new_folder(tmp_path)
    with pytest.raises(RunError, match="did not start within"):
        launch.start_supervisor(folder, StartRequest(corpus_dir=str(tmp_path), trainer=TRAINER))
    time.sleep(0.2)
    assert not folder.is_locked() and folder.read_status() is None


def test_kill_ends_a_run_that_no_longer_answers(tmp_path: Path) -> None:
    folder = live(tmp_path, DEAF)
    status = folder.read_status()
    assert status is not None
    os.kill(status.supervisor_pid, signal.SIGSTOP)
    assert command_files.kill(folder) == 2
    assert not folder.is_locked() and folder.state() == "crashed"
    with pytest.raises(RunError, match="is not live"):
        command_files.kill(folder)


def test_kill_looks_again_for_a_trainer_that_is_just_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = live(tmp_path, DEAF)
    listed = psutil.process_iter
    rounds = [lambda: iter(()), lambda: list(listed())[::-1][:1], listed]
    monkeypatch.setattr(psutil, "process_iter", lambda: (rounds.pop(0) if len(rounds) > 1 else rounds[0])())
    command_files.kill(folder)
    assert not folder.is_locked()


def test_kill_says_when_the_lock_is_not_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = live(tmp_path, DEAF)
    with monkeypatch.context() as patch:
        patch.setattr(psutil, "process_iter", lambda: iter(()))
        with pytest.raises(RunError, match="a process of another user holds its lock"):
            command_files.kill(folder, 0.1)
    assert command_files.kill(folder) == 2
