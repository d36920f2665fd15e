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
from typing import Literal

import msgspec
import numpy as np
import torch

from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import TrainingProgress, load_state, load_weights, snapshot
from tui_gpt.config import Config, Duration, build, read_toml
from tui_gpt.config.estimates import flops_per_token
from tui_gpt.errors import ConfigError
from tui_gpt.model import GPT
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Command, Ended, Eval, Metrics, Sample, State, finite
from tui_gpt.sampling import SamplingOptions, generate
from tui_gpt.sampling.generate import prompt_tokens
from tui_gpt.training.batches import Batches, Micro, to_device
from tui_gpt.training.compute import Compute
from tui_gpt.training.control import Control
from tui_gpt.training.evaluation import evaluate
from tui_gpt.training.journals import Deferred, Journals
from tui_gpt.training.optimizers import make_optimizer
from tui_gpt.training.preparation import Prepared
from tui_gpt.training.saver import Saver
from tui_gpt.training.schedules import learning_rate, progress_after_warmup
from tui_gpt.training.step import gradients, training_step


class Trainer:
    """The training state in one object, and what happens to it."""

    def __init__(
        self,
        folder: RunFolder,
        prepared: Prepared,
        compute: Compute,
        control: Control,
        *,
        stop_at: int | None,
        resume: bool,
    ) -> None:
        self.folder, self.compute, self.control, self.stop_at = folder, compute, control, stop_at
        self.config = config = prepared.config
        self.shards = prepared.shards
        self.tokenizer = prepared.shards.tokenizer
        torch.manual_seed(config.training.seed)
        self.model = GPT(config.model, self.tokenizer.vocab_size).to(compute.device)
        self.model.train()
        self.parameters = list(self.model.parameters())
        self.optimizer = make_optimizer(self.model, config.optimizer)
        self.scaler = compute.scaler()
        self.forward: Callable[..., torch.Tensor] = torch.compile(self.model) if compute.compile else self.model
        self.batches = Batches(
            tokens=self.shards.train,
            mode=config.data.mode,
            context=config.model.context_length,
            sequences=config.sequences_per_step,
            seed=config.training.seed,
        )
        self.duration = Duration.parse(config.training.duration)
        self.total_steps = self._steps_of(config)
        self.progress = TrainingProgress(step=0, tokens=0, elapsed_seconds=0.0)
        self._restore(resume)
        self.last_step = min((n for n in (self.total_steps, stop_at) if n is not None), default=None)
        self.journals = Journals(folder, self.progress.step if resume else None)
        self.deferred = Deferred(late=compute.device.type == "cuda")
        self.saver = Saver(folder.checkpoints, config.checkpoints.keep, self.journals.sync, self._on_saved)
        self.read_memory = compute.memory_bytes()
        self.flops = flops_per_token(config.model, self.tokenizer.vocab_size)
        self.saved_step = self.progress.step
        self.last_loss: float | None = None
        self.last_val_loss: float | None = None
        self.last_speed, self.last_memory = 0.0, 0
        self.next_batch: tuple[int, list[Micro]] | None = None
        self.window_steps, self.window_seconds, self.window_wait = 0, 0.0, 0.0
        self.clock = time.perf_counter()

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
            self.progress = load_state(newest.path, self.model, self.optimizer)
            self.scaler.load_state_dict(self.progress.scaler)
            self._say_what_the_schedule_does(newest.path)
        elif self.config.training.init_from:
            source = Path(self.config.training.init_from)
            manifest.verify(source)
            load_weights(source, self.model)

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
        """The first batch's gradients, thrown away: compilation, shapes and peak memory are known before the clock
        starts. Raises ConfigError when it does not fit into memory.
        """
        self.control.enter("starting", "compiling" if self.compute.compile else "trying the first batch")
        started = time.perf_counter()
        try:
            self._dry_gradients()
        except torch.OutOfMemoryError:
            raise ConfigError(
                f"training.micro_batch_size = {self.config.training.micro_batch_size} does not fit into GPU memory",
                do="Halve it and double training.accumulation_steps: the step stays the same",
            ) from None
        except Exception as error:
            if not self.compute.compile:
                raise
            self.control.notice(
                "degraded", f"torch.compile failed, so the run goes on without it: {error!r:.300}", level="warning"
            )
            self.forward = self.model
            self._dry_gradients()
        if self.compute.device.type == "cuda":
            torch.cuda.synchronize()
        self.model.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - started
        self.control.notice(
            "ready",
            f"{self.model.num_parameters():,} parameters on {self.compute.name}, {self.compute.precision};"
            f" first batch tried in {seconds:.1f} s, {self.read_memory() / 2**30:.2f} GiB",
        )

    def _dry_gradients(self) -> None:
        micro_batches = self._fetch(self.progress.step + 1)
        gradients(self.forward, self.scaler, micro_batches, self.compute.autocast, self._seed_dropout)

    # ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> Ended:
        """Train to the end, or until asked to stop."""
        self.dry_run()
        if self.is_over():
            return self._ended()
        self.control.enter("running", "training")
        self.clock = time.perf_counter()
        first = self.progress.step + 1
        while not self.is_over():
            self._obey_all()
            if self.control.stopping:
                return self._stop()
            self._step()
            self._after_step()
            if self.progress.step == first:
                gc.collect()
                gc.freeze()  # what lives by now lives on: collections need not look at it again
        self.saver.wait()
        self._retry_failed_save()
        return self._ended()

    def is_over(self) -> bool:
        if self.last_step is not None and self.progress.step >= self.last_step:
            return True
        return self.duration.unit == "minutes" and self.progress.elapsed_seconds >= self.duration.amount * 60

    def _ended(self) -> Ended:
        step = self.progress.step
        if self.total_steps is not None and step < self.total_steps:
            return Ended(state="stopped", message=f"stopped at step {step:,}, as --stop-at asked", step=step)
        return Ended(state="finished", message=f"finished at step {step:,}", step=step)

    def _step(self) -> None:
        step = self.progress.step + 1
        started = time.perf_counter()
        micro_batches = self.next_batch[1] if self.next_batch and self.next_batch[0] == step else self._fetch(step)
        waited = time.perf_counter() - started
        rate = self._rate(step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, grad_norm = training_step(
            self.forward,
            self.parameters,
            self.optimizer,
            self.scaler,
            micro_batches,
            autocast=self.compute.autocast,
            grad_clip=self.config.optimizer.grad_clip,
            before_micro_step=self._seed_dropout,
        )
        if self.compute.device.type == "cuda" and step != self.last_step:
            self.next_batch = (step + 1, self._fetch(step + 1))  # copied while the card computes
        now = time.perf_counter()
        self.progress.step, self.progress.tokens = step, self.progress.tokens + self.config.tokens_per_step
        self.progress.elapsed_seconds += now - self.clock
        self.clock = now
        self.window_steps += 1
        self.window_seconds += now - started
        self.window_wait += waited
        if step % self.config.training.log_every == 0 or self.is_over():
            self._log(loss, grad_norm, rate)

    def _after_step(self) -> None:
        step, config, over = self.progress.step, self.config, self.is_over()
        self.tell()
        val_loss, is_best = None, False
        if over or _due(step, config.training.eval_every):
            self._persist(self.deferred.flush)
            val_loss, is_best = self._evaluate()
        if (over and not self.control.stopping) or _due(step, config.checkpoints.every):
            self._save("full", val_loss)
        elif _due(step, config.checkpoints.light_every):
            self._save("light", val_loss)
        elif is_best and config.checkpoints.best:
            self._save("best", val_loss)
        if _due(step, config.sampling.every) or (over and config.sampling.every):
            self._sample()
        if over:
            self._persist(self.deferred.flush)
        self.tell()
        self.control.tick()

    def tell(self) -> None:
        """Keep where the run is for the next message to the supervisor."""
        self.control.told(
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

    def _fetch(self, step: int) -> list[Micro]:
        return to_device(self.batches.batch(step), self.config.training.accumulation_steps, self.compute.device)

    def _seed_dropout(self, micro_step: int) -> None:
        if self.config.model.dropout:
            key = np.random.SeedSequence((self.config.training.seed, self.progress.step + 1, 0, micro_step))
            torch.manual_seed(int(key.generate_state(1)[0]))

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

    def _log(self, loss: torch.Tensor, grad_norm: torch.Tensor, rate: float) -> None:
        """Queue the step's line; on a GPU its numbers are read when the next line is, so that nothing waits."""
        progress = msgspec.structs.replace(self.progress)
        numbers = torch.stack((loss, grad_norm.float())).to("cpu", non_blocking=True)
        copied = torch.cuda.Event() if self.compute.device.type == "cuda" else None
        if copied is not None:
            copied.record()
        tokens = self.window_steps * self.config.tokens_per_step
        speed, wait = tokens / self.window_seconds, self.window_wait
        self.window_steps, self.window_seconds, self.window_wait = 0, 0.0, 0.0
        peak = self.compute.peak_flops()

        def write() -> None:
            if copied is not None:
                copied.synchronize()
            raw_loss, raw_norm = numbers.tolist()
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
                non_finite=non_finite or norm_non_finite,
            )
            self.journals.metrics.append(line)
            self.last_speed, self.last_memory = speed, memory

        self._persist(lambda: self.deferred.put(write))

    def _evaluate(self) -> tuple[float | None, bool]:
        """The validation loss, and whether it is the lowest so far; None when interrupted."""
        with self._phase("evaluating"):
            result = evaluate(
                self.model,
                self.shards.val,
                self.tokenizer.byte_lengths,
                step=self.progress.step,
                batch_size=self.config.training.micro_batch_size,
                max_tokens=0 if self.is_over() else self.config.training.eval_tokens,
                autocast=self.compute.autocast,
                interrupted=lambda: self.control.stopping,
            )
        if result is None:
            return None, False
        return self._record(result)

    def _record(self, result: Eval) -> tuple[float | None, bool]:
        best = self.progress.best_val_loss
        is_best = result.val_loss is not None and (best is None or result.val_loss < best)
        if is_best:
            self.progress.best_val_loss = result.val_loss
        self.last_val_loss = result.val_loss
        self._persist(lambda: self.journals.evals.append(msgspec.structs.replace(result, best=is_best)))
        return result.val_loss, is_best

    def _sample(self) -> None:
        """Let the model continue each prompt, from a generator of its own."""
        self._persist(self.deferred.flush)
        with self._phase("sampling"):
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
            if self.control.stopping:
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
        self._persist(lambda: self.journals.samples.append(line))

    def _save(self, kind: Literal["full", "light", "best"], val_loss: float | None = None) -> None:
        """Copy the state and let the saver write it. The journals are complete up to this step by then."""
        self._persist(self.deferred.flush)
        self.progress.scaler = self.scaler.state_dict()
        self.saver.save(
            snapshot(
                kind,
                self.config,
                self.tokenizer.to_json(),
                self.model,
                self.optimizer,
                self.progress,
                val_loss=val_loss,
                run=self.folder.id,
            )
        )
        if kind == "full":
            self.saved_step = self.progress.step

    def _on_saved(self, path: Path) -> None:
        info = manifest.read_manifest(path)
        self.control.notice("checkpoint", f"saved {path.name} ({info.kind})", step=info.step, data={"path": str(path)})

    # ── what is asked ───────────────────────────────────────────────────────────────────────────────────────────────

    def _obey_all(self) -> None:
        self._retry_failed_save()
        while not self.control.stopping and (command := self.control.next_command()):
            self._obey(command)

    def _obey(self, command: Command) -> None:
        match command.name:
            case "pause":
                self._hold(command, "")
            case "resume":
                self.control.ack(command, f"running already, at step {self.progress.step:,}")
            case "checkpoint":
                self._checkpoint_now(command)
            case "sample":
                self._sample()
                self.control.ack(command, f"sampled at step {self.progress.step:,}")

    def _checkpoint_now(self, command: Command) -> None:
        step = self.progress.step
        if not step:
            self.control.ack(command, "there is nothing to save before the first step", ok=False)
            return
        if step != self.saved_step:
            with self._phase("saving"):
                self._save("full")
        self.saver.wait()
        if self.saver.failed:
            self.control.ack(command, f"could not save: {self.saver.failed[1]}", ok=False)
        else:
            self.control.ack(command, f"saved {manifest.step_folder(self.folder.checkpoints, step).name}")

    def _hold(self, command: Command | None, phase: str) -> None:
        """Pause until resumed or asked to stop; other commands are obeyed meanwhile."""
        self._persist(self.deferred.flush)
        self.control.enter("paused", phase)
        if command is not None:
            self.control.ack(command, f"paused at step {self.progress.step:,}")
        while not self.control.stopping:
            asked = self.control.next_command(timeout_seconds=1.0)
            if asked is None or asked.name == "stop":
                continue
            if asked.name == "resume":
                self.control.enter("running", "training")
                self.control.ack(asked, f"running on from step {self.progress.step:,}")
                break
            if asked.name == "pause":
                self.control.ack(asked, f"paused already, at step {self.progress.step:,}")
            else:
                self._obey(asked)
        self.clock = time.perf_counter()

    def _stop(self) -> Ended:
        """Save, unless asked to stop now, and say why the run ends here."""
        command, step = self.control.stop_command, self.progress.step
        assert command is not None
        self.control.enter("stopping", "saving")
        if step and step != self.saved_step and not command.now:
            self._save("full")
        elif not command.now:
            self.deferred.flush()
        self.saver.wait()
        if self.saver.failed:
            _, error = self.saver.failed
            return Ended(state="failed", message=f"could not save the last checkpoint: {error}", step=step)
        saved = f", saved at step {self.saved_step:,}" if self.saved_step else ", nothing to save yet"
        message = f"stopped at step {step:,}{saved}"
        self.control.ack(command, message)
        return Ended(state="stopped", message=message, step=step, by_signal=command.sender == "signal")

    # ── when the disk is full ───────────────────────────────────────────────────────────────────────────────────────

    def _persist(self, action: Callable[[], None]) -> None:
        """Write, and when the disk does not take it, pause until somebody has made room: no line is dropped."""
        while True:
            try:
                return action()
            except OSError as error:
                if self.control.stopping:
                    raise
                self._wait_for_room(str(error))

    def _retry_failed_save(self) -> None:
        while self.saver.failed and not self.control.stopping:
            shot, error = self.saver.failed
            self.saver.failed = None
            self._wait_for_room(f"checkpoint at step {shot.progress.step:,} not saved: {error}")
            if not self.control.stopping:
                self.saver.save(shot)
                self.saver.wait()

    def _wait_for_room(self, why: str) -> None:
        self.control.notice("disk", f"paused: {why}. Make room, then resume", level="error")
        self.control.enter("paused", why)
        while not self.control.stopping:
            asked = self.control.next_command(timeout_seconds=1.0)
            if asked is not None and asked.name == "resume":
                self.control.ack(asked, "trying again")
                self.control.enter("running", "training")
                break
            if asked is not None and asked.name != "stop":
                self.control.ack(asked, f"cannot now: {why}", ok=False)
        self.clock = time.perf_counter()

    def _phase(self, name: str) -> _Phase:
        return _Phase(self.control, name)


class _Phase:
    """Says what the trainer does within a `with` block, and that it trains again after it."""

    def __init__(self, control: Control, name: str) -> None:
        self.control, self.name = control, name

    def __enter__(self) -> None:
        self.before: tuple[State, str] = (self.control.progress.state, self.control.progress.phase)
        self.control.enter(self.before[0], self.name)

    def __exit__(self, *exc: Sequence[object]) -> None:
        self.control.enter(*self.before)


def _due(step: int, every: int) -> bool:
    return bool(every) and step % every == 0
