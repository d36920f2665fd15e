"""What is said about a run: one struct for each line of its journals, each message on its queues, and its status.

The same structs feed the JSONL files, the queues between supervisor and trainer, and the screens, so that a field has
one name everywhere. Losses and norms are `float | None`: JSON has no NaN, so a value that is not finite is written as
null with `non_finite` saying which it was.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from tui_gpt.errors import UserError

SCHEMA_VERSION = 1

State = Literal["starting", "running", "paused", "stopping", "finished", "stopped", "failed"]
FINAL_STATES = frozenset({"finished", "stopped", "failed"})
NonFinite = Literal["nan", "inf"]
CommandName = Literal["pause", "resume", "checkpoint", "sample", "stop"]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


def new_id() -> str:
    """An id that sorts by the time it was made."""
    from ulid import ULID  # 10 ms to import, for those that only read

    return str(ULID())


def finite(value: float) -> tuple[float | None, NonFinite | None]:
    """`value` and None, or None and what it was instead of a number."""
    if math.isfinite(value):
        return value, None
    return None, "nan" if math.isnan(value) else "inf"


# ── the journals ────────────────────────────────────────────────────────────────────────────────────────────────────


class Metrics(Message, frozen=True):
    """A line of metrics.jsonl: one optimiser step. Loss in nats per token, before the step's update."""

    step: int
    tokens: int
    loss: float | None
    learning_rate: float
    grad_norm: float | None
    tokens_per_second: float
    elapsed_seconds: float  # training time, without pauses, over all starts
    data_wait_seconds: float = 0.0
    memory_bytes: int = 0
    mfu: float | None = None
    flops: float = 0.0  # floating-point operations of the run so far, by the closed form
    grad_norms: dict[str, float | None] = {}  # by block, before clipping; every `training.norms_every` steps
    update_norms: dict[str, float | None] = {}  # by block: how far the weights moved
    non_finite: NonFinite | None = None


class Eval(Message, frozen=True):
    """A line of evals.jsonl. `tokens`: validation tokens scored; `whole`: whether that is the whole split."""

    step: int
    val_loss: float | None  # nats per token
    perplexity: float | None
    bits_per_byte: float | None
    tokens: int
    whole: bool
    best: bool = False
    seconds: float = 0.0
    non_finite: NonFinite | None = None


class Sample(Message, frozen=True):
    """A line of samples.jsonl: what the model wrote after `prompt`."""

    step: int
    prompt: str
    text: str
    seed: int
    tokens: int
    temperature: float
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    ended: bool = False  # the model wrote end of text by itself


class Event(Message, frozen=True):
    """A line of events.jsonl, written by the supervisor. `kind` is for programs, `message` for people."""

    time: float  # Unix seconds
    kind: str
    message: str
    level: Literal["info", "warning", "error"] = "info"
    step: int | None = None
    command_id: str = ""  # of an ack
    command: str = ""
    ok: bool = True
    data: dict[str, Any] = {}


class Rewound(Message, frozen=True):
    """A line of any of the trainer's journals: readers drop points beyond this step."""

    rewound_to: int


# ── the wire ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Command(Message, frozen=True):
    """What a viewer or a shell asks of a run: a file in `commands/`, then a message down the queue."""

    name: CommandName
    id: str = msgspec.field(default_factory=new_id)
    sender: str = ""  # "cli", "workbench", "signal"
    now: bool = False  # stop only: end without saving


class Ack(Message, frozen=True):
    """The trainer's answer to a command: what was done, or why not."""

    command_id: str
    command: str
    ok: bool
    message: str
    step: int = 0


class Progress(Message, frozen=True):
    """Where the trainer is. May be dropped: the journals are the record."""

    state: State
    phase: str  # what it is doing: "preparing the corpus", "training", "evaluating", "saving" …
    step: int = 0
    total_steps: int | None = None
    tokens: int = 0
    loss: float | None = None
    val_loss: float | None = None
    tokens_per_second: float = 0.0
    elapsed_seconds: float = 0.0
    eta_seconds: float | None = None
    memory_bytes: int = 0
    fraction: float | None = None  # of the phase, where it is known


class Notice(Message, frozen=True):
    """Something that belongs in events.jsonl."""

    kind: str
    message: str
    level: Literal["info", "warning", "error"] = "info"
    step: int | None = None
    data: dict[str, Any] = {}


class Failure(Message, frozen=True):
    """Why a run failed: the user's mistake (where, do) or what ended the process."""

    what: str
    where: str = ""
    do: str = ""
    exit_code: int | None = None
    signal: str = ""
    log_tail: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: UserError) -> Failure:
        return cls(what=error.what, where=error.where, do=error.do)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.do}" if self.do else text


class Ended(Message, frozen=True):
    """The trainer's last word."""

    state: Literal["finished", "stopped", "failed"]
    message: str
    step: int = 0
    by_signal: bool = False
    failure: Failure | None = None


# ── the files that are replaced whole ───────────────────────────────────────────────────────────────────────────────


