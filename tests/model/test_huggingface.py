"""Import and export: equal logits in transformers, bit-identical round trips, and errors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from tui_gpt.checkpoints import import_export, manifest
from tui_gpt.checkpoints.state import Snapshot, TrainingProgress, load_model, write_checkpoint
from tui_gpt.config import ModelConfig, build
from tui_gpt.corpora import Tokenizer, make_tokenizer
from tui_gpt.errors import CheckpointError, UserError
from tui_gpt.model import GPT, huggingface
from tui_gpt.run.folder import RunFolder, list_runs
from tui_gpt.run.messages import ConversionResult, Message, Progress, RequestFailed
from tui_gpt.sampling import SamplingOptions, generate

torch.set_num_threads(1)

TEXT = (
    "Once upon a time there was a fox, and the fox was sly. One morning the hungry fox met a crow with some cheese,"
    " praised her singing, and had the cheese before she had closed her beak again. "
) * 8
SHAPE = {"n_layer": 2, "n_head": 4, "n_embd": 32}


@pytest.fixture(autouse=True)
def this_process_keeps_its_answer_to_sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = make_tokenizer("bpe:300", iter([TEXT]), lambda *_: None)
    assert made.vocab_size == 300 and made.end_of_text == 299
    return made


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """A GPT-2 saved by transformers, with random biases and norms, and the vocabulary of our tokenizer."""
    folder = tmp_path_factory.mktemp("theirs")
    torch.manual_seed(1)
    config = GPT2Config(
        **SHAPE, n_positions=24, vocab_size=300, bos_token_id=299, eos_token_id=299, attn_implementation="eager"
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(tokenizer.to_json())
    return folder


@pytest.fixture
def foreign(theirs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(theirs, tmp_path / "foreign"))


@pytest.fixture
def checkpoint(tmp_path: Path, tokenizer: Tokenizer) -> Callable[..., Path]:
    def make(speaker: Tokenizer = tokenizer, **model: Any) -> Path:
        config = build({"model": {"architecture": "gpt2", **SHAPE, "context_length": 24, **model}})
        torch.manual_seed(2)
        gpt = GPT(config.model, speaker.vocab_size)
        with torch.no_grad():
            for parameter in gpt.parameters():
                parameter.normal_(std=0.3)
        snapshot = Snapshot(
            kind="light",
            config=config,
            tokenizer_json=speaker.to_json(),
            vocab_size=speaker.vocab_size,
            parameters=gpt.num_parameters(),
            progress=TrainingProgress(step=7, tokens=70, elapsed_seconds=1.0),
            model=gpt.state_dict(),
            optimizer={},
        )
        return write_checkpoint(snapshot, tmp_path / "checkpoints", lambda: None)

    return make


class Replies:
    """A channel that records what a conversion sends."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, message: Message) -> bool:
        self.messages.append(message)
        return True

    @property
    def said(self) -> str:
        return "\n".join(message.phase for message in self.messages if isinstance(message, Progress))

    def answer(self) -> ConversionResult:
        last = self.messages[-1]
        if isinstance(last, RequestFailed):
            raise CheckpointError(last.failure.what, where=last.failure.where, do=last.failure.do)
        assert isinstance(last, ConversionResult)
        return last


def imported(folder: Path, place: Path) -> tuple[RunFolder, Replies]:
    replies = Replies()
    import_export.import_folder(replies, str(folder), str(place / "runs"), "fox")  # type: ignore[arg-type]
    return RunFolder(Path(replies.answer().path)), replies


def exported(checkpoint: Path, target: Path) -> Replies:
    replies = Replies()
    import_export.export_folder(replies, str(checkpoint), str(target))  # type: ignore[arg-type]
    replies.answer()
    return replies


