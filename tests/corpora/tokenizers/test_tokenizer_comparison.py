"""Comparison of tokenizers on a corpus."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from click.testing import CliRunner

from tui_gpt.cli.subcommands.corpus_commands import corpus_command
from tui_gpt.corpora.tokenizers.tokenizer_comparison import compare_tokenizers
from tui_gpt.errors import CorpusError


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.delenv("GPT_TUI_CACHE", raising=False)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "book.txt").write_text("the cat sat on the mat, naïve and café\n" * 200 + "zebra")
    return tmp_path / "corpus"


def test_statistics_match_the_text(corpus):
    text = (corpus / "book.txt").read_text()
    found = compare_tokenizers("book", ["char", "byte", "bpe:300"], corpus, lambda *_: None)
    char, byte, bpe = found
    assert [each.tokenizer for each in found] == ["char", "byte", "bpe:300"]
    assert char.tokens == len(text) and byte.tokens == len(text.encode()) == byte.bytes
    assert byte.bytes_per_token == 1 and byte.vocab_size == 257 and byte.unused == 256 - len(set(text.encode()))
    assert char.unused == 0 and set(char.rarest[:3]) == set("zbr")
    assert bpe.tokens < char.tokens and bpe.tokens_per_word == bpe.tokens / len(text.split())
    for left, right in pairwise(bpe.longest):
        assert len(left.encode()) >= len(right.encode())
    assert bpe.longest[0] in text and len(bpe.longest[0]) > 2


def test_trained_tokenizers_are_cached(corpus, monkeypatch):
    compare_tokenizers("book", ["bpe:300"], corpus, lambda *_: None)
    monkeypatch.setattr("tui_gpt.corpora.tokenizers.tokenizer_cache.make_tokenizer", None)
    assert compare_tokenizers("book", ["bpe:300"], corpus, lambda *_: None)[0].vocab_size <= 300


def test_invalid_comparisons_are_rejected(corpus):
    (corpus / "blank.txt").write_text(" \n ")
    for name, spec in (("book", "words"), ("blank", "byte"), ("missing", "byte")):
        with pytest.raises(CorpusError):
            compare_tokenizers(name, [spec], corpus, lambda *_: None)


def test_command_prints_a_row_and_a_bar_per_tokenizer_or_json(corpus):
    arguments = ["--workspace", str(corpus.parent), "compare-tokenizers", "book"]
    done = CliRunner().invoke(corpus_command, [*arguments, "--tokenizers", "byte, bpe:300"])
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if line.startswith(("byte", "bpe:300"))]
    assert len(lines) == 2 and lines[0].count("█") < lines[1].count("█") == 12
    done = CliRunner().invoke(corpus_command, [*arguments, "--tokenizers", "byte", "--json"])
    assert json.loads(done.stdout)[0]["bytes_per_token"] == 1
