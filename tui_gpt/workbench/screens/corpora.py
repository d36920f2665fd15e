"""Every text to train on: what is here and what can be fetched, how it begins, and what can be done to it."""

from __future__ import annotations

import asyncio

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.widgets import DataTable, ProgressBar, Static

from tui_gpt.errors import UserError
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import DraftChanged, ShowScreen, ViewTokens
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.drawing.formatting import cut, cut_head, format_bytes, format_short
from tui_gpt.workbench.drawing.sanitizing import clean, one_line
from tui_gpt.workbench.panes.corpora.corpus_preview import CorpusPreview
from tui_gpt.workbench.screens.corpus_tasks import CorpusTasks
from tui_gpt.workbench.state.corpora.corpus_summary import CorpusSummary, read_summary
from tui_gpt.workbench.state.corpora.corpus_table import CorpusRow, matching, read_rows
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.widgets.row_table import Cell, Heading, RowTable

PREVIEW_DELAY_SECONDS = 0.05  # while the cursor runs over the table, nothing is read
MAX_NAME = 40
HEADINGS = (
    Heading("name", "  name"),
    Heading("kind", "kind"),
    Heading("size", "size", is_right=True),
    Heading("tokens", "tokens", is_right=True),
    Heading("floor", "floor", is_right=True),
    Heading("documents", "documents", is_right=True),
    Heading("licence", "licence"),
)


