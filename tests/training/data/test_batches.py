"""The batch modes: what each predicts, determinism in (seed, step), and splits over ranks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_gpt.config import Config, DataConfig, ModelConfig
from tui_gpt.corpora import prepare
from tui_gpt.training.data import batches as batches_module
from tui_gpt.training.data.batches import BatchLoader, CorpusPart, StepBatch, to_device
from tui_gpt.training.data.packing import pack_documents
from tui_gpt.training.data.shuffling import permute

MODES = ["windows", "sliding", "random", "packed"]
END = 0


def documents_of(sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return unique tokens, with an end of text after each document, and the starts of the documents."""
    tokens = np.arange(1, sum(sizes) + 1, dtype=np.uint16)
    ends = np.cumsum(sizes)
    tokens[ends - 1] = END
    return tokens, ends - sizes


def make(sizes: list[int], mode: str, context: int = 8, sequences: int = 4, seed: int = 1, **more) -> BatchLoader:
    tokens, starts = documents_of(sizes)
    parts = [CorpusPart(0, len(tokens), starts)]
    return BatchLoader(tokens, mode, context, sequences, seed, parts, END, **more)


def epoch_of(batches: BatchLoader, number: int = 0) -> StepBatch:
    """Return the rows of one epoch."""
    steps = range(1, 2 + (number + 1) * batches.rows // batches.sequences)
    taken = [batches.batch(step) for step in steps]
    slots = slice(number * batches.rows, (number + 1) * batches.rows)
    return StepBatch(
        *(np.concatenate(kind)[slots] if kind[0] is not None else None for kind in zip(*taken, strict=True))
    )


many = st.lists(st.integers(1, 40), min_size=1, max_size=30).filter(lambda sizes: sum(sizes) > 20)
shapes = {"context": st.integers(2, 19), "sequences": st.integers(1, 9), "seed": st.integers(0, 9)}


@pytest.mark.parametrize("epoch", [0, 1])
@given(sizes=many, **shapes)
@settings(max_examples=40, deadline=None)
def test_windows_predict_each_token_once_an_epoch(epoch, sizes, context, sequences, seed):
    batches = make(sizes, "windows", context, sequences, seed)
    rows = epoch_of(batches, epoch)
    found = Counter(rows.targets[rows.targets >= 0].tolist())
    assert found == Counter(batches.tokens[1:].tolist())


@pytest.mark.parametrize("epoch", [0, 1])
@given(sizes=many, **shapes)
@settings(max_examples=40, deadline=None)
def test_packed_rows_predict_each_token_once_an_epoch_after_an_end_of_text(epoch, sizes, context, sequences, seed):
    batches = make(sizes, "packed", context, sequences, seed, attend_across_documents=False)
    rows = epoch_of(batches, epoch)
    assert Counter(rows.targets[rows.targets >= 0].tolist()) == Counter(batches.tokens.tolist())
    for inputs, targets, documents in zip(*rows, strict=True):
        kept = targets >= 0
        assert not kept[np.argmin(kept) :].any() or kept.all()  # what is empty stands at the end
        for document in np.unique(documents[kept]):
            own = kept & (documents == document)
            assert (np.diff(np.flatnonzero(own)) == 1).all()
            assert (inputs[own][1:] == targets[own][:-1]).all()
            assert (inputs[own][1:] != END).all()  # one document alone
            first = targets[own][0]
            begins = first in batches.tokens[batches.parts[0].starts] and first != END
            assert inputs[own][0] == END or not begins


@pytest.mark.parametrize("mode", MODES)
@given(sizes=many, stride=st.integers(0, 5), **shapes)
@settings(max_examples=40, deadline=None)
def test_targets_are_the_tokens_after_the_inputs(mode, sizes, stride, context, sequences, seed):
    batches = make(sizes, mode, context, sequences, seed, stride=stride)
    after = dict(zip(batches.tokens[:-1].tolist(), batches.tokens[1:].tolist(), strict=True))
    for step in (1, 2, 50):
        inputs, targets, documents = batches.batch(step)
        assert inputs.shape == targets.shape == (sequences, context) and documents is None
        assert inputs.dtype == targets.dtype == np.int64
        kept = (targets >= 0) & (inputs != END)
        assert targets[kept].tolist() == [after[token] for token in inputs[kept].tolist()]
        assert (targets >= 0).any(axis=1).all()


def test_a_window_slides_by_its_stride():
    tokens = np.array([10, 20, 30, 40, 99, 7], np.uint16)
    batches = BatchLoader(tokens, "sliding", 4, 2, 1, stride=1)
    rows = epoch_of(batches)
    order = np.argsort(rows.inputs[:, 0])
    assert rows.inputs[order].tolist() == [[10, 20, 30, 40], [20, 30, 40, 99]]
    assert rows.targets[order].tolist() == [[20, 30, 40, 99], [30, 40, 99, 7]]


@given(tokens=st.integers(12, 90), context=st.integers(2, 10), stride=st.integers(1, 10))
def test_sliding_windows_begin_every_stride_and_reach_the_end(tokens, context, stride):
    batches = BatchLoader(np.arange(tokens), "sliding", context, 7, 1, stride=min(stride, context))
    starts = sorted(epoch_of(batches).inputs[:, 0].tolist())
    assert starts[:-1] == list(range(len(starts) - 1) if stride == 1 else starts[:-1])
    assert set(np.diff(starts)[:-1]) <= {min(stride, context)}
    assert starts[0] == 0 and starts[-1] == tokens - 1 - context
    assert (epoch_of(batches).targets >= 0).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ranks", [2, 3, 6])
def test_ranks_share_a_step_without_overlap(mode, ranks):
    sizes = [7, 30, 2, 9, 55, 12, 1, 1, 18] * 5
    whole = make(sizes, mode, 8, 6, attend_across_documents=False)
    shares = [make(sizes, mode, 8, 6, attend_across_documents=False, rank=rank, ranks=ranks) for rank in range(ranks)]
    for step in (1, 17, 400):
        for kind in range(3):
            together = np.concatenate([share.batch(step)[kind] for share in shares])
            assert together.tolist() == whole.batch(step)[kind].tolist()


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_is_a_function_of_seed_and_step(mode):
    sizes = [20, 31, 2, 90, 4, 11] * 10
    one, other = make(sizes, mode), make(sizes, mode)
    for step in (400, 3, 90):
        assert one.batch(step).inputs.tolist() == other.batch(step).inputs.tolist()
    assert one.batch(1).inputs.tolist() != one.batch(2).inputs.tolist()
    assert one.batch(1).inputs.tolist() != make(sizes, mode, seed=2).batch(1).inputs.tolist()
    if mode != "random":
        orders = [epoch_of(one, epoch).inputs.tolist() for epoch in (0, 1)]
        assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


@pytest.mark.parametrize("mode", ["windows", "sliding", "random"])
def test_documents_are_separated_by_the_end_of_text_before_them(mode):
    batches = make([5, 9, 3, 30], mode, 12, 5, attend_across_documents=False)
    inputs, _, documents = batches.batch(2)
    for row, numbers in zip(inputs, documents, strict=True):
        assert (np.diff(numbers) == (row[1:] == END)).all()


@pytest.mark.parametrize("mode", MODES)
def test_corpora_alternate_by_weight_and_each_has_its_own_epochs(mode):
    tokens, starts = documents_of([10] * 40)
    parts = [CorpusPart(0, 300, starts[:30], 0.75), CorpusPart(300, 400, starts[30:], 0.25)]
    batches = BatchLoader(tokens, mode, 10, 8, 1, parts, END)
    second = np.concatenate([batches.batch(step).targets.max(axis=1) > 300 for step in range(1, 1001)])
    assert second.mean() == pytest.approx(0.25, abs=1e-9)
    assert 100 < np.flatnonzero(second)[200] < 1200  # spread, not in blocks
    if mode in ("windows", "packed"):
        targets = np.concatenate([batches.batch(step).targets for step in range(1, 1001)])
        seen = Counter(targets[(targets > 300)].tolist())
        turns = 2000 / (9.9 if mode == "windows" else 10)
        assert set(seen) == set(range(302 if mode == "windows" else 301, 401)) - set(range(310, 401, 10))
        assert max(seen.values()) - min(seen.values()) <= 1 and abs(min(seen.values()) - turns) < 5


def test_a_corpus_shorter_than_a_row_never_predicts_tokens_of_another():
    tokens, starts = documents_of([100, 4, 3])
    parts = [CorpusPart(0, 100, starts[:1]), CorpusPart(100, 104, starts[1:2]), CorpusPart(104, 107, starts[2:])]
    for mode in ("windows", "sliding", "random"):
        batches = BatchLoader(tokens, mode, 20, 30, 1, parts, END)
        for row in batches.batch(1).targets:
            kept = row[row > 0]
            assert any(begin < kept.min() and kept.max() <= end for begin, end, *_ in parts)


def test_mapped_pages_are_released(tmp_path, monkeypatch):
    monkeypatch.setattr(batches_module, "RELEASE_ROWS", 8)
    np.arange(5000, dtype=np.uint16).tofile(tmp_path / "tokens")
    tokens = np.memmap(tmp_path / "tokens", np.uint16, "r")
    batches = BatchLoader(tokens, "windows", 10, 4, 1)
    before = [batches.batch(step).inputs.tolist() for step in range(1, 10)]
    assert before == [batches.batch(step).inputs.tolist() for step in range(1, 10)]
    assert batches._since_release < 8


@pytest.mark.parametrize("sequences", [4, 5])
def test_too_few_tokens_or_uneven_ranks_raise(sequences):
    with pytest.raises(ValueError):
        BatchLoader(np.arange(8 if sequences == 4 else 80), "windows", 8, sequences, 1, ranks=2)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.integers(1, 25))
