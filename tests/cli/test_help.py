"""The help of every command: complete, and within the width of the terminal."""

from __future__ import annotations

import click
import pytest

from tests.cli.test_exit_codes import LEAVES
from tui_gpt.cli.root import gpt_tui

GROUPS = {(): gpt_tui, ("corpus",): gpt_tui.get_command(click.Context(gpt_tui), "corpus")}


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("path", [*GROUPS, *LEAVES], ids=" ".join)
def test_help_is_complete_and_fits(path: tuple[str, ...], columns: int) -> None:
    command = LEAVES.get(path) or GROUPS[path]
    assert command is not None
    shown = command.get_help(click.Context(command, info_name=" ".join(("gpt-tui", *path)), terminal_width=columns))
    if path != ("completion",):  # lines for the shell are not wrapped
        assert max(map(len, shown.splitlines())) <= columns
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.help:
            assert words(parameter.help) in words(shown)
    if isinstance(command, click.Group):
        assert "..." not in words(shown).replace("[ARGS]...", "")
        for name, each in LEAVES.items():
            if name[:-1] == path:
                first_sentence = words(each.help or "").split(". ")[0].removesuffix(".")
                assert f"{name[-1]} {first_sentence}" in words(shown)
