"""Tokenizers: round trips, and agreement with the tokenizers library and tiktoken."""

from __future__ import annotations

import json
import socket
from functools import cache

import numpy as np
import pytest
import tiktoken
import tiktoken.load
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from tests.corpora.tokenizers.test_chunking import PATTERNS
from tui_gpt.corpora import check_tokenizer, load_tokenizer, make_tokenizer
from tui_gpt.corpora.sources.formats import Piece
from tui_gpt.corpora.stories.generator import generate_stories
from tui_gpt.corpora.tokenizers.build import derive_merges, from_ranks
from tui_gpt.corpora.tokenizers.chunking import chunks
from tui_gpt.corpora.tokenizers.tokenizer import END_OF_TEXT, Tokenizer, bytes_to_unicode, parse_tokenizer
from tui_gpt.errors import CorpusError

TEXT = [story.text for story in generate_stories(0.05)]
MIXED = ["naïve café", "日本語のテキスト\n", "tabs\t\tand  spaces ", "🙂🙃", "<|endoftext|>"]
anything = st.text(st.characters(exclude_categories=["Cs"]))
spaced = st.text(st.sampled_from("ab'1.! \n\t\r\x1c\xa0\u2028\u3000é日s"), max_size=200)


def quiet(words: str, fraction: float | None) -> None:
    pass


@cache
def tokenizer(spec: str) -> Tokenizer:
    return make_tokenizer(spec, [*TEXT, *MIXED], quiet)


def foreign(tokenizer: Tokenizer) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(tokenizer.to_json().decode())


@pytest.mark.parametrize("spec", ["byte", "bpe:257", "bpe:600"])
@given(st.one_of(anything, spaced))
def test_byte_level_tokenizer_round_trips_any_text(spec, text):
    ids = tokenizer(spec).encode(text)
    assert tokenizer(spec).decode(ids.tolist()) == text
    assert tokenizer(spec).byte_lengths[ids].sum() == len(text.encode())
    assert ids.dtype == np.int32 and tokenizer(spec).end_of_text not in ids


@given(st.one_of(anything, spaced, st.sampled_from(TEXT)))
def test_tokens_equal_those_of_the_tokenizers_library(text):
    assert tokenizer("bpe:600").encode(text).tolist() == foreign(tokenizer("bpe:600")).encode(text).ids or (
        "<|endoftext|>" in text
    )


def test_end_of_text_is_not_parsed_from_text():
    for spec in ("byte", "bpe:600", "char"):
        ids = tokenizer(spec).encode("a<|endoftext|>b")
        assert tokenizer(spec).end_of_text not in ids
        assert tokenizer(spec).decode(ids.tolist()) == "a<|endoftext|>b"


@pytest.mark.parametrize(("spec", "size"), [("byte", 257), ("bpe:257", 257), ("bpe:600", 600)])
def test_vocabulary_size_includes_bytes_merges_and_end_of_text(spec, size):
    assert tokenizer(spec).vocab_size == size
    assert tokenizer(spec).end_of_text == size - 1
    assert tokenizer(spec).token_bytes[size - 1] == b""
    assert foreign(tokenizer(spec)).get_vocab_size() == size


def test_short_text_yields_a_smaller_vocabulary():
    small = make_tokenizer("bpe:5000", ["aaab aaab"], quiet)
    assert 257 < small.vocab_size < 300
    assert small.decode(small.encode("aaab é").tolist()) == "aaab é"


def test_merges_derived_from_ranks_equal_the_trained_ones():
    trained = tokenizer("bpe:600")
    model = json.loads(trained.to_json())["model"]
    names = bytes_to_unicode()
    recovered = [["".join(names[byte] for byte in part) for part in merge] for merge in derive_merges(trained.ranks)]
    assert recovered == [list(merge) for merge in model["merges"]]
    again = from_ranks(trained.ranks)
    assert again.ranks == trained.ranks and again.end_of_text == trained.end_of_text
    assert json.loads(again.to_json())["model"] == model