class CorporaScreen(CorpusTasks):
    """A table of corpora and a preview of the one under the cursor."""

    NAME = keys.CORPORA
    BINDINGS = keys.bindings(keys.CORPORA)
    AUTO_FOCUS = "RowTable"
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (10, "-low"), (16, "-regular")]
    DEFAULT_CSS = """
    CorporaScreen #corpora-body { height: 1fr; layout: vertical; }
    CorporaScreen RowTable { height: 1fr; }
    CorporaScreen CorpusPreview { height: 42%; }
    CorporaScreen.-wide #corpora-body { layout: horizontal; }
    CorporaScreen.-wide RowTable { width: 1fr; height: 1fr; }
    CorporaScreen.-wide CorpusPreview { width: 44%; height: 1fr; }
    CorporaScreen #corpora-status { height: auto; padding: 0 1; }
    CorporaScreen #corpora-line { width: 1fr; height: auto; max-height: 2; }
    CorporaScreen #corpora-line.-problem { color: $text-error; }
    CorporaScreen ProgressBar { width: 34%; display: none; }
    CorporaScreen ProgressBar Bar { width: 1fr; }
    CorporaScreen.-low CorpusPreview, CorporaScreen.-tiny CorpusPreview { display: none; }
    CorporaScreen.-low #corpora-line { max-height: 1; }
    CorporaScreen.-tiny #corpora-status { display: none; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._rows: list[CorpusRow] = []
        self._listed: dict[str, CorpusRow] = {}  # the rows that match the filter, by their keys in the table
        self._needle = self._problem = ""
        self._wanted = ""  # the name of a corpus that the cursor goes to
        self._summaries: dict[str, CorpusSummary] = {}
        self._read: object = None  # what the rows were read for
        self._footer: object = None
        self._titles: object = None
        self._status: object = None

    def compose_body(self) -> ComposeResult:
        with Container(id="corpora-body"):
            yield RowTable(fixed_columns=1, id="corpus-list", classes="pane")
            yield CorpusPreview(self.session.keymap)
        with Horizontal(id="corpora-status"):
            yield Static(id="corpora-line", markup=False)
            yield ProgressBar(total=1.0, show_percentage=False, show_eta=False)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def read_data(self) -> None:
        session, data = self.session, self.session.draft.config.data
        wanted = (session.corpora_version, data.tokenizer, data.val_fraction, data.corpus)
        if wanted != self._read:
            rows, problem = await asyncio.to_thread(read_rows, session.corpus_dir, data.tokenizer, data.corpus)
            self._wanted = self._wanted or (data.corpus if self._read is None else "")
            self._rows, self._problem, self._read = rows, problem, wanted
            self._summaries.clear()
            self.refresh_data()
            self._cursor_moved()

    @work(group="preview", exclusive=True)
    async def _read_summary(self, name: str) -> None:
        """Read the summary of the corpus under the cursor, once the cursor rests on it."""
        read, data = self._read, self.session.draft.config.data
        await asyncio.sleep(PREVIEW_DELAY_SECONDS)
        summary = await asyncio.to_thread(
            read_summary, name, data.tokenizer, data.val_fraction, self.session.corpus_dir
        )
        if read == self._read:
            self._summaries[name] = summary
        self._show_preview()

    # ── showing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def current(self) -> CorpusRow | None:
        """Return the row under the cursor."""
        return self._listed.get(self.query_one(RowTable).current)

    def refresh_data(self) -> None:
        super().refresh_data()
        if self._read is not None:
            self._show_table()
            self._show_preview()
        self._show_status()

    def _show_table(self) -> None:
        table, data = self.query_one(RowTable), self.session.draft.config.data
        self._listed = {f"{row.kind} {row.name}": row for row in matching(self._rows, self._needle)}
        here = sum(row.is_here for row in self._rows)
        found = f"{len(self._listed)} of {len(self._rows)} with “{one_line(self._needle)}”"
        titles = f"Corpora · {found if self._needle else f'{here} here'}", f"tokens with {one_line(data.tokenizer)}"
        if titles != self._titles:
            self._titles = titles
            table.border_title, table.border_subtitle = map(Content, titles)
        current = next((key for key, row in self._listed.items() if row.name == self._wanted), "")
        self._wanted = "" if current else self._wanted
        cells = {key: _cells(row, is_chosen=row.name == data.corpus) for key, row in self._listed.items()}
        table.show(HEADINGS, cells, current=current)

    def _show_preview(self) -> None:
        row, task = self.current, self.session.task
        summary = self._summaries.get(row.name) if row else None
        self.query_one(CorpusPreview).show(row, summary, is_counting=task is not None, problem=self._problem)
        if (footer := (row, task)) != self._footer:
            self._footer = footer
            self.refresh_bindings()

    def _show_status(self) -> None:
        session, line, bar = self.session, self.query_one("#corpora-line", Static), self.query_one(ProgressBar)
        task, data = session.task, session.draft.config.data
        bar.display = task is not None and task.fraction is not None
        if task is not None:
            hint = keys.key_hint("cancel_task", session.keymap, keys.CORPORA)
            text = f"● {task.description} · {hint} cancels"
            bar.update(progress=task.fraction or 0.0)
        elif session.task_error:
            room = 2 * max(20, line.size.width) - 6  # of an error, the end says most
            text = f"✗ {cut_head(one_line(session.task_error), room)}"
        else:
            text = f"● the next run trains on {data.corpus} with {data.tokenizer}"
        line.set_class(text.startswith("✗"), "-problem")
        if text != self._status:
            self._status = text
            line.update(clean(text))

    # ── moving and choosing ─────────────────────────────────────────────────────────────────────────────────────────

    @on(DataTable.RowHighlighted)
    def _cursor_moved(self) -> None:
        self._show_preview()
        row = self.current
        if row is not None and row.is_here and row.name not in self._summaries:
            self._read_summary(row.name)

    @on(DataTable.RowSelected)
    def action_choose(self) -> None:
        """Use the corpus in the next run; one that is not here is named or fetched first."""
        row = self.current
        if row is None:
            return
        if row.problem:
            self.notify(f"{row.name}: {row.problem}", severity="warning")
        elif row.kind == "path":
            self.action_browse()
        elif row.kind == "pattern":
            self.ask_for_name(row)
        elif row.kind == "to fetch":
            self.offer_fetch(row.name)
        else:
            self.use_corpus(row.name)

    def use_corpus(self, reference: str) -> None:
        """Make `reference` the draft's corpus, and go to New run."""
        try:
            self.session.draft.set({"data.corpus": reference})
        except UserError as error:
            self.notify(str(error), severity="error")
            return
        self.select(reference)
        self.post_message(DraftChanged())
        self.post_message(ShowScreen(keys.NEW_RUN))

    def select(self, name: str) -> None:
        self._wanted, self._needle = name, ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave out of the footer what cannot be done to the corpus under the cursor."""
        row = self.current if self.is_mounted else None
        if action in ("clean", "prepare", "tokens", "report"):
            return row is not None and row.is_here
        if action == "fetch":
            return row is not None and row.kind in ("to fetch", "pattern")
        if action == "choose":
            return row is not None
        if action == "cancel_task":
            return self.session.task is not None
        return True

    def action_fetch(self) -> None:
        self.action_choose()

    def action_tokens(self) -> None:
        if self.current is not None:
            self.post_message(ViewTokens(self.current.name))

    def action_cancel_task(self) -> None:
        if self.session.task is not None:
            self.session.task.cancel()

    @work(group="reload", exclusive=True)
    async def action_reload(self) -> None:
        self.session.task_error = ""
        self.session.corpora_version += 1
        await self.read_data()

    @work
    async def action_browse(self) -> None:
        from tui_gpt.workbench.dialogs.path_picker import PathPicker

        reference = await self.ask(PathPicker(self.session.workspace, self.check_reference))
        if reference is not None:
            self.use_corpus(str(reference))

    @work
    async def action_filter(self) -> None:
        before = self._needle
        hint = "a part of the name, the kind, the licence or what it is; empty shows all"
        text = await self.ask(Prompt("Filter corpora", value=before, hint=hint, on_change=self._filter))
        self._filter(before if text is None else text)

    def _filter(self, text: str) -> None:
        self._needle = text.strip()
        self._show_table()
        self._cursor_moved()

    def action_back(self) -> None:
        if self._needle:
            self._filter("")
        else:
            self.post_message(ShowScreen(keys.DASHBOARD if self.session.monitor else keys.NEW_RUN))

    def text_to_copy(self) -> str:
        summary = self._summaries.get(self.current.name) if self.current else None
        return summary.preview if summary else ""


def _cells(row: CorpusRow, *, is_chosen: bool) -> list[Cell]:
    """Return the texts of a row, in the order of `HEADINGS`. `●`: the next run trains on it."""
    name = one_line(row.name)
    name = cut_head(name, MAX_NAME) if "/" in name and row.is_here else cut(name, MAX_NAME)
    texts = (
        "✗ broken" if row.problem else row.kind,
        format_bytes(row.size_bytes) if row.size_bytes else "",
        format_short(row.tokens) if row.tokens is not None else "",
        f"{row.floor:.3f}" if row.floor is not None else "known" if row.has_floor else "",
        format_short(row.documents) if row.documents is not None else "",
        cut(one_line(row.licence), MAX_NAME),
    )
    mark = "● " if is_chosen else "  "
    return [Cell(mark + name, "strong" if row.is_here else "muted"), *(Cell(text, "muted") for text in texts)]
