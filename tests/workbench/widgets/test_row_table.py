"""The table of keyed rows behind the lists of runs and corpora."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from tui_gpt.workbench.widgets.row_table import RowTable


class Tables(App[None]):
    def compose(self) -> ComposeResult:
        yield RowTable(fixed_columns=0, id="rows")


@pytest.mark.parametrize("key", ["end", "home", "pagedown", "pageup", "down", "up"])
async def test_an_empty_table_has_no_current_row_whatever_is_pressed(key: str) -> None:
    """`end` puts the cursor on row -1."""
    app = Tables()
    async with app.run_test() as pilot:
        table = app.query_one(RowTable)
        table.focus()
        await pilot.press(key)
        assert table.current == ""