def read(folder: Path) -> GPT:
    config, rows = huggingface.read_config(folder)
    return huggingface.read_model(folder, config.model, rows, rows)


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@torch.no_grad()
def assert_alike(ours: GPT, other: GPT2LMHeadModel) -> None:
    tokens = torch.randint(0, ours.vocab_size, (3, 24), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours(tokens), other(tokens).logits, atol=1e-4, rtol=1e-4)
    prompt = [5, 6, 7]
    written = list(generate(ours, prompt, SamplingOptions(tokens=20, temperature=0)))
    continued = other.generate(
        torch.tensor([prompt]), max_new_tokens=20, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert written == continued[0, 3:].tolist()


def test_an_imported_model_computes_the_same(theirs: Path) -> None:
    assert_alike(read(theirs), GPT2LMHeadModel.from_pretrained(theirs).eval())


@pytest.mark.parametrize("mlp", ["auto", "gelu"])
def test_an_exported_model_computes_the_same(checkpoint: Callable[..., Path], tmp_path: Path, mlp: str) -> None:
    source = checkpoint(dropout=0.2, mlp=mlp)
    exported(source, tmp_path / "out")
    other = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert isinstance(other, GPT2LMHeadModel) and other.config.resid_pdrop == 0.2
    assert other.generation_config.eos_token_id == 299
    assert_alike(load_model(source).model, other)
    assert_alike(read(tmp_path / "out"), other)


def test_export_and_import_are_bit_identical(checkpoint: Callable[..., Path], theirs: Path, tmp_path: Path) -> None:
    source = checkpoint()
    exported(source, tmp_path / "out")
    run, _ = imported(tmp_path / "out", tmp_path)
    before, after = load_model(source), load_model(manifest.locate(run.path))
    assert before.tokenizer.to_json() == after.tokenizer.to_json()
    for (name, one), other in zip(before.model.named_parameters(), after.model.parameters(), strict=True):
        rows = before.model.vocab_size if name == "embedding.weight" else None
        assert torch.equal(one[:rows], other[:rows]), name

    run, _ = imported(theirs, tmp_path)
    exported(manifest.locate(run.path), tmp_path / "theirs-again")
    first, again = (load_file(folder / "model.safetensors") for folder in (theirs, tmp_path / "theirs-again"))
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("spec", ["byte", "bpe:300", "char"])
def test_the_exported_tokenizer_gives_the_same_tokens(
    spec: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    ours = make_tokenizer(spec, iter([TEXT]), lambda *_: None)
    exported(checkpoint(ours), tmp_path / "out")
    other = AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "the fox was a fox, and sly  upon time."
    assert other(text)["input_ids"] == ours.encode(text).tolist()
    assert other.decode(ours.encode(text).tolist()) == text
    assert other.eos_token_id == other.bos_token_id == ours.end_of_text
    assert other.model_max_length == 24


@pytest.mark.parametrize("preset", ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"])
def test_every_size_has_the_published_names_and_shapes(preset: str, tmp_path: Path) -> None:
    shape = build({"preset": preset}).model
    config = GPT2Config(n_layer=shape.n_layer, n_head=shape.n_head, n_embd=shape.n_embd)
    config.save_pretrained(tmp_path)
    found, rows = huggingface.read_config(tmp_path)
    assert (found.preset, found.model, rows) == (preset, shape, 50257)
    with torch.device("meta"):
        ours, other = GPT(found.model, rows), GPT2LMHeadModel(config)
    published = {name: tensor.shape for name, tensor in other.transformer.state_dict().items()}
    mapped = {}
    for name, parameter in ours.named_parameters():
        foreign = huggingface.hf_name(name, found.model)
        size = parameter.shape if name != "embedding.weight" else torch.Size([rows, shape.n_embd])
        mapped[foreign] = size[::-1] if huggingface.is_transposed(foreign) else size
    assert mapped == published
    assert ours.num_parameters() == sum(parameter.numel() for parameter in other.parameters())


def test_an_imported_model_is_a_run_at_step_0(foreign: Path, tmp_path: Path) -> None:
    run, replies = imported(foreign, tmp_path)
    status = run.read_status()
    assert status is not None and status.state == run.state() == "stopped" and status.step == 0
    assert str(foreign) in status.message and [event.kind for event in run.read_events()] == ["imported"]
    assert [each.id for each in list_runs(tmp_path / "runs")] == [run.id]
    loaded = load_model(manifest.locate(run.path))
    assert loaded.manifest.parameters == replies.answer().parameters == loaded.model.num_parameters()
    config = run.read_config()
    assert config.model == loaded.config.model and loaded.config.model.context_length == 24
    assert Path(config.training.init_from) == loaded.path and Path(config.data.tokenizer) == run.tokenizer
    assert str(tmp_path) not in run.config.read_text()
    assert not loaded.model.training and all(p.dtype == torch.float32 for p in loaded.model.parameters())


def test_shards_old_names_buffers_and_half_precision_are_read(foreign: Path, theirs: Path, tmp_path: Path) -> None:
    tensors = load_file(theirs / "model.safetensors")
    tensors = {name.removeprefix("transformer."): tensor.bfloat16() for name, tensor in tensors.items()}
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 24, 24)
    tensors["h.1.attn.masked_bias"] = torch.tensor(-1e4)
    tensors["lm_head.weight"] = tensors["wte.weight"].clone()
    (foreign / "model.safetensors").unlink()
    places = {name: f"model-{1 + i % 2:05}-of-00002.safetensors" for i, name in enumerate(tensors)}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == file}, foreign / file)
    index = foreign / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    whole = read(theirs).state_dict()
    for name, tensor in read(foreign).state_dict().items():
        assert torch.equal(tensor, whole[name].bfloat16().float()), name

    (foreign / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="refers to a missing file: model-00002"):
        read(foreign)
    index.write_text(json.dumps({"weight_map": {"wte.weight": "../foreign/model-00001-of-00002.safetensors"}}))
    with pytest.raises(CheckpointError, match="refers to a missing file"):
        read(foreign)
    index.write_text(json.dumps({"weight_map": {"wte.weight": "x" * 5000}}))
    with pytest.raises(CheckpointError, match=r"refers to a missing file: x{100}$"):
        read(foreign)


