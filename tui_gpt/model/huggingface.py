"""Weights in and out, in the folders that Hugging Face's transformers reads and writes.

A GPT-2 there is the GPT-2 here under other names: its Conv1D keeps matrices transposed, its head is the embedding and
is not stored twice, and it knows no padding of the vocabulary. What its config can say and our GPT-2 cannot do is
refused by the key's name. `modern` has no counterpart there: its folder holds our names and our config as JSON, for
`gpt-tui import` alone. Tensors are read one at a time into their place, so that reading takes the model's size and one
tensor more. Only safetensors is ever opened: a pickle can run code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tui_gpt.config import PRESETS, Config, ModelConfig, build, to_dict
from tui_gpt.errors import CheckpointError, reason
from tui_gpt.model.gpt import GPT

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
OURS = "gpt-tui"  # the model_type of a folder that transformers cannot read

PARTS = {
    "embedding": "wte",
    "positions": "wpe",
    "norm": "ln_f",
    "blocks": "h",
    "attention_norm": "ln_1",
    "attention": "attn",
    "mlp_norm": "ln_2",
    "qkv": "c_attn",
    "expand": "c_fc",
    "projection": "c_proj",
}
TRANSPOSED = ("c_attn.weight", "c_fc.weight", "c_proj.weight")
BUFFERS = (".attn.bias", ".attn.masked_bias")  # the causal mask, which older files hold
HEAD = "lm_head.weight"
SHAPE = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024, "vocab_size": 50257}  # when left unsaid

# Each key whose other values change what GPT-2 computes, with those that are ours; the first is meant when left unsaid.
ALIKE: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh", "gelu"),
    "layer_norm_epsilon": (1e-5,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
    "quantization_config": (None,),
}


def read_config(folder: Path) -> tuple[Config, int]:
    """The config that a folder's config.json comes to, and the rows of its vocabulary. Raises UserError.

    `preset` is the one that has this shape, gpt2 where none has.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"has no {CONFIG}" if folder.is_dir() else "is not a folder",
            where=str(folder),
            do=f"Name a folder with a GPT-2's {CONFIG} and {WEIGHTS}",
        )
    raw = _read_json(path)
    if raw.get("model_type") == OURS:
        asked = {"preset": str(raw.get("preset")), "model": raw.get("model")}
        return build(asked, str(path)), _count(raw, "vocab_size", path)
    shape = {key: _count(raw, key, path) for key in SHAPE}
    for key, allowed in (ALIKE | {"n_inner": (None, 4 * shape["n_embd"])}).items():
        if (value := raw.get(key, allowed[0])) not in allowed:
            raise CheckpointError(
                f"{key} = {value!r} has no counterpart here; GPT-2's is {allowed[0]!r}",
                where=str(path),
                do="Only models that compute what OpenAI's GPT-2 computes can be imported",
            )
    rows, context = shape.pop("vocab_size"), shape.pop("n_positions")
    mlp = "gelu" if raw.get("activation_function") == "gelu" else "auto"
    model = shape | {"architecture": "gpt2", "context_length": context, "tied": True, "mlp": mlp}
    config = build({"preset": "gpt2", "model": model}, str(path))
    presets = [name for name in PRESETS if build({"preset": name}).model == config.model]
    return msgspec.structs.replace(config, preset=presets[0]) if presets else config, rows


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict)
    except OSError as error:
        raise CheckpointError(f"cannot be read: {reason(error)}", where=str(path)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"is not valid JSON: {error}", where=str(path)) from None


def _count(raw: dict[str, Any], key: str, path: Path) -> int:
    value = raw.get(key, SHAPE[key])
    if type(value) is not int or value < 1:
        raise CheckpointError(f"{key} = {value!r} is no whole number above 0", where=str(path))
    return value


def read_model(folder: Path, config: ModelConfig, rows: int, vocab_size: int) -> GPT:
    """The model of a folder, fp32 on the CPU, with the first `vocab_size` of its vocabulary's `rows`.

    Raises CheckpointError naming the first tensor that is missing, too many, or of another shape or kind.
    """
    with torch.device("meta"):
        model = GPT(config, vocab_size)
    tables = _tables(model)
    state: dict[str, Tensor] = {}
    with ExitStack() as stack:
        stored = _open(folder, stack)
        places = {foreign_name(name, config): name for name in model.state_dict()}
        _check_names(stored, set(places), folder)
        for foreign, name in places.items():
            shape = list(model.get_parameter(name).shape)
            if name in tables:
                shape[0] = rows
            _check_form(stored[foreign], foreign, shape[::-1] if is_transposed(foreign) else shape, folder)
        try:
            for foreign, name in places.items():
                state[name] = torch.zeros(model.get_parameter(name).shape)
                read = stored[foreign].tensor()
                if name in tables:
                    state[name][:vocab_size] = read[:vocab_size]
                else:
                    state[name].copy_(read.T if is_transposed(foreign) else read)
            _check_head(stored, places, config)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"cannot be read as safetensors: {error}", where=str(folder)) from None
    model.load_state_dict(state, assign=True)
    return model.eval()


def _tables(model: GPT) -> set[str]:
    """The names of the weights whose rows are the vocabulary."""
    return {
        f"{name}.weight"
        for name, module in model.named_modules()
        if module is model.head or (isinstance(module, nn.Embedding) and module is not model.positions)
    }


def foreign_name(name: str, config: ModelConfig) -> str:
    """A parameter's name in the folder, without the prefix `transformer.`."""
    if config.architecture != "gpt2":
        return name
    return ".".join(PARTS.get(part, part) for part in name.split("."))


def is_transposed(foreign: str) -> bool:
    return foreign.endswith(TRANSPOSED)


