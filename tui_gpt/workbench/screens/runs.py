"""Every run of the workspace: a table that sorts, filters and marks, and the curves of the marked runs together."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import DataTable, Static

from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import OpenRun, ShowScreen
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.drawing.formatting import format_bytes, width_of
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.panes.run_plots import RUN_ROLES
from tui_gpt.workbench.panes.runs.overlay import Charted, Overlay
from tui_gpt.workbench.panes.runs.run_list import RunList
from tui_gpt.workbench.screens.run_actions import RunActions
from tui_gpt.workbench.state.runs.run_marks import Marks
from tui_gpt.workbench.state.runs.run_scan import RunRow, RunScanner
from tui_gpt.workbench.state.runs.run_table import RunTable, View, to_tsv
from tui_gpt.workbench.state.session import Session

if TYPE_CHECKING:
    from textual import events
    from textual.binding import ActiveBinding
    from textual.timer import Timer

NEEDS_A_RUN = (
    "open", "mark", "mark_all", "diff", "resume", "use_config", "rename", "note", "tag", "delete", "log", "events",
    "config", "sort", "reverse_sort", "metric", "log_scale", "x_axis", "save", "talk",
)  # fmt: skip
QUIET = {  # what the footer leaves out
    "-narrow": ("diff", "sort", "talk", "tag", "config", "metric", "save", "new_run", "command_palette"),
    "-normal": ("tag", "config", "metric", "new_run"),
}
REDRAW_SECONDS = 1.0  # while many runs are read
MANY = 300
SETTLE_SECONDS = 0.12  # the cursor rests this long on a run before its journal is read


class RunsScreen(RunActions):
    """The runs; enter opens the one under the cursor on the dashboard."""

    NAME = keys.RUNS
    BINDINGS = keys.bindings(keys.RUNS)
    DEFAULT_CSS = """
    RunsScreen #runs-body { height: 1fr; }
    RunsScreen #runs-table { height: auto; max-height: 55%; width: 1fr; }
    RunsScreen RunList { height: auto; max-height: 100%; }
    RunsScreen #runs-empty { height: auto; padding: 1 2; display: none; }
    RunsScreen #runs-detail { height: auto; max-height: 3; padding: 0 1; color: $text-muted; }
    RunsScreen Overlay { height: 1fr; }
    RunsScreen.-wide #runs-body { layout: grid; grid-size: 2 1; grid-columns: 2fr 1fr; }
    RunsScreen.-wide #runs-table { height: 100%; max-height: 100%; }
    RunsScreen.-wide Overlay { height: 100%; }
    RunsScreen.-tiny Overlay, RunsScreen.-tiny #runs-detail { display: none; }
    RunsScreen.-tiny #runs-table { max-height: 100%; }
    RunsScreen.-empty RunList, RunsScreen.-empty #runs-detail, RunsScreen.-empty Overlay { display: none; }
    RunsScreen.-empty #runs-empty { display: block; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.scanner = RunScanner(session.runs_dir)
        self.table = RunTable()
        self.table.sort_key, self.table.is_reversed = session.preferences.sort_column, session.preferences.sort_reverse
        self.marks = Marks(RUN_ROLES)
        self.view = View()
        self._shown: object = None
        self._footer: list[bool | None] = []
        self._typing: Timer | None = None
        self._settling: Timer | None = None
        self._texts: dict[str, Content] = {}
        self._titles = ("", "")
        self.add_class("-empty")

    def compose_body(self) -> ComposeResult:
        with Container(id="runs-body"):
            with Vertical(id="runs-table", classes="pane"):
                yield RunList(self.table, self.marks)
                yield Static("reading the runs…", id="runs-empty", markup=False)
            yield Overlay(self.session)
        yield Static(id="runs-detail", markup=False)

    # ── what is shown ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def run_list(self) -> RunList:
        return self.query_one(RunList)

    @property
    def current(self) -> RunRow | None:
        """The run under the cursor."""
        return self.run_list.current

    @property
    def chosen(self) -> list[RunRow]:
        """The marked runs that are listed, or the one under the cursor while none is marked."""
        marked = [row for row in self.view.rows if row.id in self.marks]
        return marked or ([self.current] if self.current else [])

    @property
    def _is_ready(self) -> bool:
        """Whether its widgets are there: a screen may be in front before, and the app ends while a thread reads."""
        return self.is_mounted and self.app.is_running

    async def read_data(self) -> None:
        """Read the runs folder, then the journals of the charted runs."""
        drawn, more = 0.0, True
        while more:
            more = await asyncio.to_thread(self.scanner.scan)
            if not more or time.monotonic() - drawn > REDRAW_SECONDS:  # laid out in a thread, where it stalls no key
                if not self._is_ready:
                    return
                await asyncio.to_thread(self.table.view, self.scanner.rows, self._width)
                self.refresh_data()
                drawn = time.monotonic()
        if self._is_ready:
            await self.query_one(Overlay).read_data()

    @property
    def _width(self) -> int:
        return max(20, self.query_one("#runs-table").content_size.width - 1)  # the scroll bar

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.refresh_data)

    def refresh_data(self) -> None:
        """Show the rows, where they changed."""
        if not self._is_ready or not self.scanner.is_read:
            return
        super().refresh_data()
        self.marks.keep(row.id for row in self.scanner.rows)
        self._show_view()
        self._update("#runs-empty", self._empty_text())
        self.set_class(not self.view.rows, "-empty")
        if self.view.rows and self.focused is None:
            self.run_list.focus()
        self._set_titles()
        self.cursor_moved()

    def _show_view(self, follow: str = "") -> None:
        view = self.table.view(self.scanner.rows, self._width)
        shown = (view, tuple(self.marks.slots.items()))
        if shown != self._shown or follow:
            self._shown, self.view = shown, view
            self.run_list.show(view, follow=follow)

    def _set_titles(self) -> None:
        rows, listed = self.scanner.rows, self.view.rows
        live = sum(row.is_live for row in rows)
        of = f"{len(listed)} of {len(rows)} with “{one_line(self.table.filter)}”"
        parts = [of if self.table.filter else f"{len(rows)}"]
        parts += [f"{live} live"] if live else []
        parts += [f"{len(self.marks)} marked"] if len(self.marks) else []
        box = self.query_one("#runs-table")
        title = "Runs · " + " · ".join(parts)
        key = next((column for column in self.view.every_column if column.key == self.table.sort_key), None)
        order = f"by {self.table.title(key)}" if key else "oldest first" if self.table.is_reversed else "newest first"
        size = sum(row.size_bytes or 0 for row in rows)
        subtitle = f"{order} · {format_bytes(size)}" if rows else ""
        if (title, subtitle) != self._titles:
            self._titles = (title, subtitle)
            box.border_title, box.border_subtitle = Content(title), Content(subtitle)

    def _empty_text(self) -> Content:
        scanner, keymap = self.scanner, self.session.keymap
        if scanner.problem:
            return Content.styled(f"✗ {one_line(scanner.problem)}", "$text-error")
        if scanner.rows:
            hint = keys.key_hint("back", keymap, keys.RUNS)
            return Content(f"No run fits “{one_line(self.table.filter)}”. {hint} shows every run again.")
        key = keys.key_hint("new_run", keymap)
        return Content(f"No runs yet. {key} sets up the first one; it then stands here with its loss, rate and size.")

    def _update(self, selector: str, content: Content) -> None:
        before = self._texts.get(selector)
        if before is None or not content.is_same(before):
            self._texts[selector] = content
            target = self.query_one(selector, Static)
            width = max(1, target.content_size.width)
            is_as_tall = before is not None and lines_of(before, width) == lines_of(content, width)
            target.update(content, layout=not is_as_tall)

    @on(DataTable.RowHighlighted)
    def cursor_moved(self) -> None:
        """Say more of the run under the cursor, and chart it while none is marked."""
        row = self.current
        self._update("#runs-detail", self._detail(row) if row else Content())
        if self._choose_charted():
            if self._settling is not None:
                self._settling.stop()
            self._settling = self.set_timer(SETTLE_SECONDS, self._read_charted)
        self.query_one(Overlay).refresh_data()
        footer = [self.check_action(action, ()) for action in NEEDS_A_RUN]
        if footer != self._footer:  # making the footer anew costs more than all the rest
            self._footer = footer
            self.refresh_bindings()

    def _detail(self, row: RunRow) -> Content:
        """Return the run's id, and why it failed, cannot be read, or how it ended."""
        is_bad = bool(row.problem) or row.state in ("failed", "crashed", "unreadable")
        text = one_line(row.cause)
        if row.state in ("failed", "crashed", "stopped"):
            key = keys.key_hint("resume", self.session.keymap, keys.RUNS)
            text = f"{text.rstrip('.')}. {key} resumes it" if text else f"{key} resumes it"
        note = f" · “{one_line(row.note)}”" if row.note else ""
        return Content.assemble(
            (one_line(row.id), "bold"), (f" · {text}" if text else "", "$text-error" if is_bad else ""), note
        )

    # ── the chart ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _choose_charted(self) -> bool:
        """Chart the marked runs, or the one under the cursor; return whether there is something to read first."""
        rows = {row.id: row for row in self.scanner.rows}
        charted = [
            Charted(rows[run].folder, slot, self.marks.letter(run), self._label(rows[run]))
            for run, slot in self.marks.charted()
            if run in rows
        ]
        if not charted and self.current is not None:
            charted = [Charted(self.current.folder, 0, "", self._label(self.current))]
        return self.query_one(Overlay).choose(charted)

    def _label(self, row: RunRow) -> str:
        name = next((column for column in self.view.every_column if column.key == "name"), None)
        return name.text_of(row) if name and row.settings else row.own_name

    @work(group="overlay")  # not exclusive: what a thread has read must be applied
    async def _read_charted(self) -> None:
        overlay = self.query_one(Overlay)
        await overlay.read_data()
        if self._is_ready:
            overlay.refresh_data()

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """Return the bindings; where there is little room, the footer shows those that help most."""
        found = super().active_bindings
        quiet = next((names for name, names in QUIET.items() if self.has_class(name)), ())
        for key, active in found.items():
            if active.binding.action in quiet:
                found[key] = active._replace(binding=replace(active.binding, show=False))
        return found

    # ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action not in NEEDS_A_RUN:
            return True
        row = self.current
        if row is None:
            return False
        if action == "resume":
            return None if row.is_live or row.state == "unreadable" else True
        if action == "rename":
            return None if row.is_live else True
        if action == "diff":
            return None if len(self.marks) < 2 and (not len(self.marks) or row.id in self.marks) else True
        return True

    @on(DataTable.RowSelected)
    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(OpenRun(self.current.folder))

    @on(DataTable.HeaderSelected)
    def _header_pressed(self, event: DataTable.HeaderSelected) -> None:
        if event.column_key.value in {column.key for column in self.view.every_column}:
            self.table.sort_by(str(event.column_key.value))
            self._sort_changed()

    def action_sort(self) -> None:
        self.table.next_sort(self.view.columns)
        self._sort_changed()

    def action_reverse_sort(self) -> None:
        self.table.is_reversed = not self.table.is_reversed
        self._sort_changed()

    def _sort_changed(self) -> None:
        view = self.session.preferences
        view.sort_column, view.sort_reverse = self.table.sort_key, self.table.is_reversed
        self.refresh_data()

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take the mark away, and go on to the next."""
        if self.current is not None:
            self.marks.toggle(self.current.id)
            self.run_list.action_cursor_down()
            self.refresh_data()

    def action_mark_all(self) -> None:
        listed = [row.id for row in self.view.rows]
        is_all = all(run in self.marks for run in listed)
        (self.marks.remove if is_all else self.marks.add)(*listed)
        if not is_all and len(self.marks) > RUN_ROLES:
            self.notify(f"{len(self.marks)} runs are marked; the chart shows {RUN_ROLES} of them")
        self.refresh_data()

    @work(group="dialog", exclusive=True)
    async def action_filter(self) -> None:
        if not self.is_in_front:
            return
        before = self.table.filter
        hint = "words of name, state, tags and note; comparisons such as lr=1e-3 or val<1.5 · esc puts it back"
        prompt = Prompt("Filter runs", value=before, hint=hint, on_change=self._filter)
        entered = await self.app.push_screen_wait(prompt)
        self._filter(before if entered is None else entered)

    def _filter(self, text: str) -> None:
        """Show what fits `text`; with many runs once the typing rests, since each change fills the table anew."""
        if text == self.table.filter:
            return
        self.table.filter = text
        if self._typing is not None:
            self._typing.stop()
        if len(self.scanner.rows) > MANY:
            self._typing = self.set_timer(SETTLE_SECONDS, self.refresh_data)
        else:
            self.refresh_data()

    def action_back(self) -> None:
        """Show every run again; then forget the marks; then go to the dashboard."""
        if self.table.filter:
            self._filter("")
        elif len(self.marks):
            self.marks.remove(*self.marks)
            self.refresh_data()
        else:
            self.post_message(ShowScreen(keys.DASHBOARD))

    def text_to_copy(self) -> str:
        return to_tsv(self.view) if self.view.rows else ""


def lines_of(content: Content, width: int) -> int:
    """Return about how many lines a text takes."""
    return -(-width_of(content.plain) // width)
