"""Every command of the README's data section runs as written and prints JSON."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
BOOK = "*** START OF THE PROJECT GUTENBERG EBOOK {id} ***\n\n{text}\n*** END OF THE PROJECT GUTENBERG EBOOK {id} ***\n"
TEXTS = {
    "1342": "It is a truth universally acknowledged, that a single man in possession of a fortune, is in want. ",
    "84": "You will rejoice to hear that no disaster has accompanied the commencement of an enterprise. ",
}


def commands() -> list[list[str]]:
    section = README.partition("\n## Data\n")[2].partition("\n## ")[0]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [shlex.split(line, comments=True) for line in block.group(1).splitlines()]


def test_every_command_of_the_data_section_runs(tmp_path: Path) -> None:
    for id, text in TEXTS.items():
        book = tmp_path / "mirror" / "www.gutenberg.org" / "cache" / "epub" / id / f"pg{id}.txt"
        book.parent.mkdir(parents=True)
        book.write_text(BOOK.format(id=id, text=text * 3))
    (tmp_path / "book.txt").write_text("A book of one's own.")
    environment = os.environ | {"GPT_TUI_MIRROR": str(tmp_path / "mirror")}
    environment.pop("GPT_TUI_CACHE", None)
    answers = {}
    for words in commands():
        assert words[:2] == ["gpt-tui", "corpus"]
        command = [sys.executable, "-m", "tui_gpt", *words[1:], "--json"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == 0, (words, done.stderr)
        answers[words[2]] = json.loads(done.stdout)
    assert {"list", "info", "add", "fetch", "clean", "report", "make", "prepare"} <= answers.keys()
    assert answers["report"] == answers["clean"] and answers["clean"]["documents_after"] == 2
    assert answers["make"]["nats_per_character"] > 0 and answers["prepare"]["floor_nats_per_token"] > 0


def test_info_prints_the_entropy_of_stories_and_no_control_characters(tmp_path: Path) -> None:
    (tmp_path / "red.txt").write_text("red \x1b[31m ink")

    def info(*words: str) -> str:
        command = [sys.executable, "-m", "tui_gpt", "corpus", "info", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout

    assert re.search(r"entropy: 0\.\d{4} nats per character, 0\.\d{4} bits per byte", info("stories:0.01"))
    assert json.loads(info("stories:0.01", "--json"))["nats_per_character"] > 0
    assert "\x1b" not in info("red.txt") and "red \ufffd[31m ink" in info("red.txt")
