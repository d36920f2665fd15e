"""The config of a run: every setting with its type, bounds, unit and help, defined once.

TOML files, `key=value` overrides, the workbench's form, error messages and the docs' table are derived from these
structs (see `fields.py`), so they cannot disagree. msgspec rather than pydantic: it imports in 10 ms instead of
130–250. A field marked `resumable` sets how long, where or how a run computes; any other sets what it computes, and a
resumed run may not change it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from tui_gpt.config import tokenizer_names


def setting(
    help: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    min_length: int | None = None,
    unit: str = "",
    resumable: bool = False,
    check: Callable[[Any], bool] | None = None,
    allowed: str = "",
) -> msgspec.Meta:
    """Return the metadata of a field.

    The bounds are checked by msgspec. check: an additional condition on a value of the right type; allowed: the values
    that it accepts, in words. resumable: a resumed run may change the field.
    """
    extra: dict[str, Any] = {"unit": unit, "resumable": resumable, "check": check, "allowed": allowed}
    bounds: dict[str, Any] = {"ge": ge, "gt": gt, "le": le, "lt": lt, "min_length": min_length}
    return msgspec.Meta(description=help, extra=extra, **bounds)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the config file."""


class ModelConfig(Section, frozen=True):
    """The shape of the GPT."""

    architecture: Annotated[
        Literal["modern", "gpt2"],
        setting("modern: RoPE, RMSNorm, QK-norm, ReLU²; gpt2: learned positions, LayerNorm, GELU"),
    ] = "modern"
    n_layer: Annotated[int, setting("transformer blocks", ge=1, le=512, unit="layers")] = 4
    n_head: Annotated[int, setting("attention heads; must divide n_embd", ge=1, le=512, unit="heads")] = 4
    n_kv_head: Annotated[
        int, setting("key/value heads (grouped-query attention); 0: as many as n_head", ge=0, le=512, unit="heads")
    ] = 0
    n_embd: Annotated[int, setting("width of the residual stream", ge=2, le=65536, unit="channels")] = 128
    context_length: Annotated[
        int, setting("maximum number of tokens the model attends to", ge=2, le=1048576, unit="tokens")
    ] = 64
    dropout: Annotated[float, setting("fraction of activations dropped in training", ge=0.0, lt=1.0)] = 0.0
    tied: Annotated[bool, setting("share one matrix between the token embedding and the output head")] = False
    mlp: Annotated[
        Literal["auto", "gelu", "swiglu"],
        setting("auto: ReLU², or tanh GELU for gpt2; gelu: exact GELU, faster on a CPU; swiglu: gated, modern only"),
    ] = "auto"
    value_embeddings: Annotated[
        bool, setting("every second layer adds a token embedding to its attention values; modern only")
    ] = False


class DataConfig(Section, frozen=True):
    """The text and how it becomes batches."""

    corpus: Annotated[
        str, setting("corpus name, text file, folder, or mixture: 0.7 stories + 0.3 verdict", min_length=1)
    ] = "stories"
    tokenizer: Annotated[
        str,
        setting(
            "char, byte, bpe:N (trained on the corpus), gpt2, cl100k_base, …, or a tokenizer.json",
            check=tokenizer_names.is_tokenizer_name,
            allowed=tokenizer_names.ALLOWED,
        ),
    ] = "bpe:1024"
    mode: Annotated[
        Literal["windows", "sliding", "random", "packed"],
        setting(
            "windows: each token once per epoch; sliding: overlapping windows; random: windows at random offsets;"
            " packed: documents from their beginning"
        ),
    ] = "windows"
    stride: Annotated[
        int, setting("sliding: tokens between starts of windows; 0: half the context", ge=0, unit="tokens")
    ] = 0
    attend_across_documents: Annotated[bool, setting("let attention see earlier documents in the same window")] = True
    val_fraction: Annotated[float, setting("fraction of the corpus held out for validation", gt=0.0, le=0.5)] = 0.1


