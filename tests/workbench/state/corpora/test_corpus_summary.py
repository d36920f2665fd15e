"""A corpus is summed up from its shards or estimated; what cannot be read is its problem, never an exception."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tui_gpt.corpora import ShardsInfo, cache_dir
from tui_gpt.workbench.state.corpora import corpus_summary
from tui_gpt.workbench.state.corpora.corpus_summary import bytes_per_token, newest_shards, read_summary


@pytest.fixture
def corpus_dir(tmp_path: Path) -> Path:
    (tmp_path / "mine.txt").write_text("some text of mine " * 500)
    return tmp_path


def write_shards(corpus_dir: Path, folder: str, name: str, tokenizer: str, tokens: int, made: float) -> None:
    info = ShardsInfo(
        version=1,
        name=name,
        digest="d",
        tokenizer=tokenizer,
        tokenizer_digest="t",
        vocab_size=257,
        documents=2,
        train_documents=1,
        val_documents=1,
        train_tokens=tokens,
        val_tokens=7,
        train_bytes=tokens,
        val_bytes=7,
        dtype="uint16",
        parts=(),
    )
    path = cache_dir(corpus_dir) / "shards" / folder / "meta.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(info))
    os.utime(path, (made, made))


def test_an_unprepared_corpus_is_estimated(corpus_dir):
    summary = read_summary("mine", "byte", 0.1, corpus_dir)
    assert (summary.size_bytes, summary.prepared, summary.problem) == (9000, False, "")
    assert (summary.train_tokens, summary.val_tokens, summary.vocab_size) == (8100, 900, 257)
    assert summary.preview.startswith("some text of mine")


def test_a_prepared_corpus_is_counted_by_the_newest_shards_of_its_tokenizer(corpus_dir):
    write_shards(corpus_dir, "old", "mine", "byte", 10, made=100)
    write_shards(corpus_dir, "new", "mine", "byte", 20, made=200)
    write_shards(corpus_dir, "other", "mine", "char", 30, made=300)
    (cache_dir(corpus_dir) / "shards" / "torn").mkdir()
    (cache_dir(corpus_dir) / "shards" / "torn" / "meta.json").write_bytes(b'{"name": "mi')
    assert newest_shards("byte", corpus_dir)["mine"].train_tokens == 20
    summary = read_summary("mine", "byte", 0.1, corpus_dir)
    assert summary.prepared and (summary.train_tokens, summary.val_tokens) == (20, 7)


@pytest.mark.parametrize(
    ("data", "words"), [(b"\x00\x01" * 500, "binary"), (b"caf\xe9 " * 500, "UTF-8"), (b"\xff\xfea\x00" * 99, "UTF-16")]
)
def test_what_is_not_text_says_so(corpus_dir, data, words):
    (corpus_dir / "mine.txt").write_bytes(data)
    assert words in read_summary("mine", "byte", 0.1, corpus_dir).problem


@pytest.mark.parametrize(
    "reference", ["", "nothing", "/nowhere/at/all.txt", "a\0b", "~nobodyatall/x", "x" * 5000, "\udcff"]
)
def test_what_is_not_there_is_a_problem(corpus_dir, reference):
    summary = read_summary(reference, "bananas", 0.1, corpus_dir)
    assert summary.problem and summary.train_tokens is None and summary.vocab_size is None


@pytest.mark.parametrize(
    "error",
    [
        OSError(5, "Input/output error"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        RuntimeError("boom"),
        KeyError(),
    ],
)
def test_no_error_of_reading_is_raised(corpus_dir, monkeypatch, error):
    def fail(*_: object) -> str:
        raise error

    monkeypatch.setattr(corpus_summary, "_preview", fail)
    problem = read_summary("mine", "byte", 0.1, corpus_dir).problem
    assert problem.startswith("mine: cannot be read: ")


def test_a_mixture_shows_a_part_of_each_text(corpus_dir):
    preview = read_summary("0.5 mine + 0.5 tiny", "byte", 0.1, corpus_dir).preview
    assert "some text of mine" in preview and "A language model" in preview


def test_larger_vocabularies_hold_more_bytes_a_token():
    sizes = [bytes_per_token(name) for name in ("byte", "bpe:300", "bpe:1024", "bpe:50257")]
    assert sizes == sorted(sizes) and sizes[0] == 1 and sizes[-1] == pytest.approx(4.2, abs=0.1)
