"""What a run puts out besides its weights: metrics, evaluations, samples and checkpoints.

None of it changes the state of the run. What runs out of memory is skipped and reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import msgspec

from tui_gpt.checkpoints.manifest import Kind
from tui_gpt.config.estimates import MAX_FINAL_EVAL_SECONDS, eval_tokens, flops_per_token
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.messages import Eval
from tui_gpt.training.loop.control import TrainerControl
from tui_gpt.training.loop.guard import Anomaly
from tui_gpt.training.loop.pending_metrics import PendingMetrics
from tui_gpt.training.loop.state import TrainingState
from tui_gpt.training.loop.step import StepResult
from tui_gpt.training.measuring.device_clock import DeviceClock, LapTimer
from tui_gpt.training.measuring.evaluation import evaluate
from tui_gpt.training.measuring.samples import sample_text
from tui_gpt.training.out_of_memory import skip_on_oom
from tui_gpt.training.recording.recorder import Recorder

T = TypeVar("T")


class Outputs:
    """Measures the state of a run and records it. rewound_to: when resuming, the step after which lines are void."""

    def __init__(
        self, folder: RunFolder, state: TrainingState, control: TrainerControl, *, rewound_to: int | None
    ) -> None:
        self._run, self._state, self._control = folder.id, state, control
        self.recorder = Recorder(
            folder,
            keep=state.config.checkpoints.keep,
            max_bytes=state.config.checkpoints.max_gb * 1e9 or math.inf,
            rewound_to=rewound_to,
            on_saved=control.report_saved,
            on_warning=lambda message: control.notice("checkpoint", message, level="error"),
        )
        self.laps = LapTimer(DeviceClock(state.compute.device))
        self.saved_step = self._norms_logged_at = state.progress.step
        self.read_memory = state.compute.memory_bytes()
        self._flops_per_token = flops_per_token(state.config.model, state.tokenizer.vocab_size)
        step = state.progress.step
        self._eval = next((line for line in reversed(folder.read_evals()) if line.step == step), None)
        self._sampled = {(line.step, line.prompt) for line in folder.read_samples() if line.step == step}
        self._pending: PendingMetrics | None = None
        self._anomaly: Anomaly | None = None  # reported, and not yet taken

    # ── metrics ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def is_logged(self, step: int) -> bool:
        """Whether a line of metrics is due at `step`."""
        return step % self._state.config.training.log_every == 0 or step == self._state.schedule.last_step

    def norms_are_due(self, step: int) -> bool:
        """Whether `step` is the first logged one in an interval of `norms_every` steps."""
        every = self._state.config.training.norms_every
        if not every or not self.is_logged(step) or step // every == self._norms_logged_at // every:
            return False
        self._norms_logged_at = step
        return True

    def log(self, result: StepResult, rate: float) -> None:
        """Log the last step; on a GPU its line is written when the next one is logged, so that no step waits."""
        state, progress = self._state, self._state.progress
        pending = PendingMetrics(
            result,
            state.train_step.guard.take_report(progress.step),
            self.laps.lap(),
            step=progress.step,
            tokens=progress.tokens,
            tokens_per_step=state.config.tokens_per_step,
            learning_rate=rate,
            elapsed_seconds=progress.elapsed_seconds,
            flops_per_token=self._flops_per_token,
            peak_flops=state.compute.peak_flops(),
        )
        self.flush()
        self._pending = pending
        if state.compute.device.type != "cuda":
            self.flush()

    def flush(self) -> None:
        """Write the pending line of metrics."""
        if self._pending is None:
            return
        line, anomaly = self._pending.read(self.read_memory())
        self._pending = None
        self.recorder.metrics(line)
        self._anomaly = anomaly or self._anomaly
        self._control.update_progress(
            loss=line.loss, tokens_per_second=line.tokens_per_second, memory_bytes=line.memory_bytes
        )

    def take_anomaly(self) -> Anomaly | None:
        """Return the anomaly that the lines written so far report, once."""
        anomaly, self._anomaly = self._anomaly, None
        return anomaly

    def rewind(self) -> None:
        """Void every line after the step of the state, which has been rewound."""
        self.flush()
        self._anomaly = None
        self.saved_step = self._norms_logged_at = self._state.progress.step
        self.recorder.rewind(self._state.progress.step)

    # ── evaluations, samples, checkpoints ─────────────────────────────────────────────────────────────────────────────

    def evaluate(self) -> Eval | None:
        """Record an evaluation, count it in the progress and return it, or None if it is interrupted or skipped.

        One that was recorded at this step before a resume is not made again.
        """
        state, progress = self._state, self._state.progress
        is_recorded = self._eval is not None and self._eval.step == progress.step
        is_last = state.is_finished
        tokens = eval_tokens(state.config.training.eval_tokens, state.val_tokens, progress.tokens if is_last else None)
        evaluation = partial(
            evaluate,
            state.model,
            state.validation,
            state.tokenizer.byte_lengths,
            step=progress.step,
            max_tokens=tokens if tokens < state.val_tokens else 0,
            at_most_seconds=MAX_FINAL_EVAL_SECONDS if is_last else None,
            autocast=state.compute.autocast,
            interrupted=lambda: self._control.stop_requested,
        )
        if is_recorded:
            line = self._eval
        else:
            with self.phase("evaluating"):
                line = self._unless_out_of_memory(evaluation, "the evaluation")
        if line is None:
            return None
        best = progress.best_val_loss
        if line.val_loss is not None and (best is None or line.val_loss < best):
            line = msgspec.structs.replace(line, best=True)
            progress.best_val_loss = line.val_loss
        progress.evals_since_best = 0 if line.best else progress.evals_since_best + 1
        if not is_recorded:
            self.recorder.evaluation(line)
        self._eval = line
        self._control.update_progress(val_loss=line.val_loss)
        return line

    @property
    def val_loss(self) -> float | None:
        """The validation loss at this step, or None if it was not evaluated."""
        return self._eval.val_loss if self._eval is not None and self._eval.step == self._state.progress.step else None

    def is_best(self) -> bool:
        """Whether this step was evaluated, and is the best so far."""
        return self.val_loss is not None and self._eval is not None and self._eval.best

    def sample_due(self, *, max_tokens: int | None = None) -> bool:
        """Record the samples of this step that were not recorded before a resume. Return False if interrupted."""
        step = self._state.progress.step
        prompts = [prompt for prompt in self._state.config.sampling.prompts if (step, prompt) not in self._sampled]
        return self.sample(prompts, max_tokens=max_tokens)

    def sample(self, prompts: Sequence[str] | None = None, *, max_tokens: int | None = None) -> bool:
        """Record a sample for each prompt, of at most `max_tokens`. Return False if interrupted, with none recorded."""
        state, step = self._state, self._state.progress.step
        lines = []
        with self.phase("sampling"):
            for index, prompt in enumerate(state.config.sampling.prompts):
                if prompts is not None and prompt not in prompts:
                    continue
                sampling = partial(
                    sample_text,
                    state.model,
                    state.tokenizer,
                    state.config.sampling,
                    prompt,
                    step=step,
                    seed=state.config.training.seed + step + index,
                    max_tokens=max_tokens,
                    autocast=state.compute.autocast,
                    interrupted=lambda: self._control.stop_requested,
                )
                line = self._unless_out_of_memory(sampling, "a sample")
                if line is not None:
                    lines.append(line)
                elif self._control.stop_requested:
                    return False
        for line in lines:
            self.recorder.sample(line)
        return True

    def save(self, kind: Kind, *, announce: bool = True) -> None:
        """Copy the state to host memory and write it in the background, after all output up to this step.

        announce: report the saved checkpoint as an event; off where another event reports it.
        """
        self.flush()
        self.laps.pause()
        snapshot = self._unless_out_of_memory(
            lambda: self._state.snapshot(kind, self.val_loss, self._run), f"the {kind} checkpoint"
        )
        if snapshot is not None:
            self.recorder.save(snapshot, announce=announce)
            if kind == "full":
                self.saved_step = self._state.progress.step

    def save_now(self, *, announce: bool) -> str:
        """Write a full checkpoint unless this step has one, and return why that failed, else an empty string.

        What could not be written before is tried again: there may be space by now.
        """
        if self.recorder.problem:
            self.recorder.retry()
        if self.saved_step != self._state.progress.step:
            self.save("full", announce=announce)
        return self.wait_saved()

    def wait_saved(self) -> str:
        """Wait until everything is written, and return what is lost of the last step, else an empty string."""
        is_unsaved = self.saved_step != self._state.progress.step
        return self.recorder.wait() or ("out of memory" if is_unsaved else "")

    def _unless_out_of_memory(self, action: Callable[[], T], what: str) -> T | None:
        message = f"out of memory: skipped {what} at step {self._state.progress.step:,}"
        return skip_on_oom(action, lambda: self._control.notice("out_of_memory", message, level="warning"))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Report the phase `name` within the block, and the phase before it afterwards. Its time is not training."""
        self.flush()
        self.laps.pause()
        before = (self._control.progress.state, self._control.progress.phase)
        self._control.set_phase(before[0], name)
        try:
            yield
        finally:
            self._control.set_phase(*before)