class OptimizerConfig(Section, frozen=True):
    """How gradients update the weights."""

    name: Annotated[
        Literal["adamw", "muon", "galore"],
        setting("adamw; muon: orthogonalised updates for the blocks' matrices; galore: AdamW in a low-rank projection"),
    ] = "adamw"
    learning_rate: Annotated[float, setting("peak learning rate of AdamW and GaLore", gt=0.0, le=10.0)] = 1e-3
    muon_learning_rate: Annotated[
        float, setting("muon: peak learning rate of the blocks' matrices", gt=0.0, le=10.0)
    ] = 0.02
    embedding_lr_ratio: Annotated[
        float, setting("learning rate of embeddings, relative to learning_rate", gt=0.0, le=1000.0)
    ] = 1.0
    head_lr_ratio: Annotated[
        float, setting("learning rate of an untied head, relative to learning_rate", gt=0.0, le=1000.0)
    ] = 1.0
    width_scaling: Annotated[
        bool,
        setting("scale AdamW's learning rate of matrices and head by 128 / n_embd, to use one value at every width"),
    ] = False
    momentum: Annotated[float, setting("muon: momentum", ge=0.0, lt=1.0)] = 0.95
    galore_rank: Annotated[int, setting("galore: rank of the projection", ge=1, le=65536)] = 128
    galore_every: Annotated[int, setting("galore: steps between new projections", ge=1, le=10**6, unit="steps")] = 200
    galore_scale: Annotated[float, setting("galore: scale of the projected update", gt=0.0, le=100.0)] = 0.25
    beta1: Annotated[float, setting("Adam's decay of the first moment", ge=0.0, lt=1.0)] = 0.9
    beta2: Annotated[float, setting("Adam's decay of the second moment", ge=0.0, lt=1.0)] = 0.95
    eps: Annotated[float, setting("added to Adam's denominator", gt=0.0, le=1.0)] = 1e-8
    weight_decay: Annotated[float, setting("decoupled weight decay, of matrices only", ge=0.0, le=10.0)] = 0.1
    grad_clip: Annotated[float, setting("maximum gradient norm; 0: no clipping", ge=0.0, le=1e6)] = 1.0


class ScheduleConfig(Section, frozen=True):
    """The learning rate over the run."""

    name: Annotated[
        Literal["cosine", "wsd", "constant"],
        setting("after warmup: cosine: cosine decay; wsd: constant, then linear decay; constant: no decay"),
    ] = "cosine"
    cooldown: Annotated[
        float, setting("wsd: fraction of the run, at its end, over which the rate decays", gt=0.0, le=1.0)
    ] = 0.65
    warmup_steps: Annotated[int, setting("steps of linear warmup", ge=0, le=10**9, unit="steps")] = 50
    min_lr_ratio: Annotated[float, setting("final learning rate, relative to the peak", ge=0.0, le=1.0)] = 0.1


class TrainingConfig(Section, frozen=True):
    """The length of the run, the size of a step, and the device."""

    duration: Annotated[
        int | str,
        setting('"2000 steps" (or an integer), "3 epochs", "50M tokens" or "30 minutes"', resumable=True),
    ] = "2000 steps"
    micro_batch_size: Annotated[
        int, setting("sequences in one forward pass", ge=1, le=65536, unit="sequences", resumable=True)
    ] = 16
    accumulation_steps: Annotated[
        int, setting("forward passes per step", ge=1, le=65536, unit="passes", resumable=True)
    ] = 1
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        setting("auto: bf16 if the GPU supports it, fp32 otherwise", resumable=True),
    ] = "auto"
    compile: Annotated[
        Literal["auto", "on", "off"],
        setting("torch.compile; auto: on with CUDA and Triton, off otherwise", resumable=True),
    ] = "auto"
    device: Annotated[str, setting("auto, cpu, mps, cuda, cuda:N, or a GPU's UUID", min_length=1, resumable=True)] = (
        "auto"
    )
    threads: Annotated[
        int, setting("CPU threads; 0: one per physical core", ge=0, le=1024, unit="threads", resumable=True)
    ] = 0
    seed: Annotated[int, setting("seed of weights, batches, dropout and samples", ge=0, le=2**31 - 1)] = 1
    init_from: Annotated[str, setting("checkpoint folder to start from the weights of; empty: none")] = ""
    activation_checkpointing: Annotated[
        bool, setting("recompute blocks in the backward pass: less memory, a third more computation", resumable=True)
    ] = False
    on_anomaly: Annotated[
        Literal["warn", "skip", "rewind", "stop"],
        setting(
            "on a non-finite loss or gradient, a spike of 6 σ, or a loss that stays above the first one: warn: report"
            " and continue; skip: skip the step; rewind: return to the last full checkpoint before and skip these"
            " batches; stop: save and stop",
            resumable=True,
        ),
    ] = "warn"
    patience: Annotated[
        int,
        setting("stop after this many evaluations without a lower validation loss; 0: never", ge=0, resumable=True),
    ] = 0
    fork_from: Annotated[
        str, setting("full checkpoint to continue in a new run, with optimiser and step; empty: none")
    ] = ""
    log_every: Annotated[int, setting("steps between lines of metrics", ge=1, unit="steps", resumable=True)] = 1
    norms_every: Annotated[
        int,
        setting("steps between gradient and update norms by block; 0: none", ge=0, unit="steps", resumable=True),
    ] = 50
    eval_every: Annotated[
        int, setting("steps between evaluations; 0: only at the end", ge=0, unit="steps", resumable=True)
    ] = 250
    eval_tokens: Annotated[
        int,
        setting(
            "validation tokens per evaluation, at the end as many as were trained on; 0: all; at most 10M, or what is"
            " set here, and at the end 5 minutes",
            ge=0,
            unit="tokens",
            resumable=True,
        ),
    ] = 0


