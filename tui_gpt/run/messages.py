"""Message types of a run: lines of its JSONL files, messages between its processes, and its status.

The JSONL files, the queues between supervisor and trainer, and the screens use the same structs, so that a field has
one name everywhere. Losses and norms are `float | None`: JSON has no NaN, so a value that is not finite is written as
null, and `non_finite` says which it was.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from tui_gpt.errors import CannotResumeError, UserError

SCHEMA_VERSION = 1

State = Literal["starting", "running", "paused", "stopping", "finished", "stopped", "failed"]
FINAL_STATES = frozenset({"finished", "stopped", "failed"})
NonFinite = Literal["nan", "inf"]
CommandName = Literal["pause", "resume", "checkpoint", "sample", "stop"]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base class of all messages."""


def new_id() -> str:
    """Return a new id; ids sort by the time of creation."""
    from ulid import ULID  # takes 10 ms to import, and readers do not need it

    return str(ULID())


def finite(value: float) -> tuple[float | None, NonFinite | None]:
    """Return `(value, None)`, or `(None, "nan" or "inf")` if `value` is not finite."""
    if math.isfinite(value):
        return value, None
    return None, "nan" if math.isnan(value) else "inf"


# ── JSONL files ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Metrics(Message, frozen=True):
    """A line of metrics.jsonl: one optimizer step. The loss is in nats per token, before the update."""

    step: int
    tokens: int
    loss: float | None
    learning_rate: float
    grad_norm: float | None
    tokens_per_second: float
    elapsed_seconds: float  # training time over all starts, without pauses
    data_wait_seconds: float = 0.0
    memory_bytes: int = 0
    mfu: float | None = None
    flops: float = 0.0  # of the run so far, by the closed form
    grad_norms: dict[str, float | None] = {}  # by block, before clipping; every `training.norms_every` steps
    update_norms: dict[str, float | None] = {}  # by block, of the change of the weights
    non_finite: NonFinite | None = None


class Eval(Message, frozen=True):
    """A line of evals.jsonl. tokens: validation tokens scored. whole: these are the whole split."""

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
    """A line of samples.jsonl: the text that the model generated after `prompt`."""

    step: int
    prompt: str
    text: str
    seed: int
    tokens: int
    temperature: float
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    ended: bool = False  # by an end-of-text token


class Event(Message, frozen=True):
    """A line of events.jsonl, written by the supervisor. `kind` is for programs, `message` for people."""

    time: float  # Unix seconds
    kind: str
    message: str
    level: Literal["info", "warning", "error"] = "info"
    step: int | None = None
    command_id: str = ""  # of the command that this event acknowledges
    command: str = ""
    ok: bool = True
    data: dict[str, Any] = {}


class Rewound(Message, frozen=True):
    """A line of metrics, evals or samples: readers drop earlier lines after step `rewound_to`."""

    rewound_to: int


# ── supervisor and trainer ────────────────────────────────────────────────────────────────────────────────────────────


class Command(Message, frozen=True):
    """A command of a viewer or shell to a run: a file in `commands/`, then a message to the trainer."""

    name: CommandName
    id: str = msgspec.field(default_factory=new_id)
    sender: str = ""  # "cli", "workbench", "signal"
    now: bool = False  # stop only: without saving


class FolderMoved(Message, frozen=True):
    """To the trainer: the run folder has another place now, and what is saved goes there."""

    path: str


class Ack(Message, frozen=True):
    """The trainer's acknowledgement of a command: what was done, or why not."""

    command_id: str
    command: str
    ok: bool
    message: str
    step: int = 0


class Progress(Message, frozen=True):
    """Progress of the trainer. May be dropped: the files are the record."""

    state: State
    phase: str  # "preparing the corpus", "training", "evaluating", "saving" …
    step: int = 0
    total_steps: int | None = None
    tokens: int = 0
    loss: float | None = None
    val_loss: float | None = None
    tokens_per_second: float = 0.0
    elapsed_seconds: float = 0.0
    eta_seconds: float | None = None
    memory_bytes: int = 0
    fraction: float | None = None  # of the phase, if known


class Notice(Message, frozen=True):
    """An event of the trainer, for events.jsonl."""

    kind: str
    message: str
    level: Literal["info", "warning", "error"] = "info"
    step: int | None = None
    data: dict[str, Any] = {}


class Failure(Message, frozen=True):
    """Why a run failed: a user error (what, where, do), or how the process ended.

    blocks_resume: a resume fails again until `do` is done.
    """

    what: str
    where: str = ""
    do: str = ""
    exit_code: int | None = None
    signal: str = ""
    log_tail: tuple[str, ...] = ()
    blocks_resume: bool = False

    @classmethod
    def of(cls, error: UserError) -> Failure:
        """Return the failure that describes `error`."""
        blocks_resume = isinstance(error, CannotResumeError)
        return cls(what=error.what, where=error.where, do=error.do, blocks_resume=blocks_resume)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.do}" if self.do else text


class Ended(Message, frozen=True):
    """The last message of the trainer: how the run ended."""

    state: Literal["finished", "stopped", "failed"]
    message: str
    step: int = 0
    by_signal: bool = False
    failure: Failure | None = None


# ── status.json and run.json ──────────────────────────────────────────────────────────────────────────────────────────


class Status(Message, frozen=True, omit_defaults=False):
    """status.json: the current state of the run, replaced atomically by its supervisor."""

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
    message: str = ""  # how the run ended
    by_signal: bool = False
    failure: Failure | None = None


