"""Every key of the workbench, once: bindings, footer, help, command palette and the docs' table are all read off here.

An action's `id` is the name of the method `action_<id>` that carries it out, and the name that a user's key map uses.
Bare letters are bound on screens without priority, so that text inputs win. No ctrl+s, q, z, a, b, i, m or h: terminals
and multiplexers take those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from textual.binding import Binding, BindingType

EVERYWHERE, DASHBOARD, RUNS, TALK = "everywhere", "dashboard", "runs", "talk"
CORPORA, TOKENS = "corpora", "tokens"
PLACES = {
    EVERYWHERE: "Everywhere",
    DASHBOARD: "Dashboard",
    RUNS: "Runs",
    TALK: "Talk",
    CORPORA: "Corpora",
    TOKENS: "Token view",
}


@dataclass(frozen=True)
class Action:
    """One thing that a key does. `label` is the footer's word, `help` the sentence of help, palette and docs."""

    id: str
    keys: tuple[str, ...]
    label: str
    help: str
    place: str = EVERYWHERE
    palette: bool = True


def _pane(number: int, name: str) -> Action:
    return Action(f"pane({number})", (str(number),), name.lower(), f"focus {name}", DASHBOARD)


ACTIONS: tuple[Action, ...] = (
    # the run
    Action("start", ("s",), "start", "start the run that the config describes", DASHBOARD),
    Action("pause", ("p",), "pause", "pause the trainer, or resume it", DASHBOARD),
    Action("checkpoint", ("c",), "checkpoint", "save a full checkpoint now", DASHBOARD),
    Action("stop", ("X",), "stop", "stop the run: asks, and saves first", DASHBOARD),
    Action("sample", ("g",), "sample", "let the model write a sample now", DASHBOARD),
    Action("log", ("l",), "log", "read the trainer's log", DASHBOARD),
    Action("draft", ("n",), "new run", "leave this run and go to the config of the next one", DASHBOARD),
    # the config
    Action("activate", ("enter",), "edit", "edit the setting, choose the corpus, open what the pane offers", DASHBOARD),
    Action("reset", ("backspace", "delete"), "reset", "put the setting back to the preset's value", DASHBOARD),
    Action("prepare", ("P",), "prepare", "prepare the corpus now: tokens are counted", DASHBOARD),
    Action("tokens", ("v",), "tokens", "see how the tokenizer cuts the corpus", DASHBOARD),
    Action("editor", ("e",), "editor", "edit the config as TOML in $EDITOR", DASHBOARD),
    Action("save", ("w",), "save", "save the config under a name, in configs/", DASHBOARD),
    Action("adopt", ("u",), "use", "use the shown run's config for the next run", DASHBOARD),
    # the view
    *(
        _pane(number, name)
        for number, name in enumerate(
            ("Config", "Corpus", "Loss", "Throughput", "Gradient norm", "Machine", "Samples", "Events", "Run"), 1
        )
    ),
    Action("next_pane", ("tab",), "next pane", "go to the next pane", DASHBOARD, palette=False),
    Action("previous_pane", ("shift+tab",), "previous pane", "go to the previous pane", DASHBOARD, palette=False),
    Action("maximise", ("z",), "zoom", "maximise the pane, or put it back", DASHBOARD),
    Action("log_y", ("y",), "log-y", "loss on a logarithmic axis, or a linear one", DASHBOARD),
    Action("smoother", ("+", "="), "smooth", "smooth the loss more", DASHBOARD),
    Action("rougher", ("-",), "smooth", "smooth the loss less", DASHBOARD),
    Action("unsmoothed", ("0",), "raw", "show the loss as it was logged", DASHBOARD),
    Action("axis", ("x",), "x axis", "count the x axis in steps, tokens or time", DASHBOARD),
    Action("freeze", ("space",), "freeze", "freeze the view; the run goes on", DASHBOARD),
    Action("filter", ("/",), "filter", "filter the pane: settings, events, samples", DASHBOARD),
    Action("refresh", ("r",), "refresh", "read machine and corpora again", DASHBOARD),
    # the list of runs
    Action("open", ("enter",), "open", "open the run on the dashboard", RUNS),
    Action("mark", ("space",), "overlay", "put the run's loss into the chart, or take it out", RUNS),
    Action("resume", ("r",), "resume", "go on with a run that has ended", RUNS),
    Action("rename", ("R",), "rename", "give the run another name", RUNS),
    Action("note", ("n",), "note", "write a line about the run", RUNS),
    Action("delete", ("d",), "delete", "delete the run: says its size, and asks", RUNS),
    Action("show_log", ("l",), "log", "read the run's log", RUNS),
    Action("show_events", ("e",), "events", "read the run's events", RUNS),
    Action("talk_run", ("T",), "talk to it", "talk to the run's newest checkpoint", RUNS),
    Action("order", ("o",), "order", "order by start, loss, steps or size", RUNS),
    Action("filter_runs", ("/",), "filter", "show only runs whose line holds a text", RUNS),
    Action("log_y_runs", ("y",), "log-y", "overlay on a logarithmic axis, or a linear one", RUNS),
    # sampling
    Action("generate", ("g", "ctrl+g"), "generate", "continue the text from its end", TALK),
    Action("retry", ("r", "ctrl+r"), "retry", "take back what the model wrote last and write again", TALK),
    Action("undo_text", ("u", "f8"), "undo", "take back what the model wrote last", TALK),
    Action("edit_text", ("i", "enter"), "write", "write in the text; esc leaves it", TALK),
    Action(
        "settings", ("o", "ctrl+o"), "settings", "temperature, top-k, top-p, min-p, seed, length, completions", TALK
    ),
    Action("checkpoint_picker", ("k", "f7"), "checkpoint", "choose which checkpoint speaks", TALK),
    Action("chat_mode", ("m", "f6"), "turns", "write in turns, or in one text", TALK),
    Action("clear_text", ("D",), "clear", "empty the text", TALK),
    Action("unload", ("U",), "unload", "end the sampler and free its memory", TALK),
    # corpora
    Action("take_corpus", ("enter",), "choose", "learn from it in the next run; what is not here is fetched", CORPORA),
    Action("fetch_corpus", ("f",), "fetch", "fetch it: says size and licence, and asks", CORPORA),
    Action("clean_corpus", ("c",), "clean", "make a clean copy of it: shows the steps, then a report", CORPORA),
    Action("prepare_corpus", ("p",), "prepare", "prepare it for the draft's tokenizer: tokens are counted", CORPORA),
    Action("view_tokens", ("v",), "tokens", "see how the draft's tokenizer cuts it", CORPORA),
    Action("report_corpus", ("R",), "report", "what cleaning did to it, or would do", CORPORA),
    Action("open_path", ("o",), "path", "choose a file or a folder by its path", CORPORA),
    Action("cancel_chore", ("x",), "cancel", "cancel what is under way", CORPORA),
    Action("filter_corpora", ("/",), "filter", "show only corpora whose line holds a text", CORPORA),
    Action("refresh_corpora", ("r",), "refresh", "read the corpora again", CORPORA),
    # the token view
    Action("next_token", ("right",), "next token", "mark the next token", TOKENS, palette=False),
    Action("previous_token", ("left",), "previous token", "mark the token before", TOKENS, palette=False),
    # everywhere
    Action("talk", ("t",), "talk", "talk: write with a checkpoint"),
    Action("next_screen", ("]",), "next screen", "go to the next screen"),
    Action("previous_screen", ("[",), "previous screen", "go to the previous screen"),
    Action("up", ("up",), "up", "up", palette=False),
    Action("down", ("down",), "down", "down", palette=False),
    Action("page_up", ("pageup",), "page up", "a page up", palette=False),
    Action("page_down", ("pagedown",), "page down", "a page down", palette=False),
    Action("top", ("home",), "top", "to the top", palette=False),
    Action("bottom", ("end",), "bottom", "to the bottom", palette=False),
    Action("copy", ("Y",), "copy", "copy what the pane shows (OSC 52, and a file)"),
    Action("theme", (), "theme", "choose the colours: dusk, paper, or the terminal's own"),
    Action("back", ("escape",), "back", "stop a generation, leave an input, un-maximise, go back", palette=False),
    Action("help", ("question_mark", "f1"), "help", "show every key"),
    Action("palette", ("colon", "ctrl+p"), "commands", "find a command by its name", palette=False),
    Action("quit", ("q",), "quit", "quit; a live run goes on if you say so"),
)

