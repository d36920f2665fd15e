"""The schedule of a run: when it ends, and the learning rate of each step."""

from __future__ import annotations

from tui_gpt.checkpoints.state import TrainingProgress
from tui_gpt.config import Config, Duration
from tui_gpt.run.messages import Ended
from tui_gpt.training.optimizers.schedules import learning_rate, progress_after_warmup


class RunSchedule:
    """total_steps: of the configured duration, None if it is in minutes. last_step: of this start, by `stop_at`."""

    def __init__(self, config: Config, steps_per_epoch: float, stop_at: int | None = None) -> None:
        self._config = config
        self._duration = Duration.parse(config.training.duration)
        self.total_steps = self._duration.steps(tokens_per_step=config.tokens_per_step, steps_per_epoch=steps_per_epoch)
        self.last_step = min((n for n in (self.total_steps, stop_at) if n is not None), default=None)

    def learning_rate(self, step: int, elapsed_seconds: float) -> float:
        """Return the learning rate of `step`. elapsed_seconds: training time so far, for a duration in minutes."""
        schedule = self._config.schedule
        if self.total_steps is None:
            progress = elapsed_seconds / (self._duration.amount * 60)
        else:
            progress = progress_after_warmup(schedule, step, self.total_steps)
        return learning_rate(schedule, self._config.optimizer.learning_rate, step, progress)

    def is_finished(self, progress: TrainingProgress) -> bool:
        """Whether the last step is done, patience has run out, or the time is up."""
        if self.last_step is not None and progress.step >= self.last_step:
            return True
        if self._is_out_of_patience(progress):
            return True
        return self.total_steps is None and progress.elapsed_seconds >= self._duration.amount * 60

    def _is_out_of_patience(self, progress: TrainingProgress) -> bool:
        return 0 < self._config.training.patience <= progress.evals_since_best

    def ended(self, progress: TrainingProgress) -> Ended:
        """Return how a finished run ended."""
        step, state, message = progress.step, "finished", f"finished at step {progress.step:,}"
        if self._is_out_of_patience(progress):
            since, best = progress.evals_since_best, progress.best_val_loss
            lowest = f" (best: {best:.4f})" if best is not None else ""
            message = f"finished early at step {step:,}: no lower validation loss in {since} evaluations{lowest}"
        elif self.total_steps is not None and step < self.total_steps:
            state, message = "stopped", f"stopped at step {step:,} (--stop-at)"
        return Ended(state=state, message=message, step=step)  # type: ignore[arg-type]

    def eta_seconds(self, progress: TrainingProgress) -> float | None:
        """Return the remaining training time, or None before the first step."""
        if self.last_step is None:
            return max(0.0, self._duration.amount * 60 - progress.elapsed_seconds)
        done = progress.step
        return (self.last_step - done) * progress.elapsed_seconds / done if done else None

    def describe_change(self, before: RunSchedule, step: int) -> str:
        """Return a message on the change of the learning rate after `step`, empty if the duration is the same."""
        same = before._config.training.duration == self._config.training.duration
        if same or not before.total_steps or not self.total_steps:
            return ""
        old, new = before.learning_rate(step, 0.0), self.learning_rate(step + 1, 0.0)
        return (
            f"{self._config.schedule.name} schedule over {self.total_steps:,} steps instead of {before.total_steps:,}:"
            f" the learning rate goes from {old:.3g} at step {step:,} to {new:.3g}"
        )
