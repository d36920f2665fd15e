"""The Talk screen: letters are text, and nothing that the model or the user wrote is lost."""

import asyncio
import time

import pytest
from textual.widgets import Input

from tests.workbench import fake_run
from tests.workbench.conftest import settle, text_of, words_in
from tui_gpt.errors import RunError, UserError
from tui_gpt.run.messages import Chunk, Generated, Loaded
from tui_gpt.workbench import keys
from tui_gpt.workbench.app import Workbench
from tui_gpt.workbench.dialogs.picker import Picker
from tui_gpt.workbench.state.talk import writer


class FakeClient:
    """A sampler without a process: a test says what it writes."""

    def __init__(self, log):
        self.loaded, self.requests, self.cancelled, self.closed = None, [], 0, 0
        self.is_running = False
        self._inbox = asyncio.Queue()

    @property
    def is_loaded(self):
        return self.loaded is not None

    async def generate(self, request):
        self.requests.append(request)
        self.is_running = True
        self._inbox = asyncio.Queue()
        while True:
            message = await self._inbox.get()
            if isinstance(message, Exception):
                raise message
            if isinstance(message, Loaded):
                self.loaded = message
            yield message
            if isinstance(message, Generated):
                return

    def say(self, *pieces):
        """Write these pieces of text, and go on."""
        id = self.requests[-1].id
        self._inbox.put_nowait(Loaded(id=id, checkpoint="", step=5, parameters=1_048_576, device="cpu"))
        for piece in pieces:
            self._inbox.put_nowait(Chunk(id=id, text=piece))

    def end(self, *pieces, ended=True, cancelled=False):
        """Write these pieces of text, and end."""
        self.say(*pieces)
        id = self.requests[-1].id
        self._inbox.put_nowait(Generated(id=id, tokens=20, seconds=0.5, ended=ended, cancelled=cancelled))

    def fail(self, error):
        self._inbox.put_nowait(error)

    def cancel(self):
        self.cancelled += 1
        self.end(" unwanted", ended=False, cancelled=True)

    async def close(self):
        self.closed += 1
        if self.is_running:
            self.say(" too late")  # what was on its way when the process was ended
            self.fail(RunError("the sampler was closed"))
        self.loaded, self.is_running = None, False


@pytest.fixture
def client(monkeypatch):
    """The client of the screen that the test opens."""
    made = []
    monkeypatch.setattr(writer, "SamplerClient", lambda log: made.append(FakeClient(log)) or made[-1])

    class Latest:
        def __getattr__(self, name):
            return getattr(made[-1], name)

    return Latest()


@pytest.fixture
def run(workspace):
    run = fake_run.finished(workspace / "runs")
    run.checkpoint(step=300, val_loss=1.5)
    run.checkpoint(step=600, val_loss=1.25)
    return run


@pytest.fixture(autouse=True)
def begin_here(monkeypatch):
    """Open the workbench on this screen: it needs no other, and starts faster."""
    choose = Workbench._first_screen
    monkeypatch.setattr(Workbench, "_first_screen", lambda self, run: choose(self, run) and keys.TALK)


async def press(app, pilot, *names):
    await pilot.press(*names)
    await wait(app, pilot)


async def type_in(pilot, text):
    await pilot.press(
        *({" ": "space", "?": "question_mark", ":": "colon", "/": "slash"}.get(char, char) for char in text)
    )


async def wait(app, pilot):
    """Let what was written arrive and be drawn; a generation may wait for the test."""
    await pilot.pause()
    app.screen_stack[0]._flush() if app.current_mode == keys.TALK and app.screen_stack[0]._written else None
    await app.poll_once()
    await pilot.pause()


async def talk(app, pilot):
    await settle(app, pilot)
    return app.screen


async def started(app, pilot, client, count=1):
    """Wait until the sampler has got `count` requests."""
    for _ in range(200):
        await pilot.pause()
        if len(client.requests) == count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{len(client.requests)} requests instead of {count}")


async def ended(app, pilot, *pieces, client, **how):
    """Let the model write these pieces and end, and wait until that is drawn."""
    client.end(*pieces, **how)
    for _ in range(200):
        await pilot.pause()
        if not app.screen.writer.is_writing:
            break
        await asyncio.sleep(0.005)
    await settle(app, pilot)


def content_of(screen):
    return screen.continuations.text_area.text


# ── letters are text, and the focus stays ───────────────────────────────────────────────────────────────────────────