def test_vocab_json_and_merges_make_the_same_tokenizer(foreign: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = json.loads((foreign / "tokenizer.json").read_text())["model"]
    (foreign / "tokenizer.json").unlink()
    (foreign / "vocab.json").write_text(json.dumps(model["vocab"] | {"<|endoftext|>": 299}))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (foreign / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    run, _ = imported(foreign, tmp_path)
    read_back = load_model(manifest.locate(run.path)).tokenizer
    assert read_back.token_bytes == tokenizer.token_bytes and read_back.end_of_text == 299
    assert read_back.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()
    (foreign / "merges.txt").write_text("no merges at all\n")
    with pytest.raises(CheckpointError, match=r"vocab\.json: invalid vocabulary or merges\.txt"):
        imported(foreign, tmp_path)
    (foreign / "vocab.json").write_text(json.dumps(model["vocab"] | {"<|endoftext|>": 2**31}))  # 8 GB in the library
    with pytest.raises(CheckpointError, match=r"vocab\.json: the vocabulary's ids are not consecutive"):
        imported(foreign, tmp_path)


def test_a_folder_without_a_tokenizer_needs_the_vocabulary_size_of_gpt2(foreign: Path, tmp_path: Path) -> None:
    (foreign / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer, and its vocabulary size is 300, not GPT-2's 50,257"):
        imported(foreign, tmp_path)
    assert not (tmp_path / "runs").exists()


def test_embedding_rows_without_a_token_are_dropped(foreign: Path, theirs: Path, tmp_path: Path) -> None:
    def pad(tensors: dict[str, torch.Tensor]) -> None:
        tensors["transformer.wte.weight"] = torch.cat([tensors["transformer.wte.weight"], torch.ones(20, 32)])

    edit_weights(foreign, pad)
    edit_config(foreign, vocab_size=320)
    run, replies = imported(foreign, tmp_path)
    assert "20 rows of the embedding" in replies.said
    assert_alike(load_model(manifest.locate(run.path)).model, GPT2LMHeadModel.from_pretrained(theirs).eval())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"activation_function": "relu"}, "activation_function = 'relu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True"),
        ({"scale_attn_weights": False}, "scale_attn_weights = False"),
        ({"n_inner": 100}, "n_inner = 100"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon = 1e-06"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings = False"),
        ({"add_cross_attention": True}, "add_cross_attention = True"),
        ({"model_type": "llama"}, "model_type = 'llama'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"n_layer": "two"}, "n_layer = 'two'"),
        ({"n_layer": 0}, "n_layer = 0"),
        ({"n_head": 5}, "n_head = 5"),
        ({"vocab_size": 299}, "tokenizer of 300 tokens but an embedding of 299"),
        ({"vocab_size": 301}, r"wte.weight is \(300, 32\) where \(301, 32\)"),
        ({"n_positions": 25}, r"wpe.weight is \(24, 32\) where \(25, 32\)"),
        ({"n_layer": 3}, r"the tensor h.2.attn.c_attn.bias is missing"),
        ({"n_layer": 1}, r"holds the tensor transformer.h.1.attn.c_attn.bias"),
    ],
)
def test_an_unsupported_config_value_is_reported(
    foreign: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    edit_config(foreign, **change)
    with pytest.raises(UserError, match=says) as caught:
        imported(foreign, tmp_path)
    assert str(foreign) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_damaged_weights_are_reported_by_name(foreign: Path, tmp_path: Path) -> None:
    def narrow(tensors: dict[str, torch.Tensor]) -> None:
        tensors["transformer.h.0.mlp.c_fc.weight"] = torch.zeros(128, 32)  # as nn.Linear would have it

    def whole_numbers(tensors: dict[str, torch.Tensor]) -> None:
        tensors["transformer.h.0.mlp.c_fc.weight"] = torch.zeros(32, 128, dtype=torch.int8)

    def another_head(tensors: dict[str, torch.Tensor]) -> None:
        tensors["transformer.h.0.mlp.c_fc.weight"] = torch.zeros(32, 128)
        tensors["lm_head.weight"] = torch.zeros(300, 32)

    for change, says in (
        (narrow, r"h.0.mlp.c_fc.weight is \(128, 32\) where \(32, 128\) is needed"),
        (whole_numbers, r"holds h.0.mlp.c_fc.weight as I8"),
        (another_head, "only tied heads are supported"),
    ):
        edit_weights(foreign, change)
        with pytest.raises(CheckpointError, match=says):
            imported(foreign, tmp_path)

    weights = foreign / "model.safetensors"
    data = weights.read_bytes()
    for damage in (data[:-10], b"", b"\xff" * 100):
        weights.write_bytes(damage)
        with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read as safetensors"):
            imported(foreign, tmp_path)
    weights.rename(foreign / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin, a pickle.*save_pretrained"):
        imported(foreign, tmp_path)
    (foreign / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        imported(foreign, tmp_path)
    (foreign / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json: is not valid JSON"):
        imported(foreign, tmp_path)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("changes", [{}, {"n_kv_head": 2, "tied": True}, {"mlp": "swiglu", "value_embeddings": True}])
def test_export_and_import_of_modern_are_bit_identical(
    checkpoint: Callable[..., Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    source = checkpoint(architecture="modern", **changes)
    replies = exported(source, tmp_path / "out")
    assert "only `gpt-tui import` can read this folder" in replies.said and replies.answer().format == "gpt-tui"
    run, _ = imported(tmp_path / "out", tmp_path)
    before, after = load_model(source).model, load_model(manifest.locate(run.path)).model
    tokens = torch.randint(0, 300, (2, 24))
    assert before.config == after.config and torch.equal(before(tokens), after(tokens))


def test_nothing_is_overwritten_and_no_failure_leaves_a_folder(
    checkpoint: Callable[..., Path], theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = checkpoint(), tmp_path / "out"
    target.mkdir()
    exported(source, target)  # an empty folder is no loss
    before = (target / "config.json").stat()
    with pytest.raises(CheckpointError, match="already exists and is not empty"):
        exported(source, target)
    assert (target / "config.json").stat() == before

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface, "save_file", full)
    with pytest.raises(CheckpointError, match="no space left"):
        exported(source, tmp_path / "more")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "out"]
    monkeypatch.setattr(import_export, "write_checkpoint", full)
    with pytest.raises(CheckpointError, match="no space left"):
        imported(theirs, tmp_path)
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("blow", ["os._exit(9)", "signal.raise_signal(signal.SIGTERM)"])
def test_a_killed_conversion_leaves_no_complete_checkpoint(
    checkpoint: Callable[..., Path], theirs: Path, tmp_path: Path, blow: str
) -> None:
    source = checkpoint()
    for function, arguments, last in (
        ("import_folder", (theirs, tmp_path / "runs", "fox"), "write_checkpoint"),
        ("export_folder", (source, tmp_path / "out"), "sync"),
    ):
        code = (
            "import os, signal; from unittest import mock; from tui_gpt.checkpoints import import_export;"
            f"mock.patch.object(import_export, '{last}', lambda *_: {blow}).start();"
            f"import_export.{function}(mock.Mock(), *{tuple(map(str, arguments))})"
        )
        ended = subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode
        assert ended == (9 if "exit" in blow else 143)
    left = list_runs(tmp_path / "runs")
    if "exit" in blow:
        assert [run.state() for run in left] == ["crashed"]
        with pytest.raises(CheckpointError, match="no complete checkpoint"):
            manifest.locate(left[0].path)
    else:  # asked to end, as by Ctrl-C, it takes back what it did
        assert not left and not list(tmp_path.glob(".partial*"))
    assert not (tmp_path / "out").exists()
    exported(source, tmp_path / "out")
    assert not list(tmp_path.glob(".partial*"))


def test_a_shape_of_no_preset_uses_the_gpt2_preset(theirs: Path) -> None:
    config, rows = huggingface.read_config(theirs)
    assert config.preset == "gpt2" and rows == 300
    assert config.model == ModelConfig(architecture="gpt2", **SHAPE, context_length=24, tied=True)
