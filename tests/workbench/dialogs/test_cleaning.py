"""Cleaning takes the steps that are switched on, and its report says what was changed."""

from __future__ import annotations

from textual.widgets import Button

from tests.workbench.dialogs.dialog_app import shown, text_of
from tui_gpt.corpora.cleaning.pipeline import DEFAULT_STEPS, STEPS, Example, Report, StepReport
from tui_gpt.workbench.dialogs.cleaning import CleaningDialog, StepList, report_table
from tui_gpt.workbench.dialogs.viewer import Viewer


async def test_enter_takes_the_default_steps():
    async with shown(CleaningDialog("letters", "letters-clean")) as (app, pilot):
        text = text_of(app)
        assert "letters stays as it is; its clean copy is called letters-clean" in text
        assert all(f"[{'x' * (step in DEFAULT_STEPS) or ' '}] {step}" in text for step in STEPS)
        await pilot.press("enter")
        assert app.results == [DEFAULT_STEPS]


async def test_space_and_clicks_switch_steps_and_their_order_stays():
    async with shown(CleaningDialog("letters", "letters-clean")) as (app, pilot):
        await pilot.press("space", *["down"] * (len(STEPS) - 1), "space")  # the first one off, the last one on
        await pilot.click(Button)
        assert app.results == [tuple(STEPS)[1:]]


async def test_a_click_on_a_box_switches_its_step():
    async with shown(CleaningDialog("letters", "letters-clean")) as (app, pilot):
        await pilot.click(StepList, offset=(1, 2))
        assert "[ ] mojibake" in text_of(app)


async def test_no_steps_clean_nothing():
    async with shown(CleaningDialog("letters", "letters-clean")) as (app, pilot):
        for step in STEPS:
            if step in DEFAULT_STEPS:
                await pilot.press("space")
            await pilot.press("down")
        await pilot.press("enter")
        assert app.results == []
        await pilot.press("escape")
        assert app.results == [None]


async def test_the_button_stays_in_sight_in_a_small_terminal():
    async with shown(CleaningDialog("[b]" + "x" * 20 + "\x1b", "copy"), (40, 10)) as (app, pilot):
        await pilot.pause()
        text = text_of(app)
        assert "[enter] make the clean copy" in text and "encoding" in text and "[b]xxx" in text
        assert "\x1b" not in text


async def test_the_report_names_counts_and_examples():
    report = Report(
        name="letters-clean",
        source="letters",
        written="/somewhere/letters-clean",
        documents_before=6,
        documents_after=3,
        characters_before=100,
        characters_after=80,
        files_left_out={"binary": 2},
        encodings={"utf-8": 5, "latin-1": 1},
        steps=[
            StepReport(step="mojibake", changed=6, examples=[Example(where="a.txt", what="cafÃ©\x1b", now="café")]),
            StepReport(step="exact", removed=3, examples=[Example(where="b.txt", what="Dear", now="as a.txt")]),
            StepReport(step="near"),
        ],
    )
    async with shown(Viewer("Cleaned letters", report_table(report)), (60, 40)) as (app, _):
        text = text_of(app)
    for part in (
        "documents  6 → 3  (−50.0%)", "characters 100 → 80  (−20.0%)", "2 files: binary", "1 files in latin-1",
        "mojibake   6 changed", "– cafÃ©�", "+ café", "exact      3 left out", "as a.txt", "nothing to do",
        "the clean copy is letters-clean, in corpus/",
    ):  # fmt: skip
        assert part in text
