"""The README says what is so: its keys, commands, presets and picture."""

from __future__ import annotations

import re
from pathlib import Path

from tui_gpt.cli.root import COMMANDS
from tui_gpt.config import PRESETS
from tui_gpt.workbench.keys import key_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_key_table_is_the_action_table() -> None:
    table = re.search(r"<!-- keys: .*? -->\n\n(.*?)\n<!-- /keys -->", README, re.DOTALL)
    assert table is not None and table.group(1) == key_table()


def test_every_command_it_shows_exists() -> None:
    shown = set(re.findall(r"(?:^|; )gpt-tui (\w+)", README, re.MULTILINE))
    assert shown and shown <= set(COMMANDS)
    assert set(re.findall(r"--config (\w+) ", README)) <= set(PRESETS)


def test_its_two_commands_install_and_its_picture_is_there() -> None:
    install = [line for line in README.splitlines() if "pip install" in line]
    assert len(install) == 2 and install[0].endswith("gpt-tui") and install[1].endswith("pytest")
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / picture).stat().st_size > 10_000