@pytest.mark.parametrize("spec", ["byte", "bpe:600", "char"])
def test_saved_tokenizer_round_trips(spec, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer(spec).to_json())
    loaded = load_tokenizer(path)
    text = "".join(TEXT[:5]) + "日本"
    assert loaded.encode(text).tolist() == tokenizer(spec).encode(text).tolist() == foreign(loaded).encode(text).ids
    assert (loaded.vocab_size, loaded.end_of_text) == (tokenizer(spec).vocab_size, tokenizer(spec).end_of_text)
    assert loaded.token_bytes == tokenizer(spec).token_bytes
    assert loaded.to_json() == tokenizer(spec).to_json()
    assert check_tokenizer(str(path)) == str(path)
    assert make_tokenizer(str(path), [], quiet).to_json() == loaded.to_json()
    assert foreign(loaded).decode(loaded.encode(text).tolist()) == text


def test_partial_character_decodes_to_a_replacement():
    ids = tokenizer("byte").encode("é").tolist()
    assert tokenizer("byte").decode(ids[:1]) == "\ufffd"
    assert tokenizer("byte").decode_bytes(ids[:1]) == b"\xc3"


def test_lone_surrogate_is_replaced():
    assert tokenizer("byte").decode(tokenizer("byte").encode("a\udc80b").tolist()) == "a\ufffdb"


@pytest.mark.parametrize("character", ["ß", "\udc80", "\U0010ffff"])
def test_unknown_character_is_named(character):
    with pytest.raises(CorpusError, match=f"U\\+{ord(character):04X}"):
        tokenizer("char").encode("a" + character)


def test_char_tokenizer_has_one_token_per_character():
    text = "Once, 日本\n🙂"
    ids = tokenizer("char").encode(text)
    assert len(ids) == len(text) and tokenizer("char").decode(ids.tolist()) == text
    assert tokenizer("char").byte_lengths[ids].tolist() == [len(character.encode()) for character in text]
    assert tokenizer("char").encode("").tolist() == []


@pytest.mark.parametrize(
    "spec", ["bpe", "bpe:", "bpe:256", "bpe:1k", "bpe:-5", "bpe:99999999999", "gpt", "words", "missing.json", "/"]
)
def test_invalid_tokenizer_name_is_a_one_line_error(spec):
    with pytest.raises(CorpusError) as caught:
        check_tokenizer(spec)
    assert "\n" not in str(caught.value) and caught.value.do


def test_unreachable_gpt2_vocabulary_is_reported_with_what_to_do(monkeypatch, tmp_path):
    import tiktoken

    def unreachable(name: str) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tiktoken, "get_encoding", unreachable)
    with pytest.raises(CorpusError, match=r"TIKTOKEN_CACHE_DIR.*bpe:4096"):
        make_tokenizer("gpt2", [], quiet)


@cache
def elsewhere(kind: str) -> tuple[tiktoken.Encoding, Tokenizer]:
    """An encoding as tiktoken has it, and what we make of it: its ids have a gap, or the end of text among them."""
    ranks = tokenizer("bpe:600").ranks
    end = len(ranks) + 3 if kind == "gap" else 500
    ranks = {raw: id + (kind == "among" and id >= end) for raw, id in ranks.items()}
    pattern = PATTERNS["cl100k" if kind == "gap" else "gpt2"]
    encoding = tiktoken.Encoding(kind, pat_str=pattern, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: end})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiktoken, "get_encoding", lambda name: encoding)
        return encoding, make_tokenizer("cl100k_base", [], quiet)


@pytest.mark.parametrize("kind", ["gap", "among"])
@given(st.one_of(anything, spaced))
def test_tiktoken_ids_are_kept_here_and_in_the_saved_file(kind, text):
    encoding, ours = elsewhere(kind)
    ids = encoding.encode(text, disallowed_special=())
    assert ours.encode(text).tolist() == ids and ours.decode(ids) == text
    assert (ours.end_of_text, ours.vocab_size) == (encoding.eot_token, encoding.n_vocab)
    if END_OF_TEXT not in text:
        assert foreign(ours).encode(text).ids == ids


