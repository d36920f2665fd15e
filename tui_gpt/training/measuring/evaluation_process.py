"""Evaluation of a checkpoint on a corpus, in a process of its own: `gpt-tui eval`."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import msgspec

from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import load_model
from tui_gpt.corpora import prepare
from tui_gpt.errors import UserError
from tui_gpt.run.child_process import Channel
from tui_gpt.run.messages import Failure, Progress, RequestFailed
from tui_gpt.sampling.sampler_process import select_device
from tui_gpt.training.data.batches import BatchLoader
from tui_gpt.training.measuring.evaluation import evaluate

REPORT_SECONDS = 0.25


def evaluate_checkpoint(
    channel: Channel, checkpoint: str, corpus: str, split: Literal["train", "val"], corpus_dir: str, device: str
) -> None:
    """Entry point: reply with an `Eval` of `split`, or with `RequestFailed`.

    corpus: name of the corpus, or empty for the one that the checkpoint was trained on.
    """

    def progress(phase: str, fraction: float | None = None) -> None:
        channel.send(Progress(state="starting", phase=phase, fraction=fraction))

    try:
        loaded = load_model(manifest.locate(Path(checkpoint)), select_device(device))
        data = msgspec.structs.replace(
            loaded.config.data,
            corpus=corpus or loaded.config.data.corpus,
            tokenizer=str(loaded.path / manifest.TOKENIZER),
        )
        shards = prepare(data, Path(corpus_dir), progress)
        reported = -math.inf

        def report(fraction: float) -> None:
            nonlocal reported
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                progress("evaluating", fraction)

        result = evaluate(
            loaded.model,
            BatchLoader.for_evaluation(shards, loaded.config, split),
            loaded.tokenizer.byte_lengths,
            step=loaded.manifest.step,
            max_tokens=0,
            autocast=nullcontext,
            report=report,
        )
        assert result is not None  # it is never interrupted
        channel.send(result)
    except UserError as error:
        channel.send(RequestFailed(id="", failure=Failure.of(error)))
