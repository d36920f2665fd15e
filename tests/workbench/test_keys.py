"""One table of keys: no key means two things, a letter means one thing, none is one that terminals take."""

from collections import defaultdict
from importlib import import_module

import pytest

from tui_gpt.workbench import keys
from tui_gpt.workbench.app import Workbench
from tui_gpt.workbench.keys import ACTIONS, EVERYWHERE, SCOPES, SCREENS, check_keymap, key_table

WORK_SCREENS = {
    keys.DASHBOARD: ("dashboard", "DashboardScreen"),
    keys.NEW_RUN: ("new_run", "NewRunScreen"),
    keys.RUNS: ("runs", "RunsScreen"),
    keys.TALK: ("talk", "TalkScreen"),
    keys.CORPORA: ("corpora", "CorporaScreen"),
    keys.TOKENS: ("tokens", "TokensScreen"),
}


def screen_class(scope):
    module, name = WORK_SCREENS[scope]
    return getattr(import_module(f"tui_gpt.workbench.screens.{module}"), name)


@pytest.mark.parametrize("scope", [scope for scope in SCOPES if scope != EVERYWHERE])
def test_no_key_means_two_things_on_one_screen(scope):
    meanings = defaultdict(set)  # a screen may carry out an action of everywhere in its own way
    for action in keys.actions_of(scope, EVERYWHERE):
        for key in action.keys:
            meanings[key].add(action.id)
    assert {key: ids for key, ids in meanings.items() if len(ids) > 1} == {}


def test_a_letter_means_the_same_on_every_screen():
    meanings = defaultdict(set)
    for action in ACTIONS:
        for key in action.keys:
            if len(key) == 1 and key.isalpha():
                meanings[key].add(action.id)
    assert {key: ids for key, ids in meanings.items() if len(ids) > 1} == {}


def test_no_key_is_one_that_terminals_and_multiplexers_take():
    assert not {key for action in ACTIONS for key in action.keys} & {f"ctrl+{letter}" for letter in "sqzabimh"}


def test_no_bare_letter_wins_over_a_text_input():
    assert not any(binding.priority for scope in SCOPES for binding in keys.bindings(scope))


def test_no_command_of_talk_is_a_letter():
    for action in keys.actions_of(keys.TALK):
        assert all(len(key) > 1 for key in action.keys), action.id


@pytest.mark.parametrize("scope", list(WORK_SCREENS))
def test_every_action_of_a_screen_can_be_carried_out(scope):
    for action in keys.actions_of(scope):
        assert callable(getattr(screen_class(scope), f"action_{action.id.partition('(')[0]}", None)), action.id


def test_every_action_of_everywhere_can_be_carried_out():
    for action in keys.actions_of(EVERYWHERE):
        name = f"action_{action.id.partition('(')[0]}"
        on_screens = all(hasattr(screen_class(scope), name) for scope in SCREENS)
        assert hasattr(Workbench, name) or on_screens, action.id


def test_every_screen_can_be_reached_directly():
    for number, scope in enumerate(SCREENS, 1):
        (action,) = [action for action in ACTIONS if action.id == f"show_screen('{scope}')"]
        assert action.keys == (f"f{number}",)


@pytest.mark.parametrize(
    ("key", "action"),
    [
        *(("s", "start"), ("p", "pause"), ("c", "checkpoint"), ("X", "stop"), ("g", "sample"), ("z", "maximize")),
        *(("y", "log_scale"), ("x", "x_axis"), ("space", "freeze"), ("slash", "filter"), ("plus", "smoother")),
    ],
)
def test_the_fingers_find_every_key_where_they_expect_it(key, action):
    assert any(key in found.keys for found in keys.actions_of(keys.DASHBOARD) if found.id == action)


def test_the_docs_table_names_every_key():
    table = key_table()
    for action in ACTIONS:
        if action.keys and not action.id.startswith("focus_pane("):
            assert action.help in table
            for key in action.keys:
                assert f"`{keys.display_key(key)}`" in table
    assert "| `1–6` | focus a pane |" in table


def test_a_key_map_moves_keys_and_says_what_is_wrong_in_it():
    keymap, problems = check_keymap({"start": "S", "pause": ["f5", "P"], "strat": "x", "stop": 3})
    assert keymap == {"start": ("S",), "pause": ("f5", "P")}
    assert "unknown action 'strat'" in problems
    assert any(problem.startswith("stop needs") for problem in problems)
    assert any("f5 is bound to both" in problem for problem in problems)


def test_hints_and_docs_show_the_users_keys():
    assert "| `f12` | save a full checkpoint now |" in key_table({"checkpoint": ("f12",)})
    assert keys.key_hint("checkpoint", {"checkpoint": ("f12",)}, keys.DASHBOARD) == "f12"
    assert keys.key_hint("filter", {}, keys.RUNS) == "/"