BY_ID = {action.id: action for action in ACTIONS}

_SHOWN = {
    "question_mark": "?",
    "colon": ":",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "slash": "/",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}
_NAMED = {"/": "slash", "+": "plus", "-": "minus", "=": "equals_sign", "[": "left_square_bracket"} | {
    "]": "right_square_bracket",
    "?": "question_mark",
    ":": "colon",
    "esc": "escape",
    "pgup": "pageup",
    "pgdn": "pagedown",
}

Keymap = Mapping[str, tuple[str, ...]]  # an action's id: the user's keys for it


def keys_of(action: Action, keymap: Keymap) -> tuple[str, ...]:
    return keymap.get(action.id, action.keys)


def shown(key: str) -> str:
    """A key as people write it."""
    return _SHOWN.get(key, key)


def textual_key(key: str) -> str:
    """A key as Textual names it."""
    return _NAMED.get(key, key)


def actions_of(*places: str) -> list[Action]:
    return [action for action in ACTIONS if action.place in places]


def bindings(*places: str) -> list[BindingType]:
    """What a screen binds: each action by id, so that a key map can move it."""
    return [
        Binding(",".join(map(textual_key, action.keys)), action.id, action.label, show=False, id=action.id)
        for action in actions_of(*places)
        if action.keys
    ]


