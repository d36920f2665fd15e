"""`gpt-tui sample`: generate text with a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from tui_gpt import hardware
from tui_gpt.checkpoints import manifest
from tui_gpt.cli.arguments import checkpoint_argument, device_option
from tui_gpt.cli.options import Workspace, command, json_option
from tui_gpt.cli.output import narrate, print_json
from tui_gpt.cli.torch_process import spawn_without_ctrl_c
from tui_gpt.config import build, read_toml
from tui_gpt.errors import CheckpointError, RunError
from tui_gpt.run.child_process import Channel
from tui_gpt.run.messages import Chunk, Generate, Generated, Loaded, RequestFailed
from tui_gpt.safe_text import safe

AT_ONCE = 8  # completions generated together; each takes memory for its keys and values


@command("sample")
@checkpoint_argument
@click.option("--prompt", help="Text to continue (default: the config's first prompt; '' starts a document).")
@click.option("--tokens", type=click.IntRange(1), default=200, show_default=True, help="Maximum number of tokens.")
@click.option("--temperature", type=click.FloatRange(0, 100), help="0: always the most likely token.")
@click.option("--top-k", type=click.IntRange(0), help="Sample from the k most likely tokens; 0: all.")
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    help="Sample from the most likely tokens with this total probability.",
)
@click.option(
    "--min-p", type=click.FloatRange(0, 1), help="Drop tokens below this fraction of the highest probability."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed generates the same text."
)
@click.option(
    "-n", "--number", type=click.IntRange(1), default=1, help="Number of completions, each with the next seed."
)
@click.option("--ignore-end", is_flag=True, help="Continue after the end of a document.")
@device_option
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Type of the weights; bf16 takes half the memory, and is less precise.",
)
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
    """Generate text with a checkpoint. For a run, its newest complete checkpoint, also while it is training."""
    checkpoint = find_checkpoint(reference, workspace)
    config = build(read_toml(checkpoint / manifest.CONFIG), str(checkpoint / manifest.CONFIG)).sampling
    for key in ("temperature", "top_k", "top_p", "min_p"):
        if options[key] is None:
            options[key] = getattr(config, key)
    prompt = config.prompts[0] if prompt is None and config.prompts else prompt or ""
    process, channel = start_sampler(options)
    try:
        for first in range(0, number, AT_ONCE):
            count = min(AT_ONCE, number - first)
            request = Generate(
                id=str(first), checkpoint=str(checkpoint), prompt=prompt, seed=seed + first, number=count, **options
            )
            channel.send(request)
            _print_completions(channel, request, as_json, last=first + count == number)
    except KeyboardInterrupt:
        process.terminate()
        raise SystemExit(130) from None
    finally:
        channel.close()
        process.join()


def start_sampler(options: dict[str, Any]) -> tuple[Any, Channel]:
    """Start a sampler process, on the CPU if live runs use every GPU."""
    available = hardware.visible_gpus(hardware.gpus())
    if options["device"] == "auto" and available and len(hardware.gpus_in_training(available)) == len(available):
        narrate("sampling on the CPU, because a live run uses the GPU")
        options["device"] = "cpu"
    return spawn_without_ctrl_c("tui_gpt.sampling.sampler_process:serve")


def _print_completions(channel: Channel, request: Generate, as_json: bool, *, last: bool) -> None:
    """Print the first completion as it is generated, and the others after it."""
    pieces: list[list[str]] = [[] for _ in range(request.number)]
    step, done = 0, 0
    if not as_json:
        _write(safe(request.prompt))
    while done < request.number:
        try:
            message = channel.receive(None)
        except EOFError:
            raise CheckpointError("the sampler process ended unexpectedly", where=request.checkpoint) from None
        match message:
            case RequestFailed(failure=failure):
                raise CheckpointError(failure.what, where=failure.where, do=failure.do)
            case Loaded():
                step = message.step
            case Chunk(text=text, completion=index):
                pieces[index].append(text)
                if not as_json and index == 0:
                    _write(text)
            case Generated(completion=index):
                done += 1
                text = "".join(pieces[index])
                if as_json:
                    result = {"step": step, "prompt": request.prompt, "text": text, "seed": request.seed + index}
                    fields = msgspec.to_builtins(message)
                    fields.pop("completion", None)
                    print_json(result | {"checkpoint": request.checkpoint} | fields)
                    continue
                if index > 0:
                    _write(safe(request.prompt) + text)
                _write("\n" if last and done == request.number else "\n\n---\n\n")


def _write(text: str) -> None:
    sys.stdout.write(safe(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def find_checkpoint(reference: str | None, workspace: Workspace) -> Path:
    """Return the checkpoint that `reference` names: a path, a run (its newest), or without one the default run's
    newest.

    Raises UserError.
    """
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
