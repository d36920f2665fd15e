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
from tui_gpt.workbench.dialogs.picker import Item, Picker
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.drawing.formatting import format_bytes
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.panes.run_plots import RUN_ROLES
from tui_gpt.workbench.panes.runs.overlay import COMPARABLE, X_TITLES, Charted, Overlay
from tui_gpt.workbench.screens.run_actions import RunActions
from tui_gpt.workbench.state.runs.run_scan import RunRow
from tui_gpt.workbench.state.runs.run_table import Column
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.row_table import Cell, Heading, RowTable
from tui_gpt.workbench.widgets.status_bar import STATES

if TYPE_CHECKING:
    from textual.binding import ActiveBinding

NEEDS_A_RUN = (
    "open", "mark", "mark_all", "diff", "resume", "use_config", "note", "tag", "delete", "log", "events",
    "config", "sort", "reverse_sort", "metric", "log_scale", "x_axis", "save", "talk",
)  # fmt: skip
QUIET = {  # what the footer leaves out
    "-narrow": ("diff", "sort", "talk", "tag", "config", "metric", "save", "new_run", "command_palette"),
    "-normal": ("tag", "config", "metric", "new_run"),
}
REDRAW_SECONDS = 1.0  # while many runs are read
SETTLE_SECONDS = 0.12  # the cursor rests this long on a run before its journal is read
MARK = Heading("mark", "   ")
STYLES = {"name": "strong", "run": "muted", "started": "muted", "note": "muted"}


