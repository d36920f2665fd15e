"""The parts of a step: batches that are a function of (seed, step), exact accumulation, schedules, scoring."""

from __future__ import annotations

import itertools
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from tests.live import ended, start
from tui_gpt.config import ModelConfig, OptimizerConfig, ScheduleConfig, build, keys_of, override
from tui_gpt.errors import ConfigError
from tui_gpt.model import GPT
from tui_gpt.training.compute import choose_compute
from tui_gpt.training.data.batches import BatchLoader, CorpusPart, MicroBatch, StepBatch, to_device
from tui_gpt.training.loop.guard import Guard
from tui_gpt.training.loop.step import TrainStep
from tui_gpt.training.measuring.evaluation import evaluate
from tui_gpt.training.optimizers import make_optimizers
from tui_gpt.training.optimizers.schedules import learning_rate, progress_after_warmup
from tui_gpt.training.run_setup import fit, prepare_run

CPU = torch.device("cpu")


def train_step(model: GPT, grad_clip: float = 1.0) -> TrainStep:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    guard = Guard(CPU, skip_spikes=True, expect_overflow=False)
    return TrainStep(
        model, make_optimizers(model, OptimizerConfig()), scaler, guard, nullcontext, grad_clip, lambda *_: None
    )


def some_batch(sequences: int) -> StepBatch:
    tokens = np.random.default_rng(0).integers(0, 50, (sequences, 9))
    return StepBatch(tokens[:, :-1], tokens[:, 1:], None)


def uneven(micro_batches: list[MicroBatch]) -> list[MicroBatch]:
    """The same micro-batches with targets missing here and there, so that they hold unequal numbers of them."""
    shortened = []
    for micro in micro_batches:
        targets = torch.where((micro.inputs * 7 + micro.targets) % 5 < 2, -1, micro.targets)
        shortened.append(micro._replace(targets=targets, num_targets=int((targets >= 0).sum())))
    return shortened


def test_accumulation_gives_the_gradient_of_one_big_batch_also_with_uneven_targets() -> None:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=8), 50).double()
    batch = some_batch(6)
    found = []
    for accumulation in (1, 3, 6):
        model.zero_grad()
        micro_batches = uneven(to_device(batch, accumulation, CPU))
        assert accumulation == 1 or len({micro.num_targets for micro in micro_batches}) > 1
        loss = train_step(model).compute_gradients(1, micro_batches)
        found.append([loss, *(parameter.grad.clone() for parameter in model.parameters())])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert torch.allclose(one.double(), two.double(), atol=1e-6)


def test_a_step_clips_and_reports_the_norm_before_clipping() -> None:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=8), 50)
    micro = to_device(some_batch(2), 1, CPU)
    taker = train_step(model, grad_clip=0.01)
    loss = taker.compute_gradients(1, micro)
    expected = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in model.parameters()]))
    taken = taker.apply_update(1, loss, 1e-3)
    assert torch.allclose(taken.grad_norm, expected)
    assert taken.loss.item() == pytest.approx(math.log(50), abs=0.2)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_decay_is_for_matrices_only() -> None:
    model = GPT(ModelConfig(architecture="gpt2", n_layer=1, n_head=2, n_embd=16, context_length=8, tied=True), 50)
    (optimizer,) = make_optimizers(model, OptimizerConfig())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = {names[id(p)] for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert {name.split(".")[-2] for name in decayed} == {"qkv", "projection", "expand"}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)


