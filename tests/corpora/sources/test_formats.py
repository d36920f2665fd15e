"""Reading every file format, and the errors for damaged files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_gpt.corpora import add_corpus, find_corpus
from tui_gpt.corpora.sources import digests, formats
from tui_gpt.corpora.sources.corpus_manifest import Manifest, write_manifest
from tui_gpt.corpora.sources.formats import Layout, documents_of, read_pieces
from tui_gpt.corpora.sources.text_files import list_text_files
from tui_gpt.errors import CorpusError

TEXTS = ["The first.", 'A second,\nof two lines, with "quotes".', "ein dritter: äöü \u2028 €🙂"]


def write(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(path: Path, layout: Layout = Layout()) -> list[str]:  # noqa: B008
    return list(documents_of(read_pieces(path, layout)))


def error_of(call, *args) -> str:
    with pytest.raises(CorpusError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def json_lines(texts: list[str], column: str = "text") -> bytes:
    return b"".join(json.dumps({"id": n, column: text}).encode() + b"\n" for n, text in enumerate(texts))


def comma_separated(texts: list[str]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows([["id", "text"], *enumerate(texts)])
    return file.getvalue().encode()


def columns(texts: list[str | None]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"id": list(range(len(texts))), "text": texts}), file)
    return file.getvalue()


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize(
    ("suffix", "data"), [(".jsonl", json_lines(TEXTS)), (".json", json_lines(TEXTS)), (".csv", comma_separated(TEXTS))]
)
def test_records_are_documents_compressed_or_not(tmp_path, suffix, data, packing):
    if packing == ".gz":
        data = gzip.compress(data[:20]) + gzip.compress(data[20:])
    elif packing == ".zst":
        data = zstandard.compress(data[:20]) + zstandard.compress(data[20:])
    path = write(tmp_path / f"texts{suffix}{packing}", data)
    assert read(path) == TEXTS


def test_parquet_text_column_is_read_without_empty_rows(tmp_path):
    path = write(tmp_path / "texts.parquet", columns([TEXTS[0], None, "", *TEXTS[1:]]))
    assert read(path) == TEXTS
    assert [document.origin for document in documents_of(read_pieces(path))] == [f"{path}:{row}" for row in (1, 4, 5)]


def test_plain_file_is_one_document_compressed_or_not(tmp_path):
    text = "\n".join(TEXTS) * 3
    for name, data in (
        ("a.txt.gz", gzip.compress(text.encode())),
        ("a.zst", zstandard.compress(text.encode())),
        ("a.py", text.encode()),
        ("a.md", b"\xef\xbb\xbf" + text.encode()),
    ):
        assert read(write(tmp_path / name, data)) == [text]


def test_document_has_its_file_and_line(tmp_path):
    path = write(tmp_path / "t.jsonl", b"\n" + json_lines(["a", "", "b"]))
    assert [document.origin for document in documents_of(read_pieces(path))] == [f"{path}:2", f"{path}:4"]
    path = write(tmp_path / "t.csv", comma_separated(["one\nline and another", "b"]))
    assert [document.origin for document in documents_of(read_pieces(path))] == [f"{path}:3", f"{path}:4"]
    path = write(tmp_path / "t.txt", "first\nof two\n<end>\nsecond\n<end>\n\n<end>third")
    documents = list(documents_of(read_pieces(path, Layout(separator="<end>"))))
    assert documents == ["first\nof two", "second", "third"]
    assert [document.origin for document in documents] == [f"{path}:{line}" for line in (1, 4, 7)]


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab\n<>é", max_size=40), max_size=8), st.integers(1, 30))
def test_separated_documents_do_not_depend_on_the_read_size(tmp_path_factory, texts, size):
    path = write(tmp_path_factory.mktemp("separated") / "t.txt", "<end>".join(texts))
    wanted = [text.strip("\n") for text in "<end>".join(texts).split("<end>")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "PIECE_BYTES", size)
        assert read(path, Layout(separator="<end>")) == [text for text in wanted if text]


@settings(deadline=None)
@given(st.text(), st.integers(1, 5))
def test_plain_file_does_not_depend_on_the_read_size(tmp_path_factory, text, size):
    path = write(tmp_path_factory.mktemp("plain") / "t.txt", ("x" + text.replace("\0", "")).encode("utf-8", "replace"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "PIECE_BYTES", size)
        assert read(path) == [path.read_bytes().decode()]


def test_rows_of_lines_are_joined_to_articles(tmp_path):
    rows = [
        "",
        " = One = \n",
        "",
        " Text of one . \n",
        " = = Part = = \n",
        " More . \n",
        "",
        " = Two = \n",
        " Text . \n",
    ]
    path = write(tmp_path / "t.parquet", columns(rows))
    one = " = One = \n\n Text of one . \n = = Part = = \n More . \n\n"
    assert read(path, Layout(column="text", articles=True)) == [one, " = Two = \n Text . \n"]


def test_malformed_line_is_reported_with_its_number(tmp_path):
    lines = json_lines([f"text {n}" for n in range(10_000)]) + b'{"text": "cut\n' + json_lines(["x"])
    for name, data in (("t.jsonl", lines), ("t.jsonl.gz", gzip.compress(lines))):
        path = write(tmp_path / name, data)
        assert error_of(read, path).startswith(f"{path}:10001: not a JSON object with a text")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.jsonl", b'["a"]\n', "t.jsonl:1: not a JSON object"),
        ("t.jsonl", b'{"text": 1}\n', "t.jsonl:1: not a JSON object with a text"),
        ("t.jsonl", b'{"text": "a"}\n{"title": "b"}\n', "t.jsonl:2: not a JSON object with a text"),
        ("t.jsonl", b'{"text": "caf\xe9"}\n', "t.jsonl:1"),
        ("t.jsonl", b'{"a": 1, "b": "x"}\n', "among a, b. Name the text column"),
        ("t.csv", b"id,title\n1,x\n", "among id, title"),
        ("t.csv", b"id,text\n1,x\n2,a,b\n", "t.csv:3: row of 3 fields, expected 2"),
        ("t.csv", b'id,text\n1,"never closed\n', "t.csv:2: invalid CSV"),
        ("t.txt.gz", gzip.compress(b"cut short" * 100, mtime=0)[:-20], "damaged file"),
        ("t.txt.gz", b"not gzip", "damaged file: not a gzipped file"),
        ("t.txt.zst", zstandard.compress(b"cut short" * 100)[:-9], "damaged file: truncated frame"),
        ("t.txt.zst", b"not zstandard", "damaged file"),
        ("t.txt.gz", gzip.compress(b"\0" * 1000, mtime=0), "binary file: NUL byte at offset 0"),
        ("t.txt", b"\0" * 1000, "binary file: NUL byte at offset 0"),
        ("t.txt", "UTF-16".encode("utf-16"), "UTF-16 text"),
        ("t.txt", "caf\xe9".encode("latin-1"), "byte 0xe9 at offset 3"),
        ("t.parquet", b"PAR1 not", "invalid Parquet file"),
        (
            "t.parquet",
            columns(["a", "half a char\u00e9"]).replace(b"char\xc3\xa9", b"char\xc3("),
            "t.parquet:2: not UTF-8",
        ),
    ],
)
def test_damaged_file_is_a_one_line_error_with_file_and_position(tmp_path, name, data, message):
    path = write(tmp_path / name, data)
    text = error_of(read, path)
    assert message in text and str(path) in text


def test_column_of_wrong_type_or_name_is_rejected(tmp_path):
    path = write(tmp_path / "t.parquet", columns(["a"]))
    assert "'id' holds int64" in error_of(read, path, Layout(column="id"))
    assert "no column 'x'. Columns: id, text" in error_of(read, path, Layout(column="x"))


def test_missing_pyarrow_is_reported_with_install_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = write(tmp_path / "t.parquet", columns(["a"]))
    assert "pip install 'gpt-tui[parquet]'" in error_of(read, path)


def test_too_long_line_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_RECORD_BYTES", 1000)
    assert "t.jsonl:2: line longer than" in error_of(read, write(tmp_path / "t.jsonl", json_lines(["a", "b" * 2000])))
    assert "t.csv:1: invalid CSV: field larger" in error_of(read, write(tmp_path / "t.csv", b'"' + b"b" * 3_000_000))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_decompression_bomb_is_rejected_in_little_memory(tmp_path, suffix):
    """A gigabyte in a thousandth of its size; the child may have 300 MB of memory in all."""
    if suffix == ".gz":
        member = gzip.compress(b"a" * (1 << 26), 9)
        path = write(tmp_path / "bomb.txt.gz", member * 16)
    else:
        path = tmp_path / "bomb.txt.zst"
        with path.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as packed:
            for _ in range(1 << 10):
                packed.write(b"a" * (1 << 20))
    code = (
        "import sys, resource; from pathlib import Path; from tui_gpt.corpora.sources.formats import read_pieces\n"
        "import gzip, zstandard; resource.setrlimit(resource.RLIMIT_AS, (300 << 20,) * 2)\n"
        "try:\n    print(sum(len(piece.text) for piece in read_pieces(Path(sys.argv[1]))))\n"
        "except Exception as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{path}: expands to more than 250 times its size")


def test_hidden_empty_and_binary_files_are_counted_not_read(tmp_path):
    folder = tmp_path / "code"
    for name in (
        "a.py",
        "deep/b.rs",
        "c.jsonl.gz",
        ".git/config.txt",
        ".hidden.txt",
        "picture.png",
        "empty.txt",
        "lib.so",
    ):
        write(folder / name, "" if name == "empty.txt" else "x")
    (folder / "gone.txt").symlink_to("nowhere")
    skipped = Counter()
    found = list_text_files(folder, skipped)
    assert [str(path.relative_to(folder)) for path in found] == ["a.py", "c.jsonl.gz", "deep/b.rs"]
    assert skipped == {"hidden": 2, "empty": 1, "not a text file": 2, "broken link": 1}


def test_records_are_added_with_their_text_column(tmp_path):
    path = write(tmp_path / "mine.jsonl", json_lines(TEXTS, "prose"))
    corpus = tmp_path / "corpus"
    assert "among id, prose" in error_of(add_corpus, "mine", path, corpus)
    assert add_corpus("mine", path, corpus, "prose") == corpus / "mine"
    source = find_corpus("mine", corpus)
    assert list(source.documents()) == TEXTS and source.count() == 3
    assert add_corpus("plain", write(tmp_path / "p.jsonl", json_lines(TEXTS)), corpus) == corpus / "plain.jsonl"
    assert list(find_corpus("plain", corpus).documents()) == TEXTS
    write(corpus / "packed.jsonl.gz", gzip.compress(json_lines(TEXTS)))
    assert find_corpus("packed", corpus).name == "packed" and find_corpus("packed", corpus).count() == 3


def test_damaged_manifest_or_one_with_outside_files_is_rejected(tmp_path):
    folder = tmp_path / "corpus" / "mine"
    write(folder / "a.txt", "a")
    write(folder / "b.txt", "b")
    write_manifest(folder, Manifest(name="mine", made="added", files={"b.txt": 1}))
    assert list(find_corpus("mine", tmp_path / "corpus").documents()) == ["b"]
    write_manifest(folder, Manifest(name="mine", made="added", files={"../../a.txt": 1}))
    assert "lists a file outside its folder" in error_of(find_corpus("mine", tmp_path / "corpus").count)
    write(folder / "corpus.json", "{")
    assert "invalid manifest" in error_of(find_corpus("mine", tmp_path / "corpus").count)


def test_digest_is_cached_until_the_file_changes(tmp_path, monkeypatch):
    path = write(tmp_path / "corpus" / "big.txt", "a" * (2 << 20))
    long_ago = 1_000_000_000
    os.utime(path, (long_ago, long_ago))
    monkeypatch.setattr(digests, "MIN_AGE_SECONDS", -10.0)  # its change time is now
    source = find_corpus("big", tmp_path / "corpus")
    first = source.digest()
    monkeypatch.setattr(digests, "file_digest", lambda path: pytest.fail("read again"))
    assert find_corpus("big", tmp_path / "corpus").digest() == first
    monkeypatch.undo()
    write(path, "b" * (2 << 20))
    os.utime(path, (long_ago, long_ago))
    assert find_corpus("big", tmp_path / "corpus").digest() != first


def test_limits_on_records_hold_for_parquet(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_RECORD_BYTES", 1 << 20)
    path = write(tmp_path / "t.parquet", columns(["a", "b" * (1 << 20), "c" * ((1 << 20) + 1)]))
    pieces = read_pieces(path)
    assert [len(next(pieces).text) for _ in range(2)] == [1, 1 << 20]
    with pytest.raises(CorpusError, match="text longer than 1 MiB") as caught:
        next(pieces)
    assert f"{path}:3" in str(caught.value)


def test_a_dictionary_of_one_large_text_for_many_rows_does_not_fill_the_memory(tmp_path, monkeypatch):
    """A file of a megabyte stood for gigabytes, 256 rows of which were read at once."""
    monkeypatch.setattr(formats, "BOMB_BYTES", 1 << 24)
    large = os.urandom(1 << 20).hex()  # 2 MiB
    values = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 2000, pyarrow.int32()), pyarrow.array([large]))
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": values}), path, store_schema=False)
    assert path.stat().st_size < 4 << 20
    pool = pyarrow.default_memory_pool()
    before, most = pool.bytes_allocated(), 0
    pieces = read_pieces(path)
    for _ in range(100):
        assert next(pieces).text == large
        most = max(most, pool.bytes_allocated() - before)
    assert most < 100 << 20


def test_a_row_group_that_is_implausibly_large_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "BOMB_BYTES", 1 << 20)
    monkeypatch.setattr(formats, "BOMB_RATIO", 10)
    path = write(tmp_path / "t.parquet", columns(["a" * (1 << 21)]))
    assert "expands to more than 10 times its size" in error_of(read, path)
