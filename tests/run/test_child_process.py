"""The queues between a process and its child: order, and how each notices the other's death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.live import until
from tui_gpt.run.child_process import Channel, spawn
from tui_gpt.run.messages import Command, Progress

PATIENCE_SECONDS = 60.0
NOTICE_SECONDS = 10.0  # far less than any timeout in use; the machine may be busy


def echo(channel: Channel) -> None:
    """Send every message back until the parent is gone."""
    try:
        while True:
            message = channel.receive(None)
            assert message is not None
            channel.send(message)
    except EOFError:
        return


def send_and_die(channel: Channel, count: int) -> None:
    for step in range(count):
        channel.send(Progress(state="running", phase="", step=step))
    os.kill(os.getpid(), signal.SIGKILL)


def start_grandchild(channel: Channel, mark: str) -> None:
    """Start a child that writes a file once it notices the death of this process, report it, and wait."""
    process, grandchild = spawn("tests.run.test_child_process:write_when_orphaned", mark)
    assert grandchild.receive(PATIENCE_SECONDS) is not None
    channel.send(Progress(state="running", phase="", step=process.pid or 0))
    time.sleep(600)


def write_when_orphaned(channel: Channel, mark: str) -> None:
    channel.send(Progress(state="running", phase=""))
    try:
        channel.receive(None)
    except EOFError:
        until(lambda: not channel.send(Progress(state="running", phase="")), "a refused message")
        Path(mark).touch()


def test_messages_arrive_in_order_in_both_directions() -> None:
    process, channel = spawn("tests.run.test_child_process:echo")
    sent = [Command(name="pause"), Command(name="resume"), Command(name="stop")]
    for command in sent:
        assert channel.send(command)
    assert [channel.receive(PATIENCE_SECONDS) for _ in sent] == sent
    assert channel.receive(0.01) is None
    channel.close()
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0


def test_a_killed_child_is_noticed_after_its_last_message() -> None:
    process, channel = spawn("tests.run.test_child_process:send_and_die", 3)
    received = [channel.receive(PATIENCE_SECONDS) for _ in range(3)]
    assert [message.step for message in received if isinstance(message, Progress)] == [0, 1, 2]
    with pytest.raises(EOFError):
        channel.receive(PATIENCE_SECONDS)
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == -signal.SIGKILL
    assert not channel.send(Command(name="pause")) and not channel.send(Command(name="pause"), droppable=True)


def test_a_child_waiting_for_a_message_notices_that_its_parent_was_killed(tmp_path: Path) -> None:
    mark = tmp_path / "orphaned"
    process, channel = spawn("tests.run.test_child_process:start_grandchild", str(mark))
    assert channel.receive(PATIENCE_SECONDS) is not None
    process.kill()
    with pytest.raises(EOFError):
        channel.receive(PATIENCE_SECONDS)
    until(mark.exists, "the end of the grandchild's wait", NOTICE_SECONDS)  # its writes fail instead of blocking


def test_a_child_imports_nothing_from_the_current_folder(tmp_path: Path) -> None:
    """A `random.py` in the folder of a corpus was run by every process that was started there."""
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    for name in ("multiprocessing", "random", "msgspec", "tui_gpt"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})")
    script = elsewhere / "script.py"
    script.write_text(
        "from tui_gpt.run.child_process import spawn\n"
        "if __name__ == '__main__':\n"
        "    process, channel = spawn('tests.run.test_child_process:echo')\n"
        "    channel.close()\n"
        "    process.join(60)\n"
    )
    subprocess.run([sys.executable, str(script)], cwd=folder, check=True, timeout=100)
    assert not (tmp_path / "ran").exists()


def send_allocator(channel: Channel) -> None:
    channel.send(Progress(state="running", phase=os.environ.get("MALLOC_ARENA_MAX", "unset")))


@pytest.mark.parametrize(("computes_on_cpu", "arenas"), [(True, "1"), (False, "unset")])
def test_only_children_that_compute_on_the_cpu_share_one_arena(
    monkeypatch: pytest.MonkeyPatch, computes_on_cpu: bool, arenas: str
) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "")  # so that it is restored
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    process, channel = spawn("tests.run.test_child_process:send_allocator", computes_on_cpu=computes_on_cpu)
    message = channel.receive(60)
    process.join()
    assert isinstance(message, Progress) and message.phase == arenas
