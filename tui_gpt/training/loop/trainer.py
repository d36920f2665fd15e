"""One run, from its first step to its last: the flow of training in plain sight.

After each step the trainer logs, evaluates, saves and samples as its config says, then obeys what it was asked. All
that a resumed run needs to go on to the bit is in `TrainingProgress`, the weights and the optimiser's state: batches
and dropout are functions of (seed, step), and evaluations, samples and the dry run draw from generators of their own.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import torch

from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import TrainingProgress, load_state, load_weights, snapshot
from tui_gpt.config import Config, Duration, build, read_toml
from tui_gpt.config.estimates import flops_per_token
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Ended, Eval, Metrics, Sample, State, finite
from tui_gpt.sampling import SamplingOptions, generate
from tui_gpt.sampling.generation import prompt_tokens
from tui_gpt.training.compute import Compute
from tui_gpt.training.data.batches import BatchLoader, MicroBatch, to_device
from tui_gpt.training.loop.command_handling import apply_commands, stop_run
from tui_gpt.training.loop.control import TrainerControl
from tui_gpt.training.loop.engine import build_engine, retry_on_oom, run_with_compile_fallback
from tui_gpt.training.loop.guard import Anomaly
from tui_gpt.training.loop.recovery import halve_micro_batch, handle_anomaly
from tui_gpt.training.loop.step import StepResult
from tui_gpt.training.measuring.evaluation import evaluate
from tui_gpt.training.optimizers.schedules import learning_rate, progress_after_warmup
from tui_gpt.training.recording.recorder import Recorder, Stopwatch
from tui_gpt.training.run_setup import PreparedRun

T = TypeVar("T")


class Trainer:
    """The training state in one object, and what happens to it."""

    def __init__(
        self,
        folder: RunFolder,
        prepared: PreparedRun,
        compute: Compute,
        control: TrainerControl,
        *,
        stop_at: int | None,
        resume: bool,
    ) -> None:
        self.folder, self.compute, self.control = folder, compute, control
        self.config = config = prepared.config
        self.tokenizer = prepared.shards.tokenizer
        self.model, self.train_step, self.batches = build_engine(config, prepared.shards, compute)
        self.validation = BatchLoader.for_evaluation(prepared.shards, config)
        self.duration = Duration.parse(config.training.duration)
        self.total_steps = self._steps_of(config)
        self.progress = TrainingProgress(step=0, tokens=0, elapsed_seconds=0.0)
        self._restore(resume)
        self.last_step = min((n for n in (self.total_steps, stop_at) if n is not None), default=None)
        self.stopwatch = Stopwatch()
        self.recorder = Recorder(
            folder,
            control,
            self.stopwatch,
            keep=config.checkpoints.keep,
            rewound_to=self.progress.step if resume else None,
            late=compute.device.type == "cuda",
        )
        self.read_memory = compute.memory_bytes()
        self.flops = flops_per_token(config.model, self.tokenizer.vocab_size)
        self.saved_step = self.progress.step
        self.last_loss: float | None = None
        self.last_val_loss: float | None = None
        self.last_speed, self.last_memory = 0.0, 0
        self.next_batch: tuple[int, list[MicroBatch]] | None = None
        self.window_steps, self.window_seconds, self.window_wait = 0, 0.0, 0.0
        self.norms_logged_at = self.progress.step
        self.anomaly: Anomaly | None = None

    # ── beginning ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _steps_of(self, config: Config) -> int | None:
        """Steps that the config's duration takes; None when the clock decides."""
        return Duration.parse(config.training.duration).steps(
            tokens_per_step=config.tokens_per_step, steps_per_epoch=self.batches.steps_per_epoch
        )

    def _restore(self, resume: bool) -> None:
        """Load the newest full checkpoint of a resumed run, or the weights that a new one starts from."""
        newest = manifest.newest(self.folder.checkpoints, ["full"]) if resume else None
        if newest is not None:
            self.load(newest.path)
            self._say_what_the_schedule_does(newest.path)
        elif self.config.training.fork_from:
            self.load(Path(self.config.training.fork_from))
            self.progress.elapsed_seconds, self.progress.best_val_loss = 0.0, None
        elif self.config.training.init_from:
            source = Path(self.config.training.init_from)
            manifest.verify(source)
            load_weights(source, self.model)

    def load(self, checkpoint: Path) -> None:
        """Put the whole state of a full checkpoint into place."""
        self.progress = load_state(checkpoint, self.model, self.train_step.optimizers)
        self.train_step.scaler.load_state_dict(self.progress.scaler)
        self.train_step.guard.restore(self.progress.guard)

    def _say_what_the_schedule_does(self, checkpoint: Path) -> None:
        """A run whose duration changed has its schedule stretched: say what that does to the learning rate."""
        before = build(read_toml(checkpoint / manifest.CONFIG), str(checkpoint))
        old_total, step = self._steps_of(before), self.progress.step
        if before.training.duration == self.config.training.duration or not old_total or not self.total_steps:
            return
        old = self._rate(step, old_total)
        self.control.notice(
            "extended",
            f"{self.config.schedule.name} schedule over {self.total_steps:,} steps instead of {old_total:,}:"
            f" the learning rate goes from {old:.3g} at step {step:,} to {self._rate(step + 1, self.total_steps):.3g}",
        )

    def dry_run(self) -> None:
        """The first step rehearsed: compilation, shapes and peak memory are known before the clock starts."""
        self.control.set_phase("starting", "compiling" if self.compute.compile else "trying the first batch")
        started = time.perf_counter()
        run_with_compile_fallback(
            self.train_step,
            lambda: self._fitted(self._rehearse),
            lambda why: self.control.notice("degraded", why, level="warning"),
        )
        if self.compute.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        self.control.notice(
            "ready",
            f"{self.model.num_parameters():,} parameters on {self.compute.name}, {self.compute.precision};"
            f" first batch tried in {seconds:.1f} s, {self.read_memory() / 2**30:.2f} GiB",
        )

    def _rehearse(self) -> None:
        step = self.progress.step + 1
        self.train_step.dry_run(step, self.fetch(step))

    def _fitted(self, action: Callable[[], T]) -> T:
        return retry_on_oom(action, lambda: halve_micro_batch(self))

    # ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> Ended:
        """Train to the end, or until asked to stop; after the dry run."""
        if self.is_over():
            return self._ended()
        self.control.set_phase("running", "training")
        self.stopwatch.restart()
        first = self.progress.step + 1
        while not self.is_over():
            apply_commands(self)
            if self.control.stop_requested:
                return stop_run(self)
            self._step()
            if self.anomaly is not None and (ended := handle_anomaly(self, self.anomaly)):
                return ended
            self._after_step()
            if self.progress.step == first:
                gc.collect()
                gc.freeze()  # what lives by now lives on: collections need not look at it again
        self.recorder.wait()
        self.recorder.retry_failed_save()
        return self._ended()

    def is_over(self) -> bool:
        if self.last_step is not None and self.progress.step >= self.last_step:
            return True
        if self._out_of_patience():
            return True
        return self.duration.unit == "minutes" and self.progress.elapsed_seconds >= self.duration.amount * 60

    def _out_of_patience(self) -> bool:
        return 0 < self.config.training.patience <= self.progress.evals_since_best

    def _ended(self) -> Ended:
        step = self.progress.step
        if self._out_of_patience():
            since, best = self.progress.evals_since_best, self.progress.best_val_loss
            lowest = f": it was {best:.4f}" if best is not None else ""
            message = f"finished early at step {step:,}: no lower validation loss in {since} evaluations{lowest}"
            return Ended(state="finished", message=message, step=step)
        if self.total_steps is not None and step < self.total_steps:
            return Ended(state="stopped", message=f"stopped at step {step:,}, as --stop-at asked", step=step)
        return Ended(state="finished", message=f"finished at step {step:,}", step=step)

    def _step(self) -> None:
        step = self.progress.step + 1
        started = time.perf_counter()
        rate = self._rate(step, self.total_steps)
        logged = step % self.config.training.log_every == 0 or step == self.last_step
        loss = self._fitted(lambda: self.train_step.compute_gradients(step, self._take_batch(step)))
        taken = self.train_step.apply_update(step, loss, rate, with_norms=logged and self._norms_are_due(step))
        if self.compute.device.type == "cuda" and step != self.last_step:
            self.next_batch = (step + 1, self.fetch(step + 1))  # copied while the card computes
        self.progress.step, self.progress.tokens = step, self.progress.tokens + self.config.tokens_per_step
        self.progress.elapsed_seconds += self.stopwatch.lap()
        self.window_steps += 1
        self.window_seconds += time.perf_counter() - started
        if logged or self.is_over():
            self._log(taken, rate)

    def _after_step(self) -> None:
        step, config, over = self.progress.step, self.config, self.is_over()
        self.report_progress()
        val_loss, is_best = None, False
        if over or _due(step, config.training.eval_every):
            self.recorder.flush()
            val_loss, is_best = self._evaluate()
            over = self.is_over()
        if (over and not self.control.stop_requested) or _due(step, config.checkpoints.every):
            self.save("full", val_loss)
        elif _due(step, config.checkpoints.light_every):
            self.save("light", val_loss)
        elif is_best and config.checkpoints.best:
            self.save("best", val_loss)
        if _due(step, config.sampling.every) or (over and config.sampling.every):
            self.sample()
        if over:
            self.recorder.flush()
        self.report_progress()
        self.control.send_progress()

    def report_progress(self) -> None:
        """Keep where the run is for the next message to the supervisor."""
        self.control.update_progress(
            step=self.progress.step,
            total_steps=self.last_step,
            tokens=self.progress.tokens,
            loss=self.last_loss,
            val_loss=self.last_val_loss,
            tokens_per_second=self.last_speed,
            memory_bytes=self.last_memory,
            elapsed_seconds=self.progress.elapsed_seconds,
            eta_seconds=self._eta(),
        )

    def fetch(self, step: int) -> list[MicroBatch]:
        batch = self.batches.batch(step + self.progress.batch_shift)
        return to_device(batch, self.config.training.accumulation_steps, self.compute.device)

    def _take_batch(self, step: int) -> list[MicroBatch]:
        """The step's batch: the one fetched ahead, or fetched now, which is the time that the step waits for data."""
        if self.next_batch and self.next_batch[0] == step:
            return self.next_batch[1]
        started = time.perf_counter()
        batch = self.fetch(step)
        self.window_wait += time.perf_counter() - started
        return batch

    def _norms_are_due(self, step: int) -> bool:
        """At the first logged step in each stretch of `norms_every` steps."""
        every = self.config.training.norms_every
        if not every or step // every == self.norms_logged_at // every:
            return False
        self.norms_logged_at = step
        return True

    def _rate(self, step: int, total_steps: int | None) -> float:
        schedule = self.config.schedule
        if total_steps is None:
            progress = self.progress.elapsed_seconds / (self.duration.amount * 60)
        else:
            progress = progress_after_warmup(schedule, step, total_steps)
        return learning_rate(schedule, self.config.optimizer.learning_rate, step, progress)

    def _eta(self) -> float | None:
        if self.last_step is None:
            return max(0.0, self.duration.amount * 60 - self.progress.elapsed_seconds)
        done = self.progress.step
        return (self.last_step - done) * self.progress.elapsed_seconds / done if done else None

    # ── what is written ─────────────────────────────────────────────────────────────────────────────────────────────

    def _log(self, taken: StepResult, rate: float) -> None:
        """Queue the step's line; on a GPU its numbers are read when the next line is, so that nothing waits."""
        progress = msgspec.structs.replace(self.progress)
        names = taken.norms.names if taken.norms else []
        by_block = [taken.norms.gradient, taken.norms.update] if taken.norms else []
        own = torch.stack((taken.loss.float(), taken.grad_norm.float()))
        numbers = torch.cat((own, self.train_step.guard.take_report(progress.step), *by_block)).to(
            "cpu", non_blocking=True
        )
        copied = torch.cuda.Event() if self.compute.device.type == "cuda" else None
        if copied is not None:
            copied.record()
        tokens = self.window_steps * self.config.tokens_per_step
        speed, wait, window = tokens / self.window_seconds, self.window_wait, self.window_steps
        self.window_steps, self.window_seconds, self.window_wait = 0, 0.0, 0.0
        peak = self.compute.peak_flops()

        def write() -> None:
            if copied is not None:
                copied.synchronize()
            raw_loss, raw_norm, first, count, in_a_row, held, loss, mean, sigma, *norms = numbers.tolist()
            self.last_loss, non_finite = finite(raw_loss)
            norm, norm_non_finite = finite(raw_norm)
            memory = self.read_memory()
            line = Metrics(
                step=progress.step,
                tokens=progress.tokens,
                loss=self.last_loss,
                learning_rate=rate,
                grad_norm=norm,
                tokens_per_second=speed,
                elapsed_seconds=progress.elapsed_seconds,
                data_wait_seconds=wait,
                memory_bytes=memory,
                mfu=speed * self.flops / peak if peak else None,
                flops=progress.tokens * self.flops,
                grad_norms={name: finite(value)[0] for name, value in zip(names, norms, strict=False)},
                update_norms={name: finite(value)[0] for name, value in zip(names, norms[len(names) :], strict=True)},
                non_finite=non_finite or norm_non_finite,
            )
            self.recorder.journals.metrics.append(line)
            self.last_speed, self.last_memory = speed, memory
            if count:
                step = progress.step - window + int(first)
                self.anomaly = Anomaly(step, int(count), int(in_a_row), bool(held), loss, mean, sigma)

        self.recorder.metrics(write)

    def _evaluate(self) -> tuple[float | None, bool]:
        """The validation loss, and whether it is the lowest so far; None when interrupted."""
        with self.phase("evaluating"):
            result = evaluate(
                self.model,
                self.validation,
                self.tokenizer.byte_lengths,
                step=self.progress.step,
                max_tokens=self._tokens_to_score(),
                autocast=self.compute.autocast,
                interrupted=lambda: self.control.stop_requested,
            )
        if result is None:
            return None, False
        return self._record(result)

    def _tokens_to_score(self) -> int:
        """At the end the whole split, or of a very large one as many tokens as the run was trained on."""
        usual = self.config.training.eval_tokens
        return max(usual, self.progress.tokens) if usual and self.is_over() else usual

    def _record(self, result: Eval) -> tuple[float | None, bool]:
        best = self.progress.best_val_loss
        is_best = result.val_loss is not None and (best is None or result.val_loss < best)
        if is_best:
            self.progress.best_val_loss = result.val_loss
        self.progress.evals_since_best = 0 if is_best else self.progress.evals_since_best + 1
        self.last_val_loss = result.val_loss
        self.recorder.evaluation(msgspec.structs.replace(result, best=is_best))
        return result.val_loss, is_best

    def sample(self) -> None:
        """Let the model continue each prompt, from a generator of its own."""
        self.recorder.flush()
        with self.phase("sampling"):
            self.model.eval()
            try:
                for index, prompt in enumerate(self.config.sampling.prompts):
                    self._sample_one(prompt, self.config.training.seed + self.progress.step + index)
            finally:
                self.model.train()

    def _sample_one(self, prompt: str, seed: int) -> None:
        options = SamplingOptions.of(self.config.sampling, seed)
        end = self.tokenizer.end_of_text
        tokens: list[int] = []
        for token in generate(
            self.model, prompt_tokens(self.tokenizer, prompt), options, end_of_text=end, autocast=self.compute.autocast
        ):
            tokens.append(token)
            if self.control.stop_requested:
                return
        line = Sample(
            step=self.progress.step,
            prompt=prompt,
            text=self.tokenizer.decode([token for token in tokens if token != end]),
            seed=seed,
            tokens=len(tokens),
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            min_p=options.min_p,
            ended=end in tokens,
        )
        self.recorder.sample(line)

    def save(self, kind: Literal["full", "light", "best"], val_loss: float | None = None) -> None:
        """Copy the state and let the saver write it. The journals are complete up to this step by then."""
        self.recorder.flush()
        self.progress.scaler = self.train_step.scaler.state_dict()
        self.progress.guard = self.train_step.guard.state()
        self.recorder.save(
            snapshot(
                kind,
                self.config,
                self.tokenizer.to_json(),
                self.model,
                self.train_step.optimizers,
                self.progress,
                val_loss=val_loss,
                run=self.folder.id,
            )
        )
        if kind == "full":
            self.saved_step = self.progress.step

    def phase(self, name: str) -> _Phase:
        return _Phase(self.control, name)


class _Phase:
    """Says what the trainer does within a `with` block, and that it trains again after it."""

    def __init__(self, control: TrainerControl, name: str) -> None:
        self.control, self.name = control, name

    def __enter__(self) -> None:
        self.before: tuple[State, str] = (self.control.progress.state, self.control.progress.phase)
        self.control.set_phase(self.before[0], self.name)

    def __exit__(self, *exc: Sequence[object]) -> None:
        self.control.set_phase(*self.before)


def _due(step: int, every: int) -> bool:
    return bool(every) and step % every == 0
