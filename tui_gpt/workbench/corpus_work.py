"""What the workbench has done to a corpus: prepared, fetched after asking, cleaned with chosen steps.

Each asks what must be asked, hands the work to a child process and says how it ended. All of it can be begun from the
list of corpora, and preparing from the dashboard too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tui_gpt.errors import UserError
from tui_gpt.workbench.actions import CORPORA
from tui_gpt.workbench.canvas import row
from tui_gpt.workbench.chore_process import Fetchable, Work
from tui_gpt.workbench.chores import Chore, ask_child
from tui_gpt.workbench.screen import WorkScreen
from tui_gpt.workbench.text import count, one_line, size

if TYPE_CHECKING:
    from tui_gpt.corpora.cleaning.pipeline import Report
    from tui_gpt.workbench.app import Workbench

T = TypeVar("T")


def begin(workbench: Workbench, work: Work, title: str, kind: type[T], done: Callable[[T], object]) -> None:
    """Start `work` as the one chore under way; `done` gets what it made."""
    if workbench.chore is not None:
        workbench.say(f"{workbench.chore.title} is under way: one thing at a time")
        return
    chore = workbench.chore = Chore(work, title)
    workbench.chore_problem = ""
    chore.worker = workbench.run_worker(_carry_out(workbench, chore, kind, done), group="chore")
    workbench.redraw()
    workbench.wake()


async def _carry_out(workbench: Workbench, chore: Chore, kind: type[T], done: Callable[[T], object]) -> None:
    try:
        made = await ask_child(chore.work, kind, chore.take)
    except UserError as error:
        workbench.chore_problem = str(error)
        workbench.say(str(error), "error")
    except asyncio.CancelledError:
        if not chore.cancelled:  # the workbench ends, and nothing is left to draw on
            raise
        workbench.say(f"cancelled: {chore.title}")
    else:
        done(made)
    workbench.chore = None
    workbench.corpora_changed()


def _in_front(workbench: Workbench) -> bool:
    """Whether the list of corpora is what the user looks at: a question must not come between other keys."""
    return isinstance(workbench.screen, WorkScreen) and workbench.screen.place == CORPORA


def cancel(workbench: Workbench) -> None:
    if workbench.chore is None:
        workbench.say("nothing is under way that could be cancelled")
    else:
        workbench.chore.cancel()


# ── prepare ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def prepare(workbench: Workbench, reference: str) -> None:
    """Tokenise a corpus with the draft's tokenizer, which is trained first where it has to be."""
    from tui_gpt.corpora import ShardsInfo

    data = workbench.draft.config.data

    def done(info: ShardsInfo) -> None:
        workbench.say(f"{one_line(reference)} is prepared for {data.tokenizer}: {count(info.tokens)} tokens")

    work = Work(
        task="prepare",
        reference=reference,
        corpus_dir=str(workbench.corpus_dir),
        tokenizer=data.tokenizer,
        val_fraction=data.val_fraction,
    )
    begin(workbench, work, f"preparing {one_line(reference)}", ShardsInfo, done)


# ── fetch ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def ask_to_fetch(workbench: Workbench, name: str, arrived: Callable[[str], None]) -> None:
    """Find out how large `name` is, ask, and fetch it; `arrived` gets the name once it is here."""

    def known(plan: Fetchable) -> None:
        workbench.call_later(_ask, workbench, plan, arrived)

    work = Work(task="plan", reference=name, corpus_dir=str(workbench.corpus_dir))
    begin(workbench, work, f"asking how large {name} is", Fetchable, known)


def _ask(workbench: Workbench, plan: Fetchable, arrived: Callable[[str], None]) -> None:
    if not _in_front(workbench):
        workbench.say(f"{one_line(plan.name)} was not fetched: ask again from the list of corpora")
        return
    part = plan.in_parts and plan.megabytes is None
    how_much = size(plan.size_bytes) if plan.size_bytes else "of a size that nobody says"
    if plan.megabytes is not None and not plan.size_bytes:
        how_much = f"{plan.megabytes:g} MB"
    text = f"{one_line(plan.name)}: {how_much}\nlicence: {plan.licence}\nfrom: {plan.source}"
    choices = [("f", "fetch it", "fetch")]
    if part:
        choices.append(("m", "fetch a part of it: asks how many megabytes", "part"))

    def answered(answer: str) -> None:
        if answer == "part":
            _ask_how_much(workbench, plan, arrived)
        else:
            fetch(workbench, plan, arrived)

    workbench.question("Fetch", text, choices, answered)


