"""The sampling screen: a text by two hands, and a sampler that is asked, stopped and freed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workbench import fake_run
from tests.workbench.conftest import settle, text_of
from tui_gpt.checkpoints.manifest import MANIFEST, Manifest
from tui_gpt.config.schema import SamplingConfig
from tui_gpt.run.messages import Chunk, Failure, Generated, Loaded, RequestFailed
from tui_gpt.workbench import talk_screen
from tui_gpt.workbench.manuscript import MODEL, USER, Authors
from tui_gpt.workbench.memory import Talk


def save(run, step: int) -> None:
    """A checkpoint as far as a list of checkpoints can tell."""
    import msgspec

    path = run.folder.checkpoints / f"step-{step:08d}"
    path.mkdir()
    manifest = Manifest(
        kind="full", step=step, tokens=step, vocab_size=9, parameters=9, files={}, val_loss=1.5, created=1.0
    )
    (path / MANIFEST).write_bytes(msgspec.json.encode(manifest))


class FakeVoice:
    """A sampler without a process: a test says what it says."""

    def __init__(self, log, hear):
        self.hear, self.speaking, self.asked, self.stopped, self.closed = hear, "", [], 0, False

    is_loaded = True

    async def say(self, wanted):
        self.speaking = wanted.id
        self.asked.append(wanted)

    def write(self, *pieces, ended=True, cancelled=False):
        id = self.asked[-1].id
        self.hear(Loaded(id=id, checkpoint="", step=5, parameters=1_048_576, device="cpu"))
        for piece in pieces:
            self.hear(Chunk(id=id, text=piece))
        self.hear(Generated(id=id, tokens=20, seconds=0.5, ended=ended, cancelled=cancelled))

    def stop(self):
        self.stopped += 1

    def close(self):
        self.closed = True


@pytest.fixture
def voices(monkeypatch):
    made = []
    monkeypatch.setattr(talk_screen, "Voice", lambda log, hear: made.append(FakeVoice(log, hear)) or made[-1])
    return made


@pytest.fixture
def run(workspace):
    run = fake_run.finished(workspace / "runs")
    save(run, 300)
    save(run, 600)
    return run


async def press(app, pilot, *keys):
    await pilot.press(*keys)
    await settle(app, pilot)


async def type_in(pilot, text):
    await pilot.press("i")
    for char in text:
        await pilot.press("space" if char == " " else char)


async def test_the_newest_checkpoint_speaks_and_its_words_are_told_apart(opened, run, voices):
    async with opened() as (app, pilot):
        await press(app, pilot, "t")
        assert "step 600" in text_of(app)
        await type_in(pilot, "Mia went")
        await press(app, pilot, "ctrl+g")
        asked = voices[0].asked[0]
        assert (asked.prompt, asked.tokens, asked.temperature) == ("Mia went", 128, 0.8)
        assert asked.checkpoint.endswith("step-00000600")
        voices[0].write(" home", ".\x1b[31m")
        await settle(app, pilot)
        screen = app.screen
        assert screen.text.text == "Mia went home.\ufffd[31m"
        assert list(screen.text.authors.marks) == [USER] * 8 + [MODEL] * 11
        assert "20 tokens, 40 tokens/s" in text_of(app)


async def test_escape_stops_a_generation_then_leaves_the_text_then_goes_back(opened, run, voices):
    async with opened() as (app, pilot):
        await press(app, pilot, "t")
        await type_in(pilot, "a")
        await press(app, pilot, "ctrl+g", "escape")
        assert voices[0].stopped == 1
        voices[0].write(" b", cancelled=True)
        voices[0].speaking = ""
        await press(app, pilot, "escape")
        assert app.focused is None
        assert app.screen.place == "talk"
        await press(app, pilot, "escape")
        assert app.screen.place == "dashboard"


async def test_undo_and_retry_take_back_what_the_model_wrote(opened, run, voices):
    async with opened() as (app, pilot):
        await press(app, pilot, "t")
        await type_in(pilot, "a")
        await press(app, pilot, "ctrl+g")
        voices[0].write(" one")
        await press(app, pilot, "escape", "r")
        assert voices[0].asked[1].prompt == "a"
        assert voices[0].asked[1].seed == voices[0].asked[0].seed + 1
        voices[0].write(" two")
        await settle(app, pilot)
        assert app.screen.text.text == "a two"
        await press(app, pilot, "u")
        assert app.screen.text.text == "a"


async def test_the_text_is_continued_from_its_end(opened, run, voices):
    async with opened() as (app, pilot):
        await press(app, pilot, "t", "g")
        voices[0].write("Once")
        await press(app, pilot, "g")
        assert voices[0].asked[1].prompt == "Once"


async def test_of_several_completions_one_is_chosen(opened, run, voices):
    async with opened() as (app, pilot):
        app.view.talk.completions = 2
        await press(app, pilot, "t")
        await type_in(pilot, "a")
        await press(app, pilot, "ctrl+g")
        voices[0].write(" one")
        await settle(app, pilot)
        assert voices[0].asked[1].prompt == "a"
        voices[0].write(" two")
        await settle(app, pilot)
        assert "Which completion stays" in text_of(app)
        await press(app, pilot, "up", "enter")
        assert app.screen.text.text == "a one"


async def test_turns_name_the_speakers_and_end_where_the_users_begins(opened, run, voices):
    async with opened() as (app, pilot):
        await press(app, pilot, "t", "m")
        await type_in(pilot, "Hello")
        await press(app, pilot, "enter")
        assert voices[0].asked[0].prompt == "You: Hello\n\nModel:"
        voices[0].write(" Hi!", "\nYou: and more", cancelled=True)
        await settle(app, pilot)
        assert voices[0].stopped == 1
        assert app.screen.text.text == "You: Hello\n\nModel: Hi!\n\nYou: "


async def test_a_refusal_is_said(opened, run, voices):
    async with opened() as (app, pilot):
        await press(app, pilot, "t", "g")
        voices[0].hear(RequestFailed(id=voices[0].asked[0].id, failure=Failure(what="the checkpoint is damaged")))
        await settle(app, pilot)
        await pilot.pause()
        assert "the checkpoint is damaged" in text_of(app)


async def test_settings_are_checked_against_the_schema(opened, run, voices):
    async with opened() as (app, pilot):
        await press(app, pilot, "t", "o")
        await press(app, pilot, "t", "o", "p", "_", "p", "enter")
        await press(app, pilot, "ctrl+u", "2")
        assert "at most 1" in text_of(app)
        await press(app, pilot, "ctrl+u", "0", ".", "5", "enter")
        assert app.view.talk.top_p == 0.5


async def test_any_checkpoint_of_any_run_can_be_chosen(opened, run, voices):
    async with opened() as (app, pilot):
        await press(app, pilot, "t", "k")
        assert "step 300" in text_of(app)
        await press(app, pilot, "down", "enter")
        assert app.screen.checkpoint.endswith("step-00000300")


async def test_the_sampler_is_freed_on_a_key_and_on_leaving(opened, run, voices):
    async with opened() as (app, pilot):
        await press(app, pilot, "t", "g")
        voices[0].write("x")
        await press(app, pilot, "U")
        assert voices[0].closed
        voices[0].closed = False
        await pilot.press("q")
        await pilot.pause()
    assert voices[0].closed


async def test_while_a_trainer_holds_the_gpu_the_sampler_uses_the_cpu_and_says_so(opened, workspace, voices):
    run = fake_run.running(workspace / "runs", steps=20)
    run.say("running", "training", gpu_uuid="GPU-1")
    save(run, 20)
    async with opened() as (app, pilot):
        await press(app, pilot, "t", "g")
        assert voices[0].asked[0].device == "cpu"
        assert "The trainer has the GPU" in text_of(app)


async def test_without_a_checkpoint_it_says_how_to_get_one(opened, workspace, voices):
    async with opened() as (app, pilot):
        await press(app, pilot, "t", "g")
        await settle(app, pilot)
        await pilot.pause()
        assert "there is no checkpoint yet" in text_of(app)


def test_the_defaults_are_those_of_the_schema():
    config, talk = SamplingConfig(), Talk()
    for name in talk_screen.SETTINGS:
        assert getattr(config, name) == getattr(talk, name)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.text(max_size=5), st.sampled_from([USER, MODEL]))))
def test_every_character_has_an_author_after_any_edits(edits):
    authors = Authors()
    for start, end, text, author in edits:
        start, end = sorted((min(start, len(authors.text)), min(end, len(authors.text))))
        authors.edited(authors.text[:start] + text + authors.text[end:], author)
        assert len(authors.marks) == len(authors.text)
        spans = authors.spans(0, len(authors.text))
        assert sum(last - first for first, last, _ in spans) == len(authors.text)


def test_an_edit_in_the_models_words_is_the_users():
    authors = Authors()
    authors.edited("The ", USER)
    authors.edited("The cat sat", MODEL)
    authors.edited("The dog sat", USER)
    assert list(authors.marks) == [USER] * 4 + [USER] * 3 + [MODEL] * 4