class _Stored:
    """A tensor in an open file."""

    def __init__(self, file: Any, key: str, path: Path) -> None:
        self.file, self.key, self.path = file, key, path

    def tensor(self) -> Tensor:
        tensor: Tensor = self.file.get_tensor(self.key)
        return tensor

    def form(self) -> tuple[list[int], str]:
        """Its shape and element type, without reading it."""
        part = self.file.get_slice(self.key)
        return part.get_shape(), part.get_dtype()


def _open(folder: Path, stack: ExitStack) -> dict[str, _Stored]:
    """Every tensor in the folder's files by its name without prefix, the buffers left out. Raises CheckpointError."""
    stored: dict[str, _Stored] = {}
    for path in _files(folder):
        try:
            file = stack.enter_context(safe_open(path, framework="pt"))
            keys = list(file.keys())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"cannot be read as safetensors: {error}", where=str(path)) from None
        for key in keys:
            name = key.removeprefix("transformer.")
            if not name.endswith(BUFFERS):
                stored[name] = _Stored(file, key, path)
    return stored


def _files(folder: Path) -> Iterator[Path]:
    """The safetensors files that hold the model. Raises CheckpointError."""
    if (folder / WEIGHTS).is_file():
        yield folder / WEIGHTS
    elif (folder / INDEX).is_file():
        shards = _read_json(folder / INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise CheckpointError("has no weight_map", where=str(folder / INDEX))
        for name in sorted({str(shard) for shard in shards.values()}):
            if Path(name).name != name or not (folder / name).is_file():
                raise CheckpointError(f"names a file that is not there: {name}", where=str(folder / INDEX))
            yield folder / name
    elif pickles := sorted(path.name for path in folder.glob("*.bin")):
        raise CheckpointError(
            f"holds its weights as {pickles[0]}, a pickle, which can run code and is never opened",
            where=str(folder),
            do=f"Where you trust it, transformers' from_pretrained and save_pretrained make a {WEIGHTS} of it",
        )
    else:
        raise CheckpointError(f"has no {WEIGHTS}", where=str(folder))


def _check_names(stored: dict[str, _Stored], wanted: set[str], folder: Path) -> None:
    for name in sorted(wanted - stored.keys()):
        raise CheckpointError(f"does not fit its {CONFIG}: the tensor {name} is missing", where=str(folder))
    for name in sorted(stored.keys() - wanted - {HEAD}):
        raise CheckpointError(
            f"holds the tensor {stored[name].key}, which a GPT with this {CONFIG} has not", where=str(stored[name].path)
        )


def _check_form(stored: _Stored, name: str, expected: list[int], folder: Path) -> None:
    shape, kind = stored.form()
    if shape != expected:
        raise CheckpointError(
            f"does not fit its {CONFIG}: {name} is {tuple(shape)} where {tuple(expected)} is needed",
            where=str(stored.path),
        )
    if kind not in ("F32", "F16", "BF16", "F64"):
        raise CheckpointError(
            f"holds {name} as {kind}", where=str(stored.path), do="Weights are read as F32, F16, BF16 or F64"
        )


def _check_head(stored: dict[str, _Stored], places: dict[str, str], config: ModelConfig) -> None:
    """A head that is stored all the same must be the embedding."""
    if HEAD not in stored or HEAD in places:
        return
    head = stored[HEAD]
    if not torch.equal(head.tensor(), stored[foreign_name("embedding.weight", config)].tensor()):
        raise CheckpointError(
            f"holds a {HEAD} that differs from the embedding: its head is not tied, and GPT-2's is",
            where=str(head.path),
        )


def write_model(model: GPT, config: Config, end_of_text: int, folder: Path) -> None:
    """Write config.json, generation_config.json and model.safetensors into `folder`. Raises OSError.

    The vocabulary's padding is left out. `model` is used up: its weights are turned one at a time.
    """
    tables = _tables(model)
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        foreign = foreign_name(name, config.model)
        tensor = parameter.detach()
        if name in tables:
            tensor = tensor[: model.vocab_size]
        if is_transposed(foreign):
            tensor = tensor.T.contiguous()
            parameter.data = tensor  # frees what it was
        tensors[f"transformer.{foreign}" if is_gpt2(config) else foreign] = tensor
    about = _gpt2_config(config, model.vocab_size, end_of_text) if is_gpt2(config) else _own_config(config, model)
    _write_json(about, folder / CONFIG)
    if is_gpt2(config):
        _write_json({"bos_token_id": end_of_text, "eos_token_id": end_of_text}, folder / GENERATION_CONFIG)
    try:
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    except SafetensorError as error:  # safetensors wraps the operating system's error
        raise OSError(str(error)) from None


def is_gpt2(config: Config) -> bool:
    """Whether transformers has this architecture."""
    return config.model.architecture == "gpt2"


def _gpt2_config(config: Config, vocab_size: int, end_of_text: int) -> dict[str, Any]:
    model = config.model
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_layer": model.n_layer,
        "n_head": model.n_head,
        "n_embd": model.n_embd,
        "n_inner": None,
        "n_positions": model.context_length,
        "vocab_size": vocab_size,
        "activation_function": "gelu" if model.mlp == "gelu" else "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "attn_pdrop": model.dropout,
        "embd_pdrop": model.dropout,
        "resid_pdrop": model.dropout,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }


def _own_config(config: Config, model: GPT) -> dict[str, Any]:
    asked = to_dict(config)
    return {
        "model_type": OURS,
        "vocab_size": model.vocab_size,
        "preset": asked["preset"],
        "model": asked["model"],
    }


def _write_json(value: dict[str, Any], path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
