"""The sampler: a process that loads checkpoints and generates text, so that its parent does not import torch.

It replies to `Generate` with `Loaded`, any number of `Chunk`s and a `Generated` for each completion, or with
`RequestFailed`. It polls for `Cancel` after each token. A checkpoint stays loaded until another one is requested, or
`Unload`.
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
from tui_gpt.corpora import Tokenizer
from tui_gpt.errors import ConfigError, UserError
from tui_gpt.run.child_process import Channel
from tui_gpt.run.messages import Cancel, Chunk, Failure, Generate, Generated, Loaded, Message, RequestFailed, Unload
from tui_gpt.sampling.generation import SamplingOptions, generate_batch, prompt_tokens


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
        dtype = torch.bfloat16 if request.dtype == "bf16" else torch.float32
        if loaded is None or not loaded.is_from(checkpoint, device, dtype):
            self.model = loaded = None  # free the old one before loading the new one
            self.model = loaded = load_model(checkpoint, device, dtype)
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
        started = time.perf_counter()
        writers = [_Writer(index, tokenizer, request.ignore_end) for index in range(request.number)]
        prompt, cancelled = prompt_tokens(tokenizer, request.prompt), False
        for tokens in generate_batch(loaded.model, prompt, options, request.number, end_of_text=end):
            for writer, token in zip(writers, tokens, strict=True):
                if token is not None and (text := writer.add(token)):
                    self.channel.send(Chunk(id=request.id, text=text, completion=writer.index))
            if cancelled := self._is_cancelled(request.id):
                break
        seconds = time.perf_counter() - started
        for writer in writers:
            if text := writer.finish():
                self.channel.send(Chunk(id=request.id, text=text, completion=writer.index))
            self.channel.send(
                Generated(
                    id=request.id,
                    tokens=writer.count,
                    seconds=seconds,
                    ended=writer.ended,
                    cancelled=cancelled,
                    completion=writer.index,
                )
            )

    def _is_cancelled(self, id: str) -> bool:
        message = self.channel.receive()
        return isinstance(message, Cancel) and message.id == id


class _Writer:
    """Decodes the tokens of one completion into text that never ends within a character."""

    def __init__(self, index: int, tokenizer: Tokenizer, ignore_end: bool) -> None:
        self.index = index
        self.count = 0
        self.ended = False
        self._tokenizer = tokenizer
        self._ignore_end = ignore_end
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: int) -> str:
        """Return the text that `token` completes. End of text becomes a blank line where the text goes on after it."""
        self.count += 1
        self.ended = token == self._tokenizer.end_of_text
        if not self.ended:
            return self._decoder.decode(self._tokenizer.decode_bytes([token]))
        return self.finish() + ("\n\n" if self._ignore_end else "")

    def finish(self) -> str:
        """Return the rest of the text."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text


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