def bindings_of(*names: str) -> list[BindingType]:
    """Some actions of everywhere, for a dialog that takes no others."""
    return [binding for binding in bindings(EVERYWHERE) if isinstance(binding, Binding) and binding.id in names]


def grouped(keymap: Keymap, places: Iterable[str] = PLACES) -> list[tuple[str, list[tuple[str, str]]]]:
    """(place, [(keys, what they do)]) for the help screen and the docs; the nine pane keys are one line."""
    groups = []
    for place in places:
        lines: list[tuple[str, str]] = []
        for action in actions_of(place):
            keys = [shown(key) for key in keys_of(action, keymap)]
            if action.id == "pane(1)":
                lines.append(("1–9", "focus a pane"))
            elif keys and not action.id.startswith("pane("):
                lines.append((" ".join(keys), action.help))
        groups.append((PLACES[place], lines))
    return groups


def key_table(keymap: Keymap | None = None) -> str:
    """The docs' key table, as Markdown."""
    out: list[str] = []
    for place, lines in grouped(keymap or {}):
        out += [f"**{place}**", "", "| key | does |", "|---|---|"]
        out += [f"| {_code(keys)} | {text} |" for keys, text in lines]
        out.append("")
    return "\n".join(out).rstrip() + "\n"


def _code(keys: str) -> str:
    return " ".join(f"`{key}`" for key in keys.split(" "))


def check_keymap(raw: Mapping[str, object]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """A user's `action = "key"` or `["key", …]` table as a key map, and what is wrong with it, in words."""
    keymap: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for name, value in raw.items():
        keys: Sequence[object] = [value] if isinstance(value, str) else value if isinstance(value, list) else [None]
        texts = [key for key in keys if isinstance(key, str) and key]
        if name not in BY_ID:
            problems.append(f"{name} is no action")
        elif len(texts) != len(keys):
            problems.append(f"{name} needs a key, or a list of keys")
        else:
            keymap[name] = tuple(texts)
    for place in PLACES:
        taken: dict[str, str] = {}
        for action in actions_of(place, EVERYWHERE):
            for key in keys_of(action, keymap):
                other = taken.setdefault(textual_key(key), action.id)
                if other != action.id and (action.id in keymap or other in keymap):
                    problems.append(f"{key} means both {other} and {action.id} ({PLACES[place]})")
    return keymap, list(dict.fromkeys(problems))
