"""The sampler: a process that loads checkpoints and generates text, so that its parent does not import torch.

It replies to `Generate` with `Loaded`, any number of `Chunk`s and `Generated`, or with `RequestFailed`. It polls for
`Cancel` after each token. A checkpoint stays loaded until another one is requested, or `Unload`.
"""

from __future__ import annotations

import codecs
import signal
import time
from pathlib import Path

import torch

from tui_gpt import hardware
from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import LoadedModel, load_model
from tui_gpt.errors import ConfigError, UserError
from tui_gpt.run.child_process import Channel
from tui_gpt.run.messages import Cancel, Chunk, Failure, Generate, Generated, Loaded, Message, RequestFailed, Unload
from tui_gpt.sampling.generation import SamplingOptions, generate, prompt_tokens


def serve(channel: Channel, threads: int = 0) -> None:
    """Entry point: handle requests until the parent is gone. threads: CPU threads; 0 for the default of torch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    if threads:
        torch.set_num_threads(threads)
    sampler = _Sampler(channel)
    try:
        while True:
            sampler.handle(channel.receive(None))
    except EOFError:
        return


class _Sampler:
    """Handles requests, and keeps the last model loaded."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.model: LoadedModel | None = None

    def handle(self, message: Message | None) -> None:
        match message:
            case Generate():
                try:
                    self._generate(message)
                except UserError as error:
                    failure = Failure.of(error)
                    self.channel.send(RequestFailed(id=message.id, failure=failure))
                except torch.OutOfMemoryError:
                    self.model = None
                    failure = Failure(what="not enough GPU memory for the model", do="Sample on the CPU")
                    self.channel.send(RequestFailed(id=message.id, failure=failure))
            case Unload():
                self.model = None
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()

    def _load(self, request: Generate) -> LoadedModel:
        checkpoint = manifest.locate(Path(request.checkpoint))
        device = select_device(request.device)
        loaded = self.model
        if loaded is None or loaded.path != checkpoint or loaded.model.embedding.weight.device.type != device.type:
            self.model = None  # free the old one before loading the new one
            self.model = loaded = load_model(checkpoint, device)
        self.channel.send(
            Loaded(
                id=request.id,
                checkpoint=str(checkpoint),
                step=loaded.manifest.step,
                parameters=loaded.manifest.parameters,
                device=device.type,
            )
        )
        return loaded

    def _generate(self, request: Generate) -> None:
        loaded = self._load(request)
        tokenizer, end = loaded.tokenizer, loaded.tokenizer.end_of_text
        options = SamplingOptions(
            tokens=request.tokens,
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            min_p=request.min_p,
            seed=request.seed,
            ignore_end=request.ignore_end,
        )
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        count, ended, cancelled, started = 0, False, False, time.perf_counter()
        for token in generate(loaded.model, prompt_tokens(tokenizer, request.prompt), options, end_of_text=end):
            count += 1
            if ended := token == end:
                text = decoder.decode(b"", final=True) + ("\n\n" if request.ignore_end else "")
                decoder.reset()
            else:
                text = decoder.decode(tokenizer.decode_bytes([token]))
            if text:
                self.channel.send(Chunk(id=request.id, text=text))
            if cancelled := self._is_cancelled(request.id):
                break
        if text := decoder.decode(b"", final=True):
            self.channel.send(Chunk(id=request.id, text=text))
        seconds = time.perf_counter() - started
        self.channel.send(Generated(id=request.id, tokens=count, seconds=seconds, ended=ended, cancelled=cancelled))

    def _is_cancelled(self, id: str) -> bool:
        message = self.channel.receive()
        return isinstance(message, Cancel) and message.id == id


def select_device(name: str) -> torch.device:
    """Return the device; `auto` is the GPU if there is one. Raise ConfigError if the device is not available."""
    if name == "auto":
        hardware.avoid_gpus_in_training()
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    device = torch.device(name) if name in ("cpu", "cuda", "mps") else None
    if device is None or (name == "cuda" and not torch.cuda.is_available()):
        raise ConfigError(f"device {name!r} is not available on this machine", do="Use auto or cpu")
    return device
