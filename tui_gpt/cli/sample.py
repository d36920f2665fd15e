"""`gpt-tui sample`: let a checkpoint write."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from tui_gpt import hardware
from tui_gpt.checkpoints import manifest
from tui_gpt.cli.follow import plain
from tui_gpt.cli.options import Workspace, command, json_option, print_json
from tui_gpt.config import build, read_toml
from tui_gpt.errors import CheckpointError, RunError
from tui_gpt.run.child_process import Channel, spawn
from tui_gpt.run.folder import gpus_in_use
from tui_gpt.run.messages import Chunk, Generate, Generated, Loaded, RequestFailed


@command("sample")
@click.argument("reference", required=False, metavar="[RUN|CHECKPOINT]")
@click.option("--prompt", help="What the model continues (default: the config's first prompt; '' begins a document).")
@click.option("--tokens", type=click.IntRange(1), default=200, show_default=True, help="Tokens to write at most.")
@click.option("--temperature", type=click.FloatRange(0, 100), help="0: always the likeliest token.")
@click.option("--top-k", type=click.IntRange(0), help="Draw among the k likeliest tokens; 0: all.")
@click.option(
    "--top-p", type=click.FloatRange(0, 1, min_open=True), help="Draw among the likeliest that hold this much."
)
@click.option("--min-p", type=click.FloatRange(0, 1), help="Drop tokens below this share of the likeliest one's.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed writes the same text."
)
@click.option("-n", "--number", type=click.IntRange(1), default=1, help="Completions, each with the next seed.")
@click.option("--ignore-end", is_flag=True, help="Go on past end of text: the next document begins.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@json_option
def sample_command(
    workspace: Workspace,
    reference: str | None,
    prompt: str | None,
    number: int,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Let a checkpoint write. A run means its newest complete checkpoint, also while it is training."""
    checkpoint = find_checkpoint(reference, workspace)
    config = build(read_toml(checkpoint / manifest.CONFIG), str(checkpoint / manifest.CONFIG)).sampling
    for key in ("temperature", "top_k", "top_p", "min_p"):
        if options[key] is None:
            options[key] = getattr(config, key)
    prompt = config.prompts[0] if prompt is None and config.prompts else prompt or ""
    process, channel = start_sampler(workspace, options)
    try:
        for index in range(number):
            wanted = Generate(id=str(index), checkpoint=str(checkpoint), prompt=prompt, seed=seed + index, **options)
            channel.send(wanted)
            _print_one(channel, wanted, as_json, last=index == number - 1)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        channel.close()
        process.join()


def start_sampler(workspace: Workspace, options: dict[str, Any]) -> tuple[Any, Channel]:
    """A sampler process; on the CPU while live runs hold every card."""
    cards = hardware.gpus()
    if options["device"] == "auto" and cards:
        taken = gpus_in_use(workspace.runs)
        free = [card for card in cards if card.uuid not in taken]
        if free:
            os.environ["CUDA_VISIBLE_DEVICES"] = max(free, key=lambda card: card.memory_free_bytes).uuid
        else:
            click.echo("sampling on the CPU: a live run has the GPU", err=True)
            options["device"] = "cpu"
    return spawn("tui_gpt.sampling.sampler_process:serve")


def _print_one(channel: Channel, wanted: Generate, as_json: bool, *, last: bool) -> None:
    pieces: list[str] = []
    step = 0
    if not as_json:
        sys.stdout.write(plain(wanted.prompt))
    while True:
        try:
            message = channel.receive(None)
        except EOFError:
            raise CheckpointError("the sampler ended without a word", where=wanted.checkpoint) from None
        match message:
            case RequestFailed(failure=failure):
                raise CheckpointError(failure.what, where=failure.where, do=failure.do)
            case Loaded():
                step = message.step
            case Chunk(text=text):
                pieces.append(text)
                if not as_json:
                    sys.stdout.write(plain(text) if sys.stdout.isatty() else text)
                    sys.stdout.flush()
            case Generated():
                if as_json:
                    text = "".join(pieces)
                    answer = {"step": step, "prompt": wanted.prompt, "text": text, "seed": wanted.seed}
                    print_json(answer | {"checkpoint": wanted.checkpoint} | msgspec.to_builtins(message))
                else:
                    sys.stdout.write("\n" if last else "\n\n---\n\n")
                    sys.stdout.flush()
                return


def find_checkpoint(reference: str | None, workspace: Workspace) -> Path:
    """The checkpoint that a path, a run's reference, or nothing (the newest run) means. Raises UserError."""
    if reference and (path := Path(reference).expanduser()).exists():
        return manifest.locate(path.absolute())
    try:
        folder = workspace.find(reference)
    except RunError as error:
        if not reference or "/" not in reference:
            raise
        raise CheckpointError("does not exist", where=reference, do=error.do) from None
    folder.read_info()
    return manifest.locate(folder.path)