class RunsScreen(RunActions):
    """The runs; enter opens the one under the cursor on the dashboard."""

    NAME = keys.RUNS
    BINDINGS = keys.bindings(keys.RUNS)
    DEFAULT_CSS = """
    RunsScreen #runs-body { height: 1fr; }
    RunsScreen #runs-box { height: auto; max-height: 55%; width: 1fr; }
    RunsScreen RowTable { height: auto; max-height: 100%; }
    RunsScreen #runs-empty { height: auto; padding: 1 2; display: none; }
    RunsScreen #runs-detail { height: auto; max-height: 3; padding: 0 1; color: $text-muted; }
    RunsScreen Overlay { height: 1fr; }
    RunsScreen.-wide #runs-body { layout: grid; grid-size: 2 1; grid-columns: 2fr 1fr; }
    RunsScreen.-wide #runs-box { height: 100%; max-height: 100%; }
    RunsScreen.-wide Overlay { height: 100%; }
    RunsScreen.-tiny Overlay, RunsScreen.-tiny #runs-detail { display: none; }
    RunsScreen.-tiny #runs-box { max-height: 100%; }
    RunsScreen.-empty RowTable, RunsScreen.-empty #runs-detail, RunsScreen.-empty Overlay { display: none; }
    RunsScreen.-empty #runs-empty { display: block; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._rows = RowTable(fixed_columns=3, id="run-list")
        self._shown: object = None
        self._footer: object = None
        self._texts: dict[str, Content] = {}
        self.add_class("-empty")

    def compose_body(self) -> ComposeResult:
        with Container(id="runs-body"):
            with Vertical(id="runs-box", classes="pane"):
                yield self._rows
                yield Static("reading the runs…", id="runs-empty", markup=False)
            yield Overlay(self.session)
        yield Static(id="runs-detail", markup=False)

    # ── what is shown ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def current(self) -> RunRow | None:
        run = self._rows.current
        return next((row for row in self.view.rows if row.id == run), None)

    @property
    def _is_ready(self) -> bool:
        """Whether its widgets are there: a screen may be in front before, and the app ends while a thread reads."""
        return self.is_mounted and self.app.is_running

    async def read_data(self) -> None:
        """Read the runs folder, then the journals of the charted runs."""
        drawn = 0.0
        while await asyncio.to_thread(self.scanner.scan):
            if self._is_ready and time.monotonic() - drawn > REDRAW_SECONDS:
                self.refresh_data()
                drawn = time.monotonic()
        if self._is_ready:
            self.refresh_data()
            await self.query_one(Overlay).read_data()

    def refresh_data(self) -> None:
        """Show the rows, where they changed."""
        if not self._is_ready or not self.scanner.is_read:
            return
        super().refresh_data()
        found = {row.id for row in self.scanner.rows}
        self.marks = {run: slot for run, slot in self.marks.items() if run in found}
        self._show_rows()
        self._update("#runs-empty", self._empty_text())
        self.set_class(not self.view.rows, "-empty")
        if self.view.rows and self.focused is None:
            self._rows.focus()
        self._set_titles()
        self.cursor_moved()

    def _show_rows(self) -> None:
        view = self.table.view(self.scanner.rows)
        shown = (view, dict(self.marks))
        if shown != self._shown:
            self._shown, self.view = shown, view
            headings = [MARK] + [
                Heading(column.key, self.table.title(column), column.is_number) for column in view.columns
            ]
            cells = {
                row.id: [self._mark(row.id), *(self._cell(row, column) for column in view.columns)] for row in view.rows
            }
            self._rows.show(headings, cells)

    def _mark(self, run: str) -> Cell:
        if run not in self.marks:
            return Cell("")
        letter = self.letter(run)
        return Cell(f"● {letter}".rstrip(), f"run-{self.marks[run]}" if letter else "muted")

    def _cell(self, row: RunRow, column: Column) -> Cell:
        text = column.text_of(row)
        if column.key != "state":
            return Cell(text, STYLES.get(column.key, ""))
        glyph, color = STATES.get(row.state, ("○", ""))
        return Cell(f"{glyph} {text}", color.removeprefix("$text-") if color.startswith("$text-") else "")

    def _set_titles(self) -> None:
        rows, listed, box = self.scanner.rows, self.view.rows, self.query_one("#runs-box")
        live = sum(row.is_live for row in rows)
        parts = [f"{len(rows)}"]
        if self.table.filter:
            parts = [f"{len(listed)} of {len(rows)} with “{one_line(self.table.filter)}”"]
        parts += [f"{live} live"] if live else []
        parts += [f"{len(self.marks)} marked"] if self.marks else []
        key = next((column for column in self.view.columns if column.key == self.table.sort_key), None)
        order = f"by {self.table.title(key)}" if key else "oldest first" if self.table.is_reversed else "newest first"
        size = format_bytes(sum(row.size_bytes for row in rows))
        for name, text in (("border_title", "Runs · " + " · ".join(parts)), ("border_subtitle", f"{order} · {size}")):
            if getattr(box, name) != Content(text).markup:
                setattr(box, name, Content(text))

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
            self.query_one(selector, Static).update(content)

    @on(DataTable.RowHighlighted)
    def cursor_moved(self) -> None:
        """Say more of the run under the cursor, and chart it while none is marked."""
        row, overlay = self.current, self.query_one(Overlay)
        self._update("#runs-detail", self._detail(row) if row else Content())
        if overlay.choose(self._charted()):
            self._read_charted()
        overlay.refresh_data()
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

    def _charted(self) -> list[Charted]:
        """Return the marked runs that have a color, or the one under the cursor while none is marked."""
        rows = {row.id: row for row in self.scanner.rows}
        slots = sorted((slot, run) for run, slot in self.marks.items() if slot < RUN_ROLES)
        charted = [Charted(rows[run].folder, slot, self.letter(run), self.name_of(rows[run])) for slot, run in slots]
        if not charted and self.current is not None:
            charted = [Charted(self.current.folder, 0, "", self.name_of(self.current))]
        return charted

    @work(group="overlay")  # not exclusive: what a thread has read must be applied
    async def _read_charted(self) -> None:
        """Read the charted runs once the cursor rests."""
        overlay, charted = self.query_one(Overlay), self._charted()
        await asyncio.sleep(SETTLE_SECONDS)
        if self._is_ready and charted == self._charted():
            await overlay.read_data()
            if self._is_ready:
                overlay.refresh_data()

    @work
    async def action_metric(self) -> None:
        overlay = self.query_one(Overlay)
        items = [Item(metric.label, metric.unit, key) for key, metric in COMPARABLE.items()]
        chosen = await self.ask(Picker("Metric of the overlay", items, current=overlay.metric))
        if chosen is not None:
            self.session.preferences.metric = str(chosen)
            overlay.refresh_data()

    def action_log_scale(self) -> None:
        self.session.preferences.log_y = not self.session.preferences.log_y
        self.query_one(Overlay).refresh_data()

    def action_x_axis(self) -> None:
        view, axes = self.session.preferences, list(X_TITLES)
        view.x_axis = axes[(axes.index(view.x_axis) + 1) % len(axes)]
        self.query_one(Overlay).show_all()

    # ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """Return the bindings; where there is little room, the footer shows those that help most."""
        found = super().active_bindings
        quiet = next((names for name, names in QUIET.items() if self.has_class(name)), ())
        for key, active in found.items():
            if active.binding.action in quiet:
                found[key] = active._replace(binding=replace(active.binding, show=False))
        return found

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action not in NEEDS_A_RUN:
            return True
        row = self.current
        if row is None:
            return False
        if action == "resume":
            return None if row.is_live or row.state == "unreadable" else True
        if action == "diff":
            return True if len({*self.marks, row.id}) > 1 else None
        return True

    @on(DataTable.RowSelected)
    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(OpenRun(self.current.folder))

    @on(DataTable.HeaderSelected)
    def _header_pressed(self, event: DataTable.HeaderSelected) -> None:
        if event.column_key.value != MARK.key:
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
            if self.marks.pop(self.current.id, None) is None:
                self.mark([self.current.id])
            self._rows.action_cursor_down()
            self.refresh_data()

    def action_mark_all(self) -> None:
        if len(self.marked) == len(self.view.rows):
            self.marks.clear()
        else:
            self.mark(row.id for row in self.view.rows)
            if len(self.marks) > RUN_ROLES:
                self.notify(f"{len(self.marks)} runs are marked; the chart shows {RUN_ROLES} of them")
        self.refresh_data()

    @work
    async def action_filter(self) -> None:
        before = self.table.filter
        hint = "words of name, state, settings, tags and note · esc puts it back"
        prompt = Prompt("Filter runs", value=before, hint=hint, on_change=self._filter)
        entered = await self.ask(prompt)
        self._filter(before if entered is None else entered)

    def _filter(self, text: str) -> None:
        self.table.filter = text
        self.refresh_data()

    def action_back(self) -> None:
        """Show every run again; then forget the marks; then go to the dashboard."""
        if self.table.filter:
            self._filter("")
        elif self.marks:
            self.marks.clear()
            self.refresh_data()
        else:
            self.post_message(ShowScreen(keys.DASHBOARD))

    def text_to_copy(self) -> str:
        return self.view.tsv if self.view.rows else ""
