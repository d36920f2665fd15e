"""One table of keys: no key means two things, none is one that terminals take, and the docs are made from it."""

import pytest

from tui_gpt.workbench import actions
from tui_gpt.workbench.actions import (
    ACTIONS,
    CORPORA,
    DASHBOARD,
    EVERYWHERE,
    RUNS,
    TALK,
    TOKENS,
    check_keymap,
    key_table,
)
from tui_gpt.workbench.corpora_screen import CorporaScreen
from tui_gpt.workbench.dashboard import Dashboard
from tui_gpt.workbench.runs_screen import RunsScreen
from tui_gpt.workbench.talk_screen import TalkScreen


@pytest.mark.parametrize("place", [DASHBOARD, RUNS, TALK, CORPORA, TOKENS])
def test_no_key_means_two_things_on_one_screen(place):
    keys = [key for action in actions.actions_of(place, EVERYWHERE) for key in action.keys]
    assert len(keys) == len(set(keys))


def test_no_key_is_one_that_terminals_and_multiplexers_take():
    keys = {key for action in ACTIONS for key in action.keys}
    assert not keys & {f"ctrl+{letter}" for letter in "sqzabimh"}


def test_no_bare_letter_wins_over_a_text_input():
    for action in ACTIONS:
        for binding in actions.bindings(action.place):
            assert not binding.priority


SCREENS = [(Dashboard, DASHBOARD), (RunsScreen, RUNS), (TalkScreen, TALK), (CorporaScreen, CORPORA)]


@pytest.mark.parametrize(("screen", "place"), SCREENS)
def test_every_action_of_a_screen_can_be_carried_out(screen, place):
    for action in actions.actions_of(place, EVERYWHERE):
        assert callable(getattr(screen, f"action_{action.id.partition('(')[0]}", None)), action.id


@pytest.mark.parametrize(
    ("key", "action"),
    [
        *(("s", "start"), ("p", "pause"), ("c", "checkpoint"), ("X", "stop"), ("g", "sample"), ("z", "maximise")),
        *(("y", "log_y"), ("x", "axis"), ("space", "freeze"), ("/", "filter"), ("+", "smoother"), ("0", "unsmoothed")),
    ],
)
def test_the_fingers_find_every_key_where_they_expect_it(key, action):
    assert key in actions.BY_ID[action].keys


def test_the_docs_table_names_every_key():
    table = key_table()
    for action in ACTIONS:
        if action.keys and not action.id.startswith("pane("):
            assert action.help in table
            for key in action.keys:
                assert f"`{actions.shown(key)}`" in table
    assert "| `1–9` | focus a pane |" in table


def test_a_key_map_moves_keys_and_says_what_is_wrong_in_it():
    keymap, problems = check_keymap({"start": "S", "pause": ["f5", "P"], "strat": "x", "stop": 3})
    assert keymap == {"start": ("S",), "pause": ("f5", "P")}
    assert "strat is no action" in problems
    assert any(problem.startswith("stop needs") for problem in problems)
    assert any("P means both" in problem for problem in problems)


def test_the_docs_show_the_users_keys():
    assert "| `f9` | save a full checkpoint now |" in key_table({"checkpoint": ("f9",)})