class Status(Message, frozen=True, omit_defaults=False):
    """status.json: where the run is now, replaced atomically by its supervisor."""

    state: State
    phase: str = ""
    step: int = 0
    total_steps: int | None = None
    tokens: int = 0
    loss: float | None = None
    val_loss: float | None = None
    tokens_per_second: float = 0.0
    elapsed_seconds: float = 0.0
    eta_seconds: float | None = None
    memory_bytes: int = 0
    fraction: float | None = None
    heartbeat: float = 0.0  # Unix seconds
    started: float = 0.0  # Unix seconds, of this start
    host: str = ""
    boot_id: str = ""
    supervisor_pid: int = 0
    trainer_pids: tuple[int, ...] = ()
    device: str = ""
    gpu_uuid: str = ""
    stop_at: int | None = None
    message: str = ""  # how it ended
    by_signal: bool = False
    failure: Failure | None = None


class CorpusInfo(Message, frozen=True):
    """What a run was trained on."""

    name: str
    digest: str
    tokenizer: str
    vocab_size: int
    documents: int
    train_tokens: int
    val_tokens: int
    floor_loss: float | None = None  # nats per validation token, where the text's entropy is known
    floor_note: str = ""


class RunInfo(Message, frozen=True, omit_defaults=False):
    """run.json: what a run is, written once before its first step."""

    schema_version: int = SCHEMA_VERSION
    created: float = 0.0  # Unix seconds
    parent: str = ""  # the checkpoint that it started from
    parameters: int = 0
    corpus: CorpusInfo | None = None
    device: str = ""
    precision: str = ""
    compiled: bool = False
    threads: int = 0
    steps_per_epoch: float = 0.0
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = {}
    git: str = ""


# ── the sampler process ─────────────────────────────────────────────────────────────────────────────────────────────


class Generate(Message, frozen=True):
    """Ask a sampler to continue `prompt`. `checkpoint`: a checkpoint's folder, or a run's for its newest."""

    id: str
    checkpoint: str
    prompt: str = ""
    tokens: int = 128
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    ignore_end: bool = False  # go on past end of text
    device: str = "auto"  # auto, cpu, cuda, mps


class Cancel(Message, frozen=True):
    """Ask a sampler to end the generation `id`, which then answers `Generated`."""

    id: str


class Unload(Message, frozen=True):
    """Ask a sampler to forget its model and free the memory."""


class Loaded(Message, frozen=True):
    """A sampler's word that a checkpoint is ready: what it is and where it computes."""

    id: str
    checkpoint: str
    step: int
    parameters: int
    device: str


class Chunk(Message, frozen=True):
    """A piece of what the model writes, whole characters only."""

    id: str
    text: str


class Generated(Message, frozen=True):
    """The end of a generation."""

    id: str
    tokens: int
    seconds: float
    ended: bool  # the model wrote end of text
    cancelled: bool = False


class ConversionResult(Message, frozen=True):
    """A model was imported or exported: the folder that was made, and the checkpoint on our side.

    format: of the folder, `gpt2` where transformers reads it, else `gpt-tui`.
    """

    path: str
    checkpoint: str
    preset: str
    parameters: int
    format: str


class MeasurementContext(Message, frozen=True, omit_defaults=False):
    """What was measured: which model on which machine. Shares are of the time, 0 to 1.

    notes: what is not as the config asked, or as one would expect, and why.
    """

    device: str
    precision: str
    compiled: bool
    threads: int
    preset: str
    corpus: str
    parameters: int
    context_length: int
    notes: tuple[str, ...]


class BenchmarkResult(MeasurementContext, frozen=True, omit_defaults=False):
    """How fast a run would go: the real engine on its corpus.

    peak_source: what mfu is measured against. doubling_gain: tokens a second at twice the micro-batch against those at
    one, None where that was not measured. What could not be measured is None, and a note says why.
    """

    micro_batch_size: int
    accumulation_steps: int
    tokens_per_step: int
    steps: int  # measured, after a warm-up
    tokens_per_second: float  # of the median step
    step_p5_ms: float
    step_p50_ms: float
    step_p95_ms: float
    mfu: float
    peak_flops_per_second: float
    peak_source: str
    memory_peak_bytes: int
    memory_limit_bytes: int  # what the process could have
    data_wait_share: float
    optimizer_share: float
    checkpoint_stall_ms: float  # what the steps wait for: the copy to host memory
    checkpoint_write_ms: float | None  # meanwhile, in a thread
    checkpoint_bytes: int
    generation_tokens_per_second: float  # one text at a time
    doubling_gain: float | None
    verdict: str


class BatchSizeTrial(Message, frozen=True, omit_defaults=False):
    """A micro-batch size, and what a step of it costs; None where it did not fit."""

    micro_batch_size: int
    accumulation_steps: int  # with which the step keeps its sequences, where it divides them
    fits: bool
    pass_ms: float | None = None  # one micro-batch, forward and backward
    tokens_per_second: float | None = None
    memory_peak_bytes: int | None = None


class BatchSizeSearchResult(MeasurementContext, frozen=True, omit_defaults=False):
    """The micro-batch sizes tried, smallest first, what ended the search, and the fastest of them.

    `overrides` set that one; `overrides_keeping_step` the fastest of those with which a step has the tokens that the
    config gives it.
    """

    sizes: tuple[BatchSizeTrial, ...]
    largest_micro_batch_size: int
    ended_by: Literal["memory", "memory budget", "time", "bound"]
    reason: str
    recommended_micro_batch_size: int
    recommended_accumulation_steps: int
    overrides: str
    tokens_per_step: int  # with them
    overrides_keeping_step: str


class RequestFailed(Message, frozen=True):
    """What was asked cannot be done, and why."""

    id: str
    failure: Failure