def _ask_how_much(workbench: Workbench, plan: Fetchable, arrived: Callable[[str], None]) -> None:
    def check(text: str) -> str:
        try:
            return "" if float(text) > 0 else "must be more than 0"
        except ValueError:
            return "a number of megabytes, such as 100"

    def entered(text: str) -> None:
        work = Work(task="plan", reference=plan.name, corpus_dir=str(workbench.corpus_dir), megabytes=float(text))
        begin(
            workbench,
            work,
            f"asking how large {plan.name} is",
            Fetchable,
            lambda smaller: workbench.call_later(_ask, workbench, smaller, arrived),
        )

    screen = workbench.screen
    if isinstance(screen, WorkScreen):  # the list of corpora, under the question
        hint = row(("of a set of many files, as many from the first on as hold this much", "dim"))
        screen.ask(row(("Megabytes ", "bright"), (f"of {plan.name}", "dim")), entered, check=check, hint=hint)


def fetch(workbench: Workbench, plan: Fetchable, arrived: Callable[[str], None]) -> None:
    def done(_: str) -> None:
        workbench.say(f"{one_line(plan.name)} is here")
        arrived(plan.name)

    work = Work(task="fetch", reference=plan.name, corpus_dir=str(workbench.corpus_dir), megabytes=plan.megabytes)
    begin(workbench, work, f"fetching {one_line(plan.name)}", str, done)


# ── clean ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def ask_to_clean(workbench: Workbench, reference: str, arrived: Callable[[str], None]) -> None:
    """Let the user choose the steps, clean, show the report; `arrived` gets the new corpus's name."""
    from tui_gpt.corpora import find_corpus
    from tui_gpt.corpora.sources.registry import cleaned_name
    from tui_gpt.workbench.cleaning_dialog import CleaningDialog

    try:
        name = cleaned_name(find_corpus(reference, workbench.corpus_dir), workbench.corpus_dir)
    except UserError as error:
        workbench.say(str(error), "error")
        return

    def chosen(steps: tuple[str, ...] | None) -> None:
        if steps:
            _clean(workbench, reference, name, steps, arrived)

    workbench.push_screen(CleaningDialog(reference, name), chosen)


def _clean(
    workbench: Workbench, reference: str, name: str, steps: tuple[str, ...], arrived: Callable[[str], None]
) -> None:
    from tui_gpt.corpora.cleaning.pipeline import Report

    def done(report: Report) -> None:
        arrived(name)
        workbench.call_later(show_report, workbench, report)

    work = Work(task="clean", reference=reference, corpus_dir=str(workbench.corpus_dir), steps=steps, name=name)
    begin(workbench, work, f"cleaning {one_line(reference)}", Report, done)


def ask_for_report(workbench: Workbench, reference: str) -> None:
    """What was done to a cleaned corpus, or what cleaning would do to another."""
    from tui_gpt.corpora.cleaning.pipeline import Report

    work = Work(task="report", reference=reference, corpus_dir=str(workbench.corpus_dir))
    begin(
        workbench,
        work,
        f"looking through {one_line(reference)}",
        Report,
        lambda report: workbench.call_later(show_report, workbench, report),
    )


def show_report(workbench: Workbench, report: Report) -> None:
    from tui_gpt.workbench.cleaning_dialog import report_rows

    if not _in_front(workbench):
        workbench.say(f"{one_line(report.source)} is done: the list of corpora shows the report")
        return
    what = "Cleaned" if report.written else "What cleaning would do to"
    workbench.read(f"{what} {one_line(report.source)}", lambda width: report_rows(report, width))
