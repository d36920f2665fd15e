"""What a run is: every setting, its type, bounds, unit and one line of help, stated once.

TOML files, `key=value` overrides, the workbench's form, error messages and the docs' table are all read off these
structs (see `fields.py`), so they cannot drift. msgspec rather than pydantic: 10 ms at import against 130–250.
A field marked `resumable` says how long, where or how a run computes; any other says what it computes, and a resumed
run may not change it.
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
    """The GPT's shape."""

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
    context_length: Annotated[int, setting("tokens the model sees at once", ge=2, le=1048576, unit="tokens")] = 64
    dropout: Annotated[float, setting("share of activations dropped in training", ge=0.0, lt=1.0)] = 0.0
    tied: Annotated[bool, setting("one matrix for the token embedding and the output head")] = False
    mlp: Annotated[
        Literal["auto", "gelu", "swiglu"],
        setting("auto: ReLU², or GPT-2's GELU by tanh; gelu: exact, faster on a CPU; swiglu: gated, modern only"),
    ] = "auto"
    value_embeddings: Annotated[
        bool, setting("every second layer adds an embedding of the token to its values; modern only")
    ] = False


class DataConfig(Section, frozen=True):
    """The text and how it becomes batches."""

    corpus: Annotated[
        str, setting("a name, a text file, a folder, or a mixture: 0.7 stories + 0.3 verdict", min_length=1)
    ] = "stories"
    tokenizer: Annotated[
        str,
        setting(
            "char, byte, bpe:N (trained on the corpus), gpt2, cl100k_base, …, a tokenizer.json",
            check=tokenizer_names.is_tokenizer_name,
            allowed=tokenizer_names.ALLOWED,
        ),
    ] = "bpe:1024"
    mode: Annotated[
        Literal["windows", "sliding", "random", "packed"],
        setting("windows: each token once an epoch; sliding: overlapping; random; packed: documents from their start"),
    ] = "windows"
    stride: Annotated[
        int, setting("sliding: tokens from a window's start to the next; 0: half the context", ge=0, unit="tokens")
    ] = 0
    attend_across_documents: Annotated[bool, setting("whether attention sees the documents before, in a window")] = True
    val_fraction: Annotated[float, setting("share of the corpus kept for validation", gt=0.0, le=0.5)] = 0.1


class OptimizerConfig(Section, frozen=True):
    """How weights follow gradients."""

    name: Annotated[
        Literal["adamw", "muon", "galore"],
        setting("adamw; muon: orthogonal updates for the blocks' matrices; galore: AdamW in a low-rank projection"),
    ] = "adamw"
    learning_rate: Annotated[float, setting("peak learning rate of AdamW and GaLore", gt=0.0, le=10.0)] = 1e-3
    muon_learning_rate: Annotated[
        float, setting("muon: peak learning rate of the blocks' matrices", gt=0.0, le=10.0)
    ] = 0.02
    embedding_lr_ratio: Annotated[float, setting("embeddings' share of learning_rate", gt=0.0, le=1000.0)] = 1.0
    head_lr_ratio: Annotated[float, setting("an untied head's share of learning_rate", gt=0.0, le=1000.0)] = 1.0
    width_scaling: Annotated[
        bool, setting("matrices and head under AdamW: learning_rate × 128 / n_embd, so that one rate fits every width")
    ] = False
    momentum: Annotated[float, setting("muon: decay of the gradient's running mean", ge=0.0, lt=1.0)] = 0.95
    galore_rank: Annotated[int, setting("galore: rank of the projection", ge=1, le=65536)] = 128
    galore_every: Annotated[int, setting("galore: steps between new projections", ge=1, le=10**6, unit="steps")] = 200
    galore_scale: Annotated[float, setting("galore: share of the projected update", gt=0.0, le=100.0)] = 0.25
    beta1: Annotated[float, setting("decay of the gradient's running mean", ge=0.0, lt=1.0)] = 0.9
    beta2: Annotated[float, setting("decay of the squared gradient's running mean", ge=0.0, lt=1.0)] = 0.95
    eps: Annotated[float, setting("added to Adam's denominator", gt=0.0, le=1.0)] = 1e-8
    weight_decay: Annotated[float, setting("decoupled decay of matrices, none on the rest", ge=0.0, le=10.0)] = 0.1
    grad_clip: Annotated[float, setting("largest gradient norm; 0 turns clipping off", ge=0.0, le=1e6)] = 1.0


class ScheduleConfig(Section, frozen=True):
    """The learning rate over the run."""

    name: Annotated[
        Literal["cosine", "wsd", "constant"],
        setting("after warmup: cosine: half a cosine down; wsd: flat, then straight down; constant: flat"),
    ] = "cosine"
    cooldown: Annotated[float, setting("wsd: share of the run, its last, in which the rate falls", gt=0.0, le=1.0)] = (
        0.65
    )
    warmup_steps: Annotated[int, setting("steps of linear warmup", ge=0, le=10**9, unit="steps")] = 50
    min_lr_ratio: Annotated[float, setting("final learning rate as a share of the peak", ge=0.0, le=1.0)] = 0.1


