"""A sampler process without torch: it writes a word for each token, slowly where the prompt asks for it."""

from __future__ import annotations

import os
import time

from tui_gpt.run.child_process import Channel
from tui_gpt.run.messages import Cancel, Chunk, Failure, Generate, Generated, Loaded, RequestFailed


def serve(channel: Channel) -> None:
    print("the sampler's own output", flush=True)
    try:
        while True:
            message = channel.receive(None)
            if isinstance(message, Generate):
                _generate(channel, message)
    except EOFError:
        return


def _generate(channel: Channel, request: Generate) -> None:
    if request.checkpoint == "damaged":
        channel.send(
            RequestFailed(id=request.id, failure=Failure(what="is damaged", where="damaged", do="Try another"))
        )
        return
    channel.send(Loaded(id=request.id, checkpoint=request.checkpoint, step=7, parameters=1, device="cpu"))
    count, cancelled = 0, False
    while count < request.tokens and not cancelled:
        if request.prompt == "die":
            os.kill(os.getpid(), 9)
        if request.prompt == "slowly":
            time.sleep(0.005)
        count += 1
        channel.send(Chunk(id=request.id, text=f"{request.seed} "))
        message = channel.receive()
        cancelled = isinstance(message, Cancel) and message.id == request.id
    channel.send(Generated(id=request.id, tokens=count, seconds=0.1, ended=False, cancelled=cancelled))
