"""The help screen shows every key, and cuts none of its sentences."""

from __future__ import annotations

import pytest

from tui_gpt.workbench import keys
from tui_gpt.workbench.dialogs.help import help_lines


@pytest.mark.parametrize("width", [36, 76, 116, 196])
def test_nothing_of_the_help_is_cut(width):
    groups = keys.grouped({})
    lines = help_lines(groups)(width)
    assert all(line.cell_len <= width for line in lines)
    text = " ".join(" ".join(line.plain for line in lines).split())
    for title, entries in groups:
        assert title in text
        for names, sentence in entries:
            assert names in text
            assert all(word in text for word in sentence.split())


def test_two_columns_where_there_is_room():
    groups = keys.grouped({})
    assert len(help_lines(groups)(196)) < 0.8 * len(help_lines(groups)(120))
