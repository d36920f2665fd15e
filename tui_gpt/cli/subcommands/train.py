"""`gpt-tui train`: start a run or resume one, and follow it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from tui_gpt import launch
from tui_gpt.cli.arguments import config_option, corpus_option, overrides_argument
from tui_gpt.cli.completion import complete_checkpoint, complete_ended_run
from tui_gpt.cli.follow import follow
from tui_gpt.cli.options import Workspace, command, command_line, json_option
from tui_gpt.cli.output import echo, narrate, print_action, print_json
from tui_gpt.config import (
    PRESETS,
    PURPOSES,
    Duration,
    build,
    field,
    fields,
    flatten_keys,
    load_config,
    override,
    set_key,
    to_toml,
)
from tui_gpt.config.estimates import describe_final_eval, memory_bytes, parameters, vocab_size_of
from tui_gpt.errors import ConfigError


def _help_config(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        echo("Presets: " + "; ".join(f"{name} ({PURPOSES[name]})" for name in PRESETS) + "\n")
        for item in fields().values():
            unit = f" [{item.unit}]" if item.unit else ""
            echo(f"{item.key}{unit}: {item.help}. {item.allowed}. Default: {item.default}")
        context.exit()


@command("train")
@config_option
@corpus_option("A corpus, text file or folder (default: stories).")
@click.option("--steps", type=click.IntRange(1), help="Train for this many steps.")
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="Train for this many epochs.")
@click.option("--tokens", metavar="N", help="Train for this many tokens: 50M, 2.5B.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Train for this many minutes.")
@click.option("--stop-at", type=click.IntRange(1), metavar="STEP", help="Save and stop at this step of the schedule.")
@click.option(
    "--resume",
    metavar="RUN",
    shell_complete=complete_ended_run,
    help="Resume this run from its newest full checkpoint.",
)
@click.option(
    "--init-from",
    metavar="CHECKPOINT",
    shell_complete=complete_checkpoint,
    help="Start from the weights of a checkpoint or of a run's newest one.",
)
@click.option(
    "--cooldown-from",
    metavar="CHECKPOINT",
    shell_complete=complete_checkpoint,
    help="Continue it in a new run whose learning rate decays over --steps.",
)
@click.option("--name", help="Name of the run (default: preset and corpus).")
@click.option("--group", is_flag=True, help="Let the members of the folder's group control the run, too.")
@click.option("--detach", is_flag=True, help="Start the run in the background and print its id.")
@click.option("--dry-run", is_flag=True, help="Check everything and print the config, but start nothing.")
@click.option(
    "--help-config",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_help_config,
    help="List every config key.",
)
@json_option
@overrides_argument
def train_command(
    workspace: Workspace,
    config: str | None,
    corpus: str | None,
    steps: int | None,
    epochs: float | None,
    tokens: str | None,
    minutes: float | None,
    stop_at: int | None,
    resume: str | None,
    init_from: str | None,
    cooldown_from: str | None,
    name: str | None,
    group: bool,
    detach: bool,
    dry_run: bool,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train a GPT. Ctrl-C saves and stops the run; closing the terminal leaves it running."""
    _refuse_empty(
        config=config, corpus=corpus, resume=resume, init_from=init_from, cooldown_from=cooldown_from, name=name
    )
    settings = override(load_config(config) if config else {}, overrides)
    lengths = {"steps": steps, "epochs": epochs, "tokens": tokens, "minutes": minutes}
    given = [f"{value} {unit}" for unit, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise ConfigError("use only one of --steps, --epochs, --tokens and --minutes", where="command line")
    if given:
        set_key(settings, "training.duration", field("training.duration").convert(given[0]))
    if corpus:
        set_key(settings, "data.corpus", resolve_corpus_path(corpus))
    if init_from:
        set_key(settings, "training.init_from", str(_checkpoint(init_from, workspace)))
    if cooldown_from:
        settings = _cooldown(cooldown_from, steps, config, init_from, workspace, settings)
    if resume:
        _check_resume_options(config, name, init_from, cooldown_from, dry_run)
        changes = flatten_keys(settings)
        folder = launch.resume(
            workspace.find(resume), workspace.corpus, changes, stop_at=stop_at, command=command_line()
        )
    else:
        if dry_run:
            _print_config(launch.validate_request(settings, workspace.corpus), as_json)
            return
        folder = launch.start(
            workspace.runs,
            workspace.corpus,
            settings,
            name=name,
            stop_at=stop_at,
            is_shared=group,
            command=command_line(),
        )
    if detach:
        if as_json:
            message = "resumed in the background" if resume else "started in the background"
            print_action(folder.id, "train", message, path=str(folder.path))
        else:
            echo(folder.id)
        return
    code = follow(folder, as_json=as_json, owns=True, from_now=bool(resume))
    raise SystemExit(code)


def _refuse_empty(**options: str | None) -> None:
    """Raise ConfigError for an option with an empty value, as a script with an unset variable gives it."""
    for name, value in options.items():
        if value is not None and not value.strip():
            raise ConfigError(f"--{name.replace('_', '-')} is empty", where="command line")


def _cooldown(
    reference: str,
    steps: int | None,
    config: str | None,
    init_from: str | None,
    workspace: Workspace,
    settings: dict[str, Any],
) -> dict[str, Any]:
    if steps is None or config or init_from:
        raise ConfigError(
            "--cooldown-from needs --steps and cannot be used with --config or --init-from",
            where="command line",
            do="Write gpt-tui train --cooldown-from RUN --steps 500",
        )
    del settings["training"]["duration"]  # --steps counts from the checkpoint
    return launch.cooldown_request(_checkpoint(reference, workspace), steps, settings)


def _check_resume_options(
    config: str | None, name: str | None, init_from: str | None, cooldown_from: str | None, dry_run: bool
) -> None:
    options = {"--config": config, "--name": name, "--init-from": init_from, "--cooldown-from": cooldown_from}
    for option, value in (options | {"--dry-run": dry_run}).items():
        if value:
            raise ConfigError(
                f"{option} cannot be used with --resume",
                where="command line",
                do="A resumed run keeps its config; override single keys, such as training.duration=…",
            )


def resolve_corpus_path(corpus: str) -> str:
    """Return a corpus with a path made absolute: on the command line it is relative to the current folder."""
    path = Path(corpus).expanduser()
    return str(path.absolute()) if os.sep in corpus and path.exists() else corpus


def _checkpoint(reference: str, workspace: Workspace) -> Path:
    from tui_gpt.cli.subcommands.sample import find_checkpoint

    return find_checkpoint(reference, workspace)


def _print_config(settings: dict[str, Any], as_json: bool) -> None:
    config = build(settings)
    vocab_size = vocab_size_of(config.data.tokenizer)
    trained = Duration.parse(config.training.duration).steps(tokens_per_step=config.tokens_per_step, steps_per_epoch=0)
    is_known = trained is not None and Duration.parse(config.training.duration).unit != "epochs"
    tokens = trained * config.tokens_per_step if trained is not None and is_known else None
    if as_json:
        facts = {
            "parameters": parameters(config.model, vocab_size) if vocab_size else None,
            "tokens_per_step": config.tokens_per_step,
            "tokens": tokens,
            "memory_bytes": memory_bytes(config, vocab_size) if vocab_size else None,
        }
        print_json({"config": settings} | facts)
        return
    echo(to_toml(settings), nl=False)
    if vocab_size:
        narrate(
            f"# {parameters(config.model, vocab_size):,} parameters, {config.tokens_per_step:,} tokens per step,"
            f" about {memory_bytes(config, vocab_size) / 2**30:.2f} GiB"
        )
    narrate(f"# {describe_final_eval(config, None, tokens)}")
