"""Preparation: complete and correctly split shards, caching, resuming and damage."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import xxhash

from tui_gpt.config import DataConfig
from tui_gpt.corpora import Shards, find_corpus, open_shards, prepare
from tui_gpt.corpora.shards.shard_files import FILES, FORMAT, BlockDigests
from tui_gpt.corpora.sources import digests
from tui_gpt.corpora.sources.digests import Digests
from tui_gpt.corpora.sources.source import Stories
from tui_gpt.corpora.stories import generator as stories_module
from tui_gpt.corpora.tokenizers.tokenizer import CharTokenizer
from tui_gpt.errors import CorpusError


def quiet(words: str, fraction: float | None) -> None:
    pass


class Said(list[str]):
    """What was reported as progress."""

    def __call__(self, words: str, fraction: float | None) -> None:
        self.append(words)


def make(corpus: Path, name: str, tokenizer: str = "byte", val_fraction: float = 0.1, progress=quiet) -> Shards:
    return prepare(DataConfig(corpus=name, tokenizer=tokenizer, val_fraction=val_fraction), corpus, progress)


def documents_of(shards: Shards, tokens: np.ndarray) -> list[str]:
    """The documents of a side, by their ends."""
    ends = np.flatnonzero(tokens == shards.tokenizer.end_of_text)
    assert ends[-1] == len(tokens) - 1
    return [shards.tokenizer.decode(part[:-1].tolist()) for part in np.split(tokens, ends[:-1] + 1)]


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("GPT_TUI_CACHE", raising=False)
    return tmp_path


@pytest.fixture
def folder(corpus) -> list[str]:
    """A corpus of 30 documents called `books`."""
    (corpus / "books").mkdir()
    texts = [f"Document {n}: " + "words " * n for n in range(30)]
    for n, text in enumerate(texts):
        (corpus / "books" / f"{n:02}.txt").write_text(text)
    return texts


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe:300"])
def test_every_document_is_entirely_in_training_or_validation(corpus, folder, tokenizer):
    shards = make(corpus, "books", tokenizer, 0.2)
    train, val = documents_of(shards, shards.train), documents_of(shards, shards.val)
    assert sorted(train + val) == sorted(folder) and val != folder[-len(val) :]
    for side, starts in ((train, shards.train_starts), (val, shards.val_starts)):
        assert [text for text in folder if text in set(side)] == side
        ends = np.cumsum([0] + [len(shards.tokenizer.encode(text)) + 1 for text in side])
        assert starts.tolist() == ends[:-1].tolist()
    info = shards.info
    assert (info.train_tokens, info.val_tokens) == (len(shards.train), len(shards.val))
    assert info.tokens == info.train_tokens + info.val_tokens
    assert (info.train_bytes, info.val_bytes) == (sum(map(len, train)), sum(map(len, val)))
    assert (info.documents, info.train_documents, info.val_documents) == (30, len(train), len(val))
    assert abs(info.val_tokens / info.tokens - 0.2) < 0.02
    assert (info.name, info.tokenizer, info.dtype, info.floor_nats) == ("books", tokenizer, "uint16", None)
    assert info.vocab_size == shards.tokenizer.vocab_size


def test_single_document_is_split_by_tokens(corpus):
    text = "All the words of one book, é and 日本. " * 50
    (corpus / "book.txt").write_text(text)
    shards = make(corpus, "book", "bpe:300", 0.25)
    tokens = np.concatenate([shards.train, shards.val])
    assert tokens.tolist() == [*shards.tokenizer.encode(text), shards.tokenizer.end_of_text]
    assert shards.info.train_tokens == int(len(tokens) * 0.75)
    assert shards.info.train_bytes + shards.info.val_bytes == len(text.encode())
    assert shards.info.val_bytes == len(shards.tokenizer.decode_bytes(shards.val.tolist()))
    assert shards.train_starts.tolist() == shards.val_starts.tolist() == [0]


def test_long_document_is_encoded_in_parts_with_increasing_progress(corpus):
    text = "The same few words again.\n" * 100_000
    (corpus / "long.txt").write_text(text)
    seen: list[float] = []
    shards = make(
        corpus, "long", "byte", progress=lambda words, done: seen.append(done) if words.startswith("enc") else None
    )
    assert shards.info.tokens == len(text) + 1
    assert shards.tokenizer.decode(shards.train[:26].tolist()) == text[:26]
    assert len(seen) > 1 and seen == sorted(seen) and seen[-1] <= 1.0


@pytest.mark.parametrize(("text", "train", "val"), [("", 0, 1), ("abc", 3, 1), ("a", 1, 1)])
def test_too_short_corpus_is_rejected_with_token_counts(corpus, text, train, val):
    (corpus / "short.txt").write_text(text)
    with pytest.raises(CorpusError) as caught:
        make(corpus, "short")
    assert f"{len(text) + 1} tokens leave {train} for training and {val} for validation" in str(caught.value)
    assert list((corpus / ".cache" / "shards").glob("*/")) == []


def test_shortest_trainable_corpus_is_accepted(corpus):
    (corpus / "short.txt").write_text("abc")
    shards = make(corpus, "short", val_fraction=0.5)
    assert (shards.info.train_tokens, shards.info.val_tokens) == (2, 2)


def test_large_vocabulary_uses_four_bytes_per_token(corpus):
    (corpus / "wide.txt").write_text("".join(map(chr, range(0x20000, 0x20000 + 66_000))))
    shards = make(corpus, "wide", "char")
    assert shards.info.dtype == "uint32" and shards.train.dtype.itemsize == 4
    assert shards.tokenizer.decode(shards.val[-3:-1].tolist()) == "".join(
        map(chr, (0x20000 + 65_998, 0x20000 + 65_999))
    )


def test_arrays_are_memory_mapped_and_read_only(corpus, folder):
    shards = make(corpus, "books")
    assert isinstance(shards.train, np.memmap)
    with pytest.raises(ValueError):
        shards.val[0] = 1


def test_floor_is_the_probability_of_the_validation_stories(corpus, monkeypatch):
    monkeypatch.setattr(Stories.__init__, "__defaults__", (0.05, 3))
    shards = make(corpus, "stories", "bpe:400")
    told = {story.text: story.nats for story in stories_module.generate_stories(0.05, 3)}
    val = documents_of(shards, shards.val)
    assert shards.info.floor_nats == sum(told[text] for text in val)
    assert sorted(val + documents_of(shards, shards.train)) == sorted(told)
    assert stories_module.story_nats(val[0]) == told[val[0]]


def test_stories_are_generated_once_and_again_when_damaged(corpus, monkeypatch):
    monkeypatch.setattr(Stories.__init__, "__defaults__", (0.02, 3))
    make(corpus, "stories")
    (file,) = (corpus / ".cache").glob("stories-*.jsonl")
    written = file.stat().st_mtime_ns
    make(corpus, "stories", "char")
    assert file.stat().st_mtime_ns == written
    whole, floor_file = file.read_bytes(), file.with_suffix(".json")
    for path, damaged in (
        (file, b'{"text": "cut of'),
        (file, changed(whole, 1000)),
        (floor_file, changed(floor_file.read_bytes(), 20)),
        (floor_file, b""),
    ):
        path.write_bytes(damaged)
        said = Said()
        find_corpus("stories", corpus).materialize(said)
        assert any("damaged" in words for words in said) and file.read_bytes() == whole
    assert make(corpus, "stories", "bpe:300").info.documents > 10


def test_a_damaged_tokenizer_in_the_cache_is_made_again_with_a_word(corpus, folder):
    whole = make(corpus, "books", "bpe:300").tokenizer.to_json()
    (file,) = (corpus / ".cache" / "tokenizers").glob("*.json")
    at = whole.index(b'"words"') if b'"words"' in whole else whole.index(b'"merges"') - 40
    for damaged in (b"{", changed(whole, at + 2)):
        file.write_bytes(damaged)
        said = Said()
        again = make(corpus, "books", "bpe:300", 0.2, said)
        assert any("damaged: making it again" in words for words in said)
        assert again.tokenizer.to_json() == file.read_bytes() == whole
        shutil.rmtree(again.path)
    file.with_suffix(".xxh3").unlink()  # as an earlier version stored it
    assert make(corpus, "books", "bpe:300", 0.3).tokenizer.to_json() == whole


def test_damaged_digests_in_the_cache_are_computed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "MIN_CACHED_BYTES", 0)
    monkeypatch.setattr(digests, "MIN_AGE_SECONDS", -10.0)
    text = tmp_path / "text.txt"
    text.write_text("It was a dark night.")
    (found,) = Digests(tmp_path / "cache").of([text])
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(changed(whole, at))
        assert Digests(tmp_path / "cache").of([text]) == [found] and file.read_bytes() == whole


def test_prepared_corpus_is_cached_by_content(corpus, folder, monkeypatch):
    first = make(corpus, "books")
    monkeypatch.setattr("tui_gpt.corpora.shards.prepare.encode", None)  # nothing is encoded any more
    assert make(corpus, "books").path == first.path
    (corpus / "books").rename(corpus / "moved")
    again = make(corpus, "moved")
    assert again.path == first.path and again.info.name == "moved"


def test_other_text_tokenizer_or_split_is_prepared_separately(corpus, folder):
    paths = {make(corpus, "books").path, make(corpus, "books", "char").path, make(corpus, "books", "byte", 0.2).path}
    (corpus / "books" / "00.txt").write_text("other text")
    paths.add(make(corpus, "books").path)
    tokenizer = corpus / "tokenizer.json"
    tokenizer.write_bytes(make(corpus, "books").tokenizer.to_json())
    paths.add(make(corpus, "books", str(tokenizer)).path)
    assert len(paths) == 5


def test_text_changed_during_preparation_is_rejected(corpus):
    path = corpus / "live.txt"
    path.write_text("before " * 20)

    def write_more(words: str, fraction: float | None) -> None:
        if words.startswith("encoding"):
            path.write_text("after")

    with pytest.raises(CorpusError, match="changed while it was read"):
        make(corpus, "live", progress=write_more)
    assert list((corpus / ".cache" / "shards").glob("*/")) == []


def test_cancelled_preparation_leaves_no_shards(corpus, folder):
    def cancel(words: str, fraction: float | None) -> None:
        if fraction is not None and fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(corpus, "books", progress=cancel)
    assert [path.suffix for path in (corpus / ".cache" / "shards").glob("*/")] == [".partial"]
    assert documents_of(make(corpus, "books"), make(corpus, "books").train)[0] in folder


def test_leftovers_of_a_kill_are_removed_and_never_opened(corpus, folder):
    code = (
        "import os, signal, sys; from pathlib import Path; from tui_gpt.config import DataConfig;"
        "from tui_gpt.corpora import prepare;"
        "die = lambda words, done: os.kill(os.getpid(), signal.SIGKILL) if (done or 0) > 0.5 else None;"
        "prepare(DataConfig(corpus='books', tokenizer='byte'), Path(sys.argv[1]), die)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code, str(corpus)], cwd=root)
    assert done.returncode == -9
    (left,) = (corpus / ".cache" / "shards").glob("*/")
    assert left.suffix == ".partial"
    shards = make(corpus, "books")
    assert shards.info.documents == 30
    assert list((corpus / ".cache" / "shards").glob("*/")) == [shards.path]


KILLED = """
import os, signal, sys
from pathlib import Path
from tui_gpt.config import DataConfig
from tui_gpt.corpora import prepare
from tui_gpt.corpora.shards import encoding
encoding.SYNC_CHARACTERS = 1 << 20
die = lambda words, done: os.kill(os.getpid(), signal.SIGKILL) if (done or 0) > 0.6 else None
prepare(DataConfig(corpus="long", tokenizer="char"), Path(sys.argv[1]), die)
"""


@pytest.mark.parametrize("harm", ["nothing", "torn tokens", "torn journal", "changed journal", "lost tokens"])
def test_killed_preparation_resumes_without_partial_chunks(corpus, monkeypatch, harm):
    text = "".join(f"Line {n} of a long book, and what it says.\n" for n in range(90_000))
    (corpus / "long.txt").write_text(text)
    done = subprocess.run([sys.executable, "-c", KILLED, str(corpus)], cwd=Path(__file__).parents[3])
    assert done.returncode == -9
    (partial,) = (corpus / ".cache" / "shards").glob("*.partial/")
    if harm == "torn tokens":
        with (partial / "tokens").open("ab") as file:
            file.write(b"\0\0half a piece")
    elif harm == "changed journal":
        data = (partial / "journal.json").read_bytes()
        (partial / "journal.json").write_bytes(changed(data, data.index(b'"tokens":') + 9))
    elif harm == "torn journal":
        (partial / "journal.json").write_bytes(b'{"chunks": 3, "tok')
    elif harm == "lost tokens":
        (partial / "tokens").write_bytes(b"")
    encoded: list[int] = []
    plain = CharTokenizer.encode_joined

    def counted(self, texts, ends):
        encoded.append(sum(map(len, texts)))
        return plain(self, texts, ends)

    monkeypatch.setattr(CharTokenizer, "encode_joined", counted)
    monkeypatch.setattr("tui_gpt.corpora.tokenizers.tokenizer_cache.make_tokenizer", None)  # it was kept
    shards = make(corpus, "long", "char")
    assert (sum(encoded) == len(text)) == (harm in ("torn journal", "changed journal", "lost tokens"))
    tokens = np.concatenate([shards.train, shards.val])
    assert tokens.tolist() == [*shards.tokenizer.encode(text), shards.tokenizer.end_of_text]
    assert [path.name for path in (corpus / ".cache" / "shards").glob("*/")] == [shards.path.name]


def test_killed_split_is_repeated(corpus, folder):
    first = make(corpus, "books")
    tokens = first.train.tolist()
    built = first.path.rename(first.path.with_suffix(".built"))
    (built / "meta.json").unlink()
    assert make(corpus, "books").train.tolist() == tokens and not built.exists()


def test_mixture_shards_record_the_tokens_of_each_corpus(corpus, folder):
    (corpus / "novel.txt").write_text("A single document, by position. " * 100)
    shards = make(corpus, "0.7 books + 0.3 novel", "bpe:300", 0.2)
    books, novel = shards.info.parts
    assert (books.name, novel.name) == ("books", "novel") and shards.info.documents == 31
    assert books.train_tokens + novel.train_tokens == shards.info.train_tokens
    assert books.val_tokens + novel.val_tokens == shards.info.val_tokens
    decode = shards.tokenizer.decode
    assert sorted(
        documents_of(shards, shards.train[: books.train_tokens]) + documents_of(shards, shards.val[: books.val_tokens])
    ) == sorted(folder)
    assert decode(shards.train[books.train_tokens :].tolist()).startswith("A single document")
    assert decode(shards.val[books.val_tokens :].tolist()).endswith("by position. ")
    assert make(corpus, "1 books + 9 novel", "bpe:300", 0.2).path == shards.path


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("0.5 books + 0.5 missing", "missing"),
        ("0.5 books + 0.5 books", "twice"),
        ("1 books + 0.0001 tiny", "less than 0.001 of"),
        ("0 books + 0 tiny", "less than 0.001 of"),
        ("books + tiny", "unknown corpus"),
    ],
)
def test_invalid_mixture_is_a_one_line_error(corpus, folder, reference, message):
    with pytest.raises(CorpusError, match=message) as caught:
        make(corpus, reference)
    assert "\n" not in str(caught.value)


def test_second_process_waits_and_uses_the_same_shards(corpus, folder):
    made = make(corpus, "books")
    hidden = made.path.rename(made.path.with_name("hidden"))
    with made.path.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def finish(words: str, fraction: float | None) -> None:
            if words.startswith("waiting"):
                hidden.rename(made.path)
                fcntl.flock(lock, fcntl.LOCK_UN)
            assert not words.startswith("encoding")

        assert make(corpus, "books", progress=finish).path == made.path


def test_full_or_read_only_cache_is_a_one_line_error(corpus, folder, monkeypatch):
    (corpus / "file").write_text("")
    monkeypatch.setenv("GPT_TUI_CACHE", str(corpus / "file"))
    for name in ("books", "stories"):
        with pytest.raises(CorpusError, match="GPT_TUI_CACHE"):
            make(corpus, name)


def damage(shards: Shards, file: str, data: bytes) -> None:
    path = shards.path / file
    path.unlink()
    path.write_bytes(data)


def changed(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGE = {
    "cut train": lambda shards: damage(shards, "train.bin", (shards.path / "train.bin").read_bytes()[:-1]),
    "longer val": lambda shards: damage(shards, "val.bin", (shards.path / "val.bin").read_bytes() + b"\0\0"),
    "empty val": lambda shards: damage(shards, "val.bin", b""),
    "other tokenizer": lambda shards: damage(shards, "tokenizer.json", b"{}"),
    "no meta": lambda shards: (shards.path / "meta.json").unlink(),
    "no train": lambda shards: (shards.path / "train.bin").unlink(),
    "torn meta": lambda shards: damage(shards, "meta.json", b'{"version": %d, "na' % FORMAT),
    "foreign meta": lambda shards: damage(shards, "meta.json", b'{"version": "x"}'),
    "lacking meta": lambda shards: damage(shards, "meta.json", b'{"version": %d}' % FORMAT),
    "other side": lambda shards: damage(shards, "val.bin", (shards.path / "train.bin").read_bytes()),
    "foreign tokens": lambda shards: damage(shards, "val.bin", bytes(1000)),
    "cut header": lambda shards: damage(shards, "val.bin", (shards.path / "val.bin").read_bytes()[:40]),
    "changed header": lambda shards: damage(shards, "val.bin", changed((shards.path / "val.bin").read_bytes(), 16)),
    "older tokens": lambda shards: damage(shards, "val.bin", changed((shards.path / "val.bin").read_bytes(), 8)),
    "changed token": lambda shards: damage(shards, "val.bin", changed((shards.path / "val.bin").read_bytes(), 100)),
    "changed offset": lambda shards: damage(shards, "val.bin", changed((shards.path / "val.bin").read_bytes(), -5)),
    "cut offsets": lambda shards: damage(shards, "val.bin", (shards.path / "val.bin").read_bytes()[:-8]),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_shards_are_rejected_and_prepared_again(corpus, folder, how):
    shards = make(corpus, "books")
    tokens = np.array(shards.train)
    DAMAGE[how](shards)
    with pytest.raises(CorpusError) as caught:
        open_shards(shards.path)
    assert str(shards.path) in str(caught.value) and "\n" not in str(caught.value)
    again = make(corpus, "books")
    assert again.path == shards.path and again.train.tolist() == tokens.tolist()


def test_large_shards_are_opened_without_reading_them(corpus, folder, monkeypatch):
    shards = make(corpus, "books")
    monkeypatch.setattr("tui_gpt.corpora.shards.shard_files.CHECKED_BYTES", 0)
    damage(shards, "val.bin", changed((shards.path / "val.bin").read_bytes(), 100))
    opened = open_shards(shards.path)
    assert opened.info == shards.info and [file.name for file in opened.large_files()] == ["train.bin", "val.bin"]
    with pytest.raises(CorpusError, match=r"val\.bin: damaged file: bytes .* do not match"):
        list(opened.check(shards.path / "val.bin"))
    opened.discard()
    assert make(corpus, "books").val.tolist() == shards.val.tolist()


@pytest.mark.parametrize("piece", [1, 7, 100, 1000])
def test_digests_of_blocks_do_not_depend_on_the_pieces_written(monkeypatch, piece):
    monkeypatch.setattr("tui_gpt.corpora.shards.shard_files.BLOCK_BYTES", 100)
    data = bytes(range(250))
    digests = BlockDigests()
    for at in range(0, len(data), piece):
        digests.update(data[at : at + piece])
    assert digests.finish() == tuple(xxhash.xxh3_128_hexdigest(data[at : at + 100]) for at in (0, 100, 200))


def test_every_flipped_bit_of_shards_is_found(corpus, folder, monkeypatch):
    """In large files too, when they are checked in blocks."""
    monkeypatch.setattr("tui_gpt.corpora.shards.shard_files.BLOCK_BYTES", 500)
    monkeypatch.setattr("tui_gpt.corpora.shards.shard_files.PIECE_BYTES", 300)
    shards = make(corpus, "books")
    assert len(shards.info.blocks["train.bin"]) > 3
    monkeypatch.setattr("tui_gpt.corpora.shards.shard_files.CHECKED_BYTES", 0)
    random = np.random.default_rng(1)
    for name in FILES:
        data = (shards.path / name).read_bytes()
        for at in random.integers(len(data), size=40).tolist():
            (shards.path / name).write_bytes(changed(data, at))
            with pytest.raises(CorpusError):
                for file in (opened := open_shards(shards.path)).large_files():
                    list(opened.check(file))
        (shards.path / name).write_bytes(data)
    for file in (opened := open_shards(shards.path)).large_files():
        assert list(opened.check(file))[-1] == file.stat().st_size


@pytest.mark.parametrize(
    ("change", "message"), [({"version": 99}, "newer"), ({"version": 0}, "older"), ({"dtype": "int8"}, "int8")]
)
def test_shards_of_another_version_or_type_are_rejected(corpus, folder, change, message):
    shards = make(corpus, "books")
    meta = json.loads(msgspec.json.encode(shards.info)) | change
    damage(shards, "meta.json", json.dumps(meta).encode())
    with pytest.raises(CorpusError, match=message):
        open_shards(shards.path)


def test_folder_without_shards_is_rejected(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CorpusError, match="not a folder of token shards"):
            open_shards(path)


def test_opened_shards_equal_the_prepared_ones(corpus, folder):
    shards = make(corpus, "books")
    opened = open_shards(shards.path)
    assert opened.info == shards.info
    assert opened.train.tolist() == shards.train.tolist() and opened.val.tolist() == shards.val.tolist()
    assert opened.tokenizer.to_json() == shards.tokenizer.to_json()


def test_tiny_corpus_has_about_a_hundred_words_and_can_be_prepared(corpus):
    words = next(find_corpus("tiny", corpus).documents()).split()
    assert 70 < len(words) < 110
    assert make(corpus, "tiny", "bpe:1024").info.val_tokens >= 2


def test_gpt2_vocabulary_is_downloaded_once_and_saved_with_the_shards(corpus, folder, monkeypatch):
    byte = make(corpus, "tiny").tokenizer
    fetched: list[str] = []

    def fetch(spec, texts, progress, size):
        fetched.append(spec)
        return byte

    monkeypatch.setattr("tui_gpt.corpora.tokenizers.tokenizer_cache.make_tokenizer", fetch)
    assert make(corpus, "tiny", "gpt2").tokenizer.to_json() == byte.to_json()
    assert make(corpus, "books", "gpt2").tokenizer.to_json() == byte.to_json()
    assert fetched == ["gpt2"]
