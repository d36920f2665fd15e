"""What a run does when a step goes wrong: a loss that cannot be right, by the user's policy; no memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from tui_gpt.checkpoints import manifest
from tui_gpt.config import to_dict, to_toml
from tui_gpt.run.folder import write_atomically
from tui_gpt.run.messages import Ended, Failure
from tui_gpt.training.loop import engine
from tui_gpt.training.loop.guard import MAX_CONSECUTIVE_ANOMALIES, Anomaly

if TYPE_CHECKING:
    from tui_gpt.training.loop.trainer import Trainer

MAX_REWINDS = 10
QUOTED = 200  # characters of a batch in an event


def handle_anomaly(trainer: Trainer, anomaly: Anomaly) -> Ended | None:
    """Do what the user's policy says to a loss or gradient that cannot be right; the run's end, if it is that."""
    trainer.anomaly = None
    policy = trainer.config.training.on_anomaly
    quoted = _worst_text(trainer, anomaly.step)
    if policy == "stop" or anomaly.in_a_row >= MAX_CONSECUTIVE_ANOMALIES:
        return _give_up(trainer, anomaly, quoted)
    done = "left out" if anomaly.held else "applied"
    if policy == "rewind":
        done = _rewind(trainer)
    trainer.control.notice(
        "anomaly", f"{anomaly}; {done}", level="warning", step=anomaly.step, data={"text": quoted, "policy": policy}
    )
    return None


def _give_up(trainer: Trainer, anomaly: Anomaly, quoted: str) -> Ended:
    many = f", {anomaly.in_a_row} steps in a row" if anomaly.in_a_row > 1 else ""
    failure = Failure(
        what=f"{anomaly}{many}; the batch reads: {quoted!r}",
        where=f"training.on_anomaly = {trainer.config.training.on_anomaly}",
        do="Lower optimizer.learning_rate, or resume with training.on_anomaly=rewind",
    )
    if trainer.progress.step != trainer.saved_step:
        trainer.save("full")  # the step itself was not applied
    trainer.recorder.wait()
    return Ended(state="failed", message=failure.what, step=trainer.progress.step, failure=failure)


def _rewind(trainer: Trainer) -> str:
    """Back to the newest full checkpoint, and on from there with the batches after the anomaly's."""
    trainer.recorder.wait()
    newest = manifest.newest(trainer.folder.checkpoints, ["full"])
    if newest is None:
        return "left out: there is no checkpoint to go back to yet"
    if trainer.progress.rewinds >= MAX_REWINDS:
        return f"left out: {MAX_REWINDS} rewinds are enough"
    rewinds, elapsed, step = trainer.progress.rewinds, trainer.progress.elapsed_seconds, trainer.progress.step
    trainer.load(newest.path)
    trainer.progress.batch_shift += step - trainer.progress.step
    trainer.progress.rewinds, trainer.progress.elapsed_seconds = rewinds + 1, elapsed
    trainer.saved_step = trainer.progress.step
    trainer.next_batch = None
    trainer.norms_logged_at = trainer.progress.step
    trainer.recorder.rewound(trainer.progress.step)
    return f"back to step {trainer.progress.step:,}, and on with other batches"


@torch.no_grad()
def _worst_text(trainer: Trainer, step: int) -> str:
    """The beginning of the sequence, in the step's batch, that the model does worst on."""
    worst, text = -math.inf, ""
    trainer.model.eval()
    for micro in trainer.fetch(step):
        for row, inputs in enumerate(micro.inputs):
            documents = None if micro.documents is None else micro.documents[row, None]
            with trainer.compute.autocast():
                loss = float(trainer.model(inputs[None], micro.targets[row, None], documents=documents))
            loss = math.inf if math.isnan(loss) else loss
            if loss > worst:
                worst, text = loss, trainer.tokenizer.decode(inputs.tolist())
    trainer.model.train()
    return text[:QUOTED]


def halve_micro_batch(trainer: Trainer) -> None:
    """Half the micro-batch, twice the accumulation: the same step in less memory. Raises ConfigError at one."""
    trainer.model.zero_grad(set_to_none=True)
    trainer.next_batch = None
    trainer.config, said = engine.halve_micro_batch(trainer.config)
    if trainer.compute.device.type == "cuda":
        torch.cuda.empty_cache()
    trainer.control.notice("out_of_memory", said, level="warning")
    write_atomically(trainer.folder.config, to_toml(to_dict(trainer.config)).encode())