def test_the_cosine_warms_up_peaks_and_ends_at_its_floor() -> None:
    schedule = ScheduleConfig(warmup_steps=10, min_lr_ratio=0.1)
    rates = [learning_rate(schedule, 1.0, n, progress_after_warmup(schedule, n, 100)) for n in range(1, 101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1.0 and rates[-1] == pytest.approx(0.1)
    assert rates[54] == pytest.approx(0.55)
    assert all(one >= other for one, other in itertools.pairwise(rates[9:]))


def scoring(
    tokens: np.ndarray, sequences: int, mode: Literal["windows", "packed"] = "windows", starts=(0,)
) -> BatchLoader:
    parts = [CorpusPart(0, len(tokens), np.array(starts))]
    context = min(16, len(tokens) - 1)
    return BatchLoader(tokens, mode, context, sequences, 0, parts=parts, end_of_text=49)


@pytest.mark.parametrize("length", [3, 16, 17, 50, 81])
def test_an_evaluation_scores_every_token_once(length: int) -> None:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=16), 50)
    tokens = np.random.default_rng(length).integers(0, 50, length).astype(np.uint16)
    lengths = np.full(50, 2)
    result = evaluate(model, scoring(tokens, 3), lengths, step=1, max_tokens=0, autocast=nullcontext)
    assert result is not None and result.whole and result.tokens == length - 1
    assert model.training
    context = min(16, length - 1)
    last = (length - 2) // context * context  # where the last row's own targets begin; it sees what is before them
    with torch.no_grad():
        nats = sum(
            model(torch.tensor([tokens[s:e].tolist()]), torch.tensor([tokens[s + 1 : e + 1].tolist()])).item()
            for s in range(0, last, context)
            for e in [s + context]
        )
        targets = torch.tensor([tokens[-context:].tolist()])
        targets[:, : last - (length - 1 - context)] = -1
        nats += model(torch.tensor([tokens[-context - 1 : -1].tolist()]), targets).item()
    assert result.val_loss == pytest.approx(nats / (length - 1), rel=1e-5)
    assert result.bits_per_byte == pytest.approx(result.val_loss / math.log(2) / 2, rel=1e-6)
    assert result.perplexity == pytest.approx(math.exp(result.val_loss))


def test_an_evaluation_of_packed_documents_scores_each_from_its_beginning() -> None:
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=16), 50)
    tokens = np.random.default_rng(0).integers(0, 49, 40).astype(np.uint16)
    tokens[[6, 19, 39]] = 49
    batches = scoring(tokens, 4, "packed", starts=(0, 7, 20))
    batches.attend_across_documents = False
    result = evaluate(model, batches, np.ones(50), step=1, max_tokens=0, autocast=nullcontext)
    assert result is not None and result.whole and result.tokens == 40
    alone = 0.0
    for document in np.split(tokens, [7, 20]):
        rows = [document[at : at + 16].tolist() for at in range(0, len(document), 16)]
        before = 49
        for row in rows:
            with torch.no_grad():
                alone += model(torch.tensor([[before, *row[:-1]]]), torch.tensor([row])).item()
            before = row[-1]
    assert result.val_loss == pytest.approx(alone / 40, rel=1e-5)


def test_a_sampled_evaluation_says_so() -> None:
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=16, context_length=16), 50)
    batches = scoring(np.zeros(1025, np.uint16), 4)
    result = evaluate(model, batches, np.ones(50), step=1, max_tokens=100, autocast=nullcontext)
    assert result is not None and not result.whole and result.tokens == 96


def test_presets_are_fitted_to_a_short_corpus_and_values_set_by_hand_are_not() -> None:
    config, notes = fit(build({"preset": "nano"}), 4630, by_hand={})
    assert config.training.micro_batch_size == 2 and config.model.context_length == 256
    assert "8 steps" in notes[0]
    config, notes = fit(build({}), 30, by_hand={})
    assert (config.model.context_length, config.training.micro_batch_size, len(notes)) == (29, 1, 2)
    config, notes = fit(
        build({"preset": "nano", "training": {"duration": 100}}), 10**6, by_hand={"training.duration": 100}
    )
    assert config.schedule.warmup_steps == 10 and "a tenth" in notes[0]
    asked = override({}, ["training.micro_batch_size=16"])
    config, notes = fit(build(asked), 1000, by_hand=keys_of(asked))
    assert config.training.micro_batch_size == 16 and not notes
    asked = override({}, ["model.context_length=64"])
    with pytest.raises(ConfigError, match="longer than the corpus, which has 30 training tokens"):
        fit(build(asked), 30, by_hand=keys_of(asked))