def test_stalled_vocabulary_download_is_reported_with_what_to_do(monkeypatch):
    monkeypatch.setattr("tui_gpt.corpora.tokenizers.build.FETCH_SECONDS", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/vocab.bpe"
        monkeypatch.setattr(tiktoken, "get_encoding", lambda name: tiktoken.load.read_file(address))
        own = tiktoken.load.read_file
        with pytest.raises(CorpusError, match=r"vocabulary of o200k_base .*Timeout.*TIKTOKEN_CACHE_DIR"):
            make_tokenizer("o200k_base", [], quiet)
    assert tiktoken.load.read_file is own


def test_trained_merges_equal_those_of_the_library_on_whole_documents():
    from tokenizers import models, pre_tokenizers, trainers

    documents = ["".join(TEXT[:40]), *TEXT[40:], *MIXED]
    pieces = [Piece(text, True, "") for text in documents]
    cut = [text for chunk in chunks(pieces, "words", 100) for text in chunk.texts]
    assert len(cut) > 2 * len(documents)
    plain = tokenizers.Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=599, initial_alphabet=alphabet, show_progress=False)
    plain.train_from_iterator(documents, trainer)
    ours = json.loads(make_tokenizer("bpe:600", cut, quiet).to_json())["model"]
    assert ours["merges"] == json.loads(plain.to_str())["model"]["merges"]


def test_vocabulary_is_trained_on_all_text_or_an_even_sample(monkeypatch):
    monkeypatch.setattr("tui_gpt.corpora.tokenizers.build.BPE_CHARACTERS", 1000)
    texts = [f"{word} " * 10 for word in ("one", "two", "three", "four")]
    sampled = make_tokenizer("bpe:300", texts, quiet, 1500)
    assert b"two" not in sampled.token_bytes and b" three" in sampled.token_bytes
    assert b"two" in make_tokenizer("bpe:300", texts, quiet, 999).token_bytes


@given(st.lists(st.one_of(anything, spaced), min_size=1, max_size=5), st.booleans())
def test_encoding_documents_together_equals_encoding_them_separately(texts, ends):
    for spec in ("byte", "bpe:600"):
        made = tokenizer(spec)
        expected: list[int] = []
        for number, text in enumerate(texts):
            expected += made.encode(text).tolist() + [made.end_of_text] * (ends or number < len(texts) - 1)
        assert made.encode_joined(texts, ends).tolist() == expected


def others() -> tokenizers.Tokenizer:
    """Trained elsewhere: another pattern, the end of text first, as many do it."""
    from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

    other = tokenizers.Tokenizer(models.BPE())
    pattern = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    other.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    other.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    other.train_from_iterator(TEXT, trainer)
    return other


def test_foreign_tokenizer_yields_its_own_tokens():
    other = others()
    read = parse_tokenizer(other.to_str().encode())
    assert read.end_of_text == 0 and read.vocab_size == 500
    for text in [*TEXT[:50], *MIXED, "wait!\n\n1234 'S"]:
        assert read.encode(text).tolist() == other.encode(text).ids
        assert read.decode(other.encode(text).ids) == text


def changed(change) -> bytes:
    raw = json.loads(tokenizer("bpe:600").to_json())
    change(raw)
    return json.dumps(raw).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\x80\x04pickle",
        b"[1, 2]",
        tokenizer("bpe:600").to_json()[:-100],
        changed(lambda raw: raw.update(added_tokens=[])),
        changed(lambda raw: raw["model"].update(type="Unigram")),
        changed(lambda raw: raw["model"].update(type="WordLevel")),
        changed(lambda raw: raw["model"]["merges"].reverse()),
        changed(lambda raw: raw["model"]["merges"].pop()),
        changed(lambda raw: raw["model"]["vocab"].pop("a")),
        changed(lambda raw: raw["model"]["vocab"].update(a=10_000)),
        changed(lambda raw: raw["model"]["vocab"].update({"日": 600})),
        changed(lambda raw: raw.update(normalizer={"type": "NFC"})),
        changed(lambda raw: raw.update(pre_tokenizer={"type": "Whitespace"})),
        changed(lambda raw: raw.update(pre_tokenizer=None)),
        changed(lambda raw: raw["pre_tokenizer"].update(add_prefix_space=True)),
    ],
)
def test_unsupported_or_damaged_tokenizer_is_rejected(data, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    with pytest.raises(CorpusError) as caught:
        load_tokenizer(path)
    assert caught.value.where == str(path) and "\n" not in str(caught.value)


def test_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(CorpusError, match="no such file"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_invalid_pattern_is_rejected_before_a_run(tmp_path):
    path = tmp_path / "tokenizer.json"
    raw = json.loads(others().to_str())
    raw["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(unclosed"
    path.write_text(json.dumps(raw))
    with pytest.raises(CorpusError, match="pattern"):
        check_tokenizer(str(path))
