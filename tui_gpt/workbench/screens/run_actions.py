"""What the Runs screen does to runs: delete, rename, note, tag, compare, export, and what it opens for reading.

Whatever touches the disk does so in a thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from rich.text import Text
from textual import work
from textual.widgets import DataTable

from tui_gpt.errors import RunError, UserError, reason
from tui_gpt.files import write_atomically
from tui_gpt.run import folder as folders
from tui_gpt.run.folder import RunFolder
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import ResumeRun, TalkTo, UseConfig
from tui_gpt.workbench.dialogs.confirm import Answer, Confirm
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.dialogs.viewer import Viewer, join_lines, log_text
from tui_gpt.workbench.drawing.formatting import format_bytes
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.panes.dashboard.config_lines import config_lines
from tui_gpt.workbench.panes.dashboard.events import viewer_lines
from tui_gpt.workbench.panes.run_plots import LETTERS
from tui_gpt.workbench.screens.work_screen import WorkScreen
from tui_gpt.workbench.state.draft import format_value
from tui_gpt.workbench.state.run_monitor import RunMonitor
from tui_gpt.workbench.state.runs import run_export
from tui_gpt.workbench.state.runs.run_scan import RunRow, RunScanner, parse_tags
from tui_gpt.workbench.state.runs.run_table import RESULTS, RunTable, View, differing_settings
from tui_gpt.workbench.state.session import Session

LISTED = 12  # runs that a question names
LINE_BREAK = " ¶ "  # in a note of several lines, while it is edited in one


class RunActions(WorkScreen):
    """The part of the Runs screen that acts on the run under the cursor, or on the marked runs.

    marks: a number for each marked run, which it keeps for as long as it is marked; the chart's colors go by it.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.scanner = RunScanner(session.runs_dir)
        self.table = RunTable(sort_key=session.preferences.sort_column, is_reversed=session.preferences.sort_reverse)
        self.view = View()
        self.marks: dict[str, int] = {}

    @property
    def current(self) -> RunRow | None:
        """The run under the cursor."""
        raise NotImplementedError

    @property
    def marked(self) -> list[RunRow]:
        """The marked runs that are listed."""
        return [row for row in self.view.rows if row.id in self.marks]

    @property
    def chosen(self) -> list[RunRow]:
        """The marked runs that are listed, or the one under the cursor while none is marked."""
        return self.marked or ([self.current] if self.current else [])

    def name_of(self, row: RunRow) -> str:
        """Return the name that tells a run from the others."""
        name = next((column for column in self.view.columns if column.key == "name"), None)
        return name.text_of(row) if name and row.settings else row.own_name

    def letter(self, run: str) -> str:
        """Return the letter of a marked run in the chart; empty where the chart has no color left for it."""
        return LETTERS[self.marks[run] : self.marks[run] + 1] if run in self.marks else ""

    def mark(self, runs: Iterable[str]) -> None:
        for run in runs:
            if run not in self.marks:
                self.marks[run] = next(slot for slot in count() if slot not in self.marks.values())

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

    # ── delete ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @work
    async def action_delete(self) -> None:
        """Delete the marked runs, or the one under the cursor, after one question that lists them."""
        rows = [row for row in self.chosen if not row.is_live]
        live = [row.id for row in self.chosen if row.is_live]
        if not rows:
            if live:
                self.notify(f"{live[0]} is live: stop it first", severity="error")
            return
        what = "the run" if len(rows) == 1 else f"{len(rows)} runs"
        size = format_bytes(sum(row.size_bytes for row in rows))
        lines = [f"{row.id}  {self.name_of(row)}, {format_bytes(row.size_bytes)}" for row in rows[:LISTED]]
        lines += [f"and {len(rows) - LISTED} more"] if len(rows) > LISTED else []
        lines += [f"Left alone, since live: {', '.join(live)}"] if live else []
        text = "\n".join(lines) + f"\n\nWith all checkpoints, {size} on disk. This cannot be taken back."
        opened_by = next(action for action in keys.actions_of(keys.RUNS) if action.id == "delete")
        key = next(key for key in "yxk" if key not in keys.keys_of(opened_by, self.session.keymap))
        answer = Answer(key, f"delete {what}", "delete", is_destructive=True)
        if await self.ask(Confirm(f"Delete {what}", text, [answer])) != "delete":
            return
        deleted = [row for row in rows if await self._attempt(delete_run, row.folder)]
        for row in deleted:
            self.marks.pop(row.id, None)
            if self.session.monitor is not None and self.session.monitor.folder.path == row.folder.path:
                self.session.show(None)
        if deleted:
            what = deleted[0].id if len(deleted) == 1 else f"{len(deleted)} runs"
            self.notify(f"deleted {what}, {format_bytes(sum(row.size_bytes for row in deleted))}")
        await self._rescan(*(row.folder for row in rows))

    # ── notes and tags ──────────────────────────────────────────────────────────────────────────────────────────────

    @work
    async def action_note(self) -> None:
        if (row := self.current) is None:
            return
        value = LINE_BREAK.join(row.note.splitlines())
        hint = "kept in note.txt of the run · empty removes it"
        text = await self.ask(Prompt(f"Note on {row.id}", value=value, hint=hint))
        if text is not None and text != value:
            note = "\n".join(line.strip() for line in text.split(LINE_BREAK.strip()))
            await self._attempt(write_texts, {row.folder.note: note.strip()})
            await self._rescan(row.folder)

    @work
    async def action_tag(self) -> None:
        """Edit the tags that the chosen runs have in common; what else each of them has stays."""
        if not (rows := self.chosen):
            return
        common = [tag for tag in rows[0].tags if all(tag in row.tags for row in rows)]
        known = sorted({tag for row in self.scanner.rows for tag in row.tags} - set(common))
        title = f"Tags of {rows[0].id}" if len(rows) == 1 else f"Tags of {len(rows)} marked runs"
        hint = "words, parted by spaces" + (f" · in use: {', '.join(known)}" if known else "")
        text = await self.ask(Prompt(title, value=" ".join(common), hint=hint, suggestions=known))
        if text is None or (wanted := parse_tags(text)) == tuple(common):
            return
        kept = {row.folder.tags: [tag for tag in row.tags if tag not in common] for row in rows}
        texts = {path: "\n".join(dict.fromkeys([*tags, *wanted])) for path, tags in kept.items()}
        await self._attempt(write_texts, texts)
        await self._rescan(*(row.folder for row in rows))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @work
    async def action_log(self) -> None:
        if (row := self.current) is not None:
            text = await asyncio.to_thread(RunMonitor(row.folder).log_tail)
            await self.ask(Viewer(f"{row.id} · trainer.log", log_text(text), at_end=True))

    @work
    async def action_events(self) -> None:
        if (row := self.current) is not None:
            events = await self._attempt(row.folder.read_events)
            if events is not None:
                await self.ask(Viewer(f"{row.id} · events", join_lines(viewer_lines(events)), at_end=True))

    @work
    async def action_config(self) -> None:
        if (row := self.current) is not None:
            monitor = RunMonitor(row.folder)
            await asyncio.to_thread(monitor.read_all)
            if monitor.problem:
                self.notify(monitor.problem, severity="error")
            await self.ask(Viewer(f"{row.id} · config", join_lines(config_lines(monitor, self.size.width - 6))))

    @work
    async def action_diff(self) -> None:
        """Compare the marked runs; with one marked, that one and the run under the cursor."""
        rows = self.marked
        if len(rows) < 2 and self.current is not None:
            rows = list({row.id: row for row in [*rows, self.current]}.values())
        if len(rows) < 2:
            key = keys.key_hint("mark", self.session.keymap, keys.RUNS)
            self.notify(f"mark two runs or more with {key} to compare them")
            return
        table = Differences(rows, [f"{self.letter(row.id)} {self.name_of(row)}".strip() for row in rows])
        await self.ask(Viewer(f"Differences of {len(rows)} runs", table, copied=table.tsv))

    # ── handing on ──────────────────────────────────────────────────────────────────────────────────────────────────

    def action_resume(self) -> None:
        if self.current is not None:
            self.post_message(ResumeRun(self.current.folder))

    def action_talk(self) -> None:
        if self.current is not None:
            self.post_message(TalkTo(self.current.folder))

    @work
    async def action_use_config(self) -> None:
        if (row := self.current) is not None:
            asked = await self._attempt(row.folder.read_asked)
            if asked is not None:
                self.post_message(UseConfig(asked, str(row.folder.config)))

    @work
    async def action_save(self) -> None:
        """Export the listed rows, and the curves of the marked runs."""
        marked = [row.folder for row in self.marked]
        curves = f"the curves of {len(marked)} marked runs" if marked else "no curves: none is marked"
        hint = f"{len(self.view.rows)} runs, {curves} · .csv or .json"
        text = await self.ask(Prompt("Export to", value="runs.csv", hint=hint, validate=_export_problem))
        if text is None:
            return
        path = run_export.export_path(text, Path.cwd())
        files = run_export.paths_of(path, bool(marked))
        existing = await asyncio.to_thread(lambda: [str(file) for file in files if os.path.lexists(file)])
        if existing:
            answer = Answer("y", "replace", "replace", is_destructive=True)
            question = Confirm("The file exists", f"{', '.join(existing)} would be replaced.", [answer])
            if await self.ask(question) != "replace":
                return
        if await self._attempt(run_export.export, path, self.view, marked):
            self.notify("wrote " + " and ".join(map(str, files)))


