"""What the app does to runs: start, resume, pause, save, stop, quit, each with the question that must come first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import App

from tui_gpt.errors import UserError
from tui_gpt.run import command_files
from tui_gpt.run.messages import FINAL_STATES, CommandName
from tui_gpt.workbench import app_messages
from tui_gpt.workbench.dialogs.confirm import Answer, Confirm
from tui_gpt.workbench.jobs.task import Task, TaskCancelled

if TYPE_CHECKING:
    from tui_gpt.run.folder import RunFolder
    from tui_gpt.workbench.state.run_monitor import RunMonitor
    from tui_gpt.workbench.state.session import Session


class RunOperations(App[int]):
    """The part of the app that acts on runs and background tasks."""

    session: Session
    _last_state: tuple[str, str] = ("", "")
    _is_starting = False

    if TYPE_CHECKING:

        def open_run(self, folder: RunFolder) -> None: ...
        def wake(self) -> None: ...
        def refresh_data(self) -> None: ...
        def corpora_changed(self) -> None: ...

    # ── start and resume ────────────────────────────────────────────────────────────────────────────────────────────

    @on(app_messages.StartRun)
    @work
    async def _start_run(self) -> None:
        from tui_gpt.launch import start

        session, draft = self.session, self.session.draft
        said = f"starting {draft.config.preset} on {draft.config.data.corpus}"
        await self._start("Start another run", said, partial(start, session.runs_dir, session.corpus_dir, draft.asked))

    @on(app_messages.ResumeRun)
    @work
    async def _resume_run(self, message: app_messages.ResumeRun) -> None:
        from tui_gpt.launch import resume

        folder = message.folder
        await self._start(
            "Resume beside a live run", f"resuming {folder.id}", partial(resume, folder, self.session.corpus_dir)
        )

    async def _start(self, title: str, said: str, start: Callable[[], RunFolder]) -> None:
        """Start or resume a run in a thread and show it, one at a time; ask first where another is live."""
        if self._is_starting:
            return
        self._is_starting = True
        try:
            if await self._may_share(title):
                self.notify(said)
                self.open_run(await asyncio.to_thread(start))
        except UserError as error:
            self.notify(str(error), severity="error")
            self.bell()
        finally:
            self._is_starting = False

    async def _may_share(self, title: str) -> bool:
        """Return whether a run may start: none is live, or the user wants it beside those that are."""
        live = self.session.live_runs = await asyncio.to_thread(self.session.find_live_runs)
        if not live:
            return True
        names = ", ".join(folder.id for folder in live[:3]) + (" …" if len(live) > 3 else "")
        text = f"Live already: {names}. Both runs would share this machine, and each would be slower."
        return await self._ask(title, text, [Answer("y", "start it all the same", "start")]) == "start"

    async def _ask(self, title: str, text: str, answers: list[Answer]) -> str:
        """Return the answer to a question; "" where it is open already, and another worker waits for its answer."""
        if any(isinstance(screen, Confirm) and screen.question == title for screen in self.screen_stack):
            return ""
        return await self.push_screen_wait(Confirm(title, text, answers))

    # ── commands to the shown run ───────────────────────────────────────────────────────────────────────────────────

    @on(app_messages.SendCommand)
    async def _send_command(self, message: app_messages.SendCommand) -> None:
        await self.send_command(message.name)

    async def send_command(self, name: CommandName, *, now: bool = False) -> None:
        """Ask something of the shown run; its acknowledgement comes by its events."""
        session, monitor = self.session, self.session.monitor
        if monitor is None:
            self.notify(f"there is no run to {name}")
            return
        if (pending := session.commands.waiting(name)) is not None and not now:
            self.notify(f"asked {int(pending.age_seconds)} s ago; not answered yet")
            return
        try:
            await asyncio.to_thread(session.commands.send, monitor.folder, name, now=now)
        except UserError as error:
            self.notify(str(error), severity="error")
        self.refresh_data()
        self.wake()

    @on(app_messages.StopRun)
    @work
    async def _stop_run(self) -> None:
        """Ask how to stop; once the trainer has been silent, offer to go further."""
        monitor = self.session.monitor
        if monitor is None or not monitor.is_live:
            self.notify("there is no live run to stop")
            return
        pending = self.session.commands.waiting("stop")
        if pending is None:
            title = "Stop the run"
            text = f"{monitor.folder.id} saves a full checkpoint at step {monitor.step:,} and ends. It can be resumed."
            answers = [Answer("y", "save and stop", "save"), Answer("n", "stop now, without saving", "now", True)]
        else:
            title = "No answer yet"
            phase = f" It is {monitor.status.phase}." if monitor.status and monitor.status.phase else ""
            text = (
                f"The trainer was asked to stop {int(pending.age_seconds)} s ago and has not answered.{phase}"
                " Work since the last checkpoint would be lost."
            )
            answers = [
                Answer("w", "wait", "wait"),
                Answer("n", "ask it to stop now, without saving", "now", True),
                Answer("t", "terminate it (SIGTERM)", "SIGTERM", True),
                Answer("k", "kill it (SIGKILL)", "SIGKILL", True),
            ]
        answer = await self._ask(title, text, answers)
        if answer in ("save", "now"):
            await self.send_command("stop", now=answer == "now")
        elif answer.startswith("SIG"):
            try:
                await asyncio.to_thread(command_files.signal_trainer, monitor.folder, signal.Signals[answer])
            except (UserError, OSError) as error:
                self.notify(str(error), severity="error")
            self.wake()

    def report_changes(self, monitor: RunMonitor) -> None:
        """Say which commands were answered, and that the run has ended."""
        for event in self.session.commands.settle(monitor):
            if not event.ok:
                self.notify(f"{event.command or 'command'}: {event.message}", severity="error")
            elif event.command == "checkpoint":
                self.notify(event.message)
        run, before = self._last_state
        self._last_state = (monitor.folder.id, monitor.state)
        if run != monitor.folder.id or before == monitor.state or before in FINAL_STATES:
            return
        if monitor.state in ("finished", "stopped"):
            text = monitor.status.message if monitor.status else ""
            self.notify(text or f"{monitor.state} at step {monitor.step:,}")
            self.bell()
        elif monitor.state in ("failed", "crashed", "gone"):
            self.notify(f"{monitor.state}: {monitor.failure()}", severity="error")
            self.bell()

    # ── background tasks ────────────────────────────────────────────────────────────────────────────────────────────

    @on(app_messages.RunTask)
    @work(group="task")
    async def _run_task(self, message: app_messages.RunTask) -> None:
        session = self.session
        if session.task is not None:
            self.notify(f"{session.task.title} is running: one task at a time", severity="warning")
            return
        task = session.task = Task(message.request, message.title)
        session.task_error = ""
        self.refresh_data()
        self.wake()
        try:
            result: object = await task.run(message.result_type)
        except UserError as error:
            session.task_error = str(error)
            self.notify(str(error), severity="error")
        except TaskCancelled:
            self.notify(f"cancelled: {task.title}")
        else:
            message.on_done(result)
        finally:
            session.task = None
        self.corpora_changed()
        self.refresh_data()

    # ── quit ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @work
    async def action_quit(self) -> None:  # type: ignore[override]
        """Quit; asks what happens to a live run, and to a task that would be cancelled."""
        session, monitor = self.session, self.session.monitor
        if session.task is not None:
            text = f"{session.task.title} is running and would be cancelled. What it has finished is kept."
            answers = [Answer("y", "cancel it and quit", "quit", True)]
            if await self._ask("A task is running", text, answers) != "quit":
                return
            if session.task is not None:
                session.task.cancel()
        if monitor is not None and monitor.is_live and monitor.state != "elsewhere":
            text = f"{monitor.folder.id} is {monitor.state}. It needs no terminal: `gpt-tui` finds it again."
            answers = [
                Answer("d", "detach: the run goes on", "detach"),
                Answer("s", "stop it: it saves and ends", "stop"),
            ]
            answer = await self._ask("Quit", text, answers)
            if not answer:
                return
            if answer == "stop":
                await self.send_command("stop")
        self.exit(0)
