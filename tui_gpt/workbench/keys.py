"""The action table: every key of the workbench, once.

Bindings, footer, help screen, command palette and the README's key table are all read off `ACTIONS`. An action's `id`
is the name of the method `action_<id>` that carries it out, and the name that a user's key map uses. Bare letters are
bound without priority, so that text inputs win, and a letter means the same on every screen. No ctrl+s, q, z, a, b, i,
m or h: terminals and multiplexers take those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from textual.binding import Binding, BindingType

EVERYWHERE, DASHBOARD, NEW_RUN, RUNS = "everywhere", "dashboard", "new_run", "runs"
TALK, CORPORA, TOKENS = "talk", "corpora", "tokens"
SCOPES = {
    EVERYWHERE: "Everywhere",
    DASHBOARD: "Dashboard",
    NEW_RUN: "New run",
    RUNS: "Runs",
    TALK: "Talk",
    CORPORA: "Corpora",
    TOKENS: "Token view",
}
SCREENS = {DASHBOARD: "Dashboard", NEW_RUN: "New run", RUNS: "Runs", TALK: "Talk", CORPORA: "Corpora"}  # in tab order


@dataclass(frozen=True)
class Action:
    """One command. `label` is the footer's word, empty to leave it out there; `help` the sentence of help and palette.

    words: what people also call it, for the palette.
    """

    id: str
    keys: tuple[str, ...]
    label: str
    help: str
    scope: str = EVERYWHERE
    words: str = ""
    palette: bool = True


def _screen(number: int, scope: str) -> Action:
    name = SCREENS[scope]
    return Action(f"show_screen('{scope}')", (f"f{number}",), "", f"go to {name}", words="tab screen")


def _panes(*names: str) -> tuple[Action, ...]:
    return tuple(
        Action(f"focus_pane({number})", (str(number),), "", f"focus the {name} pane", DASHBOARD)
        for number, name in enumerate(names, 1)
    )


ACTIONS: tuple[Action, ...] = (
    # dashboard: the run
    Action("start", ("s",), "start", "start a run of the config under New run", DASHBOARD, "train begin go"),
    Action("pause", ("p",), "pause", "pause the trainer, or let it continue", DASHBOARD, "resume continue unpause"),
    Action("checkpoint", ("c",), "checkpoint", "save a full checkpoint now", DASHBOARD, "save weights"),
    Action("sample", ("g",), "sample", "let the model write a sample now", DASHBOARD, "generate text"),
    Action("stop", ("X",), "stop", "stop the run: asks, and saves first", DASHBOARD, "end kill terminate cancel"),
    Action("resume", ("r",), "resume", "continue a run that has ended", DASHBOARD, "go on restart"),
    Action(
        "config", ("i",), "config", "show the run's config, and what differs from its preset", DASHBOARD, "settings"
    ),
    Action("use_config", ("u",), "use config", "use this run's config for the next run", DASHBOARD, "copy again fork"),
    Action("log", ("l",), "log", "read the trainer's log", DASHBOARD, "output"),
    Action("events", ("E",), "events", "read everything that happened to the run", DASHBOARD, "history"),
    # dashboard: the view
    *_panes("loss chart", "health", "machine", "gauges", "samples", "events"),
    Action("metric", ("m",), "metric", "choose which metric the chart shows", DASHBOARD, "plot gradient rate memory"),
    Action("log_scale", ("y",), "log y", "logarithmic y axis, or linear", DASHBOARD, "scale"),
    Action("x_axis", ("x",), "x axis", "count the x axis in steps, tokens or time", DASHBOARD),
    Action(
        "whole_plan", ("w",), "whole plan", "x axis over the whole plan, or fitted to the data", DASHBOARD, "fit zoom"
    ),
    Action("smoother", ("plus", "equals_sign"), "", "smooth the curve more", DASHBOARD),
    Action("rougher", ("minus",), "", "smooth the curve less", DASHBOARD),
    Action("raw", ("0",), "", "show the curve as it was logged", DASHBOARD, "smoothing off"),
    Action("previous_sample", ("comma", "less_than_sign"), "", "show an earlier sample", DASHBOARD),
    Action("next_sample", ("full_stop", "greater_than_sign"), "", "show a later sample", DASHBOARD),
    Action("maximize", ("z",), "zoom", "maximize the pane, or put it back", DASHBOARD, "full screen"),
    Action("freeze", ("space",), "", "freeze the view; the run continues", DASHBOARD, "hold still"),
    Action("filter", ("slash",), "", "filter events and samples", DASHBOARD, "search find"),
    # new run
    Action("start", ("s",), "start", "start the run", NEW_RUN, "train begin go"),
    Action("reset_field", ("ctrl+r",), "reset", "put the setting back to the preset's value", NEW_RUN, "undo default"),
    Action("editor", ("e",), "edit TOML", "edit the config as TOML in $EDITOR", NEW_RUN, "vim nano"),
    Action("save", ("S",), "save", "save the config under a name, in configs/", NEW_RUN, "write file"),
    Action("prepare", ("P",), "prepare", "prepare the corpus now, so that its tokens are counted", NEW_RUN, "tokenize"),
    Action("tokens", ("v",), "tokens", "see how the tokenizer splits the corpus", NEW_RUN, "tokenizer view"),
    Action("browse", ("b",), "corpus", "choose the corpus from the list, or a file by its path", NEW_RUN, "data text"),
    Action("filter", ("slash",), "filter", "find a setting", NEW_RUN, "search"),
    # runs
    Action("open", ("enter",), "open", "open the run on the dashboard", RUNS),
    Action("mark", ("space",), "mark", "mark the run: overlay, compare, act on several", RUNS, "select overlay"),
    Action("mark_all", ("A",), "", "mark every run listed, or none", RUNS, "select all none"),
    Action("diff", ("D",), "diff", "show where the configs of the marked runs differ", RUNS, "compare settings"),
    Action("filter", ("slash",), "filter", "show only runs that match", RUNS, "search find"),
    Action("sort", ("o",), "sort", "sort by the next column", RUNS, "order"),
    Action("reverse_sort", ("O",), "", "sort the other way round", RUNS, "order descending"),
    Action("resume", ("r",), "resume", "continue a run that has ended", RUNS),
    Action("talk", ("t",), "talk", "write with the newest checkpoint of the run", RUNS, "chat sample generate"),
    Action("delete", ("d",), "delete", "delete the run, or the marked runs: says their size, and asks", RUNS, "remove"),
    Action("tag", ("a",), "tag", "tag the run, or the marked runs", RUNS, "label"),
    Action("note", ("N",), "", "write a note about the run", RUNS, "comment"),
    Action("config", ("i",), "config", "show the run's config, and what differs from its preset", RUNS, "settings"),
    Action("use_config", ("u",), "", "use this run's config for the next run", RUNS, "copy again fork"),
    Action("log", ("l",), "", "read the trainer's log", RUNS, "output"),
    Action("events", ("E",), "", "read everything that happened to the run", RUNS, "history"),
    Action("metric", ("m",), "metric", "choose which metric the overlay shows", RUNS, "plot"),
    Action("log_scale", ("y",), "", "logarithmic y axis, or linear", RUNS, "scale"),
    Action("x_axis", ("x",), "", "count the x axis in steps, tokens or time", RUNS),
    Action("save", ("S",), "export", "export the table and the curves as CSV or JSON", RUNS, "csv json write file"),
    Action("back", ("escape",), "", "show every run again; then unmark; then go to the dashboard", RUNS, palette=False),
    # talk: letters are always text; terminals send alt+b and alt+f as ctrl+left and ctrl+right
    Action("write", ("enter",), "write", "let the model continue the text, or send the message", TALK, "generate send"),
    Action("new_line", ("ctrl+j", "shift+enter", "alt+enter"), "", "begin a new line", TALK, palette=False),
    Action("retry", ("alt+r", "f8"), "retry", "take back the last continuation and write another", TALK, "again"),
    Action("undo", ("alt+u",), "undo", "take back what the model wrote last", TALK, "revert"),
    Action("side_by_side", ("f6", "alt+v"), "A/B", "let two checkpoints write side by side, or one", TALK, "compare"),
    Action("checkpoint", ("alt+k", "f7"), "model", "choose the checkpoint that writes", TALK, "model weights step"),
    Action("save_checkpoint", ("alt+s",), "", "save a checkpoint of the live run now, and use it", TALK),
    Action("settings", ("alt+o", "f9"), "settings", "change temperature, top-k, length, seed …", TALK, "sampling"),
    Action("turns", ("alt+t",), "chat", "write in turns like a chat, or in one text", TALK, "conversation mode"),
    Action("clear", ("alt+n",), "", "start with an empty text", TALK, "new empty"),
    Action("next_column", ("alt+right",), "", "go to the next completion", TALK, palette=False),
    Action("previous_column", ("alt+left",), "", "go to the previous completion", TALK, palette=False),
    Action("copy", ("alt+y",), "", "copy the text (OSC 52, and a file)", TALK, "yank clipboard", palette=False),
    Action("unload", (), "", "end the sampler process and free its memory", TALK, "free gpu"),
    Action("back", ("escape",), "", "stop the model; what it wrote stays. Else go back", TALK, palette=False),
    # corpora
    Action("choose", ("enter",), "choose", "use the corpus in the next run; fetches it first if needed", CORPORA),
    Action("fetch", ("f",), "fetch", "fetch the corpus: says size and licence, and asks", CORPORA, "download"),
    Action("clean", ("k",), "clean", "make a clean copy: shows the steps, then a report", CORPORA, "dedup"),
    Action("prepare", ("P",), "prepare", "prepare it for the next run's tokenizer: counts tokens", CORPORA, "tokenize"),
    Action("tokens", ("v",), "tokens", "see how the tokenizer splits the corpus", CORPORA, "tokenizer view"),
    Action("report", ("h",), "report", "show what cleaning did, or would do", CORPORA),
    Action("browse", ("b",), "browse", "choose a file or a folder by its path", CORPORA, "path open"),
    Action("cancel_task", ("delete",), "cancel", "cancel the task that is running", CORPORA, "abort stop"),
    Action("reload", ("ctrl+r",), "", "read the corpora again", CORPORA, "refresh"),
    Action("filter", ("slash",), "filter", "show only corpora that match", CORPORA, "search find"),
    # token view
    Action("next_token", ("right",), "next token", "mark the next token", TOKENS, palette=False),
    Action("previous_token", ("left",), "previous token", "mark the previous token", TOKENS, palette=False),
    # everywhere
    *(_screen(number, scope) for number, scope in enumerate(SCREENS, 1)),
    Action("new_run", ("n",), "new run", "set up the next run"),
    Action("talk", ("t",), "talk", "write with a checkpoint of this run", words="chat sample generate"),
    Action("next_screen", ("right_square_bracket",), "", "go to the next screen", words="tab"),
    Action("previous_screen", ("left_square_bracket",), "", "go to the previous screen", words="tab"),
    Action("copy", ("Y",), "", "copy what the pane shows (OSC 52, and a file)", words="yank clipboard"),
    Action("change_theme", (), "", "choose the theme: colors, light or dark", words="colour color look dark light"),
    Action("back", ("escape",), "", "leave an input, un-maximize, go back", palette=False),
    Action("help", ("question_mark",), "help", "show every key", words="keys bindings"),
    Action("command_palette", ("ctrl+p", "colon"), "commands", "find a command by its name", palette=False),
    Action("quit", ("q",), "quit", "quit; asks what happens to a live run", words="exit leave detach"),
)

_DISPLAY = {
    "question_mark": "?",
    "colon": ":",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "slash": "/",
    "plus": "+",
    "minus": "-",
    "comma": ",",
    "full_stop": ".",
    "equals_sign": "=",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}
_TEXTUAL = {shown: key for key, shown in _DISPLAY.items()}

Keymap = Mapping[str, tuple[str, ...]]  # an action's id: the user's keys for it


def keys_of(action: Action, keymap: Keymap) -> tuple[str, ...]:
    """Return the keys of `action`, the user's where the key map has some."""
    return keymap.get(action.id, action.keys)


