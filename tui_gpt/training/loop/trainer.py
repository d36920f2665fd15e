"""The training loop of one run.

`Trainer.run` is the whole of it: between two steps it handles what has happened since the last one. What a command, an
anomaly or a lack of memory leads to is decided in `decisions`, without effects; only the loop then changes the state.
"""

from __future__ import annotations

import gc
import time
from dataclasses import replace

from tui_gpt.checkpoints import manifest
from tui_gpt.config import build, read_toml, to_dict
from tui_gpt.config.estimates import describe_final_eval
from tui_gpt.files import write_atomically
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.folder_place import FolderPlace, log_to_workspace
from tui_gpt.run.messages import Command, Ended
from tui_gpt.training.compute import Compute
from tui_gpt.training.data.background_check import BackgroundCheck
from tui_gpt.training.loop import decisions
from tui_gpt.training.loop.control import TrainerControl
from tui_gpt.training.loop.decisions import Continue, Decision, Pause, Resume, Rewind, Sample, Save, Split, Stop
from tui_gpt.training.loop.engine import run_with_compile_fallback
from tui_gpt.training.loop.outputs import Outputs
from tui_gpt.training.loop.state import TrainingState
from tui_gpt.training.loop.step import StepResult
from tui_gpt.training.measuring.device_clock import Stopwatch, synchronize
from tui_gpt.training.measuring.evaluation import highest_loss_text
from tui_gpt.training.out_of_memory import is_out_of_memory, retry_on_oom, skip_on_oom
from tui_gpt.training.run_setup import PreparedRun

EARLY_SAMPLE_TOKENS = 48  # at most: five such samples take less than a tenth of the time of the first 100 steps of pico
QUOTED_CHARACTERS = 200  # of a batch in an event
RETRY_SECONDS = (5.0, 10.0, 20.0, 30.0)  # between attempts to write to a full disk; the last one from then on


