"""The training loop of one run.

After each step the trainer logs, evaluates, saves and samples as configured, then handles the commands that arrived.
`TrainingProgress`, the weights and the optimizer state are all that an exact resume needs: batches and dropout are
functions of (seed, step), and evaluations, samples and the dry run do not use torch's global generator.
"""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import torch

from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import TrainingProgress, load_state, load_weights, take_snapshot
from tui_gpt.config import Config, Duration, build, read_toml
from tui_gpt.config.estimates import flops_per_token
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Ended, Eval, Metrics, Sample, finite
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

EARLY_SAMPLE_STEPS = (0, 10, 25, 50, 100)  # besides every `sampling.every` steps: the text changes most at first
EARLY_SAMPLE_TOKENS = 48  # at most: five such samples take less than a tenth of the time of the first 100 steps of pico

T = TypeVar("T")


class Trainer:
    """The state of a training run, and its loop."""

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
        self.total_steps = self._count_steps(config)
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
            delay_metrics=compute.device.type == "cuda",
        )
        self.read_memory = compute.memory_bytes()
        self.flops = flops_per_token(config.model, self.tokenizer.vocab_size)
        self.saved_step = self.progress.step
        self.last_loss: float | None = None
        self.last_val_loss: float | None = None
        self.last_tokens_per_second, self.last_memory_bytes = 0.0, 0
        self.next_batch: tuple[int, list[MicroBatch]] | None = None
        self.window_steps, self.window_seconds, self.window_wait = 0, 0.0, 0.0
        self.norms_logged_at = self.progress.step
        self.anomaly: Anomaly | None = None
        self.report_progress()

    # ── start ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _count_steps(self, config: Config) -> int | None:
        """Return the number of steps of the configured duration, or None when it is given in minutes."""
        return Duration.parse(config.training.duration).steps(
            tokens_per_step=config.tokens_per_step, steps_per_epoch=self.batches.steps_per_epoch
        )

    def _restore(self, resume: bool) -> None:
        """Load the newest full checkpoint when resuming, or the checkpoint that a new run starts from."""
        newest = manifest.newest(self.folder.checkpoints, ["full"]) if resume else None
        if newest is not None:
            self.load(newest.path)
            self._report_schedule_change(newest.path)
        elif self.config.training.fork_from:
            self.load(Path(self.config.training.fork_from))
            self.progress.elapsed_seconds, self.progress.best_val_loss = 0.0, None
        elif self.config.training.init_from:
            source = Path(self.config.training.init_from)
            manifest.verify(source)
            load_weights(source, self.model)

    def load(self, checkpoint: Path) -> None:
        """Load weights, optimizer, scaler, guard and progress from a full checkpoint."""
        self.progress = load_state(checkpoint, self.model, self.train_step.optimizers)
        self.train_step.scaler.load_state_dict(self.progress.scaler)
        self.train_step.guard.restore(self.progress.guard)

    def _report_schedule_change(self, checkpoint: Path) -> None:
        """Report the change of the learning rate when a resumed run has another duration than before."""
        before = build(read_toml(checkpoint / manifest.CONFIG), str(checkpoint))
        old_total, step = self._count_steps(before), self.progress.step
        if before.training.duration == self.config.training.duration or not old_total or not self.total_steps:
            return
        old_rate, new_rate = self._learning_rate(step, old_total), self._learning_rate(step + 1, self.total_steps)
        self.control.notice(
            "extended",
            f"{self.config.schedule.name} schedule over {self.total_steps:,} steps instead of {old_total:,}:"
            f" the learning rate goes from {old_rate:.3g} at step {step:,} to {new_rate:.3g}",
            step=step,
        )

    def dry_run(self) -> None:
        """Run the first step without changing the model, to compile it and to find its peak memory."""
        self.control.set_phase("starting", "compiling" if self.compute.compile else "dry run of the first step")
        started = time.perf_counter()
        run_with_compile_fallback(
            self.train_step,
            lambda: self._retry_on_oom(self._dry_run_step),
            lambda reason: self.control.notice("degraded", reason, level="warning"),
        )
        if self.compute.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        self.control.notice(
            "ready",
            f"{self.model.num_parameters():,} parameters on {self.compute.name}, {self.compute.precision};"
            f" dry run took {seconds:.1f} s and {self.read_memory() / 2**30:.2f} GiB",
        )

    def _dry_run_step(self) -> None:
        step = self.progress.step + 1
        self.train_step.dry_run(step, self.fetch(step))

    def _retry_on_oom(self, action: Callable[[], T]) -> T:
        return retry_on_oom(action, lambda: halve_micro_batch(self))

    # ── the loop ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> Ended:
        """Train to the end, or until a stop is requested, and return how the run ended. Call `dry_run` first."""
        if self.is_finished():
            return self._ended()
        self.control.set_phase("running", "training")
        if self.config.sampling.every and self._is_before_first_sample():
            self.sample(max_tokens=EARLY_SAMPLE_TOKENS)
        self.stopwatch.restart()
        first = self.progress.step + 1
        while not self.is_finished():
            apply_commands(self)
            if self.control.stop_requested:
                return stop_run(self)
            self._step()
            if self.anomaly is not None and (ended := handle_anomaly(self, self.anomaly)):
                return ended
            self._after_step()
            if self.progress.step == first:
                gc.collect()
                gc.freeze()  # objects alive by now stay alive: later collections skip them
        self.recorder.wait()
        self.recorder.retry_failed_save()
        return self._ended()

    def is_finished(self) -> bool:
        """Whether the last step is done, patience has run out, or the time is up."""
        if self.last_step is not None and self.progress.step >= self.last_step:
            return True
        if self._is_out_of_patience():
            return True
        return self.duration.unit == "minutes" and self.progress.elapsed_seconds >= self.duration.amount * 60

    def _is_out_of_patience(self) -> bool:
        return 0 < self.config.training.patience <= self.progress.evals_since_best

    def _ended(self) -> Ended:
        step = self.progress.step
        if self._is_out_of_patience():
            since, best = self.progress.evals_since_best, self.progress.best_val_loss
            lowest = f" (best: {best:.4f})" if best is not None else ""
            message = f"finished early at step {step:,}: no lower validation loss in {since} evaluations{lowest}"
            return Ended(state="finished", message=message, step=step)
        if self.total_steps is not None and step < self.total_steps:
            return Ended(state="stopped", message=f"stopped at step {step:,} (--stop-at)", step=step)
        return Ended(state="finished", message=f"finished at step {step:,}", step=step)

    def _step(self) -> None:
        step = self.progress.step + 1
        started = time.perf_counter()
        rate = self._learning_rate(step, self.total_steps)
        is_logged = step % self.config.training.log_every == 0 or step == self.last_step
        loss = self._retry_on_oom(lambda: self.train_step.compute_gradients(step, self._take_batch(step)))
        result = self.train_step.apply_update(step, loss, rate, with_norms=is_logged and self._norms_are_due(step))
        if self.compute.device.type == "cuda" and step != self.last_step:
            self.next_batch = (step + 1, self.fetch(step + 1))  # copied while the GPU computes
        self.progress.step, self.progress.tokens = step, self.progress.tokens + self.config.tokens_per_step
        self.progress.elapsed_seconds += self.stopwatch.lap()
        self.window_steps += 1
        self.window_seconds += time.perf_counter() - started
        if is_logged or self.is_finished():
            self._log(result, rate)

    def _after_step(self) -> None:
        step, config, is_last = self.progress.step, self.config, self.is_finished()
        self.report_progress()
        val_loss, is_best = None, False
        if is_last or _is_due(step, config.training.eval_every):
            self.recorder.flush()
            val_loss, is_best = self._evaluate()
            is_last = self.is_finished()  # the evaluation may have exhausted the patience
        if (is_last and not self.control.stop_requested) or _is_due(step, config.checkpoints.every):
            self.save("full", val_loss)
        elif _is_due(step, config.checkpoints.light_every):
            self.save("light", val_loss)
        elif is_best and config.checkpoints.best:
            self.save("best", val_loss)
        if config.sampling.every and (is_last or _is_due(step, config.sampling.every)):
            self.sample()
        elif config.sampling.every and step in EARLY_SAMPLE_STEPS:
            self.sample(max_tokens=EARLY_SAMPLE_TOKENS)
        if is_last:
            self.recorder.flush()
        self.report_progress()
        self.control.send_progress()

    def report_progress(self) -> None:
        """Update the progress that the next message to the supervisor reports."""
        self.control.update_progress(
            step=self.progress.step,
            total_steps=self.last_step,
            tokens=self.progress.tokens,
            loss=self.last_loss,
            val_loss=self.last_val_loss,
            tokens_per_second=self.last_tokens_per_second,
            memory_bytes=self.last_memory_bytes,
            elapsed_seconds=self.progress.elapsed_seconds,
            eta_seconds=self._eta(),
        )

    def fetch(self, step: int) -> list[MicroBatch]:
        """Return the micro-batches of `step` on the device."""
        batch = self.batches.batch(step + self.progress.batch_shift)
        return to_device(batch, self.config.training.accumulation_steps, self.compute.device)

    def _take_batch(self, step: int) -> list[MicroBatch]:
        """Return the prefetched batch of `step`, or fetch it now and count the time as data wait."""
        if self.next_batch and self.next_batch[0] == step:
            return self.next_batch[1]
        started = time.perf_counter()
        batch = self.fetch(step)
        self.window_wait += time.perf_counter() - started
        return batch

    def _norms_are_due(self, step: int) -> bool:
        """Whether `step` is the first logged one in an interval of `norms_every` steps."""
        every = self.config.training.norms_every
        if not every or step // every == self.norms_logged_at // every:
            return False
        self.norms_logged_at = step
        return True

    def _learning_rate(self, step: int, total_steps: int | None) -> float:
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

    # ── output ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _log(self, result: StepResult, rate: float) -> None:
        """Write the step's line of metrics; on a GPU only when the next line is logged, so that no step waits."""
        progress = msgspec.structs.replace(self.progress)
        names = result.norms.names if result.norms else []
        by_block = [result.norms.gradient, result.norms.update] if result.norms else []
        loss_and_norm = torch.stack((result.loss.float(), result.grad_norm.float()))
        numbers = torch.cat((loss_and_norm, self.train_step.guard.take_report(progress.step), *by_block)).to(
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
            raw_loss, raw_norm, first, count, consecutive, skipped, loss, mean, sigma, *norms = numbers.tolist()
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
            self.recorder.files.metrics.append(line)
            self.last_tokens_per_second, self.last_memory_bytes = speed, memory
            if count:
                step = progress.step - window + int(first)
                self.anomaly = Anomaly(step, int(count), int(consecutive), bool(skipped), loss, mean, sigma)

        self.recorder.metrics(write)

    def _evaluate(self) -> tuple[float | None, bool]:
        """Return the validation loss (None when interrupted), and whether it is the lowest so far."""
        with self.phase("evaluating"):
            result = evaluate(
                self.model,
                self.validation,
                self.tokenizer.byte_lengths,
                step=self.progress.step,
                max_tokens=self._eval_tokens(),
                autocast=self.compute.autocast,
                interrupted=lambda: self.control.stop_requested,
            )
        if result is None:
            return None, False
        return self._record_eval(result)

    def _eval_tokens(self) -> int:
        """Return how many validation tokens to score, 0 for all: at the end at least as many as were trained on."""
        configured = self.config.training.eval_tokens
        return max(configured, self.progress.tokens) if configured and self.is_finished() else configured

    def _record_eval(self, result: Eval) -> tuple[float | None, bool]:
        best = self.progress.best_val_loss
        is_best = result.val_loss is not None and (best is None or result.val_loss < best)
        if is_best:
            self.progress.best_val_loss = result.val_loss
        self.progress.evals_since_best = 0 if is_best else self.progress.evals_since_best + 1
        self.last_val_loss = result.val_loss
        self.recorder.evaluation(msgspec.structs.replace(result, best=is_best))
        return result.val_loss, is_best

    def _is_before_first_sample(self) -> bool:
        """Whether this run is at step 0 and has no sample of it: one that is resumed at step 0 may have."""
        return self.progress.step == 0 and not any(sample.step == 0 for sample in self.folder.read_samples())

    def sample(self, *, max_tokens: int | None = None) -> None:
        """Write a sample for each prompt, of at most `max_tokens`. Uses its own generator: training is unaffected."""
        self.recorder.flush()
        with self.phase("sampling"):
            self.model.eval()
            try:
                for index, prompt in enumerate(self.config.sampling.prompts):
                    self._sample_one(prompt, self.config.training.seed + self.progress.step + index, max_tokens)
            finally:
                self.model.train()

    def _sample_one(self, prompt: str, seed: int, max_tokens: int | None) -> None:
        options = SamplingOptions.of(self.config.sampling, seed)
        if max_tokens is not None:
            options = dataclasses.replace(options, tokens=min(options.tokens, max_tokens))
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

    def save(
        self, kind: Literal["full", "light", "best"], val_loss: float | None = None, *, announce: bool = True
    ) -> None:
        """Copy the state to host memory and write it in the background, after all output up to this step.

        announce: report the saved checkpoint as an event; off where another event reports it.
        """
        self.recorder.flush()
        self.progress.scaler = self.train_step.scaler.state_dict()
        self.progress.guard = self.train_step.guard.state()
        snapshot = take_snapshot(
            kind,
            self.config,
            self.tokenizer.to_json(),
            self.model,
            self.train_step.optimizers,
            self.progress,
            val_loss=val_loss,
            run=self.folder.id,
        )
        self.recorder.save(snapshot, announce=announce)
        if kind == "full":
            self.saved_step = self.progress.step

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Report the phase `name` within the block, and the phase before it afterwards."""
        before = (self.control.progress.state, self.control.progress.phase)
        self.control.set_phase(before[0], name)
        try:
            yield
        finally:
            self.control.set_phase(*before)


def _is_due(step: int, every: int) -> bool:
    return bool(every) and step % every == 0
