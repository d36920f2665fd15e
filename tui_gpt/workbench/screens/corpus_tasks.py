"""What can be done to a corpus from the list: named, prepared, fetched after asking, cleaned with chosen steps."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from textual import work

from tui_gpt.errors import UserError
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import RunTask
from tui_gpt.workbench.dialogs.confirm import Answer, Confirm
from tui_gpt.workbench.dialogs.prompt import Prompt
from tui_gpt.workbench.dialogs.viewer import Viewer
from tui_gpt.workbench.drawing.formatting import format_bytes
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.jobs.task import TaskRequest, run_task
from tui_gpt.workbench.jobs.task_process import FetchOffer
from tui_gpt.workbench.screens.work_screen import WorkScreen
from tui_gpt.workbench.state.corpora.corpus_table import MIXTURE, CorpusRow

if TYPE_CHECKING:
    from tui_gpt.corpora.cleaning.pipeline import Report


class CorpusTasks(WorkScreen):
    """The part of the corpora screen that asks what must be asked, and hands the work to a background task."""

    @property
    def current(self) -> CorpusRow | None:
        """The corpus under the cursor."""
        raise NotImplementedError

    def use_corpus(self, reference: str) -> None:
        """Make `reference` the draft's corpus."""
        raise NotImplementedError

    def select(self, name: str) -> None:
        """Move the cursor to a corpus that has just arrived."""
        raise NotImplementedError

    def _request(self, task: str, reference: str, **options: object) -> TaskRequest:
        return TaskRequest(task=task, reference=reference, corpus_dir=str(self.session.corpus_dir), **options)  # type: ignore[arg-type]

    async def check_reference(self, reference: str) -> str:
        """Return the corpus that `reference` names. Raises UserError when it names none."""
        return await run_task(self._request("check", reference), str)

    # ── name ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @work
    async def ask_for_name(self, row: CorpusRow) -> None:
        """Ask for the name that a pattern stands for, then fetch or use it."""
        scheme = row.name.partition(":")[0] + ":"
        begun = "" if row.name == MIXTURE else scheme
        prompt = Prompt(
            "Corpus",
            value=begun,
            hint=f"{row.name}: {row.about}",
            validate=lambda text: _name_problem(row.name, scheme, text),
        )
        name = await self.ask(prompt)
        if not name:
            return
        if scheme in ("gutenberg:", "hf:"):
            self.offer_fetch(name)
            return
        try:
            self.use_corpus(await self.check_reference(name))
        except UserError as error:
            self.notify(str(error), severity="error")

    # ── prepare ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_prepare(self) -> None:
        """Tokenize a corpus with the draft's tokenizer, which is trained first where it has to be."""
        from tui_gpt.corpora import ShardsInfo

        if self.current is None:
            return
        reference, data = self.current.name, self.session.draft.config.data
        request = self._request("prepare", reference, tokenizer=data.tokenizer, val_fraction=data.val_fraction)

        def done(info: ShardsInfo) -> None:
            self.notify(f"{reference} is prepared for {data.tokenizer}: {info.tokens:,} tokens")

        self.post_message(RunTask(request, f"preparing {one_line(reference)}", ShardsInfo, done))

    # ── fetch ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @work
    async def offer_fetch(self, name: str) -> None:
        """Find out how large `name` is, ask, and fetch it or a part of it."""
        megabytes: float | None = None
        self.notify(f"asking how large {name} is…")
        while True:
            request = self._request("plan", name, megabytes=megabytes)
            try:
                offer = await run_task(request, FetchOffer)
            except UserError as error:
                self.notify(str(error), severity="error")
                return
            if not self.is_in_front:
                self.notify(f"{name} can be fetched: Corpora asks whether to, when it is chosen again")
                return
            size = format_bytes(offer.size_bytes) if offer.size_bytes else "of unknown size"
            if megabytes is not None and not offer.size_bytes:
                size = f"{megabytes:g} MB"
            text = f"{name}: {size}\nlicence: {offer.licence}\nfrom: {offer.source}"
            answers = [Answer("y", "fetch it", "fetch")]
            if offer.in_parts and megabytes is None:
                answers.append(Answer("m", "fetch a part of it: asks how many megabytes", "part"))
            answer = await self.ask(Confirm("Fetch", text, answers))
            if answer != "part":
                break
            hint = "a number of megabytes, such as 100; the first files that hold as much are fetched"
            wanted = await self.ask(Prompt(f"Megabytes of {name}", hint=hint, validate=_megabytes_problem))
            if wanted is None:
                return
            megabytes = float(wanted)
        if answer == "fetch":
            request = self._request("fetch", name, megabytes=megabytes)

            def done(_: str) -> None:
                self.notify(f"{name} is here")
                self.select(name)

            self.post_message(RunTask(request, f"fetching {one_line(name)}", str, done))

    # ── clean ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @work
    async def action_clean(self) -> None:
        """Let the user choose the steps, make a clean copy, and show the report."""
        from tui_gpt.corpora import find_corpus
        from tui_gpt.corpora.cleaning.pipeline import Report
        from tui_gpt.corpora.sources.registry import cleaned_name
        from tui_gpt.workbench.dialogs.cleaning import CleaningDialog

        if self.current is None:
            return
        reference, corpus_dir = self.current.name, self.session.corpus_dir
        try:
            name = await asyncio.to_thread(lambda: cleaned_name(find_corpus(reference, corpus_dir), corpus_dir))
        except (UserError, OSError) as error:
            self.notify(str(error), severity="error")
            return
        steps = await self.ask(CleaningDialog(reference, name))
        if not steps:
            return

        def done(report: Report) -> None:
            self.select(name)
            self._show_report(report)

        request = self._request("clean", reference, steps=steps, name=name)
        self.post_message(RunTask(request, f"cleaning {one_line(reference)}", Report, done))

    def action_report(self) -> None:
        """Show what was done to a cleaned corpus, or what cleaning would do to another."""
        from tui_gpt.corpora.cleaning.pipeline import Report

        if self.current is not None:
            title = f"looking through {one_line(self.current.name)}"
            request = self._request("report", self.current.name)
            self.post_message(RunTask(request, title, Report, self._show_report))

    def _show_report(self, report: Report) -> None:
        from tui_gpt.workbench.dialogs.cleaning import report_table

        if not self.is_in_front:
            hint = keys.key_hint("report", self.session.keymap, keys.CORPORA)
            self.notify(f"{report.name}: {hint} under Corpora shows the report")
            return
        title = "Cleaned" if report.written else "What cleaning would do to"
        self.app.push_screen(Viewer(f"{title} {report.source}", report_table(report)))


def _name_problem(pattern: str, scheme: str, text: str) -> str:
    """Return what is wrong with a corpus name; empty when nothing is."""
    from tui_gpt.corpora.sources.catalogue import catalogue_entry
    from tui_gpt.corpora.sources.mixtures import parse_mixture

    try:
        if pattern == MIXTURE:
            return "" if parse_mixture(text) else f"write {MIXTURE}"
        if not text.startswith(scheme):
            return f"write {pattern}"
        catalogue_entry(text)
    except UserError as error:
        return error.what + (f". {error.do}" if error.do else "")
    return ""


def _megabytes_problem(text: str) -> str:
    try:
        return "" if 0 < float(text) < math.inf else "must be more than 0"
    except ValueError:
        return "a number of megabytes, such as 100"
