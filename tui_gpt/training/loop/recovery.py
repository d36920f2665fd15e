"""Recovery from a failed step: anomalies of loss or gradient, by the configured policy, and lack of memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from tui_gpt.checkpoints import manifest
from tui_gpt.config import to_dict, to_toml
from tui_gpt.files import write_atomically
from tui_gpt.run.messages import Ended, Failure
from tui_gpt.training.loop import engine
from tui_gpt.training.loop.guard import MAX_CONSECUTIVE_ANOMALIES, Anomaly

if TYPE_CHECKING:
    from tui_gpt.training.loop.trainer import Trainer

MAX_REWINDS = 10
QUOTED_CHARACTERS = 200  # of a batch in an event


def handle_anomaly(trainer: Trainer, anomaly: Anomaly) -> Ended | None:
    """Apply the policy `training.on_anomaly`, and return how the run ended if it ends here."""
    trainer.anomaly = None
    policy = trainer.config.training.on_anomaly
    quoted = _highest_loss_text(trainer, anomaly.step)
    if policy == "stop" or anomaly.consecutive >= MAX_CONSECUTIVE_ANOMALIES:
        return _fail(trainer, anomaly, quoted)
    action = "skipped" if anomaly.skipped else "applied"
    if policy == "rewind":
        action = _rewind(trainer)
    trainer.control.notice(
        "anomaly", f"{anomaly}; {action}", level="warning", step=anomaly.step, data={"text": quoted, "policy": policy}
    )
    return None


def _fail(trainer: Trainer, anomaly: Anomaly, quoted: str) -> Ended:
    repeated = f", {anomaly.consecutive} steps in a row" if anomaly.consecutive > 1 else ""
    failure = Failure(
        what=f"{anomaly}{repeated}; text of the batch: {quoted!r}",
        where=f"training.on_anomaly = {trainer.config.training.on_anomaly}",
        do="Lower optimizer.learning_rate, or resume with training.on_anomaly=rewind",
    )
    if trainer.progress.step != trainer.saved_step:
        trainer.save("full")  # the anomalous step was not applied
    trainer.recorder.wait()
    return Ended(state="failed", message=failure.what, step=trainer.progress.step, failure=failure)


def _rewind(trainer: Trainer) -> str:
    """Load the newest full checkpoint, continue with the batches after the anomaly, and return a message."""
    trainer.recorder.wait()
    newest = manifest.newest(trainer.folder.checkpoints, ["full"])
    if newest is None:
        return "skipped: no checkpoint to rewind to yet"
    if trainer.progress.rewinds >= MAX_REWINDS:
        return f"skipped: {MAX_REWINDS} rewinds done, which is the limit"
    rewinds, elapsed, step = trainer.progress.rewinds, trainer.progress.elapsed_seconds, trainer.progress.step
    trainer.load(newest.path)
    trainer.progress.batch_shift += step - trainer.progress.step
    trainer.progress.rewinds, trainer.progress.elapsed_seconds = rewinds + 1, elapsed
    trainer.saved_step = trainer.progress.step
    trainer.next_batch = None
    trainer.norms_logged_at = trainer.progress.step
    trainer.recorder.rewind(trainer.progress.step)
    return f"rewound to step {trainer.progress.step:,}, continuing with other batches"


@torch.no_grad()
def _highest_loss_text(trainer: Trainer, step: int) -> str:
    """Return the beginning of the sequence of the step's batch that has the highest loss."""
    highest, text = -math.inf, ""
    trainer.model.eval()
    for micro_batch in trainer.fetch(step):
        for row, inputs in enumerate(micro_batch.inputs):
            documents = None if micro_batch.documents is None else micro_batch.documents[row, None]
            with trainer.compute.autocast():
                loss = float(trainer.model(inputs[None], micro_batch.targets[row, None], documents=documents))
            loss = math.inf if math.isnan(loss) else loss
            if loss > highest:
                highest, text = loss, trainer.tokenizer.decode(inputs.tolist())
    trainer.model.train()
    return text[:QUOTED_CHARACTERS]


def halve_micro_batch(trainer: Trainer) -> None:
    """Halve the micro-batch and double the accumulation. Raise ConfigError when it is one sequence."""
    trainer.model.zero_grad(set_to_none=True)
    trainer.next_batch = None
    trainer.config, message = engine.halve_micro_batch(trainer.config)
    if trainer.compute.device.type == "cuda":
        torch.cuda.empty_cache()
    trainer.control.notice("out_of_memory", message, level="warning")
    write_atomically(trainer.folder.config, to_toml(to_dict(trainer.config)).encode())
