"""Resolving corpus names and paths, and the errors for invalid ones."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tui_gpt.corpora import add_corpus, cache_dir, check_corpus, find_corpus, list_corpora
from tui_gpt.corpora.sources.catalogue import BUNDLED, CATALOGUE
from tui_gpt.errors import CorpusError


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Path:
    """A corpus folder, with the current folder beside it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("GPT_TUI_CACHE", raising=False)
    folder = tmp_path / "corpus"
    folder.mkdir()
    return folder


def write(path: Path, text: str | bytes = "Some words to read.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def error_of(call, *args) -> str:
    with pytest.raises(CorpusError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bundled_corpora_need_no_corpus_folder(tmp_path):
    entries = {entry.name: entry for entry in list_corpora(tmp_path / "none")}
    assert [name for name, entry in entries.items() if entry.kind == "bundled"] == BUNDLED
    assert all(entry.description for entry in entries.values())
    assert entries["tiny"].size_bytes == len(next(find_corpus("tiny", tmp_path / "none").documents()))


def test_beginning_returns_the_first_characters_without_generating_stories(corpus):
    write(corpus / "books" / "a.txt", "one two")
    write(corpus / "books" / "b.txt", "three")
    books, stories = find_corpus("books", corpus), find_corpus("stories", corpus)
    assert books.beginning(3) == ["one"]
    assert books.beginning(7) == ["one two"]
    assert books.beginning(9) == ["one two", "th"]
    assert books.beginning(99) == ["one two", "three"]
    texts = stories.beginning(1000)
    assert not cache_dir(corpus).exists()
    assert sum(map(len, texts)) == 1000
    made = stories.documents()
    assert [next(made) for _ in texts[:-1]] == texts[:-1] and next(made).startswith(texts[-1])


def test_absent_corpora_are_listed_with_how_to_get_them(corpus):
    verdict = next(entry for entry in list_corpora(corpus) if entry.name == "verdict")
    assert verdict.kind == "absent" and verdict.how == "gpt-tui corpus fetch verdict"
    assert verdict.size_bytes == 20_479 and "public domain" in verdict.licence and "wikisource" in verdict.source
    assert "gpt-tui corpus fetch verdict" in error_of(find_corpus, "verdict", corpus)
    assert "1.1 MB, public domain" in error_of(check_corpus, "shakespeare", corpus)


def test_known_name_resolves_to_the_users_copy(corpus):
    write(corpus / "verdict.txt", "I HAD always thought")
    assert list(find_corpus("verdict", corpus).documents()) == ["I HAD always thought"]
    assert next(entry for entry in list_corpora(corpus) if entry.name == "verdict").kind == "file"
    assert check_corpus("verdict", corpus) == "verdict"
    assert [entry.name for entry in list_corpora(corpus)] == list(CATALOGUE)


def test_every_listed_name_resolves_to_its_entry(corpus):
    for name in ("poems.txt", "notes.md", "stories.txt", "both.txt", "both/a.txt", "books/b/c.txt", "README.md"):
        write(corpus / name, name)
    write(corpus / ".cache" / "hidden.txt")
    write(corpus / "picture.png")
    listed = {entry.name: entry for entry in list_corpora(corpus) if entry.path and entry.kind != "absent"}
    assert set(listed) == {"poems", "notes.md", "stories.txt", "both", "both.txt", "books"}
    for name, entry in listed.items():
        assert find_corpus(name, corpus).path == Path(entry.path)
        assert check_corpus(name, corpus) == name
    assert find_corpus("stories", corpus).description == CATALOGUE["stories"].description
    assert listed["both"].kind == "folder" and listed["both"].size_bytes == len("both/a.txt")


def test_path_is_made_absolute_and_name_is_kept(corpus):
    write(Path("book.txt"))
    write(corpus / "mine.txt")
    for reference in ("book.txt", "./book.txt", "../here/book.txt"):
        assert check_corpus(reference, corpus) == str(Path.cwd() / "book.txt")
    assert check_corpus("mine", corpus) == "mine"
    assert check_corpus("stories", corpus) == "stories"
    assert find_corpus(".", corpus).name == "here"


def test_home_folder_is_expanded(corpus, monkeypatch):
    monkeypatch.setenv("HOME", str(Path.cwd()))
    write(Path("book.txt"))
    assert check_corpus("~/book.txt", corpus) == str(Path.cwd() / "book.txt")
    assert "no such file" in error_of(check_corpus, "~nobody-of-this-name/book.txt", corpus)


def test_typo_suggests_the_nearest_corpus(corpus):
    write(corpus / "wharton.txt")
    assert "Did you mean stories?" in error_of(find_corpus, "storys", corpus)
    assert "Did you mean wharton?" in error_of(find_corpus, "warton", corpus)
    assert "stories, tiny" in error_of(find_corpus, "xxxxxxxx", corpus)


@pytest.mark.parametrize("reference", ["", "../../x", "missing/x.txt", "x\0y", "~", "/dev/null", "a" * 300, "/" * 9])
def test_invalid_reference_is_a_one_line_error(corpus, monkeypatch, reference):
    monkeypatch.setenv("HOME", str(corpus / "nowhere"))
    if reference == "/" * 9:
        reference = "./empty"
        Path(reference).mkdir()
    error_of(check_corpus, reference, corpus)


BAD = {
    b"": "empty file",
    b" \n\n": "empty file",
    b"\xef\xbb\xbf": "empty file",
    b"GIF89a\x00\x01": "NUL byte at offset 6",
    b"caf\xe9 au lait": "byte 0xe9 at offset 3",
    b"\xef\xbb\xbfcaf\xe9 au lait": "byte 0xe9 at offset 6",
    "words".encode("utf-16"): "UTF-16 text",
    b"cut \xf0\x9f\x99": "byte 0xf0 at offset 4",
}


@pytest.mark.parametrize("data", BAD)
def test_non_text_file_is_rejected_with_name_and_offset(corpus, data):
    path = write(corpus / "bad.txt", data)
    message = error_of(check_corpus, "bad", corpus)
    assert BAD[data] in message and str(path) in message
    write(corpus / "folder" / "good.txt")
    write(corpus / "folder" / "later.txt", b"\x00" if data in (b"", b" \n\n", b"\xef\xbb\xbf") else data)
    assert "later.txt" in error_of(check_corpus, "folder", corpus)


def test_character_across_the_end_of_the_checked_part_is_accepted(corpus):
    write(corpus / "long.txt", ("x" * ((1 << 16) - 1) + "é" * 10).encode())
    assert check_corpus("long", corpus) == "long"


def test_invalid_byte_beyond_the_checked_part_is_found_on_reading(corpus):
    write(corpus / "long.txt", b"x" * 100_000 + b"\xff")
    assert "offset 100,000" in error_of(lambda: list(find_corpus("long", corpus).documents()))


def test_byte_order_mark_is_dropped_and_nothing_else(corpus):
    text = "\r\nline\r\n\ttab \u2028 end  \n"
    write(corpus / "bom.txt", b"\xef\xbb\xbf" + text.encode())
    assert list(find_corpus("bom", corpus).documents()) == [text]


def test_folder_yields_a_document_per_text_file_sorted_at_any_depth(corpus):
    for name in ("b.txt", "a/z.md", "a/b.TXT", "c/d/e.txt", "a.txt"):
        write(corpus / "books" / name, name)
    write(corpus / "books" / "empty.txt", "")
    write(corpus / "books" / ".git" / "x.txt")
    write(corpus / "books" / "picture.png")
    source = find_corpus("books", corpus)
    assert list(source.documents()) == ["a/b.TXT", "a/z.md", "a.txt", "b.txt", "c/d/e.txt"]
    assert source.count() == 5


def test_looping_and_broken_links_are_not_followed(corpus):
    write(corpus / "books" / "a.txt", "a")
    (corpus / "books" / "up").symlink_to(corpus)
    (corpus / "books" / "self").symlink_to("self")
    (corpus / "books" / "gone.txt").symlink_to("nothing")
    write(corpus / "elsewhere.txt", "linked")
    (corpus / "books" / "linked.txt").symlink_to(corpus / "elsewhere.txt")
    assert list(find_corpus("books", corpus).documents()) == ["a"]


def test_links_that_leave_a_corpus_are_not_followed(corpus):
    secret = write(corpus.parent / "home" / "secret.txt", "password")
    books = write(corpus / "books" / "deep" / "a.txt", "a").parent.parent
    (books / "inside.txt").symlink_to("deep/a.txt")
    (books / "out.txt").symlink_to(secret)
    (books / "deep" / "out").symlink_to(secret.parent)
    (books / "deep" / "up-and-out.txt").symlink_to("../../../home/secret.txt")
    assert list(find_corpus("books", corpus).documents()) == ["a", "a"]
    assert add_corpus("copy", books, corpus) and list(find_corpus("copy", corpus).documents()) == ["a", "a"]
    (corpus / "linked").symlink_to(books)  # the corpus itself may be a link: its owner made it
    assert list(find_corpus("linked", corpus).documents()) == ["a", "a"]
    (corpus / "only").mkdir()
    (corpus / "only" / "out.txt").symlink_to(secret)
    assert "Links that leave the folder are not followed" in error_of(check_corpus, "only", corpus)


def test_a_manifest_cannot_list_a_link_that_leaves_its_folder(corpus):
    secret = write(corpus.parent / "secret.txt", "password")
    write(corpus / "books" / "corpus.json", '{"name": "books", "made": "fetched", "files": {"a.txt": 8}}')
    (corpus / "books" / "a.txt").symlink_to(secret)
    assert "is a link that leaves its folder" in error_of(check_corpus, "books", corpus)


def test_folder_without_text_is_rejected(corpus):
    write(corpus / "pictures" / "a.png")
    assert "no text files here" in error_of(check_corpus, "pictures", corpus)


def deny(monkeypatch, owner: object, name: str, below: Path) -> None:
    """From now on `owner.name` refuses what lies below a folder, as for a user without the right to it."""
    allowed = getattr(owner, name)

    def call(path, *args, **kwargs):
        if Path(path).is_relative_to(below):
            raise PermissionError(13, "Permission denied", str(path))
        return allowed(path, *args, **kwargs)

    monkeypatch.setattr(owner, name, call)


def test_unreadable_file_is_a_one_line_error(corpus, monkeypatch):
    path = write(corpus / "secret.txt")
    deny(monkeypatch, Path, "open", corpus)
    for reference in ("secret", str(path)):
        source = find_corpus(reference, corpus)
        for call in (partial(check_corpus, reference, corpus), lambda it=source: list(it.documents()), source.digest):
            assert error_of(call) == f"{path}: cannot be read: permission denied"


def test_unreadable_folder_is_a_one_line_error(corpus, monkeypatch):
    write(corpus / "books" / "a.txt")
    deny(monkeypatch, os, "scandir", corpus / "books")
    assert error_of(check_corpus, "books", corpus) == f"{corpus / 'books'}: cannot be read: permission denied"
    books = next(entry for entry in list_corpora(corpus) if entry.name == "books")
    assert books.description == "cannot be read: permission denied"


def test_path_without_permission_is_a_one_line_error(corpus, monkeypatch):
    write(corpus / "books" / "a.txt")
    deny(monkeypatch, Path, "stat", corpus / "books")
    assert "permission denied" in error_of(check_corpus, "books", corpus)
    books = next(entry for entry in list_corpora(corpus) if entry.name == "books")
    assert books.description == "cannot be read: permission denied"


def test_vanished_file_is_named(corpus):
    path = write(corpus / "gone.txt")
    source = find_corpus("gone", corpus)
    path.unlink()
    assert str(path) in error_of(lambda: list(source.documents()))


def test_digest_depends_on_content_not_name(corpus):
    write(corpus / "a.txt", "same")
    write(corpus / "b.txt", "same")
    write(corpus / "f" / "a.txt", "same")
    write(corpus / "g" / "other-name.txt", "same")
    digest = {name: find_corpus(name, corpus).digest() for name in ("a", "b", "f", "g")}
    assert digest["a"] == digest["b"] and digest["f"] == digest["g"]
    write(corpus / "a.txt", "changed")
    assert find_corpus("a", corpus).digest() != digest["a"]
    write(corpus / "g" / "z.txt", "more")
    assert find_corpus("g", corpus).digest() != digest["g"]


def test_add_copies_a_file_or_the_text_files_of_a_folder(corpus):
    write(Path("book.txt"), "a book")
    write(Path("books/deep/a.txt"), "a")
    write(Path("books/b.md"), "b")
    write(Path("books/c.png"), "c")
    assert add_corpus("novel", Path("book.txt"), corpus) == corpus / "novel.txt"
    assert add_corpus("verdict.txt", Path("book.txt"), corpus) == corpus / "verdict.txt"
    assert add_corpus("shelf", Path("books"), corpus) == corpus / "shelf"
    assert list(find_corpus("novel", corpus).documents()) == ["a book"]
    assert list(find_corpus("shelf", corpus).documents()) == ["b", "a"]
    assert sorted(path.name for path in corpus.iterdir()) == ["novel.txt", "shelf", "verdict.txt"]


@pytest.mark.parametrize(
    "name", ["../../x", "", ".", "..", ".hidden", "a/b", "a b", "a\nb", "-x", "x" * 101, "stories"]
)
def test_unsafe_or_bundled_name_is_rejected(corpus, name):
    write(Path("book.txt"))
    error_of(add_corpus, name, Path("book.txt"), corpus)
    assert list(corpus.iterdir()) == []


def test_add_never_overwrites_and_leaves_no_partial_copy(corpus, monkeypatch):
    write(Path("book.txt"), "new")
    write(corpus / "old.txt", "old")
    write(corpus / "folder" / "a.txt")
    for name in ("old", "old.txt", "folder"):
        assert "already exists" in error_of(add_corpus, name, Path("book.txt"), corpus)
    error_of(add_corpus, "x", Path("missing.txt"), corpus)
    error_of(add_corpus, "x", write(Path("bad.txt"), b"\x00"), corpus)
    error_of(add_corpus, "x", Path("/dev/null"), corpus)

    def full(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    write(Path("books/a.txt"))
    for path in ("book.txt", "books"):
        assert "no space left" in error_of(add_corpus, "x", Path(path), corpus)
    assert sorted(path.name for path in corpus.iterdir()) == ["folder", "old.txt"]
    assert (corpus / "old.txt").read_text() == "old"


def test_cache_is_in_the_corpus_folder_by_default(corpus, monkeypatch):
    assert cache_dir(corpus) == corpus / ".cache"
    assert cache_dir(Path("../corpus")).is_absolute()
    monkeypatch.setenv("GPT_TUI_CACHE", "elsewhere")
    assert cache_dir(corpus) == Path.cwd() / "elsewhere"


def test_listing_corpora_imports_no_heavy_library(corpus):
    code = (
        "import sys; from pathlib import Path; import tui_gpt.corpora as c;"
        "c.list_corpora(Path('.')); c.check_corpus('stories', Path('.')); c.CorpusEntry; c.Source; c.prepare;"
        "c.Shards; c.open_shards; c.load_tokenizer; c.check_tokenizer('bpe:1024');"
        "print(sorted({'torch', 'numpy', 'tokenizers', 'tiktoken'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.stdout.strip() == "[]"
