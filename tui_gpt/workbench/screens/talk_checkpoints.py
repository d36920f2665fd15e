"""The part of Talk that chooses which checkpoint writes, and has one saved where there is none."""

from __future__ import annotations

import asyncio

from textual import work

from tui_gpt.run.folder import RunFolder, list_runs
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import SendCommand
from tui_gpt.workbench.dialogs.picker import Item, Picker
from tui_gpt.workbench.panes.talk.continuations import Continuations
from tui_gpt.workbench.screens.work_screen import WorkScreen
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.state.talk.checkpoint_list import (
    CheckpointChoice,
    RunCheckpoint,
    list_run_checkpoints,
    newest_checkpoint,
)

SAVE_NOW = "save one now"


class TalkCheckpoints(WorkScreen):
    """Base of the Talk screen: `choice` is the checkpoint that writes, `second` that of column B."""

    continuations: Continuations

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.choice = CheckpointChoice()
        self.second: RunCheckpoint | None = None
        self.is_looking = False  # for a checkpoint of any run

    def refresh_view(self) -> None:
        raise NotImplementedError

    def focus_text(self) -> None:
        raise NotImplementedError

    def key(self, action: str) -> str:
        """Return the key to name for an action."""
        return keys.key_hint(action, self.session.keymap, keys.TALK)

    def follow_run(self) -> None:
        """Use the newest checkpoint of the shown run, unless the user chose another."""
        monitor = self.session.monitor
        if self.choice.follow(monitor) and self.choice.current:
            self.notify(f"writing with {self.choice.current.figures}")
        if self.choice.must_search(monitor):
            self.choice.is_searched = True
            self._find_newest()

    @work(group="find-checkpoint", exclusive=True)
    async def _find_newest(self) -> None:
        """Use the newest checkpoint of any run: the shown run has none, or there is no shown run."""
        self.is_looking = True
        found = await asyncio.to_thread(lambda: newest_checkpoint(self._all_runs()))
        self.is_looking = False
        if self.choice.current is None:
            self.choice.current = found
        self.refresh_view()

    def _all_runs(self) -> list[RunFolder]:
        try:
            return list(reversed(list_runs(self.session.runs_dir)))
        except OSError:
            return []

    def no_checkpoint(self) -> str:
        """Return what to do where there is no checkpoint."""
        monitor = self.session.monitor
        if self.choice.is_awaited:
            return "A checkpoint is being saved. The model can write as soon as it is there."
        if monitor and monitor.is_live:
            return (
                f"{monitor.folder.id} has no checkpoint yet: {self.key('save_checkpoint')} saves one now."
                f" {self.key('checkpoint')} chooses one of another run."
            )
        if self.is_looking or (monitor and not monitor.is_read):
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
            self.choice.use_next(monitor)
            self.post_message(SendCommand("checkpoint"))
            self.refresh_view()

    @work(group="pick-checkpoint", exclusive=True)
    async def action_checkpoint(self) -> None:
        """Choose the checkpoint that writes; in B's column, that of B."""
        if self.second is not None and self.continuations.focused is not self.continuations.text_area:
            self.second = await self._pick("Checkpoint B", current=self.second) or self.second
        elif picked := await self._pick("Checkpoint", current=self.choice.current, offers_saving=True):
            self.choice.pick(picked)
        self.refresh_view()

    @work(group="pick-checkpoint", exclusive=True)
    async def action_side_by_side(self) -> None:
        """Begin to compare with a second checkpoint, or end it."""
        if self.continuations.is_choosing:
            self.continuations.keep(self.continuations.focused)
        if self.second is None:
            self.second = await self._pick("Checkpoint B, which writes from the same beginning")
        else:
            self.second = None
        self.continuations.is_compared = self.second is not None
        self.continuations.show_columns(2 if self.second else 1)
        self.focus_text()
        self.call_after_refresh(self.refresh_view)

    async def _pick(
        self, title: str, *, current: RunCheckpoint | None = None, offers_saving: bool = False
    ) -> RunCheckpoint | None:
        """Let the user choose a checkpoint of any run, or save one of the shown run."""
        found = await asyncio.to_thread(lambda: list_run_checkpoints(self._all_runs()))
        items = [Item(each.figures, each.detail, each) for each in found]
        monitor = self.session.monitor
        newest = monitor.checkpoints[-1].step if monitor and monitor.checkpoints else -1
        if offers_saving and monitor and monitor.is_live and monitor.step > newest and not self.choice.is_awaited:
            items.insert(0, Item(SAVE_NOW, f"{monitor.folder.id}, at step {monitor.step:,}", SAVE_NOW))
        if not items:
            self.notify(self.no_checkpoint(), severity="warning")
            return None
        picked = await self.app.push_screen_wait(Picker(title, items, current=current))
        if picked == SAVE_NOW:
            self.action_save_checkpoint()
        return picked if isinstance(picked, RunCheckpoint) else None
