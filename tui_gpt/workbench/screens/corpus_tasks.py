"""What can be done to a corpus from the list: named, prepared, fetched after asking, cleaned with chosen steps."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, TypeVar

from textual import work
from textual.screen import ModalScreen

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


T = TypeVar("T")


class CorpusTasks(WorkScreen):
    """The part of the corpora screen that asks what must be asked, and hands the work to a background task."""

    _offer: FetchOffer | None = None  # the question has not been asked yet: something else was in front

    def use_corpus(self, reference: str) -> None:
        """Make `reference` the draft's corpus."""
        raise NotImplementedError

    def select(self, name: str) -> None:
        """Move the cursor to a corpus that has just arrived."""
        raise NotImplementedError

    def _request(self, task: str, reference: str, **options: object) -> TaskRequest:
        return TaskRequest(task=task, reference=reference, corpus_dir=str(self.session.corpus_dir), **options)  # type: ignore[arg-type]

    async def ask(self, dialog: ModalScreen[T]) -> T | None:
        """Show `dialog` and return its result, None where another dialog is in front already."""
        if not self.is_in_front:
            return None
        return await self.app.push_screen_wait(dialog)

    async def check_reference(self, reference: str) -> str:
        """Return the corpus that `reference` names. Raises UserError when it names none."""
        return await run_task(self._request("check", reference), str)

    # ── name ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @work(group="dialog")
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

    def prepare(self, reference: str) -> None:
        """Tokenize a corpus with the draft's tokenizer, which is trained first where it has to be."""
        from tui_gpt.corpora import ShardsInfo

        data = self.session.draft.config.data
        request = self._request("prepare", reference, tokenizer=data.tokenizer, val_fraction=data.val_fraction)

        def done(info: ShardsInfo) -> None:
            self.notify(f"{reference} is prepared for {data.tokenizer}: {info.tokens:,} tokens")

        self.post_message(RunTask(request, f"preparing {one_line(reference)}", ShardsInfo, done))

    # ── fetch ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def offer_fetch(self, name: str, megabytes: float | None = None) -> None:
        """Find out how large `name` is, ask, and fetch it."""
        request = self._request("plan", name, megabytes=megabytes)
        self.post_message(RunTask(request, f"asking how large {one_line(name)} is", FetchOffer, self._offer_found))

    def _offer_found(self, offer: FetchOffer) -> None:
        self._offer = offer
        if self.is_in_front:
            self.ask_to_fetch()
        else:
            self.notify(f"{offer.name} can be fetched: Corpora asks whether to")

    def on_screen_resume(self) -> None:
        if self._offer is not None:
            self.ask_to_fetch()

    @work(group="dialog")
    async def ask_to_fetch(self) -> None:
        """Ask about the offer that came last: it may have come while another screen or dialog was in front."""
        offer, self._offer = self._offer, None
        if offer is None:
            return
        size = format_bytes(offer.size_bytes) if offer.size_bytes else "of unknown size"
        if offer.megabytes is not None and not offer.size_bytes:
            size = f"{offer.megabytes:g} MB"
        text = f"{offer.name}: {size}\nlicence: {offer.licence}\nfrom: {offer.source}"
        answers = [Answer("y", "fetch it", "fetch")]
        if offer.in_parts and offer.megabytes is None:
            answers.append(Answer("m", "fetch a part of it: asks how many megabytes", "part"))
        answer = await self.ask(Confirm("Fetch", text, answers))
        if answer == "fetch":
            request = self._request("fetch", offer.name, megabytes=offer.megabytes)

            def done(_: str) -> None:
                self.notify(f"{offer.name} is here")
                self.select(offer.name)

            self.post_message(RunTask(request, f"fetching {one_line(offer.name)}", str, done))
        elif answer == "part":
            hint = "a number of megabytes, such as 100; the first files that hold as much are fetched"
            prompt = Prompt(f"Megabytes of {offer.name}", hint=hint, validate=_megabytes_problem)
            wanted = await self.ask(prompt)
            if wanted:
                self.offer_fetch(offer.name, float(wanted))

    # ── clean ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @work(group="dialog")
    async def offer_cleaning(self, reference: str) -> None:
        """Let the user choose the steps, make a clean copy, and show the report."""
        from tui_gpt.corpora import find_corpus
        from tui_gpt.corpora.cleaning.pipeline import Report
        from tui_gpt.corpora.sources.registry import cleaned_name
        from tui_gpt.workbench.dialogs.cleaning import CleaningDialog

        corpus_dir = self.session.corpus_dir
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

    def report(self, reference: str) -> None:
        """Show what was done to a cleaned corpus, or what cleaning would do to another."""
        from tui_gpt.corpora.cleaning.pipeline import Report

        request = self._request("report", reference)
        self.post_message(RunTask(request, f"looking through {one_line(reference)}", Report, self._show_report))

    def _show_report(self, report: Report) -> None:
        from tui_gpt.workbench.dialogs.cleaning import report_lines

        if not self.is_in_front:
            hint = keys.key_hint("report", self.session.keymap, keys.CORPORA)
            self.notify(f"{report.name}: {hint} under Corpora shows the report")
            return
        title = "Cleaned" if report.written else "What cleaning would do to"
        self.app.push_screen(Viewer(f"{title} {report.source}", lambda width: report_lines(report, width)))


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