class Trainer:
    """The loop of a run: its state, its outputs, and its connection to the supervisor."""

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
        self.folder, self.control, self.place = folder, control, FolderPlace(folder.path)
        self.state = TrainingState(prepared, compute, stop_at)
        if resume and (newest := manifest.newest(folder.checkpoints, ["full"])):
            if change := self.state.resume(newest):
                control.notice("extended", change, step=self.state.progress.step)
            log_every = build(read_toml(newest.path / manifest.CONFIG)).training.log_every
            if missing := folder.missing_metrics(newest.step, log_every):
                message = f"metrics.jsonl has lost the lines of steps {missing}; the run goes on without them"
                control.notice("metrics", message, level="warning")
        else:
            self.state.start()
        step = self.state.progress.step
        self.outputs = Outputs(folder, self.state, control, rewound_to=step if resume else None)
        self.stopwatch = Stopwatch()
        self.is_paused = self.waits_for_disk = False  # for the disk: unless somebody paused it, too
        self.clock, self.retries, self.retry_at = time.monotonic, 0, 0.0
        self.shards, self.first_step = prepared.shards, step
        self.data_check = BackgroundCheck(prepared.shards, lambda message: control.notice("note", message))
        self.report_progress()

    def dry_run(self) -> None:
        """Run the first step without changing the model, to compile it and to find its peak memory."""
        state, started = self.state, time.perf_counter()
        step = state.progress.step + 1
        self.control.set_phase("starting", "compiling" if state.compute.compile else "dry run of the first step")
        run_with_compile_fallback(
            state.train_step,
            lambda: retry_on_oom(
                lambda: state.train_step.dry_run(step, state.fetch(step)),
                lambda: self._apply(decisions.split_micro_batch(state.config)),
            ),
            lambda reason: self.control.notice("degraded", reason, level="warning"),
        )
        synchronize(state.compute.device)
        self.control.notice(
            "ready",
            f"{state.model.num_parameters():,} parameters on {state.compute.name}, {state.compute.precision};"
            f" dry run took {time.perf_counter() - started:.1f} s and {self.outputs.read_memory() / 2**30:.2f} GiB",
        )
        if state.changed_settings:
            self.control.notice("note", f"changed since the checkpoint: {state.changed_settings}")

        total = state.schedule.total_steps
        trained = total * state.config.tokens_per_step if total is not None else None
        self.control.notice("note", describe_final_eval(state.config, state.val_tokens, trained))

    # ── the loop ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> Ended:
        """Train to the end, or until a stop is requested, and return how the run ended. Call `dry_run` first."""
        recorder = self.outputs.recorder
        if not self.state.is_finished or self.state.progress.due:
            self._begin()
        while True:
            is_done = self.state.is_finished and not self.state.progress.due
            is_saved = self.outputs.saved_step == self.state.progress.step and not recorder.problem
            if (command := self.control.stop_command) is not None and not (is_done and is_saved):
                return self._stop(Stop(save=not command.now, by_signal=command.sender == "signal"))
            if is_done:
                lost = self.outputs.wait_saved()
                if not recorder.problem:
                    return self._unsaved(lost) if lost else self.state.schedule.ended(self.state.progress)
            if (damage := self.data_check.damage) is not None:
                self.shards.discard()
                return self._stop(decisions.decide_on_damage(damage, self.first_step))
            if recorder.problem and not self.is_paused:
                self._apply(Pause(recorder.problem))
            elif next_command := self.control.next_command(timeout_seconds=1.0 if self.is_paused else 0.0):
                self._handle_command(next_command)
            elif self.is_paused and recorder.problem:
                self._retry_writing()
            elif not self.is_paused and (failed := self._train()):
                return self._stop(failed)

    def _retry_writing(self) -> None:
        """Try from time to time to write what a full disk had no room for, and continue a run that paused for it."""
        if self.clock() < self.retry_at:
            return
        recorder = self.outputs.recorder
        recorder.retry()
        if recorder.problem:
            self.retries += 1
            self.retry_at = self.clock() + RETRY_SECONDS[min(self.retries, len(RETRY_SECONDS) - 1)]
        elif self.waits_for_disk:
            self.control.notice("disk", f"{self._apply(Resume()).message}: there is room on the disk again")

    def _begin(self) -> None:
        """Sample the untrained model, or do what the last start of the run left undone."""
        self.control.set_phase("running", "training")
        training = self.state.config.training
        if (training.init_from or training.fork_from) and self._newest_checkpoint() is None:
            self.outputs.save("full", announce=False)  # the run it starts from may be deleted
        if self.state.config.sampling.every and self.state.progress.step == 0:
            self.outputs.sample_due(max_tokens=EARLY_SAMPLE_TOKENS)
        self._do_due()  # what a stop interrupted
        self.stopwatch.restart()

    def _train(self) -> Stop | None:
        """Do a step, and what is due after it. Return a `Stop` if the run must end."""
        step = self.state.progress.step + 1
        if stop := self._step(step) or self._handle_anomaly():
            return stop
        if self.state.progress.step == step:  # not rewound
            state = self.state
            state.progress.due = decisions.due_at(state.config, step, is_last=state.is_finished)
            self._do_due()
        if step == self.first_step + 1:
            gc.collect()
            gc.freeze()  # objects alive after the first step stay alive: later collections skip them
        return None

    def _step(self, step: int) -> Stop | None:
        state, outputs = self.state, self.outputs
        outputs.laps.resume()
        rate = state.schedule.learning_rate(step, state.progress.elapsed_seconds)
        result = self._compute(step, rate, with_norms=outputs.norms_are_due(step))
        if isinstance(result, Stop):
            return result
        if isinstance(result, StepResult):
            state.count_step(self.stopwatch.lap())
            state.prefetch()
            outputs.laps.add_step()
            if outputs.is_logged(step) or state.is_finished:
                outputs.log(result, rate)
        return None

    def _compute(self, step: int, rate: float, *, with_norms: bool) -> StepResult | Rewind | Stop:
        """Compute gradients and update the weights. Where memory runs out, do what `decide_on_oom` says."""
        train_step = self.state.train_step
        while True:
            try:
                with self.outputs.laps.wait():
                    micro_batches = self.state.fetch(step)
                loss = train_step.compute_gradients(step, micro_batches)
                return train_step.apply_update(step, loss, rate, with_norms=with_norms)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            micro_batches = []  # outside of the except block, where the tensors of the failed pass are freed
            decision = decisions.decide_on_oom(
                self.state.config,
                self.state.progress,
                self._newest_checkpoint(),
                is_half_updated=train_step.is_half_updated,
            )
            if isinstance(decision, Stop):
                return decision
            done = self._apply(decision)
            if isinstance(decision, Rewind):
                message = f"out of memory while the weights were updated; {done.message}"
                self.control.notice("out_of_memory", message, level="warning")
                return decision

    def _handle_anomaly(self) -> Stop | None:
        state, anomaly = self.state, self.outputs.take_anomaly()
        if anomaly is None:
            return None
        micro_batches = state.fetch(anomaly.step)
        autocast, policy = state.compute.autocast, state.config.training.on_anomaly
        text = skip_on_oom(lambda: highest_loss_text(state.model, micro_batches, state.tokenizer, autocast)) or ""
        text = text[:QUOTED_CHARACTERS]
        decision = decisions.decide_on_anomaly(
            anomaly, policy, text, state.progress, self._newest_checkpoint(anomaly.last_good_step)
        )
        if isinstance(decision, Stop):
            return decision
        message, data = f"{anomaly}; {self._apply(decision).message}", {"text": text, "policy": policy}
        self.control.notice("anomaly", message, level="warning", step=anomaly.step, data=data)
        return None

    def _do_due(self) -> None:
        """Evaluate, sample and save as `progress.due` says; what a stop interrupts stays there, for a resume."""
        state, progress, outputs = self.state, self.state.progress, self.outputs
        self.report_progress()
        while progress.due:
            if progress.due[0] == "evaluation":
                if outputs.evaluate() is None and self.control.stop_requested:
                    break
                # again, since the evaluation may have exhausted the patience
                progress.due = decisions.due_at(state.config, progress.step, is_last=state.is_finished)
            elif progress.due[0] in ("sample", "early sample"):
                is_early = progress.due[0] == "early sample"
                if not outputs.sample_due(max_tokens=EARLY_SAMPLE_TOKENS if is_early else None):
                    break
            done, progress.due = progress.due[0], progress.due[1:]  # first: a checkpoint holds what is left to do
            if done == "full":
                outputs.save("full")
            elif done == "light":
                outputs.save("light")
            elif done == "best" and outputs.is_best():
                outputs.save("best")
        if state.is_finished:
            outputs.flush()
        self.report_progress()
        self.control.send_progress()

    # ── decisions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _handle_command(self, command: Command) -> None:
        if command.name == "stop":
            return  # the loop sees `control.stop_command`, and the end of the run acknowledges it
        problem = self.outputs.recorder.problem
        done = self._apply(
            decisions.decide_on_command(
                command.name, self.state.progress.step, is_paused=self.is_paused, problem=problem
            )
        )
        self.control.ack(command, done.message, ok=done.ok)

    def _apply(self, decision: Decision) -> Continue:
        """Carry out a decision, and return what was done."""
        state, outputs = self.state, self.outputs
        match decision:
            case Pause(problem=problem):
                outputs.flush()
                outputs.laps.pause()
                self.is_paused, self.waits_for_disk = True, bool(problem)
                if problem:
                    self.retries, self.retry_at = 0, self.clock() + RETRY_SECONDS[0]
                    message = f"paused: {problem}. Free some disk space: the run then goes on by itself"
                    self.control.notice("disk", message, level="error")
                self.control.set_phase("paused", problem)
                return Continue(f"paused at step {state.progress.step:,}")
            case Resume():
                message = "retrying" if outputs.recorder.problem else f"resumed at step {state.progress.step:,}"
                self.is_paused = False
                self.control.set_phase("running", "training")
                outputs.recorder.retry()
                self.stopwatch.restart()
                return Continue(message)
            case Save():
                with outputs.phase("saving"):
                    lost = outputs.save_now(announce=False)  # the acknowledgement reports it
                name = manifest.step_folder(self.folder.checkpoints, state.progress.step).name
                return Continue(f"could not save: {lost}" if lost else f"saved {name} (full)", ok=not lost)
            case Sample():
                outputs.sample()
                return Continue(f"sampled at step {state.progress.step:,}")
            case Rewind(checkpoint=checkpoint, other_batches=other_batches):
                outputs.flush()  # so that the rewind voids it
                state.train_step.discard_gradients()
                state.rewind(checkpoint, other_batches=other_batches)
                outputs.rewind()
                for later in manifest.list_checkpoints(self.folder.checkpoints):
                    if later.step > state.progress.step:  # of a course that is given up: a resume must not find it
                        manifest.remove(later.path)
                batches = "other" if other_batches else "the same"
                return Continue(f"rewound to step {state.progress.step:,}, continuing with {batches} batches")
            case Split(config=config, message=message):
                state.split(config)
                self.folder.write_config(to_dict(config))
                self.control.notice("out_of_memory", message, level="warning")
                return Continue(message)
            case Continue():
                return decision
        raise AssertionError(f"the loop ends with {decision}")

    def _stop(self, stop: Stop) -> Ended:
        """Save a full checkpoint if that is asked for, and return how the run ended."""
        step, failure = self.state.progress.step, stop.failure
        if failure is None:
            self.control.set_phase("stopping", "saving")
        if (moved := self.control.moved_to) is not None:
            if self.state.config.data.tokenizer.endswith(".json") and not moved.tokenizer.exists():
                write_atomically(moved.tokenizer, self.state.tokenizer.to_json())
            moved.write_config(to_dict(self.state.config), moved_from=self.folder.path)
            self.outputs.recorder.move(moved)
            self.outputs.saved_step = -1  # what was saved may be gone
        elif stop.save and self.control.is_orphaned and not self.place.is_there():
            log_to_workspace(
                self.folder.path.parent, f"{self.folder.id}: not saved: its folder and supervisor are gone"
            )
            stop = replace(stop, save=False)
        if stop.save:
            self.outputs.flush()
        lost = self.outputs.save_now(announce=failure is not None) if stop.save else self.outputs.recorder.wait()
        if failure is not None:
            return Ended(state="failed", message=failure.what, step=step, failure=failure)
        if lost:
            return self._unsaved(lost)
        saved = f", saved at step {self.outputs.saved_step:,}" if self.outputs.saved_step else ", nothing to save yet"
        return Ended(state="stopped", message=f"stopped at step {step:,}{saved}", step=step, by_signal=stop.by_signal)

    def _unsaved(self, lost: str) -> Ended:
        message = f"could not save the last checkpoint: {lost}"
        return Ended(state="failed", message=message, step=self.state.progress.step)

    def _newest_checkpoint(self, up_to: int | None = None) -> manifest.CheckpointInfo | None:
        """Return the newest full checkpoint, or the newest one of the steps `up_to` a step."""
        self.outputs.recorder.wait()
        found = [info for info in manifest.list_checkpoints(self.folder.checkpoints) if info.kind == "full"]
        return max((info for info in found if up_to is None or info.step <= up_to), key=lambda i: i.step, default=None)

    def report_progress(self) -> None:
        """Update the progress that the next message to the supervisor reports."""
        progress, schedule = self.state.progress, self.state.schedule
        self.control.update_progress(
            step=progress.step,
            total_steps=schedule.last_step,
            tokens=progress.tokens,
            elapsed_seconds=progress.elapsed_seconds,
            eta_seconds=schedule.eta_seconds(progress),
        )
