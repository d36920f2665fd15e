"""Named configs to start from: their differences from the schema's defaults, and what each is for."""

from __future__ import annotations

from typing import Any

_GPT2: dict[str, Any] = {
    "optimizer": {"learning_rate": 6e-4, "beta2": 0.95},
    "schedule": {"warmup_steps": 700, "min_lr_ratio": 0.1},
    "training": {
        "duration": "10B tokens",
        "micro_batch_size": 16,
        "accumulation_steps": 32,
        "log_every": 10,
        "eval_tokens": 1_048_576,
    },
    "checkpoints": {"every": 1000},
    "sampling": {"every": 1000},
}


def _gpt2(n_layer: int, n_head: int, n_embd: int, learning_rate: float) -> dict[str, Any]:
    model = {"architecture": "gpt2", "n_layer": n_layer, "n_head": n_head, "n_embd": n_embd}
    return _GPT2 | {
        "model": model | {"context_length": 1024, "tied": True},
        "data": {"tokenizer": "gpt2"},
        "optimizer": _GPT2["optimizer"] | {"learning_rate": learning_rate},
    }


# The most sample-efficient settings at pico's size. The best learning rates keep the same ratio to these for n_embd
# from 64 to 256.
_MODERN: dict[str, Any] = {
    "optimizer": {
        "name": "muon",
        "learning_rate": 3e-3,
        "embedding_lr_ratio": 3.0,
        "width_scaling": True,
        "beta1": 0.8,
        "weight_decay": 0.01,
    },
    "schedule": {"name": "wsd", "cooldown": 0.8, "warmup_steps": 0, "min_lr_ratio": 0.0},
}

PRESETS: dict[str, dict[str, Any]] = {
    "pico": _MODERN
    | {
        "optimizer": _MODERN["optimizer"] | {"weight_decay": 0.0, "grad_clip": 0.0},
        "training": {"duration": "4000 steps", "eval_tokens": 16_384},
    },
    "nano": _MODERN
    | {
        "model": {"n_layer": 6, "n_head": 6, "n_embd": 384, "context_length": 256, "tied": True, "dropout": 0.1},
        "data": {"tokenizer": "bpe:4096"},
        "schedule": _MODERN["schedule"] | {"warmup_steps": 100},
        "training": {"duration": "5000 steps", "micro_batch_size": 64, "eval_tokens": 65_536},
    },
    "small": _MODERN
    | {
        "model": {"n_layer": 8, "n_head": 8, "n_embd": 512, "context_length": 512, "tied": True},
        "data": {"tokenizer": "gpt2"},
        "schedule": _MODERN["schedule"] | {"warmup_steps": 200},
        "training": {
            "duration": "500M tokens",
            "micro_batch_size": 32,
            "accumulation_steps": 4,
            "log_every": 10,
            "eval_tokens": 262_144,
        },
        "checkpoints": {"every": 1000},
        "sampling": {"every": 500},
    },
    "medium": _MODERN
    | {
        "model": {"n_layer": 12, "n_head": 12, "n_embd": 768, "context_length": 1024, "tied": True},
        "data": {"tokenizer": "gpt2"},
        "schedule": _MODERN["schedule"] | {"warmup_steps": 300},
        "training": {
            "duration": "2.5B tokens",
            "micro_batch_size": 16,
            "accumulation_steps": 32,
            "log_every": 10,
            "eval_tokens": 1_048_576,
        },
        "checkpoints": {"every": 1000},
        "sampling": {"every": 500},
    },
    "gpt2": _gpt2(12, 12, 768, 6e-4),
    "gpt2-medium": _gpt2(24, 16, 1024, 3e-4),
    "gpt2-large": _gpt2(36, 20, 1280, 2.5e-4),
    "gpt2-xl": _gpt2(48, 25, 1600, 2e-4),
}

PURPOSES = {
    "pico": "a first run, about a minute on any CPU",
    "nano": "minutes on a GPU",
    "small": "30–60 minutes on a GPU",
    "medium": "hours on a GPU",
    "gpt2": "GPT-2 124M, to reproduce or fine-tune",
    "gpt2-medium": "GPT-2 355M",
    "gpt2-large": "GPT-2 774M",
    "gpt2-xl": "GPT-2 1,558M",
}
