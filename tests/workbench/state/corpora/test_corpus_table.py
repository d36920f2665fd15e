"""The table lists what is here, what can be fetched and how to name another, whatever is wrong with the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tui_gpt.corpora
from tui_gpt.errors import CorpusError
from tui_gpt.workbench.state.corpora.corpus_table import MIXTURE, PATH, CorpusRow, matching, read_rows


@pytest.fixture
def corpus_dir(tmp_path: Path) -> Path:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("Dear friend")
    (tmp_path / "mine.txt").write_text("mine")
    return tmp_path


def rows_of(corpus_dir: Path, chosen: str = "stories") -> dict[str, CorpusRow]:
    rows, problem = read_rows(corpus_dir, "byte", chosen)
    assert problem == ""
    return {row.name: row for row in rows}


def test_what_is_here_stands_above_what_can_be_fetched_and_named(corpus_dir):
    rows = list(rows_of(corpus_dir).values())
    kinds = ["here" if row.is_here else row.kind for row in rows]
    assert kinds == sorted(kinds, key=["here", "to fetch", "pattern", "path"].index)
    assert {"stories", "tiny", "mine", "letters"} <= {row.name for row in rows if row.is_here}
    assert rows[-2].name == MIXTURE and rows[-1].name == PATH


def test_counts_are_given_only_where_they_cost_nothing(corpus_dir):
    rows = rows_of(corpus_dir)
    assert rows["tiny"].documents == 1 and rows["mine"].tokens is None
    assert rows["stories"].has_floor and rows["stories"].floor is None
    assert rows["tinystories"].licence and rows["tinystories"].size_bytes


@pytest.mark.parametrize(
    ("chosen", "kind"),
    [("1 mine + 1 tiny", "mixture"), ("stories:0.02:7", "made"), ("{}/letters", "folder"), ("{}/mine.txt", "file")],
)
def test_the_drafts_corpus_is_listed_first_where_it_has_no_name(corpus_dir, chosen, kind):
    chosen = chosen.format(corpus_dir)
    row = next(iter(rows_of(corpus_dir, chosen).values()))
    assert (row.name, row.kind, row.is_here) == (chosen, kind, True)


def test_a_corpus_that_is_gone_says_so_and_cannot_be_used(corpus_dir):
    row = rows_of(corpus_dir, "/gone/away.txt")["/gone/away.txt"]
    assert not row.is_here and "no such file" in row.problem
    assert rows_of(corpus_dir, "gutenberg:1342")["gutenberg:1342"].kind == "to fetch"


def test_a_name_that_cannot_be_typed_cannot_be_used(corpus_dir):
    (corpus_dir / "a\x1b[2J.txt").write_text("evil")
    os.close(os.open(os.fsencode(corpus_dir) + b"/\xff.txt", os.O_CREAT | os.O_WRONLY))
    broken = [row for row in rows_of(corpus_dir).values() if row.problem]
    assert len(broken) == 2 and not any(row.is_here for row in broken)


def test_two_corpora_may_have_the_name_of_a_pattern(corpus_dir):
    (corpus_dir / f"{MIXTURE}.txt").write_text("why not")
    assert len(read_rows(corpus_dir, "byte", "stories")[0]) > len(rows_of(corpus_dir))


def test_a_folder_that_cannot_be_read_leaves_what_is_bundled_and_says_why(corpus_dir, monkeypatch):
    def fail(_: Path) -> None:
        raise CorpusError("cannot be read: permission denied", where="corpus")

    monkeypatch.setattr(tui_gpt.corpora, "list_corpora", fail)
    rows, problem = read_rows(corpus_dir, "byte", "stories")
    assert problem == "corpus: cannot be read: permission denied"
    assert {"stories", "tiny", "pydocs", PATH} <= {row.name for row in rows}


def test_a_filter_finds_words_of_the_name_kind_licence_and_description(corpus_dir):
    rows = list(rows_of(corpus_dir).values())
    assert [row.name for row in matching(rows, "MINE file")] == ["mine"]
    assert "tinystories" in [row.name for row in matching(rows, "cdla")]
    assert matching(rows, "zzz") == [] and matching(rows, "  ") == rows
