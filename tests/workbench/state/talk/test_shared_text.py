"""Who wrote what, and where a turn of a chat ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.workbench.state.talk.shared_text import (
    MODEL_NAME,
    USER,
    USER_NAME,
    Authors,
    ChatHistory,
    Turn,
    end_turn,
    marks_of,
)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5), st.integers(0, 3))))
def test_spans_cover_the_text_after_any_edits_which_can_all_be_undone(edits):
    authors, length, done = Authors(), 0, []
    for start, end, size, author in edits:
        start, end = sorted((min(start, length), min(end, length)))
        done.append((start, size, authors.replace(start, end, marks_of(author, size))))
        length += size - (end - start)
        assert len(authors.marks) == length
        assert sum(last - first for first, last, _ in authors.spans(0, length)) == length
    for start, size, replaced in reversed(done):
        authors.replace(start, start + size, replaced)
    assert not authors.marks


def test_a_generation_knows_whether_it_is_whole():
    authors = Authors([USER] * 3 + [1] * 4)
    assert authors.last_generation == 1
    assert authors.ends_with_whole(1)
    authors.replace(5, 5, marks_of(USER, 1))
    assert authors.spans_of(1) == [(3, 5), (6, 8)]
    assert not authors.ends_with_whole(1)
    assert Authors().last_generation == 0


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
    history = ChatHistory([Turn(USER_NAME, "Hello"), Turn(MODEL_NAME, "Hi"), Turn(USER_NAME, "And?"), Turn(MODEL_NAME)])
    assert history.prompt == "You: Hello\n\nModel: Hi\n\nYou: And?\n\nModel:"
    assert history.take_back() == "And?"
    assert history.text == "You: Hello\n\nModel: Hi"
    assert history.take_back() == "Hello"
    assert history.take_back() == ""