def display_key(key: str) -> str:
    """Return a key as people write it: `question_mark` → `?`."""
    return _DISPLAY.get(key, key)


def textual_key(key: str) -> str:
    """Return a key as Textual names it: `?` → `question_mark`."""
    return _TEXTUAL.get(key, key)


def actions_of(*scopes: str) -> list[Action]:
    """Return the actions of these scopes, in the order of the table."""
    return [action for action in ACTIONS if action.scope in scopes]


def key_hint(action_id: str, keymap: Keymap, scope: str = EVERYWHERE) -> str:
    """Return the key to name in a sentence for an action, as the user has mapped it; empty when it has none."""
    found = [action for action in actions_of(scope, EVERYWHERE) if action.id == action_id]
    keys = keys_of(found[0], keymap) if found else ()
    return display_key(keys[0]) if keys else ""


def bindings(*scopes: str) -> list[BindingType]:
    """Return Textual bindings of these scopes, each with an id so that a key map can move it."""
    return [
        Binding(
            ",".join(map(textual_key, action.keys)),
            action.id,
            action.label,
            show=bool(action.label),
            key_display=display_key(action.keys[0]),
            id=action.id,
        )
        for action in actions_of(*scopes)
        if action.keys
    ]


def bindings_of(*ids: str) -> list[BindingType]:
    """Return the bindings of some actions of everywhere, for a screen that carries them out itself."""
    return [binding for binding in bindings(EVERYWHERE) if isinstance(binding, Binding) and binding.id in ids]


