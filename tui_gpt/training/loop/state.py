"""The state of a run: config, weights, optimizers and progress, and how checkpoints restore it.

`TrainingProgress`, the weights and the optimizer state are all that an exact resume needs: batches and dropout are
functions of (seed, step), and evaluations, samples and the dry run do not use torch's global generator.
"""

from __future__ import annotations

from pathlib import Path

from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.manifest import CheckpointInfo, Kind
from tui_gpt.checkpoints.state import Snapshot, TrainingProgress, load_state, load_weights, take_snapshot
from tui_gpt.config import Config, build, changed_keys, flatten_keys, read_toml, to_dict
from tui_gpt.training.compute import Compute
from tui_gpt.training.data.batches import BatchLoader, MicroBatch, to_device
from tui_gpt.training.loop.engine import build_engine, reset_compilation, reset_weights
from tui_gpt.training.loop.schedule import RunSchedule
from tui_gpt.training.out_of_memory import free_cached_memory, skip_on_oom
from tui_gpt.training.run_setup import PreparedRun


class TrainingState:
    """What a run consists of between two steps. stop_at: the step at which this start of it ends, if given."""

    def __init__(self, prepared: PreparedRun, compute: Compute, stop_at: int | None) -> None:
        self.config, self.compute = prepared.config, compute
        self.tokenizer, self.val_tokens = prepared.shards.tokenizer, prepared.shards.info.val_tokens
        self.model, self.train_step, self.batches = build_engine(self.config, prepared.shards, compute)
        self.validation = BatchLoader.for_evaluation(prepared.shards, self.config)
        self.schedule = RunSchedule(self.config, self.batches.steps_per_epoch, stop_at)
        self.progress = TrainingProgress(step=0, tokens=0, elapsed_seconds=0.0)
        self._next_batch: tuple[int, list[MicroBatch]] | None = None
        self.changed_settings = ""  # since the checkpoint that a resume has loaded

    @property
    def is_finished(self) -> bool:
        """Whether no further step is to be done."""
        return self.schedule.is_finished(self.progress)

    # ── checkpoints ───────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Load the checkpoint that a new run starts from, if any."""
        if self.config.training.fork_from:
            self.load(Path(self.config.training.fork_from))
            self.progress.elapsed_seconds, self.progress.best_val_loss = 0.0, None
        elif self.config.training.init_from:
            source = Path(self.config.training.init_from)
            manifest.verify(source)
            load_weights(source, self.model)

    def resume(self, newest: CheckpointInfo) -> str:
        """Load a checkpoint of this run, and return a message if its schedule differs, else an empty string."""
        self.load(newest.path)
        before = build(read_toml(newest.path / manifest.CONFIG), str(newest.path))
        old, new = flatten_keys(to_dict(before)), flatten_keys(to_dict(self.config))
        changes = [f"{key} {old[key]} → {new[key]}" for key in changed_keys(before, self.config)]
        self.changed_settings = ", ".join(changes)
        schedule = RunSchedule(before, self.batches.steps_per_epoch)
        return self.schedule.describe_change(schedule, self.progress.step)

    def load(self, checkpoint: Path) -> None:
        """Load weights, optimizer, scaler, guard and progress from a full checkpoint."""
        self.progress = load_state(checkpoint, self.model, self.train_step.optimizers)
        if self.progress.scaler:  # empty if the run was not in fp16 then
            self.train_step.scaler.load_state_dict(self.progress.scaler)
        self.train_step.guard.restore(self.progress.guard)
        self._next_batch = None

    def rewind(self, checkpoint: Path | None, *, other_batches: bool) -> None:
        """Return to a checkpoint; None: to the start of the run. other_batches: skip the batches since then."""
        before = self.progress
        if checkpoint is not None:
            self.load(checkpoint)
        else:
            reset_weights(self.train_step, self.config)
            self.progress, self._next_batch = TrainingProgress(step=0, tokens=0, elapsed_seconds=0.0), None
            self.start()
        skipped = before.step - self.progress.step if other_batches else 0
        self.progress.batch_shift = before.batch_shift + skipped
        self.progress.rewinds, self.progress.elapsed_seconds = before.rewinds + 1, before.elapsed_seconds

    def snapshot(self, kind: Kind, val_loss: float | None, run: str) -> Snapshot:
        """Copy the state to host memory. run: the id of the run."""
        self.progress.scaler = self.train_step.scaler.state_dict()
        self.progress.guard = self.train_step.guard.state()
        return take_snapshot(
            kind,
            self.config,
            self.tokenizer.to_json(),
            self.model,
            self.train_step.optimizers,
            self.progress,
            val_loss=val_loss,
            run=run,
        )

    # ── steps ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def split(self, config: Config) -> None:
        """Continue with the smaller micro-batches of `config`, and free the memory of the step that failed."""
        self.config, self._next_batch = config, None
        self.train_step.discard_gradients()
        free_cached_memory()
        reset_compilation(self.train_step)

    def count_step(self, seconds: float) -> None:
        """Count a step that is done. seconds: the time since the step before."""
        self.progress.step += 1
        self.progress.tokens += self.config.tokens_per_step
        self.progress.elapsed_seconds += seconds

    def fetch(self, step: int) -> list[MicroBatch]:
        """Return the micro-batches of `step` on the device."""
        if self._next_batch is not None and self._next_batch[0] == step:
            return self._next_batch[1]
        batch = self.batches.batch(step + self.progress.batch_shift)
        return to_device(batch, self.config.training.accumulation_steps, self.compute.device)

    def prefetch(self) -> None:
        """Fetch the next batch while a GPU computes; a CPU would only compute later."""
        step = self.progress.step + 1
        if self.compute.device.type == "cuda" and step - 1 != self.schedule.last_step:
            batch = skip_on_oom(lambda: self.fetch(step))
            self._next_batch = (step, batch) if batch else None
