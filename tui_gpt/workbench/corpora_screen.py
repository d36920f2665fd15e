"""Every text to learn from: what is here and what can be had, how it begins, and what can be done to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from textual.app import ComposeResult
from textual.containers import Container

from tui_gpt.errors import UserError
from tui_gpt.workbench import actions, corpus_work
from tui_gpt.workbench.canvas import Canvas, Row, Span, framed, row, sides
from tui_gpt.workbench.chore_process import Work
from tui_gpt.workbench.chores import ask_child
from tui_gpt.workbench.corpus_facts import CorpusFacts, read_facts
from tui_gpt.workbench.corpus_list import MIXTURE, CorpusLine, matching, read_lines, table_head, table_row
from tui_gpt.workbench.list_screen import ListScreen, Table
from tui_gpt.workbench.text import count, cut_head, one_line, size, wrap

WIDE_FROM = 160  # columns from which on list and preview stand side by side


class _Preview(Canvas):
    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        return cast("CorporaScreen", self.screen).preview_rows(width, height)


class CorporaScreen(ListScreen[CorpusLine]):
    place = actions.CORPORA
    BINDINGS = actions.bindings(actions.CORPORA)

    def __init__(self) -> None:
        super().__init__()
        self.every: list[CorpusLine] | None = None
        self.problem = ""
        self._facts: dict[str, CorpusFacts] = {}

    def compose_middle(self) -> ComposeResult:
        with Container(id="middle"):
            yield Table(id="corpora-table")
            yield _Preview(id="corpora-preview")

    def on_resize(self) -> None:
        super().on_resize()
        self.query_one("#middle").set_class(self.app.size.width >= WIDE_FROM, "wide")
        self.query_one("#corpora-preview").display = self.app.size.height >= 16

    def on_screen_resume(self) -> None:
        self.selected = self.selected or self.workbench.draft.config.data.corpus
        self.corpora_changed()

    # what it shows

    def corpora_changed(self) -> None:
        self._facts.clear()
        self.run_worker(self._read(), group="study", exclusive=True)

    async def _read(self) -> None:
        data = self.workbench.draft.config.data
        try:
            self.every = await asyncio.to_thread(read_lines, self.workbench.corpus_dir, data.tokenizer, data.corpus)
            self.problem = ""
        except UserError as error:
            self.every, self.problem = [], str(error)
        self.redraw()
        await self._look_into()

    async def _look_into(self) -> None:
        """Read how the marked corpus begins."""
        line, data = self.current, self.workbench.draft.config.data
        if line is None or not line.is_here or line.name in self._facts:
            return
        await asyncio.sleep(0.05)  # while the cursor runs over the list, nothing is read
        facts = await asyncio.to_thread(
            read_facts, line.name, data.tokenizer, data.val_fraction, self.workbench.corpus_dir
        )
        self._facts[line.name] = facts
        self.redraw()

    @property
    def lines(self) -> list[CorpusLine]:
        return matching(self.every or [], self.needle)

    def name_of(self, line: CorpusLine) -> str:
        return line.name

    def table_rows(self, width: int, height: int) -> list[Row]:
        window, inner, data = self.window(height), width - 4, self.workbench.draft.config.data
        body = [table_head(inner)]
        body += [table_row(line, inner, selected=at, chosen=line.name == data.corpus) for line, at in window]
        if self.problem:
            body = [row((line, "bad")) for line in wrap(f"✗ {self.problem}", inner)]
        elif self.every is None:
            body = [row(("reading the corpora…", "dim"))]
        elif not window:
            body += [(), row((f"no corpus holds “{one_line(self.needle)}”", "bright"))]
        here = sum(line.is_here for line in self.every or [])
        note = f"{here} here · tokens with {one_line(data.tokenizer)}"
        return self.framed_list(body, width, height, title="Corpora", note=note)

    def preview_rows(self, width: int, height: int) -> list[Row]:
        line, inner = self.current, max(8, width - 4)
        if line is None:
            return framed([], width, height, title=row(("Text", "title")), active=False)
        body: list[Row] = [row((part, "text")) for part in wrap(line.about, inner)] if line.about else []
        if line.good_for:
            body += _labelled("good for", line.good_for, inner)
        if line.kind == "to fetch":
            body += _labelled("licence", line.licence, inner) + _labelled("from", line.source, inner)
            body += [(), row(("f", "key"), (" fetches it: says how much, and asks", "dim"))]
        elif line.kind == "pattern":
            body += [(), row(("enter", "key"), (" asks for the name", "dim"))]
        elif line.kind == "path":
            body += [(), row(("enter", "key"), (" finds it, completing what is typed", "dim"))]
        else:
            body += self._counts(line, inner)
            facts = self._facts.get(line.name)
            body.append(row(("─" * inner, "faint")))
            if facts is None:
                body.append(row(("reading…", "dim")))
            elif facts.problem:
                body += [row((part, "bad")) for part in wrap(f"✗ {facts.problem}", inner)]
            else:
                body += [row(part) for part in wrap(facts.preview, inner, limit=200)]
        return framed(body, width, height, title=row((one_line(line.name), "title")), active=False)

    def _counts(self, line: CorpusLine, width: int) -> list[Row]:
        """Size, documents, tokens and floor in full."""
        parts = [size(line.size_bytes)] if line.size_bytes else []
        if line.documents is not None:
            parts.append(f"{count(line.documents)} document{'s' * (line.documents != 1)}")
        if line.tokens is not None:
            parts.append(f"{count(line.tokens)} tokens")
        elif not self.workbench.chore:
            parts.append("p counts its tokens")
        rows = [row((part, "dim")) for part in wrap(" · ".join(parts), width)]
        if line.floor is not None and line.floor_bits is not None:
            floor = f"floor {line.floor:.3f} nats a token, {line.floor_bits:.3f} bits a byte: no model does better"
            rows += [row((part, "dim")) for part in wrap(floor, width)]
        elif line.has_floor:
            rows.append(row(("the lowest loss that any model can reach is known: p counts it", "dim")))
        return rows

    def status_row(self, width: int) -> Row:
        chore = self.workbench.chore
        if chore is not None:
            key = actions.shown(actions.keys_of(actions.BY_ID["cancel_chore"], self.workbench.keymap)[0])
            right = row((f"{chore.bar}  ", "accent"), (key, "key"), (" cancels ", "dim"))
            return sides(row((" ● ", "good"), (one_line(chore.doing), "text")), right, width)
        if self.workbench.chore_problem:
            return row((" ✗ ", "bad"), (cut_head(one_line(self.workbench.chore_problem), width - 4), "bad"))
        data = self.workbench.draft.config.data
        return row(
            (" ● ", "accent"),
            ("the next run learns from ", "dim"),
            (one_line(data.corpus), "accent"),
            (f" with {one_line(data.tokenizer)}", "dim"),
        )

    def footer_items(self) -> list[tuple[str, str]]:
        line = self.current
        items = [("cancel_chore", "cancel")] if self.workbench.chore else []
        if line is None or not line.is_here:
            items += [("take_corpus", "name it" if line and line.kind != "to fetch" else "fetch")]
        else:
            items += [("take_corpus", "choose"), ("prepare_corpus", "prepare"), ("clean_corpus", "clean")]
            items += [("view_tokens", "tokens")]
        items += [("filter_corpora", "filter"), ("open_path", "path")]
        if line is not None and line.is_here:
            items += [("report_corpus", "report")]
        return [*items, ("back", "back"), ("quit", "quit")]

    def cursor_moved(self) -> None:
        self.redraw()
        self.run_worker(self._look_into(), group="preview", exclusive=True)

    def open_line(self) -> None:
        self.action_take_corpus()

    # actions

    def action_take_corpus(self) -> None:
        line = self.current
        if line is None:
            return
        if line.kind == "path":
            self.action_open_path()
        elif line.kind == "pattern":
            self._ask_for_name(line)
        elif line.kind == "to fetch":
            self.action_fetch_corpus()
        else:
            self._take(line.name)

    def _take(self, reference: str) -> None:
        draft, self.selected = self.workbench.draft, ""  # next time the cursor is on it
        self.workbench.edit_draft(lambda: draft.set("data.corpus", reference))
        self.workbench.show_screen("dashboard")

    def _ask_for_name(self, line: CorpusLine) -> None:
        from tui_gpt.corpora.sources.catalogue import catalogue_entry
        from tui_gpt.corpora.sources.mixtures import parse_mixture

        scheme = line.name.partition(":")[0] + ":"

        def check(text: str) -> str:
            try:
                if line.name == MIXTURE:
                    return "" if parse_mixture(text) else f"write {MIXTURE}"
                if not text.startswith(scheme):
                    return f"write {line.name}"
                catalogue_entry(text)
            except UserError as error:
                return error.what + (f". {error.do}" if error.do else "")
            return ""

        def named(text: str) -> None:
            if scheme in ("gutenberg:", "hf:"):
                corpus_work.ask_to_fetch(self.workbench, text, self._arrived)
            else:
                self.run_worker(self._check_and_take(text), group="check", exclusive=True)

        hint = row((f"{line.name}: {line.about}", "dim"))
        begun = "" if line.name == MIXTURE else scheme
        self.ask(row(("Corpus ", "bright")), named, value=begun, check=check, hint=hint)

    async def _check_and_take(self, reference: str) -> None:
        try:
            self._take(await self._checked(reference))
        except UserError as error:
            self.workbench.say(str(error), "error")

    async def _checked(self, reference: str) -> str:
        work = Work(task="check", reference=reference, corpus_dir=str(self.workbench.corpus_dir))
        return await ask_child(work, str)

    def _arrived(self, name: str) -> None:
        self.selected, self.needle = name, ""

    def _here(self) -> CorpusLine | None:
        """The marked corpus, if there is text of it here; otherwise says how to get it."""
        line = self.current
        if line is not None and not line.is_here:
            how = "fetch it first: f" if line.kind == "to fetch" else "name one first: enter"
            self.workbench.say(f"{line.name} is not here: {how}")
            return None
        return line

    def action_fetch_corpus(self) -> None:
        line = self.current
        if line is None:
            return
        if line.kind == "pattern":
            self._ask_for_name(line)
        elif line.kind == "to fetch":
            corpus_work.ask_to_fetch(self.workbench, line.name, self._arrived)
        else:
            self.workbench.say(f"{one_line(line.name)} is here: there is nothing to fetch")

    def action_clean_corpus(self) -> None:
        if (line := self._here()) is not None:
            corpus_work.ask_to_clean(self.workbench, line.name, self._arrived)

    def action_prepare_corpus(self) -> None:
        if (line := self._here()) is not None:
            corpus_work.prepare(self.workbench, line.name)

    def action_report_corpus(self) -> None:
        if (line := self._here()) is not None:
            corpus_work.ask_for_report(self.workbench, line.name)

    def action_view_tokens(self) -> None:
        if (line := self._here()) is not None:
            self.workbench.view_tokens(line.name)

    def action_open_path(self) -> None:
        from tui_gpt.workbench.path_picker import PathPicker

        def picked(reference: object) -> None:
            if reference is not None:
                self._take(str(reference))

        self.workbench.push_screen(PathPicker(self.workbench.workspace, self._checked), picked)

    def action_cancel_chore(self) -> None:
        corpus_work.cancel(self.workbench)

    def action_refresh_corpora(self) -> None:
        self.workbench.chore_problem = ""
        self.corpora_changed()

    def action_filter_corpora(self) -> None:
        self.ask_for_filter("corpora", "a part of the name, the kind, the licence or what it is; empty shows all")

    def text_to_copy(self) -> str:
        line = self.current
        facts = self._facts.get(line.name) if line else None
        return facts.preview if facts else ""


def _labelled(label: str, text: str, width: int) -> list[Row]:
    lines = wrap(text, max(8, width - 10))
    return [row((f"{label if n == 0 else '':<10}", "dim"), (part, "text")) for n, part in enumerate(lines)]