def grouped(keymap: Keymap, scopes: Iterable[str] = SCOPES) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (scope's title, [(keys, help)]) for the help screen and the docs; the pane keys are one line."""
    groups = []
    for scope in scopes:
        lines: list[tuple[str, str]] = []
        for action in actions_of(scope):
            keys = [display_key(key) for key in keys_of(action, keymap)]
            if action.id == "focus_pane(1)":
                lines.append(("1–6", "focus a pane"))
            elif keys and not action.id.startswith("focus_pane("):
                lines.append((" ".join(keys), action.help))
        groups.append((SCOPES[scope], lines))
    return groups


def key_table(keymap: Keymap | None = None) -> str:
    """Return the key table of the docs, as Markdown."""
    out: list[str] = []
    for scope, lines in grouped(keymap or {}):
        out += [f"**{scope}**", "", "| key | does |", "|---|---|"]
        out += [f"| {' '.join(f'`{key}`' for key in keys.split(' '))} | {text} |" for keys, text in lines]
        out.append("")
    return "\n".join(out).rstrip() + "\n"


def check_keymap(raw: Mapping[str, object]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the key map of a user's `action = "key"` or `["key", …]` table, and its problems, one sentence each."""
    known = {action.id for action in ACTIONS}
    keymap: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for name, value in raw.items():
        keys: Sequence[object] = [value] if isinstance(value, str) else value if isinstance(value, list) else [None]
        texts = [key for key in keys if isinstance(key, str) and key]
        if name not in known:
            problems.append(f"unknown action {name!r}")
        elif len(texts) != len(keys):
            problems.append(f"{name} needs a key, or a list of keys")
        else:
            keymap[name] = tuple(texts)
    for scope in SCOPES:
        taken: dict[str, str] = {}
        for action in actions_of(scope, EVERYWHERE):
            for key in keys_of(action, keymap):
                other = taken.setdefault(textual_key(key), action.id)
                if other != action.id and (action.id in keymap or other in keymap):
                    problems.append(f"{key} is bound to both {other} and {action.id} ({SCOPES[scope]})")
    return keymap, list(dict.fromkeys(problems))