class Differences(DataTable[Text]):
    """Results of runs, and the settings in which they differ: a column for each run, scrolled to where it does not fit.

    A value unlike the first run's is bold.
    """

    def __init__(self, rows: Sequence[RunRow], names: Sequence[str]) -> None:
        super().__init__(cursor_type="none", fixed_columns=1)
        self._names = names
        self._lines = [("state", [row.state for row in rows])]
        self._lines += [(column.title, [column.text_of(row) or "–" for row in rows]) for column in RESULTS]
        for key in differing_settings(rows):
            values = (format_value(row.settings[key]) if key in row.settings else "?" for row in rows)
            self._lines.append((key, [one_line(value) or "–" for value in values]))

    @property
    def tsv(self) -> str:
        return "\n".join("\t".join([label, *values]) for label, values in [("", self._names), *self._lines])

    def on_mount(self) -> None:
        self.add_columns(Text(), *(Text(name, "bold") for name in self._names))
        for label, values in self._lines:
            cells = (Text(value, "" if value == values[0] else "bold") for value in values)
            self.add_row(Text(label, "dim"), *cells)


def _export_problem(text: str) -> str:
    try:
        run_export.export_path(text, Path.cwd())
    except UserError as error:
        return str(error)
    return ""


def delete_run(folder: RunFolder) -> bool:
    """Delete a run and return True. Blocking. Raises RunError for a run that is live, be it on another host."""
    try:
        is_elsewhere = folder.state() == "elsewhere"
    except UserError:  # a damaged status: the lock alone decides
        is_elsewhere = False
    if is_elsewhere:
        raise RunError("is live on another host", where=folder.id, do="Stop it there first")
    folders.delete(folder)
    return True


def write_texts(texts: dict[Path, str]) -> None:
    """Write small text files, each whole and durably, and remove those without text. Blocking. Raises OSError."""
    for path, text in texts.items():
        if text:
            write_atomically(path, f"{text}\n".encode("utf-8", "replace"))
        else:
            path.unlink(missing_ok=True)
