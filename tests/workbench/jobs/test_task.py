"""A task's child process is followed, ends when it is cancelled, and never ends the workbench with it."""

import asyncio
import json
import os
import sys
import time

import psutil
import pytest

from tui_gpt.errors import CorpusError
from tui_gpt.workbench.jobs import task as task_module
from tui_gpt.workbench.jobs.task import Task, TaskCancelled, TaskRequest, TaskUpdate, run_task

REQUEST = TaskRequest(task="prepare", reference="stories", corpus_dir="corpus")
READY = 'print(\'{"phase":"PID %d" }\' % os.getpid(), flush=True);'


@pytest.fixture
def child(monkeypatch):
    """Replace the child's program by a line of Python."""

    def use(program: str) -> None:
        argv = [sys.executable, "-ISc", f"import os, signal, sys, time; {program}"]
        monkeypatch.setattr(task_module, "_argv", lambda _: argv)

    return use


def say(**fields: object) -> str:
    return f"print({json.dumps(json.dumps(fields))}, flush=True);"


async def started(task: Task) -> int:
    """Return the child's pid once it runs."""
    while not task.phase.startswith("PID"):
        await asyncio.sleep(0.005)
    return int(task.phase.split()[1])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_task_has_progress_and_a_result(child):
    child(say(phase="encoding stories", fraction=0.5) + say(phase="encoding stories", fraction=0.75) + say(result=[1]))
    seen = []
    assert await run_task(REQUEST, list[int], seen.append) == [1]
    assert [update.fraction for update in seen] == [0.5, 0.75]


async def test_a_problem_is_the_users_to_read(child):
    child(say(problem="stories: holds no text"))
    with pytest.raises(CorpusError, match=r"^stories: holds no text$"):
        await Task(REQUEST, "preparing stories").run(str)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise MemoryError('no room')", "prepare ended with exit code 1: MemoryError: no room"),
        ("os.kill(os.getpid(), 9)", "prepare ended with SIGKILL"),
        ("", "prepare ended with exit code 0"),
        ("sys.stderr.write('x' * 300_000 + '\\nlast'); sys.exit(3)", "prepare ended with exit code 3: last"),
        (
            "print('not json', flush=True); time.sleep(9)",
            "prepare sent a line that cannot be read: JSON is malformed: ",
        ),
    ],
    ids=["an exception", "a signal", "nothing", "much on stderr", "rubbish"],
)
async def test_a_child_that_ends_without_a_result_is_an_error_in_words(child, program, said):
    child(program)
    with pytest.raises(CorpusError) as caught:
        await run_task(REQUEST, str)
    assert str(caught.value).startswith(f"stories: {said}")


async def test_a_child_that_cannot_be_started_is_an_error_in_words(monkeypatch):
    monkeypatch.setattr(task_module, "_argv", lambda _: ["/nonexistent/python"])
    with pytest.raises(CorpusError, match="cannot be started"):
        await run_task(REQUEST, str)


async def test_cancelling_ends_the_child_and_what_it_started(child):
    child(
        "pid = os.fork(); " + READY.replace("print(", "pid and print(").replace("os.getpid()", "pid") + "time.sleep(60)"
    )
    task = Task(REQUEST, "preparing stories")
    running = asyncio.create_task(task.run(str))
    grandchild = psutil.Process(await started(task))
    task.cancel()
    assert task.description == "cancelling: preparing stories…"
    with pytest.raises(TaskCancelled):
        await running
    while grandchild.is_running() and grandchild.status() != psutil.STATUS_ZOMBIE:  # ends after its parent
        await asyncio.sleep(0.005)
    with pytest.raises(TaskCancelled):
        await task.run(str)


async def test_a_child_that_ignores_sigterm_is_killed(child, monkeypatch):
    monkeypatch.setattr(task_module, "GRACE_SECONDS", 0.05)
    child("signal.signal(signal.SIGTERM, signal.SIG_IGN);" + READY + "time.sleep(60)")
    task = Task(REQUEST, "preparing stories")
    running = asyncio.create_task(task.run(str))
    pid = await started(task)
    task.cancel()
    with pytest.raises(TaskCancelled):
        await running
    assert not is_running(pid)


async def test_leaving_while_the_child_takes_its_time_to_end_kills_it(child):
    child("signal.signal(signal.SIGTERM, signal.SIG_IGN);" + READY + "time.sleep(60)")
    task = Task(REQUEST, "preparing stories")
    running = asyncio.create_task(task.run(str))
    pid = await started(task)
    task.cancel()
    await asyncio.sleep(0.02)
    begun = time.monotonic()
    running.cancel()  # as when the event loop ends
    with pytest.raises((asyncio.CancelledError, TaskCancelled)):
        await running
    while is_running(pid):  # killed, and soon reaped
        await asyncio.sleep(0.005)
    assert time.monotonic() - begun < 2


async def test_the_end_of_the_event_loop_is_no_cancelled_task(child):
    child(READY + "time.sleep(60)")
    task = Task(REQUEST, "preparing stories")
    running = asyncio.create_task(task.run(str))
    pid = await started(task)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not is_running(pid)


def test_a_description_has_percent_and_time_left(monkeypatch):
    now = 100.0
    monkeypatch.setattr(task_module.time, "monotonic", lambda: now)
    task = Task(REQUEST, "preparing stories")
    assert (task.description, task.short_description) == ("preparing stories…", "preparing…")
    task.update(TaskUpdate(phase="encoding stories", fraction=0.0))
    now += 0.5
    task.update(TaskUpdate(phase="encoding stories", fraction=0.25))
    assert task.description == "encoding stories 25 %"  # too early to tell
    now += 9.5
    task.update(TaskUpdate(phase="encoding stories", fraction=0.45))
    assert task.description == "encoding stories 45 %, 12 s left"
    assert task.short_description == "preparing 45 %"
    now += 90
    task.update(TaskUpdate(phase="encoding stories", fraction=0.5))
    assert task.description == "encoding stories 50 %, 1:40 left"
    task.update(TaskUpdate(phase="writing", fraction=0.5))
    assert task.eta_seconds is None  # another phase has its own pace
    task.update(TaskUpdate(phase="writing"))
    assert task.description == "writing…"


async def test_the_real_child_reads_a_corpus_and_reports_what_is_wrong(tmp_path):
    (tmp_path / "mine.txt").write_text("It rained. " * 100)
    preview = TaskRequest(task="preview", reference="mine", corpus_dir=str(tmp_path))
    missing = TaskRequest(task="check", reference="no-such-corpus", corpus_dir=str(tmp_path))
    text, error = await asyncio.gather(run_task(preview, str), run_task(missing, str), return_exceptions=True)
    assert text.startswith("It rained.")
    assert isinstance(error, CorpusError)
    assert "no-such-corpus" in str(error)
