"""Completion in bash, zsh and fish: the scripts, and the words that complete the values of arguments and options.

A shell starts `gpt-tui` with `_GPT_TUI_COMPLETE` set at each Tab. It gets words or nothing, never an error. No word is
offered alone that more can follow, such as `model.` or `model.n_layer=`, because a shell ends a single word by a blank.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from tui_gpt.cli.options import Workspace
from tui_gpt.safe_text import safe_line

PROGRAM = "gpt-tui"
VARIABLE = "_GPT_TUI_COMPLETE"
SHELLS = ("bash", "zsh", "fish")

Items = list[CompletionItem]
Completer = Callable[[click.Context, click.Parameter, str], Items]

_BASH = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames 2> /dev/null ;;
            file) compopt -o default 2> /dev/null ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2> /dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Completion for bash, which ends words at `=` and `:`; keys with values and names of corpora hold these."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)[1:]
        return (words, "") if not words or line[-1].isspace() else (words[:-1], words[-1])

    def complete(self) -> str:
        args, word = self.get_completion_args()
        breaks = os.environ.get("COMP_WORDBREAKS", "")
        kept = max((word.rfind(sign) + 1 for sign in "=:" if sign in breaks), default=0)  # bash replaces what follows
        items = self.get_completions(args, word)
        values = (item.value[kept if item.value.startswith(word[:kept]) else 0 :] for item in items)
        return "\n".join(f"{item.type},{shlex.quote(value)}" for item, value in zip(items, values, strict=True))


add_completion_class(Bash)


def script(shell: str) -> str:
    """Return the script that teaches a shell to complete the commands."""
    return _completion(shell).source()


def _completion(shell: str) -> ShellComplete:
    from tui_gpt.cli.root import gpt_tui

    kind = get_completion_class(shell)
    assert kind is not None, shell
    return kind(gpt_tui, {}, PROGRAM, VARIABLE)


def answer(instruction: str) -> None:
    """Print what completes the command line that a shell has put into the environment, nothing if that fails."""
    shell, _, action = instruction.partition("_")
    if shell not in SHELLS or action != "complete":
        return
    with contextlib.suppress(Exception, KeyboardInterrupt, SystemExit), contextlib.redirect_stderr(io.StringIO()):
        click.echo(_completion(shell).complete())


def _items(words: Iterable[tuple[str, str]], typed: str) -> Items:
    """Return the words that begin with `typed`, each with its help; failing these the only word that contains it."""
    words = [(word, help) for word, help in words if word.isprintable()]
    found = [(word, help) for word, help in words if word.startswith(typed)]
    if not found:
        found = [(word, help) for word, help in words if typed in word]
        found = found if len(found) == 1 else []
    return [CompletionItem(word, help=safe_line(help)[:60] or None) for word, help in found]


def _or_path(items: Items, typed: str, kind: str = "file") -> Items:
    """Return the items, or leave it to the shell to complete a path if there are none."""
    return items or [CompletionItem(typed, type=kind)]


def _workspace(context: click.Context) -> Workspace:
    return context.find_object(Workspace) or Workspace()


def _runs(context: click.Context, parameter: click.Parameter, typed: str, *, live: bool | None = None) -> Items:
    from tui_gpt.run import folder as folders

    given = context.params.get(parameter.name or "")
    given = given if isinstance(given, tuple) else ()
    runs = reversed(folders.list_runs(_workspace(context).runs))
    return _items(
        ((run.id, "") for run in runs if run.id not in given and (live is None or run.is_locked() is live)), typed
    )


complete_run: Completer = _runs
complete_live_run: Completer = partial(_runs, live=True)
complete_ended_run: Completer = partial(_runs, live=False)


def complete_checkpoint(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete the name of a run or, where a path has begun, the folder of one of its checkpoints."""
    if "/" not in typed:
        return _or_path(complete_run(context, parameter, typed), typed, "dir")
    from tui_gpt.checkpoints.manifest import list_checkpoints
    from tui_gpt.run import folder as folders

    words = []
    for run in folders.list_runs(_workspace(context).runs):
        shown = run.checkpoints if typed.startswith("/") else Path(os.path.relpath(run.checkpoints))
        if f"{shown}/".startswith(typed) or typed.startswith(f"{shown}/"):
            for info in list_checkpoints(run.checkpoints):
                loss = f", validation {info.val_loss:.4f}" if info.val_loss is not None else ""
                words.append((str(shown / info.path.name), f"{info.kind}{loss}"))
    return _or_path(_items(words, typed), typed, "dir")