class CheckpointsConfig(Section, frozen=True):
    """Which checkpoints are saved and kept."""

    every: Annotated[
        int, setting("steps between full (resumable) checkpoints; 0: only the last", ge=0, unit="steps", resumable=True)
    ] = 500
    keep: Annotated[
        int,
        setting("full checkpoints to keep; older ones are deleted", ge=2, le=10**6, unit="checkpoints", resumable=True),
    ] = 3
    light_every: Annotated[
        int, setting("steps between light (weights-only) checkpoints, all kept; 0: none", ge=0, resumable=True)
    ] = 0
    max_gb: Annotated[
        float,
        setting(
            "size of all checkpoints of the run; above it the oldest are deleted, light ones too, but never the newest"
            " and the best; 0: no limit",
            ge=0.0,
            le=1e6,
            unit="GB",
            resumable=True,
        ),
    ] = 0.0
    best: Annotated[bool, setting("keep the weights with the lowest validation loss", resumable=True)] = True


class SamplingConfig(Section, frozen=True):
    """The text that the run generates as it trains."""

    every: Annotated[int, setting("steps between samples; 0: only on request", ge=0, unit="steps", resumable=True)] = (
        250
    )
    prompts: Annotated[
        tuple[str, ...], setting("texts to continue; an empty text starts a document", resumable=True)
    ] = ("",)
    tokens: Annotated[int, setting("maximum tokens per sample", ge=1, le=10**6, unit="tokens", resumable=True)] = 128
    temperature: Annotated[
        float,
        setting(
            "sampling temperature; 0: always the most likely token; 1: the model's distribution",
            ge=0.0,
            le=100.0,
            resumable=True,
        ),
    ] = 0.8
    top_k: Annotated[int, setting("sample from the k most likely tokens; 0: all", ge=0, resumable=True)] = 0
    top_p: Annotated[
        float, setting("sample from the most likely tokens with this total probability", gt=0.0, le=1.0, resumable=True)
    ] = 1.0
    min_p: Annotated[
        float, setting("drop tokens below this fraction of the highest probability", ge=0.0, le=1.0, resumable=True)
    ] = 0.0


class Config(Section, frozen=True):
    """The whole config of a run."""

    preset: Annotated[str, setting("preset that the config is based on")] = "pico"
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    training: TrainingConfig = TrainingConfig()
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    sampling: SamplingConfig = SamplingConfig()

    @property
    def sequences_per_step(self) -> int:
        """Sequences per optimiser step, over all ranks."""
        return self.training.micro_batch_size * self.training.accumulation_steps

    @property
    def tokens_per_step(self) -> int:
        """Tokens per optimiser step, over all ranks."""
        return self.sequences_per_step * self.model.context_length
