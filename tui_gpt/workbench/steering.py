"""Steering runs: start, resume, pause, save, stop, quit, with the questions that come before what cannot be undone."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from tui_gpt.errors import UserError
from tui_gpt.run import command_files
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import CommandName

if TYPE_CHECKING:
    from tui_gpt.workbench.app import Workbench


def start_run(workbench: Workbench) -> None:
    live = workbench.feed is not None and workbench.feed.is_live
    if not live:
        _start_now(workbench)
        return
    workbench.question(
        "Start another run",
        f"{workbench.feed.folder.id if workbench.feed else 'A run'} is live, and both would share this machine.",
        [("s", "start it all the same", "start")],
        lambda _: _start_now(workbench),
    )


def _start_now(workbench: Workbench) -> None:
    workbench.run_worker(_start(workbench), group="start", exclusive=True)


async def _start(workbench: Workbench) -> None:
    from tui_gpt.launch import start

    workbench.say(f"starting {workbench.draft.config.preset} on {workbench.draft.config.data.corpus}")
    try:
        folder = await asyncio.to_thread(start, workbench.runs, workbench.corpus_dir, workbench.draft.asked)
    except UserError as error:
        workbench.say(str(error), "error", bell=True)
        return
    workbench.open_run(folder)


async def resume_run(workbench: Workbench, folder: RunFolder) -> None:
    from tui_gpt.launch import resume

    try:
        await asyncio.to_thread(resume, folder, workbench.corpus_dir)
    except UserError as error:
        workbench.say(str(error), "error")
        return
    workbench.open_run(folder)


def command(workbench: Workbench, name: CommandName, *, now: bool = False) -> None:
    """Ask something of the shown run; its answer comes by its events."""
    feed = workbench.feed
    if feed is None:
        workbench.say(f"there is no run to {name}")
        return
    if (ask := workbench.commander.waiting(name)) is not None and not now:
        workbench.say(f"asked {int(ask.age_seconds)} s ago; the answer is still to come")
        return
    try:
        workbench.commander.send(feed, name, now=now)
    except UserError as error:
        workbench.say(str(error), "error")
    workbench.redraw()
    workbench.wake()


def ask_to_stop(workbench: Workbench) -> None:
    """X: stop after a question; a second time, once the trainer has been silent, further."""
    feed = workbench.feed
    if feed is None or not feed.is_live:
        workbench.say("there is no live run to stop")
        return
    ask = workbench.commander.waiting("stop")
    if ask is None:
        workbench.question(
            "Stop the run",
            f"{feed.folder.id} saves a full checkpoint at step {feed.step} and ends. It can be resumed.",
            [("s", "save and stop", "save"), ("n", "stop now, without saving", "now")],
            lambda answer: _stop_as_answered(workbench, answer),
        )
        return
    phase = f" It is {feed.status.phase}." if feed.status and feed.status.phase else ""
    workbench.question(
        "No answer yet",
        f"The trainer was asked to stop {int(ask.age_seconds)} s ago and has not answered.{phase}"
        " What it has not saved would be lost.",
        [
            ("w", "wait", "wait"),
            ("n", "ask it to stop now, without saving", "now"),
            ("t", "terminate it (SIGTERM)", "SIGTERM"),
            ("k", "kill it (SIGKILL)", "SIGKILL"),
        ],
        lambda answer: _stop_as_answered(workbench, answer),
        bad=True,
    )


def _stop_as_answered(workbench: Workbench, answer: str) -> None:
    if answer in ("save", "now"):
        command(workbench, "stop", now=answer == "now")
    elif answer != "wait" and workbench.feed is not None:
        try:
            command_files.signal_trainer(workbench.feed.folder, signal.Signals[answer])
        except (UserError, OSError) as error:
            workbench.say(str(error), "error")
        workbench.wake()


def ask_to_quit(workbench: Workbench) -> None:
    feed = workbench.feed
    if feed is None or not feed.is_live or feed.state == "elsewhere":
        workbench.leave()
        return

    def answered(answer: str) -> None:
        if answer == "stop":
            command(workbench, "stop")
        workbench.leave()

    workbench.question(
        "Quit",
        f"{feed.folder.id} is {feed.state}. It needs no terminal: `gpt-tui` finds it again.",
        [("d", "detach: the run goes on", "detach"), ("s", "stop it: it saves and ends", "stop")],
        answered,
    )
