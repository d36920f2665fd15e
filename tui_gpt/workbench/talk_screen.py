"""Writing with a checkpoint: a text that both edit, or turns; streamed, stopped, continued, retried, taken back.

A base model continues text: it answers no questions unless the text so far makes an answer the likely next words. In
turns the screen only writes the names of the speakers and stops where the model would go on to write the user's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal

from tui_gpt.config import field
from tui_gpt.errors import UserError
from tui_gpt.run.folder import RunFolder, list_runs
from tui_gpt.run.messages import Chunk, Generate, Generated, Loaded, Message, RequestFailed
from tui_gpt.workbench import actions, memory
from tui_gpt.workbench.canvas import Canvas, Row, Span, framed, row, sides
from tui_gpt.workbench.draft import written
from tui_gpt.workbench.manuscript import Manuscript
from tui_gpt.workbench.screen import Choice, WorkScreen
from tui_gpt.workbench.text import count, nats, one_line, size, wrap
from tui_gpt.workbench.voice import Voice, ask

USER_TURN, MODEL_TURN = "You: ", "Model: "
FLUSH_SECONDS = 0.25
PANEL_FROM = 72  # columns from which on the settings stand beside the text
SETTINGS = ("temperature", "top_k", "top_p", "min_p", "tokens")


class _Panel(Canvas):
    def compose_rows(self, width: int, height: int) -> Sequence[Sequence[Span]]:
        screen = self.screen
        assert isinstance(screen, TalkScreen)
        return screen.panel_rows(width, height)


class TalkScreen(WorkScreen):
    place = actions.TALK
    BINDINGS = actions.bindings(actions.TALK)

    def __init__(self) -> None:
        super().__init__()
        self.checkpoint: str = ""  # its folder
        self.label = ""  # what it is, in words
        self.word = ""  # what the sampler does now
        self.figures = ""  # how fast the last one was
        self.device_note = ""
        self._voice: Voice | None = None
        self._coming: list[str] = []  # chunks that wait for the next flush
        self._states: list[tuple[str, bytearray]] = []  # before each generation, for undo
        self._versions: list[str] = []  # completions of this prompt
        self._wanted: Generate | None = None

    def compose_middle(self) -> ComposeResult:
        with Horizontal(id="middle"):
            self.text = Manuscript(id="talk-text")
            yield self.text
            yield _Panel(id="talk-panel")

    def on_mount(self) -> None:
        self.set_interval(FLUSH_SECONDS, self._flush)
        if not self.checkpoint:
            self.run_worker(self._choose_newest(), group="study")

    def on_resize(self) -> None:
        super().on_resize()
        self.query_one("#talk-panel").display = self.app.size.width >= PANEL_FROM

    @property
    def voice(self) -> Voice:
        if self._voice is None:
            self._voice = self.workbench.voice = Voice(memory.view_path().with_name("sampler.log"), self._heard)
        return self._voice

    @property
    def speaking(self) -> bool:
        return self._voice is not None and bool(self._voice.speaking)

    # ── what it shows ───────────────────────────────────────────────────────────────────────────────────────────────

    def panel_rows(self, width: int, height: int) -> list[Row]:
        view, inner = self.workbench.view, width - 4
        names = (self.label or "no checkpoint yet").split(" · ")
        body: list[Row] = [row((line, "accent")) for name in names for line in wrap(name, inner, limit=2)]
        body += [(), *(self._setting(name, inner) for name in SETTINGS)]
        body.append(sides(row(("seed", "dim")), row((str(view.talk.seed), "bright")), inner))
        body.append(sides(row(("completions", "dim")), row((str(view.talk.completions), "bright")), inner))
        body.append(())
        body += [row((line, "good" if self.speaking else "dim")) for line in wrap(self.word or "idle", inner)]
        body += [row((line, "text")) for line in wrap(self.figures, inner)] if self.figures else []
        body += [row((line, "warn")) for line in wrap(self.device_note, inner)] if self.device_note else []
        body.append(())
        words = "In turns; enter sends. " if self.text.turns else ""
        words += "A base model continues text: it knows no questions and answers."
        body += [row((line, "dim")) for line in wrap(words, inner)]
        return framed(body, width, height, title=row(("Voice", "title")), active=False)

    def _setting(self, name: str, width: int) -> Row:
        value = getattr(self.workbench.view.talk, name)
        text = written(value)
        if name == "temperature" and value == 0:
            text = "0 (greedy)"
        elif (name, value) in (("top_k", 0), ("top_p", 1.0), ("min_p", 0.0)):
            text = "off"
        return sides(row((name.replace("_", "-"), "dim")), row((text, "bright")), width)

    def status_row(self, width: int) -> Row:
        word = self.word or "idle"
        spans: list[Span] = [(" ● " if self.speaking else " ○ ", "good" if self.speaking else "dim"), (word, "text")]
        if self.figures:
            spans += [(f" · {self.figures}", "text")]
        if self.app.size.width < PANEL_FROM:
            spans.append((f" · {self.label}", "dim"))
        return tuple(spans)

    def footer_items(self) -> list[tuple[str, str]]:
        if self.speaking:
            return [("back", "stop")]
        if self.app.focused is self.text:
            return [("generate", "generate"), ("retry", "retry"), ("settings", "settings"), ("back", "leave the text")]
        items = [("generate", "generate"), ("edit_text", "write"), ("retry", "retry"), ("undo_text", "undo")]
        items += [("settings", "settings"), ("checkpoint_picker", "checkpoint"), ("chat_mode", "turns")]
        return [*items, ("clear_text", "clear"), ("unload", "unload"), ("back", "back")]

    def footer_key(self, keys: tuple[str, ...]) -> str:
        """While one writes, the key that is no letter."""
        writing = self.app.focused is self.text
        return next((key for key in keys if writing == (len(key) > 1)), keys[0])

    def text_to_copy(self) -> str:
        return self.text.text

    # ── which checkpoint ────────────────────────────────────────────────────────────────────────────────────────────

    def choose(self, folder: RunFolder) -> None:
        """Let this run's newest checkpoint speak."""
        self.run_worker(self._choose_newest(folder), group="study")

    async def _choose_newest(self, folder: RunFolder | None = None) -> None:
        feed = self.workbench.feed
        wanted = folder or (feed.folder if feed else None)
        choices = await asyncio.to_thread(checkpoints_of, [wanted] if wanted else list_runs(self.workbench.runs))
        if not choices and wanted and folder is None:
            choices = await asyncio.to_thread(checkpoints_of, list_runs(self.workbench.runs))
        if choices:
            label, _, path = choices[0]
            self.checkpoint, self.label = str(path), label
        else:
            self.checkpoint = self.label = ""
            self.word = f"{wanted.id if wanted else 'no run'} has no checkpoint yet"
        self.redraw()

    def action_checkpoint_picker(self) -> None:
        self.run_worker(self._pick_checkpoint(), group="study")

    async def _pick_checkpoint(self) -> None:
        choices = await asyncio.to_thread(checkpoints_of, list_runs(self.workbench.runs))
        if not choices:
            self.workbench.say("there is no checkpoint yet: c on the dashboard saves one")
            return

        def chosen(value: object) -> None:
            self.checkpoint = str(value)
            self.label = next(label for label, _, path in choices if str(path) == self.checkpoint)
            self.redraw()

        self.workbench.pick("Checkpoint", choices, chosen, current=self.checkpoint)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_generate(self) -> None:
        if self.speaking:
            return
        if not self.checkpoint:
            self.action_checkpoint_picker()
            return
        self._states.append((self.text.text, bytearray(self.text.authors.marks)))
        self._versions = []
        if self.text.turns:
            self._open_turn()
        self._speak(self.workbench.view.talk.seed)

    def _open_turn(self) -> None:
        """Name the speakers, so that the model's words are the likely next ones."""
        text = self.text.text.rstrip()
        if not text.startswith(USER_TURN):
            text = USER_TURN + text
        self.text.load_text(f"{text}\n\n{MODEL_TURN}".rstrip(" "))
        self.text.authors.edited(self.text.text)

    def _speak(self, seed: int) -> None:
        talk = self.workbench.view.talk
        options = {name: getattr(talk, name) for name in SETTINGS}
        device, self.device_note = self._device()
        self._wanted = ask(self.checkpoint, self.text.text, **options, seed=seed, device=device)
        first = self._voice is None or not self._voice.is_loaded
        self.word, self.figures = ("starting the sampler…" if first else "writing…"), ""
        self.run_worker(self.voice.say(self._wanted), group="voice")
        self.redraw()

    def _device(self) -> tuple[str, str]:
        """Where to compute: not on a card that a trainer of this workspace holds."""
        feed = self.workbench.feed
        if feed is not None and feed.is_live and feed.status is not None and feed.status.gpu_uuid:
            return "cpu", "The trainer has the GPU, so the sampler uses the CPU."
        return "auto", ""

    def _heard(self, message: Message | None) -> None:
        if message is None:
            self.word = "the sampler ended; its log is sampler.log in the state folder"
            self.workbench.say(f"the sampler ended: {memory.view_path().with_name('sampler.log')}", "error")
        elif self._wanted is None or getattr(message, "id", "") != self._wanted.id:
            return
        elif isinstance(message, Loaded):
            self.word = f"writing… {count(message.parameters)} parameters on {message.device}"
        elif isinstance(message, Chunk):
            self._coming.append(message.text)
            return
        elif isinstance(message, Generated):
            self._flush()
            self._finished(message)
        elif isinstance(message, RequestFailed):
            self.voice.speaking = ""
            self.word = "refused"
            self.workbench.say(str(message.failure), "error")
        self.redraw()

    def _flush(self) -> None:
        """Show what came since; four times a second, so that a slow link keeps up."""
        if not self._coming:
            return
        text = "".join(self._coming)
        self._coming.clear()
        self.text.written(text)
        if self.text.turns:
            self._end_turn_where_the_users_begins()

    def _end_turn_where_the_users_begins(self) -> None:
        text, before = self.text.text, len(self._states[-1][0]) + len(MODEL_TURN)
        cut = text.find("\n" + USER_TURN.strip(), before)
        if cut >= 0:
            kept = text[:cut].rstrip()
            self.text.replace_all(kept, self.text.authors.marks[: len(kept)])
            self.voice.stop()

    def _finished(self, message: Generated) -> None:
        self.voice.speaking = ""
        speed = message.tokens / message.seconds if message.seconds > 0 else 0.0
        self.figures = f"{message.tokens} tokens, {speed:.0f} tokens/s"
        how = "stopped" if message.cancelled else "the model ended its text" if message.ended else "length reached"
        self.word = how
        before = self._states[-1][0]
        self._versions.append(self.text.text[len(before) :])
        more = self.workbench.view.talk.completions - len(self._versions)
        if more > 0 and not message.cancelled and not self.text.turns:
            self._restore()
            self._speak(self.workbench.view.talk.seed + len(self._versions))
            self.word = f"completion {len(self._versions) + 1} of {self.workbench.view.talk.completions}…"
        elif len(self._versions) > 1:
            self._pick_version()
        elif self.text.turns:
            self.text.insert(f"\n\n{USER_TURN}", self.text.document.end)
            self.text.move_cursor(self.text.document.end)

    def _pick_version(self) -> None:
        choices: list[Choice] = [(f"{index}", one_line(text), text) for index, text in enumerate(self._versions, 1)]

        def chosen(value: object) -> None:
            self._restore()
            self.text.written(str(value))

        self.workbench.pick("Which completion stays", choices, chosen, current=self._versions[-1])

    def _restore(self) -> None:
        self.text.replace_all(*self._states[-1])

    def action_retry(self) -> None:
        if self.speaking or not self._states:
            return
        self._restore()
        self._states.pop()
        self.workbench.view.talk.seed += 1
        self.action_generate()

    def action_undo_text(self) -> None:
        if self.speaking or not self._states:
            return
        self._restore()
        self._states.pop()
        self.redraw()

    def action_edit_text(self) -> None:
        self.set_focus(self.text)
        self.redraw()

    def action_clear_text(self) -> None:
        if not self.speaking:
            self._states.append((self.text.text, bytearray(self.text.authors.marks)))
            self.text.replace_all("", bytearray())

    def action_chat_mode(self) -> None:
        self.text.turns = not self.text.turns
        self.redraw()

    def on_manuscript_sent(self) -> None:
        self.action_generate()

    def action_unload(self) -> None:
        if self._voice is None or not self._voice.is_loaded:
            self.workbench.say("no model is loaded")
            return
        self._voice.close()
        self.word = "unloaded: the sampler's memory is free"
        self.redraw()

    def action_back(self) -> None:
        if self.speaking:
            self.voice.stop()
            self.word = "stopping…"
            self.redraw()
        elif self.leave_prompt():
            pass
        elif self.app.focused is not None:
            self.set_focus(None)
            self.redraw()
        else:
            self.workbench.show_screen("dashboard")

    # ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_settings(self) -> None:
        talk = self.workbench.view.talk
        choices: list[Choice] = [
            (name, f"{written(getattr(talk, name))}   {field(f'sampling.{name}').help}", name) for name in SETTINGS
        ]
        choices.append(("seed", f"{talk.seed}   seeds the draw; retry counts it up", "seed"))
        choices.append(("completions", f"{talk.completions}   how many to write and choose among", "completions"))
        self.workbench.pick("Settings", choices, lambda name: self._edit_setting(str(name)))

    def _edit_setting(self, name: str) -> None:
        talk = self.workbench.view.talk

        def parse(text: str) -> object:
            if name in SETTINGS:
                return field(f"sampling.{name}").parse(text.strip())
            value = int(text)
            if value < (1 if name == "completions" else 0) or value > 2**31:
                raise ValueError
            return value

        def check(text: str) -> str:
            try:
                parse(text)
            except UserError as error:
                return f"{error.what}. {error.do}"
            except ValueError:
                return "a whole number, at least 1" if name == "completions" else "a whole number, at least 0"
            return ""

        def done(text: str) -> None:
            setattr(talk, name, parse(text))
            self.redraw()

        self.ask(row((name, "bright")), done, value=written(getattr(talk, name)), check=check)


def checkpoints_of(folders: Sequence[RunFolder]) -> list[Choice]:
    """(what it is, its figures, its folder) of every checkpoint, newest run first. Blocking."""
    from tui_gpt.checkpoints.manifest import list_checkpoints

    found: list[Choice] = []
    for folder in reversed(folders):
        for item in reversed(list_checkpoints(folder.checkpoints)):
            loss = f"val {nats(item.val_loss)} · " if item.val_loss is not None else ""
            found.append((f"{folder.id} · step {item.step}", f"{loss}{item.kind} · {size(item.bytes)}", str(item.path)))
    return found