def test_packing_places_every_piece_once_and_fills_rows(sizes, room):
    starts = np.cumsum(sizes) - sizes
    packed = pack_documents(starts, sum(sizes), room)
    kept = packed.starts >= 0
    spans = zip(packed.starts[kept], packed.lengths[kept], strict=True)
    covered = np.concatenate([np.arange(begin, begin + length) for begin, length in spans])
    assert sorted(covered.tolist()) == list(range(sum(sizes)))
    assert set(np.add.reduceat(packed.lengths, packed.first[:-1]).tolist()) == {room}
    filled = np.add.reduceat(packed.lengths * kept, packed.first[:-1])
    assert packed.first[-1] == len(packed.starts)
    assert sorted(packed.starts[packed.begins].tolist()) == starts.tolist()
    assert packed.rows == 1 or np.sort(filled)[:2].sum() > room  # no two rows would go into one


def test_packing_stories_leaves_little_empty_space():
    sizes = np.random.default_rng(0).integers(40, 400, 20_000)
    packed = pack_documents(np.cumsum(sizes) - sizes, int(sizes.sum()), 1024)
    assert sizes.sum() / (packed.rows * 1024) > 0.995


@given(st.integers(1, 3000), st.integers(0, 5))
def test_permute_is_a_permutation(n, seed):
    found = permute(np.arange(n), n, (seed,))
    assert sorted(found.tolist()) == list(range(n))
    assert found[n // 2] == permute(np.array([n // 2]), n, (seed,))[0]


def test_a_permutation_is_uncorrelated_with_the_order():
    n = 100_000
    one, other = (permute(np.arange(n), n, (seed,)) for seed in (1, 2))
    places = np.arange(n)
    for left, right in ((places, one), (one, other), (one[:-1], one[1:])):
        assert abs(np.corrcoef(left, right)[0, 1]) < 4 / np.sqrt(n)
    steps = np.bincount(np.diff(one) % 16, minlength=16)
    assert steps.min() > 0.9 * n / 16 and steps.max() < 1.1 * n / 16


def test_to_device_splits_a_step_and_counts_its_targets():
    batches = make([30, 5, 40], "packed", 16, 6, attend_across_documents=False)
    batch = batches.batch(1)
    passes = to_device(batch, 3, torch.device("cpu"))
    assert [micro.num_targets for micro in passes] == [int((micro.targets >= 0).sum()) for micro in passes]
    for kind in range(3):
        assert torch.cat([micro[kind] for micro in passes]).tolist() == batch[kind].tolist()


def test_a_loader_uses_the_weights_of_the_config(tmp_path):
    (tmp_path / "a.txt").write_text("a" * 3000)
    (tmp_path / "b.txt").write_text("b" * 900)
    data = DataConfig(corpus="0.3 a + 0.7 b", tokenizer="byte", mode="windows")
    config = Config(model=ModelConfig(context_length=16), data=data)
    batches = BatchLoader.for_training(prepare(data, tmp_path, lambda *_: None), config)
    first = np.concatenate([batches.batch(step).inputs[:, 0] for step in range(1, 126)])
    assert (first == ord("a")).mean() == pytest.approx(0.3) and set(first.tolist()) == {ord("a"), ord("b")}
