"""Who wrote what, and where a turn of a chat ends."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.workbench.state.talk.shared_text import (
    MODEL_NAME,
    USER,
    USER_NAME,
    ChatHistory,
    Turn,
    edit_spans,
    end_turn,
)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5), st.integers(0, 3))))
def test_spans_say_the_author_of_each_character_after_any_edits(edits):
    spans, authors = (), []  # authors: one for each character
    for start, end, size, author in edits:
        start, end = sorted((min(start, len(authors)), min(end, len(authors))))
        authors[start:end] = [author] * size
        spans = edit_spans(spans, start, end, size, author)
        said = [USER] * len(authors)
        for first, last, who in spans:
            said[first:last] = [who] * (last - first)
        assert said == authors
        assert len(spans) == sum(1 for who, _ in groupby(authors) if who != USER)


@pytest.mark.parametrize(
    ("raw", "shown", "is_over"),
    [
        (" Hi!", "Hi!", False),
        (" Hi!\n", "Hi!", False),
        (" Hi!\n\nYo", "Hi!", False),
        (" Hi!\nYou and I", "Hi!\nYou and I", False),
        (" Hi!\nYou: what", "Hi!", True),
        (" Hi!\n\nYou:", "Hi!", True),
        ("", "", False),
    ],
)
def test_an_answer_ends_where_the_users_turn_would_begin(raw, shown, is_over):
    assert end_turn(raw) == (shown, is_over)


def test_the_prompt_of_a_chat_makes_an_answer_likely():
    history = ChatHistory([Turn(USER_NAME, "Hello"), Turn(MODEL_NAME, "Hi"), Turn(USER_NAME, "And?")])
    assert history.prompt == "You: Hello\n\nModel: Hi\n\nYou: And?\n\nModel:"
    assert history.take_back() == "And?"
    assert history.text == "You: Hello\n\nModel: Hi"
    assert history.take_back() == "Hello"
    assert history.take_back() == ""