async def test_the_text_has_the_focus_letters_are_text_and_no_bound_key_is_eaten(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        assert app.focused is screen.continuations.text_area
        await type_in(pilot, "qtnrupcgXzYLS[]?:/ +-0123456789")
        await settle(app, pilot)
        assert content_of(screen) == "qtnrupcgXzYLS[]?:/ +-0123456789"
        assert app.screen is screen
        await pilot.press("ctrl+u", "a", "ctrl+j", "b", "shift+enter", "c")
        assert content_of(screen) == "a\nb\nc"
        assert "ctrl+j new line" in text_of(app)
        for key in ("f6", "escape", "f7", "escape", "f9", "escape"):
            await press(app, pilot, key)
            assert app.current_mode == keys.TALK
        await type_in(pilot, "x")
        assert content_of(screen) == "a\nb\ncx"


async def test_a_bound_letter_with_alt_is_a_command_and_no_text(opened, run, client):
    """Terminals without the kitty protocol send alt+r as the letter r with a prefix."""
    from textual import events

    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        for letter in "utk":
            app.post_message(events.Key(f"alt+{letter}", letter))
            await settle(app, pilot)
        assert isinstance(app.screen, Picker)
        assert screen.is_chat
        assert content_of(screen) == screen.chat.message.text == ""
        await press(app, pilot, "escape")
        app.post_message(events.Key("alt+o", "o"))
        await wait(app, pilot)
        app.post_message(events.Key("alt+o", "o"))  # in a setting's input
        await wait(app, pilot)
        assert app.focused is screen.chat.message


async def test_the_focus_returns_after_dialogs_settings_and_other_screens(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        text = screen.continuations.text_area
        for keys_there, keys_back in (
            (["alt+k"], ["escape"]),
            (["alt+k"], ["enter"]),
            (["ctrl+p"], ["escape"]),
            (["alt+o"], ["enter"]),
            (["alt+o"], ["escape"]),
            (["alt+o"], ["alt+o"]),
            (["f1"], ["f4"]),
            (["alt+o", "f1"], ["f4"]),
        ):
            await press(app, pilot, *keys_there)
            assert app.focused is not text
            await press(app, pilot, *keys_back)
            assert (app.screen, app.focused) == (screen, text), keys_there
        await pilot.click("#talk-hint")
        await pilot.click("#sampler")
        screen.set_focus(None)
        await wait(app, pilot)
        assert app.focused is text


async def test_settings_and_pickers_asked_for_twice_open_once(opened, run, client):
    """ctrl+o twice ended the app with DuplicateIds."""
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await press(app, pilot, "alt+o", "alt+o", "ctrl+o", "ctrl+o", "f9", "f9")
        assert app.focused is screen.continuations.text_area
        await press(app, pilot, "alt+k", "alt+k", "f7")
        assert len(app.screen_stack) == 2
        await press(app, pilot, "escape")
        assert app.screen is screen
        for _ in range(2):
            screen.action_checkpoint()
        await settle(app, pilot)
        assert len(app.screen_stack) == 2


async def test_a_long_paste_arrives_whole(opened, run, client):
    from textual import events

    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        lines = [f"line {number} of a long text that is pasted" for number in range(3000)]
        app.post_message(events.Paste("\r".join(lines) + "\x1b[31m"))
        await settle(app, pilot)
        assert content_of(screen) == "\n".join(lines) + "\ufffd[31m"
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        assert len(client.requests[0].prompt) == writer.PROMPT_CHARACTERS
        assert content_of(screen).endswith(client.requests[0].prompt)
        await ended(app, pilot, " and more", client=client)
        assert content_of(screen).endswith("[31m and more")


# ── one continuation ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_newest_checkpoint_writes_and_its_words_are_told_apart(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        assert "step 600 · val 1.250" in text_of(app)
        await type_in(pilot, "Mia went")
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        asked = client.requests[0]
        assert (asked.prompt, asked.tokens, asked.temperature, asked.device) == ("Mia went", 128, 0.8, "auto")
        assert asked.checkpoint.endswith("step-00000600")
        client.say(" ho")
        await wait(app, pilot)
        assert content_of(screen) == "Mia went ho"
        assert "● writing…" in text_of(app)
        await ended(app, pilot, "me.\x1b[31m", client=client)
        assert content_of(screen) == "Mia went home.\ufffd[31m"
        assert screen.continuations.text_area.spans == ((8, 19, 1),)
        assert [(span.start, span.end) for span in screen.continuations.text_area.get_line(0).spans] == [(8, 19)]
        shown = text_of(app)
        assert "20 tokens, 40 tokens/s" in shown
        assert "1.05M parameters on cpu" in shown
        assert "the model ended its text" in shown


async def test_an_empty_text_is_the_start_of_a_document(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        assert client.requests[0].prompt == ""
        await ended(app, pilot, "Once", client=client)
        await press(app, pilot, "enter")
        await started(app, pilot, client, 2)
        assert client.requests[1].prompt == "Once"
        await ended(app, pilot, " more", client=client, ended=False)
        assert content_of(screen) == "Once more"
        assert "length reached" in text_of(app)


async def test_escape_stops_keeps_what_was_written_and_then_goes_back(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await type_in(pilot, "a")
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        client.say(" b")
        await wait(app, pilot)
        await pilot.press("escape")
        await settle(app, pilot)
        assert client.cancelled == 1
        assert content_of(screen) == "a b"
        assert "stopped" in text_of(app)
        screen._ended_at = time.monotonic()
        await press(app, pilot, "escape")  # in time to be meant for the model
        assert app.current_mode == keys.TALK
        screen._ended_at -= 1
        await press(app, pilot, "escape")
        assert app.current_mode == keys.DASHBOARD
        await press(app, pilot, "f4")
        assert content_of(screen) == "a b"


async def test_what_is_typed_while_the_model_writes_corrupts_nothing_and_is_not_lost(opened, run, client):
    """It went between the model's words, and into the completions that were compared."""
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await type_in(pilot, "a")
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        client.say(" b")
        await wait(app, pilot)
        await type_in(pilot, " and nok")
        await pilot.press("backspace", "w", "delete", "ctrl+z", "ctrl+x", "ctrl+k", "ctrl+u", "left")
        await wait(app, pilot)
        assert content_of(screen) == "a b"
        assert "“ and now” is added when it stops" in text_of(app)
        await press(app, pilot, "end")
        await ended(app, pilot, " c", client=client)
        assert content_of(screen) == "a b c and now"
        assert screen.continuations.text_area.spans == ((1, 5, 1),)


async def test_undo_takes_out_the_models_words_and_leaves_the_users(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await type_in(pilot, "a")
        for number, words in enumerate((" one\n\ntwo", " three"), 1):
            await press(app, pilot, "enter")
            await started(app, pilot, client, number)
            await ended(app, pilot, words, client=client)
            await type_in(pilot, "!")
        assert content_of(screen) == "a one\n\ntwo! three!"
        await press(app, pilot, "alt+u")
        assert content_of(screen) == "a one\n\ntwo!!"
        await press(app, pilot, "alt+u", "alt+u")
        assert content_of(screen) == "a!!"
        await press(app, pilot, "alt+n")
        assert content_of(screen) == ""
        await press(app, pilot, "ctrl+z")
        assert content_of(screen) == "a!!"


async def test_retry_writes_another_with_the_next_seed(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await type_in(pilot, "a")
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        await ended(app, pilot, " one", client=client)
        await press(app, pilot, "alt+r")
        await started(app, pilot, client, 2)
        assert (client.requests[1].prompt, client.requests[1].seed) == ("a", client.requests[0].seed + 1)
        await ended(app, pilot, " two", client=client)
        assert content_of(screen) == "a two"
        assert screen.query_one("#seed", Input).value == "2"
        await type_in(pilot, "!")
        await press(app, pilot, "alt+r")
        assert content_of(screen) == "a two!"  # the user's words are not thrown away
        assert "written on" in words_in(text_of(app))


async def test_an_error_is_told_and_the_text_can_be_written_again(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        client.fail(UserError("the checkpoint is damaged"))
        await settle(app, pilot)
        assert "the checkpoint is damaged" in words_in(text_of(app))
        await type_in(pilot, "on")
        assert content_of(screen) == "on"


async def test_nothing_comes_from_a_sampler_that_was_unloaded(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        client.say("a")
        await wait(app, pilot)
        screen.action_unload()
        await settle(app, pilot)
        assert client.closed == 1
        assert content_of(screen) == "a"
        assert "unloaded, memory is free" in text_of(app)
        assert "was closed" not in text_of(app)
        await type_in(pilot, "b")
        assert content_of(screen) == "ab"


async def test_leaving_ends_the_sampler_and_what_it_was_writing(opened, run, client):
    async with opened() as (app, pilot):
        await talk(app, pilot)
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        app.exit(0)
        await pilot.pause()
    assert client.closed == 1


# ── several continuations ───────────────────────────────────────────────────────────────────────────────────────────


async def three_written(app, pilot, client, screen):
    await press(app, pilot, "alt+o", "up", "3", "enter")
    await type_in(pilot, "a")
    await press(app, pilot, "enter")
    for number, words in enumerate((" one", " two", " three"), 1):
        await started(app, pilot, client, number)
        client.end(words)
    await settle(app, pilot)


async def test_of_several_completions_one_is_kept(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await three_written(app, pilot, client, screen)
        assert [request.seed for request in client.requests] == [1, 2, 3]
        assert {request.prompt for request in client.requests} == {"a"}
        assert [column.text for column in screen.continuations.columns] == ["a one", "a two", "a three"]
        for number in (1, 2, 3):
            assert f"completion {number}/3" in text_of(app)
        await press(app, pilot, "alt+right", "alt+right", "alt+left", "enter")
        assert content_of(screen) == "a two"
        assert len(screen.continuations.columns) == 1
        assert screen.continuations.text_area.spans == ((1, 5, 1),)
        assert len(client.requests) == 3
        await press(app, pilot, "enter")
        for number, words in enumerate((" four", " five", " six"), 4):
            await started(app, pilot, client, number)
            client.end(words)
        await settle(app, pilot)
        await press(app, pilot, "tab")
        await type_in(pilot, "!?")  # typing in a completion keeps it
        await settle(app, pilot)
        assert content_of(screen) == "a two five!?"
        assert app.focused is screen.continuations.text_area


async def test_retry_beside_completions_writes_all_anew_escape_drops_the_others_and_undo_all(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await three_written(app, pilot, client, screen)
        await press(app, pilot, "alt+r")
        for number in (4, 5, 6):
            await started(app, pilot, client, number)
            client.end(f" {number}")
        await settle(app, pilot)
        assert [request.seed for request in client.requests[3:]] == [4, 5, 6]
        assert [column.text for column in screen.continuations.columns] == ["a 4", "a 5", "a 6"]
        screen._ended_at -= 1
        await press(app, pilot, "escape")
        assert content_of(screen) == "a 4"
        assert app.current_mode == keys.TALK
        await press(app, pilot, "alt+u", "alt+k", "escape", "enter")
        await started(app, pilot, client, 7)
        assert client.requests[6].prompt == "a"


async def test_what_is_typed_while_completions_are_written_is_added_to_the_one_kept(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        app.session.preferences.talk = app.session.preferences.talk.__class__(completions=2)
        await type_in(pilot, "a")
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        await type_in(pilot, "!")
        client.end(" one")
        await started(app, pilot, client, 2)
        await ended(app, pilot, " two", client=client)
        assert [column.text for column in screen.continuations.columns] == ["a one", "a two"]
        await press(app, pilot, "alt+right", "enter")
        assert content_of(screen) == "a two!"


async def test_a_stop_keeps_the_completions_that_were_written(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        app.session.preferences.talk = app.session.preferences.talk.__class__(completions=4)
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        client.end("one")
        await started(app, pilot, client, 2)
        client.say("tw")
        await wait(app, pilot)
        await press(app, pilot, "escape")
        await settle(app, pilot)
        assert [column.text for column in screen.continuations.columns] == ["one", "tw", "", ""]
        assert len(client.requests) == 2
        screen._ended_at -= 1
        await press(app, pilot, "escape")
        assert content_of(screen) == "one"


async def test_two_checkpoints_write_from_the_same_beginning(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await type_in(pilot, "a")
        await press(app, pilot, "f6")
        assert isinstance(app.screen, Picker)
        await press(app, pilot, "down", "enter")
        shown = text_of(app)
        assert "A · " in shown and "step 600 · val 1.250" in shown
        assert "B · " in shown and "step 300 · val 1.500" in shown
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        client.end(" new")
        await started(app, pilot, client, 2)
        await ended(app, pilot, " old", client=client)
        first, second = client.requests
        assert (first.prompt, first.seed) == (second.prompt, second.seed) == ("a", 1)
        assert first.checkpoint.endswith("600") and second.checkpoint.endswith("300")
        assert [column.text for column in screen.continuations.columns] == ["a new", "a old"]
        await press(app, pilot, "tab", "enter")
        assert content_of(screen) == "a old"
        await type_in(pilot, "!")
        assert content_of(screen) == "a old!"
        await press(app, pilot, "f6")
        assert "B · " not in text_of(app) and len(screen.continuations.columns) == 1


# ── chat ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_chat_ends_the_answer_where_the_users_turn_would_begin(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await press(app, pilot, "alt+t")
        await type_in(pilot, "Hello?")
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        assert client.requests[0].prompt == "You: Hello?\n\nModel:"
        assert "it was not trained to answer" in words_in(text_of(app))
        client.say(" Hi!", "\nYo")
        await wait(app, pilot)
        assert screen.chat.text == "You: Hello?\n\nModel: Hi!"
        client.say("u: and more")
        await wait(app, pilot)
        await settle(app, pilot)
        assert client.cancelled == 1
        assert screen.chat.text == "You: Hello?\n\nModel: Hi!"
        assert "the model ended its turn" in text_of(app)
        await type_in(pilot, "And?")
        await press(app, pilot, "enter")
        await started(app, pilot, client, 2)
        assert client.requests[1].prompt == "You: Hello?\n\nModel: Hi!\n\nYou: And?\n\nModel:"


async def test_a_chat_can_be_retried_and_taken_back(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await press(app, pilot, "alt+t")
        await type_in(pilot, "Hello")
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        await type_in(pilot, "next")  # the message can be written meanwhile
        await press(app, pilot, "enter")
        assert len(client.requests) == 1
        await ended(app, pilot, " one", client=client)
        await press(app, pilot, "alt+r")
        await started(app, pilot, client, 2)
        assert client.requests[1].prompt == "You: Hello\n\nModel:"
        await ended(app, pilot, " two", client=client)
        assert screen.chat.text == "You: Hello\n\nModel: two"
        assert screen.chat.message.text == "next"
        await pilot.press("ctrl+u")
        await press(app, pilot, "alt+u")
        assert (screen.chat.text, screen.chat.message.text) == ("", "Hello")


async def test_text_and_chat_keep_what_each_holds(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await type_in(pilot, "text")
        await press(app, pilot, "alt+t")
        await type_in(pilot, "message")
        await press(app, pilot, "alt+t")
        assert app.focused is screen.continuations.text_area
        await type_in(pilot, "!")
        assert (content_of(screen), screen.chat.message.text) == ("text!", "message")
        assert screen.text_to_copy() == "text!"
        await press(app, pilot, "alt+y")
        assert app.clipboard == "text!"


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_settings_are_checked_as_they_are_typed(opened, run, client):
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await press(app, pilot, "alt+o", "down", "down")
        assert app.focused.id == "top_p"
        assert "probability" in words_in(text_of(app))
        await press(app, pilot, "2")
        assert app.focused.has_class("-invalid")
        assert "✗ a number, above 0 and at most 1" in words_in(text_of(app))
        assert app.session.preferences.talk.top_p == 1
        await press(app, pilot, "backspace", "0", ".", "5")
        assert app.session.preferences.talk.top_p == 0.5
        await press(app, pilot, "9", "9", "x", "q", "backspace", "backspace", "backspace", "backspace")
        await press(app, pilot, "enter")
        assert screen.query_one("#top_p", Input).value == "0.5"
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        assert client.requests[0].top_p == 0.5


async def test_the_settings_of_talk_are_those_of_the_schema():
    from tui_gpt.config.schema import SamplingConfig
    from tui_gpt.workbench.panes.talk.sampling_settings import problem_of
    from tui_gpt.workbench.state.preferences import TalkSettings

    for name in ("temperature", "top_k", "top_p", "min_p", "tokens"):
        assert getattr(SamplingConfig(), name) == getattr(TalkSettings(), name)
    for name in TalkSettings.__struct_fields__:
        assert not problem_of(name, str(getattr(TalkSettings(), name)))
        for text in ("", "-1", "nan", "x", "1e999", "٣"):
            assert problem_of(name, text), (name, text)


async def test_a_narrow_terminal_shows_the_settings_over_the_text(opened, run, client):
    async with opened(size=(80, 24)) as (app, pilot):
        screen = await talk(app, pilot)
        assert "temperature" not in text_of(app)
        await press(app, pilot, "alt+o")
        assert "temperature" in text_of(app)
        assert app.focused.id == "temperature"
        await press(app, pilot, "escape")
        assert "temperature" not in text_of(app)
        assert app.focused is screen.continuations.text_area


# ── checkpoints ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_any_checkpoint_of_any_run_can_be_chosen(opened, run, workspace, client):
    other = fake_run.finished(workspace / "runs", "20261101-000000-older")
    other.checkpoint("best", step=50, val_loss=2.5)
    async with opened(run=run.folder.id) as (app, pilot):
        screen = await talk(app, pilot)
        await press(app, pilot, "alt+k")
        shown = words_in(text_of(app))
        assert "step 600 · val 1.250 full" in shown
        assert "step 50 · val 2.500 best" in shown and "20261101-000000-older" in shown
        await type_in(pilot, "older")
        await press(app, pilot, "enter")
        assert screen.current.info.path.name == "step-00000050"
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        assert client.requests[0].checkpoint.endswith("step-00000050")


async def test_a_live_run_without_a_checkpoint_names_the_key_that_saves_one(opened, workspace, client):
    run = fake_run.running(workspace / "runs", steps=20)
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        assert "has no checkpoint yet: alt+s saves one now" in words_in(text_of(app))
        await press(app, pilot, "enter")
        assert not client.requests
        await press(app, pilot, "alt+s")
        await settle(app, pilot)
        assert [command.name for command in run.acknowledge(message="saved a checkpoint")] == ["checkpoint"]
        assert "saving a checkpoint…" in text_of(app)
        run.checkpoint(step=20)
        await settle(app, pilot)
        assert screen.current.info.step == 20
        assert "step 20" in text_of(app)


async def test_a_checkpoint_that_is_refused_is_not_waited_for(opened, workspace, client):
    run = fake_run.running(workspace / "runs", steps=20)
    async with opened() as (app, pilot):
        await talk(app, pilot)
        await press(app, pilot, "alt+s")
        await settle(app, pilot)
        run.acknowledge(ok=False, message="the disk is full")
        await settle(app, pilot)
        assert "the disk is full" in words_in(text_of(app))
        assert "alt+s saves one now" in words_in(text_of(app))


async def test_the_picker_offers_to_save_one_where_none_is_newer(opened, workspace, client):
    run = fake_run.running(workspace / "runs", steps=20)
    run.checkpoint(step=10)
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        await press(app, pilot, "alt+k", "up", "up")
        await type_in(pilot, "save one")
        await press(app, pilot, "enter")
        await settle(app, pilot)
        assert [command.name for command in run.acknowledge()] == ["checkpoint"]
        assert app.focused is screen.continuations.text_area
        run.checkpoint(step=20)
        await settle(app, pilot)
        assert screen.current.info.step == 20
        await press(app, pilot, "alt+k")
        assert "save one now" not in text_of(app)


async def test_without_any_checkpoint_it_says_what_to_do(opened, workspace, client):
    async with opened() as (app, pilot):
        await talk(app, pilot)
        assert "No run has a checkpoint yet" in words_in(text_of(app))
        await press(app, pilot, "enter", "alt+k", "f6")
        assert not client.requests
        assert len(app.screen_stack) == 1


async def test_no_gpu_is_used_on_which_any_live_run_trains(opened, workspace, client):
    shown = fake_run.finished(workspace / "runs")
    shown.checkpoint(step=600)
    other = fake_run.running(workspace / "runs", steps=20)
    other.set_status("running", "training", gpu_uuid="GPU-1")
    async with opened(run=shown.folder.id) as (app, pilot):
        await talk(app, pilot)
        await press(app, pilot, "enter")
        await started(app, pilot, client)
        assert client.requests[0].device == "cpu"
        await wait(app, pilot)
        assert "the sampler uses the CPU" in words_in(text_of(app))


async def test_a_sampler_on_the_gpu_is_ended_when_a_run_begins_to_train_there(opened, workspace, client):
    run = fake_run.running(workspace / "runs", steps=20)
    run.checkpoint(step=20)
    async with opened() as (app, pilot):
        screen = await talk(app, pilot)
        screen.writer.client.loaded = Loaded(id="", checkpoint="", step=1, parameters=1, device="cuda")
        run.set_status("running", "training", gpu_uuid="GPU-1")
        await app.poll_once()
        assert client.closed == 1
        assert client.loaded is None
