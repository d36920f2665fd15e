"""What the Runs screen does to runs: delete, rename, note, tag, compare, export, and what it opens for reading.

Whatever touches the disk does so in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from textual import work

from tui_gpt.errors import RunError, UserError, reason
from tui_gpt.files import write_atomically
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import ResumeRun, TalkTo, UseConfig
from tui_gpt.workbench.dialogs.confirm import Answer, Confirm
from tui_gpt.workbench.dialogs.diff import diff_lines
from tui_gpt.workbench.dialogs.picker import Item, Picker
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.dialogs.viewer import Viewer, plain_lines
from tui_gpt.workbench.drawing.formatting import format_bytes
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.panes.dashboard.config_lines import config_lines
from tui_gpt.workbench.panes.dashboard.events import viewer_lines
from tui_gpt.workbench.panes.runs.overlay import COMPARABLE, Overlay
from tui_gpt.workbench.screens.work_screen import WorkScreen
from tui_gpt.workbench.state.preferences import XAxis
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.runs import run_export
from tui_gpt.workbench.state.runs.run_scan import RunRow, parse_tags

if TYPE_CHECKING:
    from tui_gpt.workbench.state.runs.run_marks import Marks
    from tui_gpt.workbench.state.runs.run_scan import RunScanner
    from tui_gpt.workbench.state.runs.run_table import View

X_AXES: tuple[XAxis, ...] = get_args(XAxis)
LISTED = 12  # runs that a question names
LINE_BREAK = " ¶ "  # in a note of several lines, while it is edited in one


class RunActions(WorkScreen):
    """The part of the Runs screen that acts on the run under the cursor, or on the marked runs."""

    scanner: RunScanner
    marks: Marks
    view: View

    if TYPE_CHECKING:

        @property
        def current(self) -> RunRow | None: ...
        @property
        def chosen(self) -> list[RunRow]: ...
        def _show_view(self, follow: str = "") -> None: ...
        def _label(self, row: RunRow) -> str: ...
        def refresh_data(self) -> None: ...

    async def _rescan(self, *changed: RunFolder) -> None:
        """Read the runs again, the changed ones whatever their files' times say."""
        for folder in changed:
            self.scanner.forget(folder)
        while await asyncio.to_thread(self.scanner.scan):
            pass
        self.refresh_data()

    async def _attempt(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `function` returns in a thread; show the error and return None when it fails."""
        try:
            return await asyncio.to_thread(function, *arguments)
        except UserError as error:
            self.notify(str(error), severity="error")
        except OSError as error:
            self.notify(f"{error.filename or ''}: {reason(error)}".lstrip(": "), severity="error")
        return None

    # ── delete and rename ───────────────────────────────────────────────────────────────────────────────────────────

    @work(group="dialog", exclusive=True)
    async def action_delete(self) -> None:
        """Delete the marked runs, or the one under the cursor, after one question that lists them."""
        rows = [row for row in self.chosen if not row.is_live]
        live = [row for row in self.chosen if row.is_live]
        if not rows:
            if live:
                self.notify(f"{live[0].id} is live: stop it first", severity="error")
            return
        size = sum(row.size_bytes or 0 for row in rows)
        lines = [f"{row.id}  {self._label(row)}, {format_bytes(row.size_bytes or 0)}" for row in rows[:LISTED]]
        lines += [f"and {len(rows) - LISTED} more"] if len(rows) > LISTED else []
        lines += [f"Left alone, since live: {', '.join(row.id for row in live)}"] if live else []
        what = "it" if len(rows) == 1 else f"{len(rows)} runs"
        title = "Delete the run" if len(rows) == 1 else f"Delete {len(rows)} runs"
        text = "\n".join(lines) + f"\n\nWith all checkpoints, {format_bytes(size)} on disk. This cannot be taken back."
        opened_by = next(action for action in keys.actions_of(keys.RUNS) if action.id == "delete")
        key = next(key for key in "yxk" if key not in keys.keys_of(opened_by, self.session.keymap))
        answer = Answer(key, f"delete {what}", "delete", is_destructive=True)
        if await self.app.push_screen_wait(Confirm(title, text, [answer])) == "delete":
            self._delete(rows)

    @work(group="delete")  # of its own: the next dialog does not stop it
    async def _delete(self, rows: list[RunRow]) -> None:
        deleted: list[RunRow] = []
        for row in rows:
            if await self._attempt(delete_run, row.folder):
                deleted.append(row)
        for row in deleted:
            self.marks.remove(row.id)
            shown = self.session.monitor
            if shown is not None and shown.folder.path == row.folder.path:
                self.session.show(None)
        if deleted:
            size = format_bytes(sum(row.size_bytes or 0 for row in deleted))
            what = deleted[0].id if len(deleted) == 1 else f"{len(deleted)} runs"
            self.notify(f"deleted {what}, {size}")
        await self._rescan(*(row.folder for row in rows))

    @work(group="dialog", exclusive=True)
    async def action_rename(self) -> None:
        row = self.current
        if row is None:
            return

        def check(name: str) -> str:
            try:
                folders.validate_name(name.strip())
            except UserError as error:
                return str(error)
            return ""

        prompt = Prompt(f"Rename {row.id}", value=row.own_name, hint="date and time stay", validate=check)
        name = await self.app.push_screen_wait(prompt)
        if name is None or name.strip() == row.own_name:
            return
        renamed = await self._attempt(rename_run, row.folder, name.strip())
        if renamed is None:
            return
        self.marks.rename(row.id, renamed.id)
        shown = self.session.monitor
        if shown is not None and shown.folder.path == row.folder.path:
            self.session.show(renamed)
        await self._rescan()
        self._show_view(follow=renamed.id)

    # ── notes and tags ──────────────────────────────────────────────────────────────────────────────────────────────

    @work(group="dialog", exclusive=True)
    async def action_note(self) -> None:
        row = self.current
        if row is None:
            return
        value = LINE_BREAK.join(row.note.splitlines())
        prompt = Prompt(f"Note on {row.id}", value=value, hint="kept in note.txt of the run · empty removes it")
        text = await self.app.push_screen_wait(prompt)
        if text is not None and text != value:
            note = "\n".join(line.strip() for line in text.split(LINE_BREAK.strip()))
            await self._attempt(write_texts, {row.folder.note: note.strip()})
            await self._rescan(row.folder)

    @work(group="dialog", exclusive=True)
    async def action_tag(self) -> None:
        """Edit the tags that the chosen runs have in common; what else each of them has stays."""
        rows = self.chosen
        if not rows:
            return
        common = [tag for tag in rows[0].tags if all(tag in row.tags for row in rows)]
        known = sorted({tag for row in self.scanner.rows for tag in row.tags} - set(common))
        title = f"Tags of {rows[0].id}" if len(rows) == 1 else f"Tags of {len(rows)} marked runs"
        hint = "words, parted by spaces" + (f" · in use: {one_line(', '.join(known))}" if known else "")
        text = await self.app.push_screen_wait(Prompt(title, value=" ".join(common), hint=hint, suggestions=known))
        if text is None or (wanted := parse_tags(text)) == tuple(common):
            return
        kept = {row.folder.tags: [tag for tag in row.tags if tag not in common] for row in rows}
        texts = {path: "\n".join(dict.fromkeys([*tags, *wanted])) for path, tags in kept.items()}
        await self._attempt(write_texts, texts)
        await self._rescan(*(row.folder for row in rows))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @work(group="dialog", exclusive=True)
    async def action_log(self) -> None:
        if (row := self.current) is not None:
            text = await asyncio.to_thread(RunMonitor(row.folder).log_tail)
            await self.app.push_screen_wait(Viewer(f"{row.id} · trainer.log", plain_lines(text), at_end=True))

    @work(group="dialog", exclusive=True)
    async def action_events(self) -> None:
        if (row := self.current) is not None:
            events = await self._attempt(row.folder.read_events)
            if events is not None:
                lines = viewer_lines(events)
                await self.app.push_screen_wait(Viewer(f"{row.id} · events", lambda width: lines, at_end=True))

    @work(group="dialog", exclusive=True)
    async def action_config(self) -> None:
        if (row := self.current) is not None:
            monitor = RunMonitor(row.folder)
            await asyncio.to_thread(monitor.read_all)
            if monitor.problem:
                self.notify(monitor.problem, severity="error")
            await self.app.push_screen_wait(Viewer(f"{row.id} · config", lambda width: config_lines(monitor, width)))

    @work(group="dialog", exclusive=True)
    async def action_diff(self) -> None:
        """Compare the marked runs; with one marked, that one and the run under the cursor."""
        rows = [row for row in self.view.rows if row.id in self.marks]
        if len(rows) < 2 and self.current is not None:
            rows = list({row.id: row for row in [*rows, self.current]}.values())
        if len(rows) < 2:
            key = keys.key_hint("mark", self.session.keymap, keys.RUNS)
            self.notify(f"mark two runs or more with {key} to compare them")
            return
        names = [f"{self.marks.letter(row.id)} {self._label(row)}".strip() for row in rows]
        await self.app.push_screen_wait(Viewer(f"Differences of {len(rows)} runs", diff_lines(rows, names)))

    # ── the chart ───────────────────────────────────────────────────────────────────────────────────────────────────

    @work(group="dialog", exclusive=True)
    async def action_metric(self) -> None:
        if not self.is_in_front:
            return
        items = [Item(metric.label, metric.unit, key) for key, metric in COMPARABLE.items()]
        current = self.query_one(Overlay).metric
        chosen = await self.app.push_screen_wait(Picker("Metric of the overlay", items, current=current))
        if chosen is not None:
            self.session.preferences.metric = str(chosen)
            self.query_one(Overlay).refresh_data()

    def action_log_scale(self) -> None:
        self.session.preferences.log_y = not self.session.preferences.log_y
        self.query_one(Overlay).refresh_data()

    def action_x_axis(self) -> None:
        view, overlay = self.session.preferences, self.query_one(Overlay)
        view.x_axis = X_AXES[(X_AXES.index(view.x_axis) + 1) % len(X_AXES)]
        overlay.show_all()
        overlay.refresh_data()

    # ── handing on ──────────────────────────────────────────────────────────────────────────────────────────────────

    def action_resume(self) -> None:
        if self.current is not None:
            self.post_message(ResumeRun(self.current.folder))

    def action_talk(self) -> None:
        if self.current is not None:
            self.post_message(TalkTo(self.current.folder))

    @work(group="dialog", exclusive=True)
    async def action_use_config(self) -> None:
        row = self.current
        asked = await self._attempt(row.folder.read_asked) if row is not None else None
        if row is not None and asked is not None:
            self.post_message(UseConfig(asked, str(row.folder.config)))

    @work(group="dialog", exclusive=True)
    async def action_save(self) -> None:
        """Export the listed rows, and the curves of the marked runs."""

        def check(text: str) -> str:
            try:
                run_export.export_path(text, Path.cwd())
            except UserError as error:
                return str(error)
            return ""

        marked = [row.folder for row in self.view.rows if row.id in self.marks]
        curves = f"the curves of {len(marked)} marked runs" if marked else "no curves: none is marked"
        hint = f"{len(self.view.rows)} runs, {curves} · .csv or .json"
        text = await self.app.push_screen_wait(Prompt("Export to", value="runs.csv", hint=hint, validate=check))
        if text is None:
            return
        path = run_export.export_path(text, Path.cwd())
        existing = await asyncio.to_thread(run_export.any_exists, run_export.paths_of(path, bool(marked)))
        if existing:
            question = f"{', '.join(map(str, existing))} would be replaced."
            answer = Answer("y", "replace", "replace", is_destructive=True)
            if await self.app.push_screen_wait(Confirm("The file exists", question, [answer])) != "replace":
                return
        files = await self._attempt(run_export.export, path, self.view, marked)
        if files:
            self.notify("wrote " + " and ".join(map(str, files)))


def delete_run(folder: RunFolder) -> bool:
    """Delete a run and return True. Blocking. Raises RunError for a run that is live, be it on another host."""
    refuse_elsewhere(folder)
    folders.delete(folder)
    return True


def rename_run(folder: RunFolder, name: str) -> RunFolder:
    """Return the run under its new name. Blocking. Raises RunError when it is live, or the name is taken."""
    refuse_elsewhere(folder)
    return folders.rename(folder, name)


def refuse_elsewhere(folder: RunFolder) -> None:
    """Raise RunError for a run that another host drives."""
    try:
        status = folder.read_status()
    except UserError:  # damaged: the lock alone decides
        return
    if status is not None and folder.state(status) == "elsewhere":
        raise RunError(f"is {status.state} on host {status.host}", where=folder.id, do="Stop it there first")


def write_texts(texts: dict[Path, str]) -> None:
    """Write small text files, each whole, and remove those that have no text. Blocking. Raises OSError."""
    for path, text in texts.items():
        if text:
            write_atomically(path, f"{text}\n".encode("utf-8", "replace"))
        else:
            path.unlink(missing_ok=True)
