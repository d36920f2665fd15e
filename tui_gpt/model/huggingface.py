"""Read and write models in the folder format of Hugging Face transformers.

Their GPT-2 has other parameter names, transposed matrices (Conv1D), no separately stored head, and no padding of the
vocabulary. Config values that our GPT-2 does not support are rejected. `modern` has no counterpart in transformers: its
folder uses our names and our config as JSON, and only `gpt-tui import` can read it. Tensors are loaded one at a time,
so that reading takes the memory of the model and one tensor. Pickles are not opened, because they can run code.
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
from torch import Tensor

from tui_gpt.config import PRESETS, Config, ModelConfig, build, to_dict
from tui_gpt.errors import CheckpointError, reason
from tui_gpt.files import write_atomically
from tui_gpt.model.gpt import GPT

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_NAME_CHARACTERS = 100
OWN_MODEL_TYPE = "gpt-tui"  # of a folder that transformers cannot read

HF_NAMES = {
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
BUFFERS = (".attn.bias", ".attn.masked_bias")  # the causal mask in older files
HEAD = "lm_head.weight"
DEFAULT_SHAPE = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024, "vocab_size": 50257}  # of GPT2Config

# Config keys that change what GPT-2 computes, with the supported values; the first is the default.
SUPPORTED: dict[str, tuple[Any, ...]] = {
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
    """Return the config of a folder and the rows of its vocabulary. Raise UserError if it is not supported.

    The preset is the one with the same shape, or gpt2 if there is none.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"has no {CONFIG}" if folder.is_dir() else "is not a folder",
            where=str(folder),
            do=f"Give a folder with {CONFIG} and {WEIGHTS} of a GPT-2",
        )
    raw = _read_json(path)
    if raw.get("model_type") == OWN_MODEL_TYPE:
        asked = {"preset": str(raw.get("preset")), "model": raw.get("model")}
        return build(asked, str(path)), _count(raw, "vocab_size", path)
    shape = {key: _count(raw, key, path) for key in DEFAULT_SHAPE}
    for key, allowed in (SUPPORTED | {"n_inner": (None, 4 * shape["n_embd"])}).items():
        if (value := raw.get(key, allowed[0])) not in allowed:
            raise CheckpointError(
                f"{key} = {value!r} is not supported; GPT-2 has {allowed[0]!r}",
                where=str(path),
                do="Only models with the architecture of OpenAI's GPT-2 can be imported",
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
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"is not valid JSON: {error}", where=str(path)) from None


def _count(raw: dict[str, Any], key: str, path: Path) -> int:
    value = raw.get(key, DEFAULT_SHAPE[key])
    if type(value) is not int or value < 1:
        raise CheckpointError(f"{key} = {value!r} is not a positive integer", where=str(path))
    return value


def read_model(folder: Path, config: ModelConfig, rows: int, vocab_size: int) -> GPT:
    """Return the model of a folder, in fp32 on the CPU, with the first `vocab_size` of its `rows` of vocabulary.

    Raise CheckpointError for the first tensor that is missing, unexpected, or of a wrong shape or type.
    """
    with torch.device("meta"):
        model = GPT(config, vocab_size)
    tables = model.token_tables()
    state: dict[str, Tensor] = {}
    with ExitStack() as stack:
        stored = _open(folder, stack)
        places = {hf_name(name, config): name for name in model.state_dict()}
        _check_names(stored, set(places), folder)
        for hf_key, name in places.items():
            shape = list(model.get_parameter(name).shape)
            if name in tables:
                shape[0] = rows
            _check_shape(stored[hf_key], hf_key, shape[::-1] if is_transposed(hf_key) else shape, folder)
        try:
            for hf_key, name in places.items():
                state[name] = torch.zeros(model.get_parameter(name).shape)
                read = stored[hf_key].tensor()
                if name in tables:
                    state[name][:vocab_size] = read[:vocab_size]
                else:
                    state[name].copy_(read.T if is_transposed(hf_key) else read)
            _check_head(stored, places, config)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"cannot be read as safetensors: {error}", where=str(folder)) from None
    model.load_state_dict(state, assign=True)
    return model.eval()


def hf_name(name: str, config: ModelConfig) -> str:
    """Return the name of a parameter in the folder, without the prefix `transformer.`."""
    if config.architecture != "gpt2":
        return name
    return ".".join(HF_NAMES.get(part, part) for part in name.split("."))


def is_transposed(hf_key: str) -> bool:
    return hf_key.endswith(TRANSPOSED)


class _StoredTensor:
    """A tensor in an open safetensors file."""

    def __init__(self, file: Any, key: str, path: Path) -> None:
        self.file, self.key, self.path = file, key, path

    def tensor(self) -> Tensor:
        """Read the tensor."""
        tensor: Tensor = self.file.get_tensor(self.key)
        return tensor

    def shape_and_type(self) -> tuple[list[int], str]:
        """Return shape and element type without reading the tensor."""
        part = self.file.get_slice(self.key)
        return part.get_shape(), part.get_dtype()