class TextOrigin(Message, frozen=True):
    """A text, its licence and where it came from; empty where that is unknown."""

    name: str
    licence: str = ""
    source: str = ""


class CorpusInfo(Message, frozen=True):
    """The corpus that a run is trained on."""

    name: str
    digest: str
    tokenizer: str
    vocab_size: int
    documents: int
    train_tokens: int
    val_tokens: int
    floor_loss: float | None = None  # nats per validation token, if the entropy of the text is known
    floor_note: str = ""
    origins: tuple[TextOrigin, ...] = ()  # of a mixture several


class RunInfo(Message, frozen=True, omit_defaults=False):
    """run.json: facts about the run, written once before its first step."""

    schema_version: int = SCHEMA_VERSION
    created: float = 0.0  # Unix seconds
    command: str = ""  # that started it; empty in the workbench and in programs
    parent: str = ""  # the checkpoint that it started from
    parent_origins: tuple[TextOrigin, ...] = ()  # the texts that this checkpoint was trained on
    parameters: int = 0
    corpus: CorpusInfo | None = None
    device: str = ""
    precision: str = ""
    compiled: bool = False
    threads: int = 0
    steps_per_epoch: float = 0.0
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = {}
    environment: dict[str, str] = {}  # the variables of an allow-list that are set
    git: str = ""


# ── sampler process ───────────────────────────────────────────────────────────────────────────────────────────────────


class Generate(Message, frozen=True):
    """Request to continue `prompt`, `number` times with consecutive seeds.

    checkpoint: folder of a checkpoint, or of a run for its newest one. dtype: of the weights.
    """

    id: str
    checkpoint: str
    prompt: str = ""
    tokens: int = 128
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    ignore_end: bool = False  # continue after end of text
    device: str = "auto"  # auto, cpu, cuda, mps
    dtype: Literal["fp32", "bf16"] = "fp32"
    number: int = 1


class Cancel(Message, frozen=True):
    """Request to end the generation `id`, which is then answered by `Generated`."""

    id: str


class Unload(Message, frozen=True):
    """Request to unload the model and free its memory."""


class Loaded(Message, frozen=True):
    """A checkpoint is loaded for the generation `id`."""

    id: str
    checkpoint: str
    step: int
    parameters: int
    device: str


class Chunk(Message, frozen=True):
    """A piece of generated text, which never ends within a character. completion: its index among `number`."""

    id: str
    text: str
    completion: int = 0


class Generated(Message, frozen=True):
    """The end of a completion; the last one's ends the generation."""

    id: str
    tokens: int
    seconds: float
    ended: bool  # by an end-of-text token
    cancelled: bool = False
    completion: int = 0


class ConversionResult(Message, frozen=True):
    """Result of an import or export: the folder that was created, and the checkpoint.

    format: of the folder: `gpt2` if transformers can read it, else `gpt-tui`.
    """

    path: str
    checkpoint: str
    preset: str
    parameters: int
    format: str


class MeasurementContext(Message, frozen=True, omit_defaults=False):
    """The model and machine of a measurement. Shares are fractions of the time, 0 to 1.

    notes: settings that differ from the config or from what is usual, and why.
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
    """Result of `gpt-tui bench`: the speed of a run, measured with its engine and corpus.

    peak_source: source of the peak FLOP/s for mfu. doubling_gain: tokens per second at twice the micro-batch relative
    to the configured one. Values that could not be measured are None, and a note says why.
    """

    micro_batch_size: int
    accumulation_steps: int
    tokens_per_step: int
    steps: int  # measured, after a warmup
    tokens_per_second: float  # of the median step
    step_p5_ms: float
    step_p50_ms: float
    step_p95_ms: float
    mfu: float
    peak_flops_per_second: float
    peak_source: str
    memory_peak_bytes: int
    memory_limit_bytes: int  # available to the process
    data_wait_share: float
    optimizer_share: float
    checkpoint_stall_ms: float  # the copy to host memory, for which steps wait
    checkpoint_write_ms: float | None  # in a background thread
    checkpoint_bytes: int
    generation_tokens_per_second: float  # one text at a time
    doubling_gain: float | None
    verdict: str


class BatchSizeTrial(Message, frozen=True, omit_defaults=False):
    """A micro-batch size that was tried, with its cost; None if it did not fit."""

    micro_batch_size: int
    accumulation_steps: int  # that keep the sequences of a step, if they divide evenly
    fits: bool
    pass_ms: float | None = None  # one micro-batch, forward and backward
    tokens_per_second: float | None = None
    memory_peak_bytes: int | None = None


class BatchSizeSearchResult(MeasurementContext, frozen=True, omit_defaults=False):
    """Result of a batch size search: the sizes tried, smallest first, why it ended, and the recommended size.

    overrides: settings of the recommended size. overrides_keeping_step: settings of the fastest size with which a step
    has as many tokens as configured.
    """

    sizes: tuple[BatchSizeTrial, ...]
    largest_micro_batch_size: int
    ended_by: Literal["memory", "memory budget", "time", "bound"]
    reason: str
    recommended_micro_batch_size: int
    recommended_accumulation_steps: int
    overrides: str
    tokens_per_step: int  # with `overrides`
    overrides_keeping_step: str


class RequestFailed(Message, frozen=True):
    """A request failed, and why."""

    id: str
    failure: Failure