def test_a_run_on_stories_says_its_floor_and_scores_whole_stories_where_they_are_packed(tmp_path: Path) -> None:
    settings = ("data.corpus=stories:0.05", "data.mode=packed", "model.context_length=512", "training.duration=2")
    folder = start(tmp_path, *settings, "checkpoints.every=0", "sampling.every=0")
    ended(folder)
    info, last = folder.read_info(), folder.read_evals()[-1]
    assert info is not None and info.corpus is not None and info.corpus.floor_loss is not None
    assert info.corpus.floor_note == ""
    assert last.whole and last.tokens == info.corpus.val_tokens
    assert last.val_loss is not None and last.val_loss > info.corpus.floor_loss
    said = f"falls below {info.corpus.floor_loss:.4f} nats per token"
    assert any(event.message.endswith(said) for event in folder.read_events())


def test_a_split_far_from_what_was_asked_is_said(tmp_path: Path) -> None:
    for count in (2, 10):
        (tmp_path / f"{count}").mkdir()
        for number in range(count):
            (tmp_path / f"{count}" / f"{number}.txt").write_text("It was a dark and stormy night. " * 40)
        asked = override({}, [f"data.corpus={count}", "data.tokenizer=byte"])
        said = [note for note in prepare_run(asked, tmp_path, lambda *_: None).notes if "validation" in note]
        assert said == (["validation has 50% of the tokens, not 10%: it takes whole documents"] if count == 2 else [])


@pytest.mark.parametrize("mode", ["windows", "sliding", "random", "packed"])
def test_the_fit_counts_the_rows_that_the_batches_have(mode: Literal["windows", "sliding", "random", "packed"]) -> None:
    asked = override({}, [f"data.mode={mode}", "data.stride=4", "model.context_length=16"])
    tokens = 1281
    config, _ = fit(build(asked), tokens, by_hand=keys_of(asked))
    batches = BatchLoader(np.zeros(tokens, np.uint16), mode, 16, config.sequences_per_step, 1, stride=4)
    expected = 317 if mode == "sliding" else 80
    assert batches.rows == expected + (mode == "packed")  # which also predicts the first token
    assert config.sequences_per_step == min(build(asked).sequences_per_step, expected // 8)


def test_what_a_cpu_cannot_do_is_refused() -> None:
    threads = torch.get_num_threads()
    try:
        for assignment, says in {
            "training.precision=fp16": "needs a GPU",
            "training.device=mps": "Metal",
            "training.device=tpu": "unknown",
        }.items():
            with pytest.raises(ConfigError, match=says):
                choose_compute(build(override({}, [assignment])).training)
    finally:
        torch.set_num_threads(threads)


def test_a_corpus_is_memorised(tmp_path: Path) -> None:
    folder = start(
        tmp_path,
        "model.n_embd=64",
        "model.dropout=0",
        "model.context_length=32",
        "optimizer.learning_rate=5e-3",
        "training.duration=250",
        "sampling.temperature=0",
        "sampling.tokens=40",
        "training.eval_every=0",
        "checkpoints.every=0",
    )
    assert ended(folder).state == "finished"
    lines = folder.read_metrics()
    assert lines[0].loss > 5 and lines[-1].loss < 0.5
    from tui_gpt.corpora import find_corpus

    text = next(iter(find_corpus("tiny", tmp_path / "corpus").documents()))
    assert text[8:28] == folder.read_samples()[-1].text[:20]


def test_weights_can_start_a_new_run(tmp_path: Path) -> None:
    first = start(tmp_path, "training.duration=10")
    ended(first)
    from tui_gpt.checkpoints import manifest
    from tui_gpt.launch import start as launch_start

    source = manifest.newest(first.checkpoints).path
    asked = override(
        {"training": {"init_from": str(source), "duration": 3}, "data": {"corpus": "tiny"}, "sampling": {"every": 0}},
        [],
    )
    second = launch_start(tmp_path / "runs", tmp_path / "corpus", asked)
    assert ended(second).state == "finished"
    assert second.read_config().model.n_embd == 16
    assert second.read_info().parent == str(source)
    assert second.read_metrics()[0].loss < first.read_metrics()[0].loss
    with pytest.raises(ConfigError, match="differs from the checkpoint"):
        launch_start(tmp_path / "runs", tmp_path / "corpus", override(asked, ["model.n_layer=3"]))
