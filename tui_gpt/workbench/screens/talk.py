"""Write with a checkpoint: one text that both continue, several continuations side by side, or turns of a chat.

The text always has the focus, and letters are always text. The panes hold what is written; the screen decides what is
asked of the model, with which checkpoint, and draws what comes four times a second.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Static

from tui_gpt.errors import UserError
from tui_gpt.workbench import keys
from tui_gpt.workbench.app_messages import CopyText, ShowScreen
from tui_gpt.workbench.drawing.sanitizing import one_line
from tui_gpt.workbench.panes.talk.chat import Chat
from tui_gpt.workbench.panes.talk.continuations import Continuations, set_title
from tui_gpt.workbench.panes.talk.sampling_settings import MAX_COMPLETIONS, SamplingSettings
from tui_gpt.workbench.screens.talk_checkpoints import TalkCheckpoints
from tui_gpt.workbench.state.preferences import state_dir
from tui_gpt.workbench.state.session import Session
from tui_gpt.workbench.state.talk.checkpoint_list import runs_on_gpu
from tui_gpt.workbench.state.talk.writer import Continuation, Writer
from tui_gpt.workbench.widgets.shared_text_area import SharedTextArea

FLUSH_SECONDS = 0.25
ESCAPE_SECONDS = 0.7  # after the model's end, in which escape was meant to stop it


class TalkScreen(TalkCheckpoints):
    """The text or the chat, and the sampling settings beside it."""

    NAME = keys.TALK
    BINDINGS = keys.bindings(keys.TALK)
    AUTO_FOCUS = "#text"
    CSS = """
    TalkScreen { layers: base overlay; }
    #talk, #writing, #continuations, #chat { height: 1fr; }
    #writing { width: 1fr; }
    #talk-hint { height: 1; padding: 0 2; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    TalkScreen.-narrow #sampling { display: none; }
    TalkScreen.-narrow #sampling.-open { display: block; layer: overlay; dock: right; background: $surface; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.writer = Writer(state_dir() / "sampler.log")
        actions, keymap = keys.actions_of(keys.TALK), session.keymap
        bound_keys = [keys.textual_key(key) for action in actions for key in keys.keys_of(action, keymap)]
        self.continuations = Continuations(bound_keys, id="continuations")
        self.chat = Chat(bound_keys, id="chat")
        self.chat.display = False
        self.panel = SamplingSettings(session, id="sampling")
        self._written: list[Continuation] = []  # in the last generation
        self._gpu_note = ""
        self._ended_at = -ESCAPE_SECONDS

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="talk"):
            with Vertical(id="writing"):
                yield self.continuations
                yield self.chat
            yield self.panel
        yield Static(id="talk-hint", markup=False)

    def on_mount(self) -> None:
        self._flush_timer = self.set_interval(FLUSH_SECONDS, self._flush, pause=True)
        self.watch(self, "focused", self._keep_focus, init=False)

    async def on_unmount(self) -> None:
        await self.writer.client.close()

    @property
    def is_chat(self) -> bool:
        return self.chat.display

    @property
    def pane(self) -> Chat | Continuations:
        """What is written in."""
        return self.chat if self.is_chat else self.continuations

    @property
    def is_busy(self) -> bool:
        """Whether the model writes, or what it wrote waits for a choice."""
        return self.writer.is_writing or self.continuations.is_choosing

    # ── focus: on the text, unless a setting is edited ──────────────────────────────────────────────────────────────

    @on(SamplingSettings.Done)
    def focus_text(self) -> None:
        self.pane.focus_text()

    def on_screen_resume(self) -> None:
        self.focus_text()

    def _keep_focus(self, focused: Widget | None) -> None:
        if focused is None and self.is_in_front:
            self.call_later(self.focus_text)
        elif focused is not None and self.panel not in focused.ancestors:
            self.panel.remove_class("-open")  # laid over the text, where the terminal is narrow
        self.call_after_refresh(self.refresh_view)

    def action_settings(self) -> None:
        if self.panel.has_focus_within:
            self.focus_text()
        else:
            self.panel.add_class("-open")
            self.call_after_refresh(self.panel.focus_first)

    def action_back(self) -> None:
        if self.panel.has_focus_within:
            self.focus_text()
        elif self.writer.is_writing:
            self.writer.stop()
            self.refresh_view()
        elif time.monotonic() - self._ended_at < ESCAPE_SECONDS:
            return
        elif self.continuations.is_choosing:
            self._keep_focused()
        else:
            self.post_message(ShowScreen(keys.DASHBOARD))

    # ── what is shown ───────────────────────────────────────────────────────────────────────────────────────────────

    async def read_data(self) -> None:
        """Free the GPU when a run has begun to train on it."""
        loaded = self.writer.client.loaded
        if loaded is not None and loaded.device != "cpu" and not self.writer.is_writing:
            await self._choose_device()

    def refresh_data(self) -> None:
        super().refresh_data()
        if not self.is_busy:
            self.follow_run()
        self.refresh_view()

    def on_resize(self) -> None:
        self.call_after_refresh(self.refresh_view)

    def refresh_view(self) -> None:
        """Bring titles, hints and the panel's lower half up to date."""
        if not self.is_mounted:
            return
        current, writer = self.current, self.writer
        self._show_titles()
        self.continuations.text_area.set_hint(
            "Type a beginning and press enter. From nothing, the model begins a text of its own."
            if current
            else self.no_checkpoint()
        )
        self.chat.message.set_hint("Type a message." if current else self.no_checkpoint())
        hint = self.query_one("#talk-hint", Static)
        if (text := one_line(self._hint())) != str(hint.content):
            hint.update(text, layout=False)
        self.panel.show_status(
            (f"● {writer.state}" if writer.is_writing else f"○ {writer.state or 'ready'}", "$text-success"),
            (writer.speed, ""),
            (writer.model, "$foreground 60%"),
            ("saving a checkpoint…" if self.is_saving else "", "$text-warning"),
            (self._gpu_note, "$text-warning"),
        )

    def _show_titles(self) -> None:
        """Say in each border what writes there, and how far it is."""
        columns, written = self.continuations.columns, self._written
        side = "A · " if self.second else ""
        set_title(self.chat.transcript, self.current)
        if not self.is_busy or len(columns) != len(written) or len(columns) == 1:
            other = f"B · {self.second.title(columns[0].outer_size.width - 10)}" if self.second else ""
            set_title(columns[0], self.current, side=side, subtitle=other)
            return
        sides = 2 if self.second else 1
        for index, (column, continuation) in enumerate(zip(columns, written, strict=True)):
            state = continuation.state
            if len(written) > sides:
                state = f"completion {index // sides + 1}/{len(written) // sides} · {state}"
            letter = f"{'AB'[index % sides]} · " if self.second else ""
            set_title(column, continuation.checkpoint, side=letter, subtitle=state)

    def _hint(self) -> str:
        held = self.continuations.held
        typed = f" · “{held[-30:]}” is added when it stops" if held else ""
        if self.writer.is_writing:
            return f"esc stops the model; what it wrote stays{typed}"
        if self.continuations.is_choosing:
            return f"tab or {self.key('next_column')}: the next one · enter keeps it and drops the others{typed}"
        if self.panel.has_focus_within:
            return f"a change is used at once · enter, esc or {self.key('settings')} goes back to the text"
        does = "sends the message" if self.is_chat else "lets the model continue at the end of the text"
        return f"{self.key('write')} {does} · {self.key('new_line')} new line"

    def text_to_copy(self) -> str:
        return self.pane.text

    def action_copy(self) -> None:
        self.post_message(CopyText(self.text_to_copy()))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self.is_busy and action == "side_by_side":
            return None
        if self.writer.is_writing and action in ("retry", "undo", "clear", "turns", "checkpoint"):
            return None
        return None if action == "side_by_side" and self.is_chat else True

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_write(self) -> None:
        if self.writer.is_writing:
            self.notify("the model is writing; esc stops it")
        elif self.continuations.is_choosing:
            self._keep_focused()
        else:
            self._continue()

    def _continue(self, *, is_retry: bool = False) -> None:
        """Let the model go on, with each checkpoint and as many times as the settings say; once in a chat."""
        if (first := self.current) is None:
            self.notify(self.no_checkpoint(), severity="warning")
            return
        talk = self.session.preferences.talk
        if self.is_chat:
            if prompt := self.chat.begin(sends=not is_retry):
                self._write([Continuation(first, prompt, talk.seed)])
            return
        sides = [first, self.second] if self.second else [first]
        seeds = range(talk.seed, talk.seed + min(talk.completions, MAX_COMPLETIONS))
        prompt = self.continuations.begin(len(sides) * len(seeds))
        self._write([Continuation(side, prompt, seed) for seed in seeds for side in sides])

    @work(group="write", exclusive=True)
    async def _write(self, continuations: list[Continuation]) -> None:
        self._written, self.writer.is_writing = continuations, True
        self._flush_timer.resume()
        self._show_change()
        try:
            device = await self._choose_device()
            await self.writer.write(continuations, self.session.preferences.talk, device=device)
        except UserError as error:
            self.notify(str(error), severity="error")
        finally:
            self._flush_timer.pause()
            if self.is_attached:
                self._flush()
                self.pane.finish()
            self.writer.is_writing, self._ended_at = False, time.monotonic()
        self._show_change()

    async def _choose_device(self) -> str:
        """Return where to compute: not on a GPU while a run of this workspace trains on one."""
        training = await asyncio.to_thread(runs_on_gpu, self.session.live_runs)
        self._gpu_note = f"{training[0]} trains on the GPU, so the sampler uses the CPU" if training else ""
        loaded = self.writer.client.loaded
        if training and loaded is not None and loaded.device != "cpu":
            await self.writer.unload("unloaded: a run trains on the GPU")
        return "cpu" if training else "auto"

    def _flush(self) -> None:
        """Draw what came since the last time."""
        if self.pane.draw(self._written):
            self.writer.stop("the model ended its turn")
        self.refresh_view()

    def _keep_focused(self) -> None:
        self.continuations.keep(self.continuations.focused)

    @on(SharedTextArea.Held)
    @on(Continuations.Kept)
    def _show_change(self) -> None:
        self.refresh_view()
        self.refresh_bindings()

    def action_new_line(self) -> None:
        if isinstance(self.focused, SharedTextArea):
            self.focused.type("\n")

    def action_next_column(self) -> None:
        self.continuations.focus_neighbour(1)

    def action_previous_column(self) -> None:
        self.continuations.focus_neighbour(-1)

    def action_retry(self) -> None:
        if problem := self.pane.take_back():
            self.notify(problem)
            return
        talk = self.session.preferences.talk
        seed = talk.seed + (1 if self.is_chat else talk.completions)
        self.session.preferences.talk = msgspec.structs.replace(talk, seed=seed)
        self.panel.show_values()
        self._continue(is_retry=True)

    def action_undo(self) -> None:
        if problem := self.pane.undo():
            self.notify(problem)
        self._show_change()

    def action_clear(self) -> None:
        if notice := self.pane.clear():
            self.notify(notice)
        self._show_change()

    def action_turns(self) -> None:
        if self.continuations.is_choosing:
            self._keep_focused()
        self.chat.display = not self.chat.display
        self.continuations.display = not self.chat.display
        self.focus_text()
        self._show_change()

    @work(group="unload", exclusive=True)
    async def action_unload(self) -> None:
        if self.writer.client.is_running:
            await self.writer.unload("unloaded, memory is free")
            self._show_change()
        else:
            self.notify("no model is in memory")