class TrainingConfig(Section, frozen=True):
    """How long, how large a step, and on what."""

    duration: Annotated[
        int | str,
        setting('"2000 steps" (a bare integer means steps), "3 epochs", "50M tokens" or "30 minutes"', resumable=True),
    ] = "2000 steps"
    micro_batch_size: Annotated[
        int, setting("sequences in one forward pass", ge=1, le=65536, unit="sequences", resumable=True)
    ] = 16
    accumulation_steps: Annotated[
        int, setting("forward passes that make one step", ge=1, le=65536, unit="passes", resumable=True)
    ] = 1
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        setting("auto: bf16 where the GPU computes in it, fp32 elsewhere", resumable=True),
    ] = "auto"
    compile: Annotated[
        Literal["auto", "on", "off"],
        setting("torch.compile; auto: on with CUDA and Triton, off elsewhere", resumable=True),
    ] = "auto"
    device: Annotated[str, setting("auto, cpu, mps, cuda, cuda:N, or a GPU's UUID", min_length=1, resumable=True)] = (
        "auto"
    )
    threads: Annotated[
        int, setting("CPU threads; 0: one for each physical core", ge=0, le=1024, unit="threads", resumable=True)
    ] = 0
    seed: Annotated[int, setting("seeds weights, batches, dropout and samples", ge=0, le=2**31 - 1)] = 1
    init_from: Annotated[str, setting("checkpoint folder whose weights the run starts from; empty: none")] = ""
    activation_checkpointing: Annotated[
        bool, setting("recompute each block in the backward pass: less memory, a third more arithmetic", resumable=True)
    ] = False
    on_anomaly: Annotated[
        Literal["warn", "skip", "rewind", "stop"],
        setting(
            "at a loss or gradient that is not finite, or a spike of 6 σ: warn: say so and go on; skip: leave out the"
            " step; rewind: back to the last full checkpoint, and past these batches; stop: save and stop",
            resumable=True,
        ),
    ] = "warn"
    patience: Annotated[
        int,
        setting("evaluations without a lower validation loss that end the run; 0: never", ge=0, resumable=True),
    ] = 0
    fork_from: Annotated[
        str, setting("full checkpoint whose weights, optimiser and step the run goes on from; empty: none")
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
            "validation tokens an evaluation scores; at the end all, or as many as were trained on; 0: always all",
            ge=0,
            unit="tokens",
            resumable=True,
        ),
    ] = 0


class CheckpointsConfig(Section, frozen=True):
    """What is kept of the weights, and when."""

    every: Annotated[
        int, setting("steps between full (resumable) checkpoints; 0: only the last", ge=0, unit="steps", resumable=True)
    ] = 500
    keep: Annotated[
        int, setting("full checkpoints kept; older ones are pruned", ge=2, le=10**6, unit="checkpoints", resumable=True)
    ] = 3
    light_every: Annotated[
        int, setting("steps between light (weights only) checkpoints, all kept; 0: none", ge=0, resumable=True)
    ] = 0
    best: Annotated[bool, setting("keep the weights with the lowest validation loss", resumable=True)] = True


class SamplingConfig(Section, frozen=True):
    """The text that the run writes as it learns."""

    every: Annotated[
        int, setting("steps between samples; 0: none but those asked for", ge=0, unit="steps", resumable=True)
    ] = 250
    prompts: Annotated[
        tuple[str, ...], setting("what each sample continues; empty text: the start of a document", resumable=True)
    ] = ("",)
    tokens: Annotated[int, setting("tokens a sample has at most", ge=1, le=10**6, unit="tokens", resumable=True)] = 128
    temperature: Annotated[
        float, setting("0: always the likeliest token; 1: as the model believes", ge=0.0, le=100.0, resumable=True)
    ] = 0.8
    top_k: Annotated[int, setting("draw among the k likeliest tokens; 0: all", ge=0, resumable=True)] = 0
    top_p: Annotated[
        float, setting("draw among the likeliest tokens that hold this probability", gt=0.0, le=1.0, resumable=True)
    ] = 1.0
    min_p: Annotated[
        float, setting("drop tokens below this share of the likeliest one's", ge=0.0, le=1.0, resumable=True)
    ] = 0.0


class Config(Section, frozen=True):
    """A run, whole. `preset` names what the sections were built on, for comparison."""

    preset: Annotated[str, setting("the preset that this config was built on")] = "pico"
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    training: TrainingConfig = TrainingConfig()
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    sampling: SamplingConfig = SamplingConfig()

    @property
    def sequences_per_step(self) -> int:
        """Sequences that one optimiser step consumes over all ranks."""
        return self.training.micro_batch_size * self.training.accumulation_steps

    @property
    def tokens_per_step(self) -> int:
        return self.sequences_per_step * self.model.context_length
