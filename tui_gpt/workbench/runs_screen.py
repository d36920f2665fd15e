"""Every run of the workspace: what became of it, its loss beside others', and what one can do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from textual.app import ComposeResult
from textual.containers import Vertical

from tui_gpt.errors import UserError
from tui_gpt.run import folder as folders
from tui_gpt.workbench import actions, steering
from tui_gpt.workbench.canvas import Canvas, Row, Span, framed, row
from tui_gpt.workbench.feed import RunFeed, read_tail
from tui_gpt.workbench.list_screen import ListScreen, Table
from tui_gpt.workbench.run_list import ORDERS, RunLine, RunList, table_head, table_row
from tui_gpt.workbench.text import nats, one_line, size

MAX_OVERLAY = 6


class _Overlay(Canvas):
    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        return cast("RunsScreen", self.screen).overlay_rows(width, height)


class RunsScreen(ListScreen[RunLine]):
    place = actions.RUNS
    BINDINGS = actions.bindings(actions.RUNS)

    def __init__(self) -> None:
        super().__init__()
        self.list: RunList | None = None
        self.marked: list[str] = []
        self._feeds: dict[str, RunFeed] = {}
        self._drawn: tuple[object, list[Row]] = (None, [])

    def compose_middle(self) -> ComposeResult:
        with Vertical(id="middle"):
            yield Table(id="runs-table")
            yield _Overlay(id="runs-overlay")

    def on_resize(self) -> None:
        super().on_resize()
        self.query_one("#runs-overlay").display = self.app.size.height >= 18

    # what it shows

    async def look(self) -> None:
        """Read the runs, and the losses of those in the chart."""
        found = self.list or RunList(self.workbench.runs)
        await asyncio.to_thread(found.scan)
        self.list = found
        for feed in self._overlaid():
            if not feed.opened or feed.is_live:
                await self.workbench.read_feed(feed)

    @property
    def lines(self) -> list[RunLine]:
        return self.list.ordered(self.workbench.view.order, self.needle) if self.list else []

    def name_of(self, line: RunLine) -> str:
        return line.id

    def _overlaid(self) -> list[RunFeed]:
        """Feeds of the marked runs, then of the one under the cursor."""
        current = self.current
        wanted = [*self.marked]
        if current is not None and current.id not in wanted:
            wanted.append(current.id)
        known = {line.id: line.folder for line in self.list.lines} if self.list else {}
        self._feeds = {
            run: self._feeds.get(run) or RunFeed(known[run]) for run in wanted[-MAX_OVERLAY:] if run in known
        }
        return list(self._feeds.values())

    def table_rows(self, width: int, height: int) -> list[Row]:
        window, inner = self.window(height), width - 4
        letters = {run: (f"{'abcdef'[i]} ", f"run-{i}") for i, run in enumerate(self._feeds)}
        body = [table_head(inner)]
        for line, selected in window:
            letter = letters.get(line.id) if line.id in self.marked else None
            body.append(table_row(line, inner, selected=selected, letter=letter))
        if self.list is None:
            body = [row(("reading the runs…", "dim"))]
        elif not window and self.needle:
            body += [(), row((f"no run holds “{one_line(self.needle)}”", "bright"))]
        elif not window:
            goes = row(("[", "key"), (" goes to the dashboard, ", "dim"), ("s", "key"), (" there starts one", "dim"))
            body += [(), row(("no runs yet", "bright")), goes]
        note = f"{sum(line.is_live for line in self.lines)} live · by {self.workbench.view.order}"
        return self.framed_list(body, width, height, title="Runs", note=note)

    def overlay_rows(self, width: int, height: int) -> list[Row]:
        from tui_gpt.workbench.curves import overlay_rows

        feeds = [feed for feed in self._feeds.values() if feed.opened and len(feed.series)]
        legend: list[Span] = []
        for index, feed in enumerate(self._feeds.values()):
            last = feed.series.last
            name = one_line(feed.folder.id)
            legend += [(f"{'abcdef'[index]} ━ ", f"run-{index}"), (name, "text")]
            legend += [(f" {nats(last.loss, last.non_finite) if last else '–'}   ", "bright")]
        axis, weight, log_y = self.workbench.view.axis, self.workbench.view.weight, self.workbench.view.log_y
        glyphs, inner, rows = self.workbench.glyphs, width - 4, height - 3
        subject = (tuple((id(feed), len(feed.series)) for feed in feeds), axis, weight, log_y, inner, rows)
        if self._drawn[0] != subject:
            drawing = overlay_rows(feeds, inner, rows, axis=axis, weight=weight, log_y=log_y, glyphs=glyphs)
            self._drawn = (subject, drawing)
        body = [tuple(legend), *(self._drawn[1] or [row(("no losses to draw", "dim"))])]
        note = row((f"smoothed {weight:g}" + (" · log-y" if log_y else ""), "dim"))
        return framed(body, width, height, title=row(("Training loss", "title")), note=note, active=False)

    def status_row(self, width: int) -> Row:
        line = self.current
        if line is None:
            return super().status_row(width)
        tail = f" · {line.problem}" if line.problem else ""
        if line.status and line.status.failure:
            tail = f" · {line.status.failure}"
        elif line.status and line.status.message:
            tail = f" · {line.status.message}"
        return row((" ", "text"), (one_line(line.id), "accent"), (one_line(tail), "text"))

    def footer_items(self) -> list[tuple[str, str]]:
        items = [("open", "open"), ("mark", "overlay")]
        line = self.current
        if line is not None and not line.is_live:
            items += [("resume", "resume"), ("rename", "rename"), ("delete", "delete")]
        items += [("note", "note"), ("show_log", "log"), ("show_events", "events"), ("order", "order")]
        return [*items, ("filter_runs", "filter"), ("log_y_runs", "log-y"), ("talk_run", "talk"), ("quit", "quit")]

    def cursor_moved(self) -> None:
        self.redraw()
        self.workbench.wake()

    def open_line(self) -> None:
        self.action_open()

    # actions

    def action_open(self) -> None:
        if self.current is not None:
            self.workbench.open_run(self.current.folder)

    def action_mark(self) -> None:
        line = self.current
        if line is None:
            return
        if line.id in self.marked:
            self.marked.remove(line.id)
        elif len(self.marked) >= MAX_OVERLAY:
            self.workbench.say(f"{MAX_OVERLAY} runs are as many as one chart can tell apart")
        else:
            self.marked.append(line.id)
        self._overlaid()
        self.redraw()
        self.workbench.wake()

    def action_resume(self) -> None:
        line = self.current
        if line is not None:
            self.workbench.say(f"resuming {line.id}")
            self.run_worker(steering.resume_run(self.workbench, line.folder), group="start", exclusive=True)

    def action_rename(self) -> None:
        line = self.current
        if line is None:
            return

        def rename(name: str) -> None:
            try:
                self.selected = folders.rename(line.folder, name.strip()).id
            except UserError as error:
                self.workbench.say(str(error), "error")
            self.workbench.wake()

        def check(name: str) -> str:
            try:
                folders.validate_name(name.strip())
            except UserError as error:
                return str(error)
            return ""

        stem = line.id[16:] if line.id[:8].isdigit() and line.id[8:9] == "-" else line.id
        hint = row(("date and time stay", "dim"))
        self.ask(row(("Rename ", "bright"), (one_line(line.id), "dim")), rename, value=stem, check=check, hint=hint)

    def action_note(self) -> None:
        line = self.current
        if line is None:
            return

        def write(text: str) -> None:
            try:
                folders.write_atomically(line.folder.note, text.strip().encode())
            except OSError as error:
                self.workbench.say(f"{line.folder.note}: {error.strerror}", "error")
            self.workbench.wake()

        self.ask(row(("Note on ", "bright"), (one_line(line.id), "dim")), write, value=line.note.replace("\n", " "))

    def action_delete(self) -> None:
        line = self.current
        if line is None:
            return
        if line.is_live:
            self.workbench.say(f"{line.id} is live: stop it first", "error")
            return

        def delete(_: str) -> None:
            try:
                folders.delete(line.folder)
                self.workbench.say(f"deleted {line.id}")
            except UserError as error:
                self.workbench.say(str(error), "error")
            if line.id in self.marked:
                self.marked.remove(line.id)
            feed = self.workbench.feed
            if feed is not None and feed.folder.id == line.id:
                self.workbench.feed = None
            self.workbench.wake()

        self.workbench.question(
            "Delete the run",
            f"{line.id} with its checkpoints, {size(line.size_bytes)} on disk. This cannot be taken back.",
            [("d", "delete it", "delete")],
            delete,
            bad=True,
        )

    def action_show_log(self) -> None:
        from tui_gpt.workbench.dialogs import text_rows

        if self.current is not None:
            text = read_tail(self.current.folder.log, 200_000)
            self.workbench.read(f"{one_line(self.current.id)} · trainer.log", text_rows(text), at_end=True)

    def action_show_events(self) -> None:
        from tui_gpt.workbench.panes.events import event_rows

        if self.current is None:
            return
        events = self.current.folder.read_events()
        self.workbench.read(
            f"{one_line(self.current.id)} · events",
            lambda width: [line for event in events for line in event_rows(event, width)],
            at_end=True,
        )

    def action_talk_run(self) -> None:
        if self.current is not None:
            self.workbench.talk_to(self.current.folder)

    def action_order(self) -> None:
        view = self.workbench.view
        view.order = ORDERS[(ORDERS.index(view.order) + 1) % len(ORDERS)] if view.order in ORDERS else ORDERS[0]
        self.redraw()

    def action_log_y_runs(self) -> None:
        self.workbench.view.log_y = not self.workbench.view.log_y
        self.redraw()

    def action_filter_runs(self) -> None:
        self.ask_for_filter("runs", "a part of the name, the state or the note; empty shows every run")
