"""The sampler: a process that loads checkpoints and speaks for them, so that its parent needs no torch.

It answers `Generate` with `Loaded`, any number of `Chunk`s and a `Generated`, or with `RequestFailed`; it looks for a
`Cancel` before each token. The last checkpoint stays loaded until another is asked for, or `Unload`.
"""

from __future__ import annotations

import codecs
import signal
import time
from pathlib import Path

import torch

from tui_gpt.checkpoints import manifest
from tui_gpt.checkpoints.state import LoadedModel, load_model
from tui_gpt.errors import ConfigError, UserError
from tui_gpt.run.child_process import Channel
from tui_gpt.run.messages import Cancel, Chunk, Failure, Generate, Generated, Loaded, Message, RequestFailed, Unload
from tui_gpt.sampling.generation import SamplingOptions, generate, prompt_tokens


def serve(channel: Channel, threads: int = 0) -> None:
    """Entry point: answer until the parent is gone. threads: CPU threads to compute with; 0: torch's choice."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to answer
    if threads:
        torch.set_num_threads(threads)
    sampler = _Sampler(channel)
    try:
        while True:
            sampler.answer(channel.receive(None))
    except EOFError:
        return


class _Sampler:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.model: LoadedModel | None = None

    def answer(self, message: Message | None) -> None:
        match message:
            case Generate():
                try:
                    self._generate(message)
                except UserError as error:
                    failure = Failure.of(error)
                    self.channel.send(RequestFailed(id=message.id, failure=failure))
                except torch.OutOfMemoryError:
                    self.model = None
                    failure = Failure(what="the GPU has no memory left for the model", do="Sample on the CPU")
                    self.channel.send(RequestFailed(id=message.id, failure=failure))
            case Unload():
                self.model = None
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()

    def _load(self, wanted: Generate) -> LoadedModel:
        checkpoint = manifest.locate(Path(wanted.checkpoint))
        device = select_device(wanted.device)
        loaded = self.model
        if loaded is None or loaded.path != checkpoint or loaded.model.embedding.weight.device.type != device.type:
            self.model = None  # free the old one before the new one is read
            self.model = loaded = load_model(checkpoint, device)
        self.channel.send(
            Loaded(
                id=wanted.id,
                checkpoint=str(checkpoint),
                step=loaded.manifest.step,
                parameters=loaded.manifest.parameters,
                device=device.type,
            )
        )
        return loaded

    def _generate(self, wanted: Generate) -> None:
        loaded = self._load(wanted)
        tokenizer, end = loaded.tokenizer, loaded.tokenizer.end_of_text
        options = SamplingOptions(
            tokens=wanted.tokens,
            temperature=wanted.temperature,
            top_k=wanted.top_k,
            top_p=wanted.top_p,
            min_p=wanted.min_p,
            seed=wanted.seed,
            ignore_end=wanted.ignore_end,
        )
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        count, ended, cancelled, started = 0, False, False, time.perf_counter()
        for token in generate(loaded.model, prompt_tokens(tokenizer, wanted.prompt), options, end_of_text=end):
            count += 1
            if ended := token == end:
                text = decoder.decode(b"", final=True) + ("\n\n" if wanted.ignore_end else "")
                decoder.reset()
            else:
                text = decoder.decode(tokenizer.decode_bytes([token]))
            if text:
                self.channel.send(Chunk(id=wanted.id, text=text))
            if cancelled := self._is_cancelled(wanted.id):
                break
        if text := decoder.decode(b"", final=True):
            self.channel.send(Chunk(id=wanted.id, text=text))
        seconds = time.perf_counter() - started
        self.channel.send(Generated(id=wanted.id, tokens=count, seconds=seconds, ended=ended, cancelled=cancelled))

    def _is_cancelled(self, id: str) -> bool:
        message = self.channel.receive()
        return isinstance(message, Cancel) and message.id == id


def select_device(wanted: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises ConfigError for a device that is not there."""
    if wanted == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    device = torch.device(wanted) if wanted in ("cpu", "cuda", "mps") else None
    if device is None or (wanted == "cuda" and not torch.cuda.is_available()):
        raise ConfigError(f"device {wanted!r} is not on this machine", do="Use auto or cpu")
    return device
