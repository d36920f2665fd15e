"""The split: held-out fraction, determinism, and order of tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.corpora.shards import splitting
from tui_gpt.corpora.shards.shard_files import HEADER_BYTES, ShardsWriter
from tui_gpt.corpora.shards.splitting import assign_splits, document_ends, hold_out, write_splits
from tui_gpt.corpora.tokenizers.build import make_tokenizer

many = st.lists(st.integers(1, 5000), min_size=2, max_size=400).map(np.array)


@given(many, st.floats(0.001, 0.5))
def test_held_out_fraction_is_as_close_as_a_small_document_allows(sizes, val_fraction):
    held_out = hold_out(sizes, val_fraction)
    held, wanted = int(sizes[held_out].sum()), sizes.sum() * val_fraction
    assert 1 <= held_out.sum() < len(sizes)
    if held_out.sum() > 1 or held > sizes.min():  # no document still in training would bring it nearer
        assert abs(held - wanted) <= abs(held + sizes[~held_out].min() - wanted)
    assert held == sizes.min() or held <= wanted * 2


@pytest.mark.parametrize("sizes", [[900, 100], [100, 900], [100, 880, 20], [50_000, 6, 3000, 3000]])
def test_few_documents_are_held_out_by_size(sizes):
    held_out = hold_out(np.array(sizes), 0.1)
    assert 0.05 < np.array(sizes)[held_out].sum() / sum(sizes) < 0.15


def test_documents_are_held_out_from_all_of_the_corpus():
    where = np.flatnonzero(hold_out(np.full(100_000, 300), 0.1))
    assert len(where) == 10_000
    assert abs(where.mean() - 50_000) < 1000 and abs(where.std() - 28_868) < 1000


def test_each_corpus_of_a_mixture_is_split_separately():
    ends = np.array([100, 110, 120, 130, 140])
    book, tales = assign_splits(ends, [1, 4], 0.25)
    assert book.sizes.tolist() == [75, 25] and book.held_out.tolist() == [False, True]
    assert tales.sizes.tolist() == [10] * 4 and tales.held_out.sum() == 1


def test_tokens_are_split_in_order_for_any_block_size(tmp_path, monkeypatch):
    monkeypatch.setattr(splitting, "BLOCK_TOKENS", 7)
    tokenizer = make_tokenizer("byte", [], lambda *_: None)
    texts = ["once " * n for n in (3, 1, 9, 0, 2, 5, 30)]
    tokens = tokenizer.encode_joined(texts, True).astype("<u2")
    (tmp_path / "tokens").write_bytes(tokens.tobytes())
    ends = document_ends(tmp_path / "tokens", tokens.dtype, tokenizer.end_of_text)
    assert ends.tolist() == np.cumsum([len(text) + 1 for text in texts]).tolist()
    with (tmp_path / "train").open("w+b") as train_file, (tmp_path / "val").open("w+b") as val_file:
        train, val = ShardsWriter(train_file, tokenizer), ShardsWriter(val_file, tokenizer)
        (side,) = assign_splits(ends, [len(texts)], 0.3)
        write_splits(tmp_path / "tokens", [side], train, val, lambda *_: None)
        for writer, file, chosen in ((train, train_file, ~side.held_out), (val, val_file, side.held_out)):
            file.seek(HEADER_BYTES)
            expected = tokenizer.encode_joined(
                [text for text, is_ours in zip(texts, chosen, strict=True) if is_ours], True
            )
            assert np.frombuffer(file.read(), "<u2").tolist() == expected.tolist()
            assert writer.tokens == len(expected) and writer.starts.tolist()[0] == 0
            assert writer.bytes == len(expected) - chosen.sum()
