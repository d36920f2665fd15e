"""The part of Talk that chooses which checkpoint writes, and has one saved where there is none."""

from __future__ import annotations

import asyncio

from textual import work

from tui_gpt.run.folder import list_runs
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import SendCommand
from tui_gpt.workbench.dialogs.picker import Item, Picker
from tui_gpt.workbench.screens.work_screen import WorkScreen
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.state.talk.checkpoint_list import RunCheckpoint, list_run_checkpoints

SAVE_NOW = "save one now"


class TalkCheckpoints(WorkScreen):
    """Base of the Talk screen. picked: the checkpoint that the user chose; second: the one that writes beside it."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.picked: RunCheckpoint | None = None  # until another run is shown, or one is saved on request
        self.second: RunCheckpoint | None = None
        self._of_any_run: RunCheckpoint | None = None
        self._run: object = None
        self._is_searched = self._is_searching = False

    def refresh_view(self) -> None:
        raise NotImplementedError

    def key(self, action: str) -> str:
        """Return the key to name for an action."""
        return keys.key_hint(action, self.session.keymap, keys.TALK)

    @property
    def current(self) -> RunCheckpoint | None:
        """The checkpoint that writes: the picked one, else the newest of the shown run, else of any run."""
        monitor = self.session.monitor
        newest = monitor.checkpoints[-1] if monitor and monitor.checkpoints else None
        return self.picked or (RunCheckpoint(monitor.folder.id, newest) if monitor and newest else self._of_any_run)

    @property
    def is_saving(self) -> bool:
        return self.session.commands.waiting("checkpoint") is not None

    def follow_run(self) -> None:
        """Forget what was picked for another run; where the shown one has no checkpoint, search all runs."""
        monitor = self.session.monitor
        run = monitor.folder.path if monitor else None
        if run != self._run:
            self._run, self.picked, self._of_any_run, self._is_searched = run, None, None, False
        if self.current or self._is_searched or self.session.is_live:
            return
        if monitor is None or monitor.is_read:
            self._is_searched = True
            self._search()

    @work(group="find-checkpoint", exclusive=True)
    async def _search(self) -> None:
        self._is_searching = True
        found = await asyncio.to_thread(self._list_checkpoints)
        self._is_searching = False
        newest_run = max((each.run for each in found), default="")
        self._of_any_run = next((each for each in found if each.run == newest_run), None)
        self.refresh_view()

    def _list_checkpoints(self) -> list[RunCheckpoint]:
        try:
            return list_run_checkpoints(list_runs(self.session.runs_dir))
        except OSError:
            return []

    def no_checkpoint(self) -> str:
        """Return what to do where there is no checkpoint."""
        monitor = self.session.monitor
        if self.is_saving:
            return "A checkpoint is being saved. The model can write as soon as it is there."
        if monitor and monitor.is_live:
            return (
                f"{monitor.folder.id} has no checkpoint yet: {self.key('save_checkpoint')} saves one now."
                f" {self.key('checkpoint')} chooses one of another run."
            )
        if self._is_searching or (monitor and not monitor.is_read):
            return "Looking for checkpoints; a moment."
        new_run = self.key(f"show_screen('{keys.NEW_RUN}')")
        return f"No run has a checkpoint yet: a model must be trained first. {new_run} goes to New run."

    def action_save_checkpoint(self) -> None:
        monitor = self.session.monitor
        if monitor is None or not monitor.is_live:
            self.notify("the shown run is not live: it saves no checkpoint now")
        elif not monitor.step:
            self.notify("there is nothing to save before the run's first step")
        else:
            self.picked = None  # the new one will write
            self.post_message(SendCommand("checkpoint"))
            self.refresh_view()

    @work
    async def action_checkpoint(self) -> None:
        """Choose the checkpoint that writes."""
        self.picked = await self._pick("Checkpoint", self.current, offers_saving=True) or self.picked
        self.refresh_view()

    @work
    async def action_side_by_side(self) -> None:
        """Begin to compare with a second checkpoint, or end it."""
        if self.second is None:
            self.second = await self._pick("Checkpoint B, which writes from the same beginning", None)
        else:
            self.second = None
        self.refresh_view()

    async def _pick(
        self, title: str, current: RunCheckpoint | None, *, offers_saving: bool = False
    ) -> RunCheckpoint | None:
        """Let the user choose a checkpoint of any run, or save one of the shown run."""
        found = await asyncio.to_thread(self._list_checkpoints)
        items = [Item(each.figures, each.detail, each) for each in found]
        monitor = self.session.monitor
        newest = monitor.checkpoints[-1].step if monitor and monitor.checkpoints else -1
        if offers_saving and monitor and monitor.is_live and monitor.step > newest and not self.is_saving:
            items.insert(0, Item(SAVE_NOW, f"{monitor.folder.id}, at step {monitor.step:,}", SAVE_NOW))
        if not items:
            self.notify(self.no_checkpoint(), severity="warning")
            return None
        picked = await self.ask(Picker(title, items, current=current))
        if picked == SAVE_NOW:
            self.action_save_checkpoint()
        return picked if isinstance(picked, RunCheckpoint) else None