def complete_corpus(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete the name of a corpus that is here, or a path."""
    from tui_gpt.corpora import list_corpora

    entries = list_corpora(_workspace(context).corpus)
    words = [(entry.name, entry.description) for entry in entries if entry.kind != "absent"]
    return _or_path(_items(words, typed) if "/" not in typed else [], typed)


def complete_remote_corpus(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete the name of a corpus that can be fetched."""
    from tui_gpt.corpora import list_corpora

    entries = list_corpora(_workspace(context).corpus)
    words = [(entry.name, entry.description) for entry in entries if entry.kind in ("absent", "fetched")]
    words += [("gutenberg:", "books by number"), ("gutenberg:1342,84", "Pride and Prejudice, Frankenstein")]
    words += [("hf:", "a dataset OWNER/NAME"), ("hf:roneneldan/TinyStories", "an example")]
    return _items(words, typed)


def complete_config(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete a preset, or the path of a TOML file."""
    from tui_gpt.config import PRESETS, PURPOSES

    return _or_path(_items(((name, PURPOSES[name]) for name in PRESETS), typed), typed)


def complete_tokenizer(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete a tokenizer, or the path of a tokenizer.json."""
    from tui_gpt.config.tokenizer_names import TIKTOKEN_ENCODINGS

    names = ("char", "byte", *(f"bpe:{size}" for size in (512, 1024, 4096, 16384, 50257)), *TIKTOKEN_ENCODINGS)
    return _or_path(_items(((name, "") for name in names), typed), typed)


def complete_device(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete a device."""
    return _items(((name, "") for name in ("auto", "cpu", "cuda", "mps")), typed)


_VALUES: dict[str, Completer] = {
    "preset": complete_config,
    "data.corpus": complete_corpus,
    "data.tokenizer": complete_tokenizer,
    "training.device": complete_device,
    "training.init_from": complete_checkpoint,
}


def complete_override(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete `SECTION.KEY=VALUE`: the section, then its keys, then the values of a key."""
    from tui_gpt.config import fields
    from tui_gpt.config.fields import format_value

    key, has_value, value = typed.partition("=")
    known = fields()
    if has_value:
        field = known.get(key)
        if field is None:
            return []
        if field.key in _VALUES:
            found = _VALUES[field.key](context, parameter, value)
            return [CompletionItem(f"{key}={item.value}", help=item.help) for item in found if item.type == "plain"]
        values = field.choices or (("true", "false") if field.kind == "bool" else ())
        if field.kind in ("int", "float", "duration"):
            values = (str(field.default) if field.kind == "duration" else format_value(field.default),)
        return _items(((f"{key}={each}", "") for each in values), typed)
    given = {each.partition("=")[0] for each in context.params.get(parameter.name or "") or ()}
    keys = [field for field in known.values() if field.key not in given]
    starts = dict.fromkeys(f"{field.section}." if field.section else f"{field.key}=" for field in keys)
    sections = [start for start in starts if start.startswith(typed)]
    if len(sections) > 1:
        return _items(((section, "") for section in sections), typed)
    matching = [field for field in keys if field.key.startswith(typed)]
    matching = matching or [field for field in keys if field.name.startswith(typed)]
    if len(matching) == 1:
        key = f"{matching[0].key}="
        return [CompletionItem(key, help=matching[0].help), *complete_override(context, parameter, key)]
    return _items(((f"{field.key}=", field.help) for field in matching), typed)