def _open(folder: Path, stack: ExitStack) -> dict[str, _StoredTensor]:
    """Return all tensors of the folder by name without prefix, except buffers. Raise CheckpointError."""
    stored: dict[str, _StoredTensor] = {}
    for path in _files(folder):
        try:
            file = stack.enter_context(safe_open(path, framework="pt"))
            keys = list(file.keys())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"cannot be read as safetensors: {error}", where=str(path)) from None
        for key in keys:
            name = key.removeprefix("transformer.")
            if not name.endswith(BUFFERS):
                stored[name] = _StoredTensor(file, key, path)
    return stored


def _files(folder: Path) -> Iterator[Path]:
    """Yield the safetensors files of the model. Raise CheckpointError if there are none."""
    if (folder / WEIGHTS).is_file():
        yield folder / WEIGHTS
    elif (folder / INDEX).is_file():
        shards = _read_json(folder / INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise CheckpointError("has no weight_map", where=str(folder / INDEX))
        for name in sorted({str(shard) for shard in shards.values()}):
            is_name = Path(name).name == name and len(name) <= MAX_NAME_CHARACTERS
            if not is_name or not (folder / name).is_file():
                what = f"refers to a missing file: {name[:MAX_NAME_CHARACTERS]}"
                raise CheckpointError(what, where=str(folder / INDEX))
            yield folder / name
    elif pickles := sorted(path.name for path in folder.glob("*.bin")):
        raise CheckpointError(
            f"has its weights in {pickles[0]}, a pickle; pickles can run code and are not opened",
            where=str(folder),
            do=f"If you trust it, convert it to {WEIGHTS} with from_pretrained and save_pretrained of transformers",
        )
    else:
        raise CheckpointError(f"has no {WEIGHTS}", where=str(folder))


def _check_names(stored: dict[str, _StoredTensor], wanted: set[str], folder: Path) -> None:
    for name in sorted(wanted - stored.keys()):
        raise CheckpointError(f"does not match its {CONFIG}: the tensor {name} is missing", where=str(folder))
    for name in sorted(stored.keys() - wanted - {HEAD}):
        raise CheckpointError(
            f"holds the tensor {stored[name].key}, which a GPT with this {CONFIG} has not", where=str(stored[name].path)
        )


def _check_shape(stored: _StoredTensor, name: str, expected: list[int], folder: Path) -> None:
    shape, kind = stored.shape_and_type()
    if shape != expected:
        raise CheckpointError(
            f"does not fit its {CONFIG}: {name} is {tuple(shape)} where {tuple(expected)} is needed",
            where=str(stored.path),
        )
    if kind not in ("F32", "F16", "BF16", "F64"):
        raise CheckpointError(
            f"holds {name} as {kind}", where=str(stored.path), do="Weights are read as F32, F16, BF16 or F64"
        )


def _check_head(stored: dict[str, _StoredTensor], places: dict[str, str], config: ModelConfig) -> None:
    """Raise CheckpointError if a head is stored that differs from the embedding."""
    if HEAD not in stored or HEAD in places:
        return
    head = stored[HEAD]
    if not torch.equal(head.tensor(), stored[hf_name("embedding.weight", config)].tensor()):
        raise CheckpointError(
            f"has a {HEAD} that differs from the embedding; only tied heads are supported",
            where=str(head.path),
        )


def write_model(model: GPT, config: Config, end_of_text: int, folder: Path) -> None:
    """Write config.json, generation_config.json and model.safetensors into `folder`. Raise OSError if that fails.

    The padding of the vocabulary is dropped. The model cannot be used afterwards: its weights are transposed in place.
    """
    tables = model.token_tables()
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        hf_key = hf_name(name, config.model)
        tensor = parameter.detach()
        if name in tables:
            tensor = tensor[: model.vocab_size]
        if is_transposed(hf_key):
            tensor = tensor.T.contiguous()
            parameter.data = tensor  # frees the original
        tensors[f"transformer.{hf_key}" if is_gpt2(config) else hf_key] = tensor
    settings = _gpt2_config(config, model.vocab_size, end_of_text) if is_gpt2(config) else _own_config(config, model)
    _write_json(settings, folder / CONFIG)
    if is_gpt2(config):
        _write_json({"bos_token_id": end_of_text, "eos_token_id": end_of_text}, folder / GENERATION_CONFIG)
    try:
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    except SafetensorError as error:  # safetensors wraps OSError
        raise OSError(str(error)) from None


def is_gpt2(config: Config) -> bool:
    """Whether transformers supports this architecture."""
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
        "model_type": OWN_MODEL_TYPE,
        "vocab_size": model.vocab_size,
        "preset": asked["preset"],
        "model": asked["model"],
    }


def _write_json(value: dict[str, Any], path: Path) -> None:
    write_atomically(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n")
