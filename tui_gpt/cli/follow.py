"""Follow a run from the shell: print what its folder records, for people (stderr) or as JSON lines (stdout).

`train` and `attach` share this view. They differ in what Ctrl-C does: in `train` it makes the run save and stop (twice:
stop now); in `attach` it leaves the run alone.
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from tui_gpt.cli.output import echo, is_quiet, narrate, to_markup
from tui_gpt.cli.progress import LINE_SECONDS, ProgressLines
from tui_gpt.errors import RunError
from tui_gpt.run import command_files
from tui_gpt.run.folder import RunFolder
from tui_gpt.run.jsonl import JsonlReader
from tui_gpt.run.messages import FINAL_STATES, Command, Eval, Event, Message, Metrics, Sample, Status

POLL_SECONDS = 0.1
GRACE_SECONDS = 2.0  # for the lock to be released after a final state


def exit_code(state: str, status: Status | None) -> int:
    """Return the run's exit code: 0 done, 130 stopped by a signal, 1 failed."""
    if state in ("failed", "crashed"):
        return 1
    return 130 if status and status.by_signal else 0


def follow(folder: RunFolder, *, as_json: bool, owns: bool, from_now: bool = False) -> int:
    """Show the run until it ends or the user leaves, and return the exit code.

    owns: SIGINT and SIGTERM stop the run. from_now: skip what was recorded before.
    """
    view = JsonView() if as_json else QuietView() if is_quiet() else TextView(folder)
    readers: dict[str, JsonlReader] = {
        "event": JsonlReader(folder.events, Event),
        "metrics": JsonlReader(folder.metrics, Metrics),
        "eval": JsonlReader(folder.evals, Eval),
        "sample": JsonlReader(folder.samples, Sample),
    }
    if from_now:
        for reader in readers.values():
            reader.poll()
    interrupts = _SignalHandlers(folder, owns, view)
    try:
        with view:
            while True:
                live = folder.is_locked()
                status = folder.read_status()
                if status is not None:
                    view.status(status)
                for kind, reader in readers.items():
                    for item in reader.poll():
                        view.show(kind, item)
                if not live or (status and status.state in FINAL_STATES):
                    return _wait_for_end(folder, view)
                if interrupts.leave:
                    view.notify(f"detached; the run continues. Follow it with gpt-tui attach {folder.id}")
                    return 0
                time.sleep(POLL_SECONDS)
    except BrokenPipeError:
        return 0  # nobody reads the output any more; the run continues


def _wait_for_end(folder: RunFolder, view: View) -> int:
    deadline = time.monotonic() + GRACE_SECONDS
    while folder.is_locked() and time.monotonic() < deadline:
        time.sleep(0.02)
    status = folder.read_status()
    state = folder.state(status)
    view.end(state, status)
    return exit_code(state, status)


class _SignalHandlers:
    """SIGINT and SIGTERM stop an owned run, a second one at once; SIGHUP detaches from it."""

    def __init__(self, folder: RunFolder, owns: bool, view: View) -> None:
        self.folder, self.owns, self.view = folder, owns, view
        self.leave = False
        self.count = 0
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, self._on_interrupt)
        signal.signal(signal.SIGHUP, self._on_hangup)

    def _on_interrupt(self, number: int, frame: object) -> None:
        if not self.owns:
            self.leave = True
            return
        self.count += 1
        now = self.count > 1
        try:
            command_files.send(self.folder, Command(name="stop", sender="signal", now=now))
            self.view.notify(
                "stopping now, without saving" if now else "saving, then stopping; press Ctrl-C again to stop now"
            )
        except RunError:
            pass  # the run has ended; the loop will notice

    def _on_hangup(self, number: int, frame: object) -> None:
        self.leave = True


class View(AbstractContextManager):
    """What `follow` reports to."""

    def show(self, kind: str, item: Message) -> None: ...

    def status(self, status: Status) -> None: ...

    def notify(self, text: str) -> None: ...

    def end(self, state: str, status: Status | None) -> None: ...

    def __exit__(self, *exc: object) -> None: ...


class JsonView(View):
    """Prints each journal line with its type as it comes, and the last status."""

    def _print(self, kind: str, fields: dict[str, Any]) -> None:
        sys.stdout.write(msgspec.json.encode({"type": kind} | fields).decode() + "\n")
        sys.stdout.flush()

    def show(self, kind: str, item: Message) -> None:
        fields = msgspec.to_builtins(item)
        self._print("rewound" if "rewound_to" in fields else kind, fields)

    def notify(self, text: str) -> None:
        narrate(f"gpt-tui: {text}")

    def end(self, state: str, status: Status | None) -> None:
        self._print("status", (msgspec.to_builtins(status) if status else {}) | {"state": state})


class QuietView(View):
    """Prints nothing but why the run failed."""

    def end(self, state: str, status: Status | None) -> None:
        if state in ("failed", "crashed"):
            echo(f"gpt-tui: the run {state}: {_final_message(state, status)}", err=True)


class TextView(View):
    """Prints to stderr: a live progress bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, folder: RunFolder) -> None:
        from rich.console import Console  # 50 ms, that most commands need not wait
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self.folder = folder
        self.console = Console(stderr=True, highlight=False)
        self.live = (
            Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TaskProgressColumn(),
                TextColumn("{task.fields[detail]}"),
                console=self.console,
                transient=True,
                refresh_per_second=4,
            )
            if self.console.is_terminal
            else None
        )
        self.task = self.live.add_task("starting", total=None, detail="") if self.live else None
        self.last_line = 0.0
        self.total_steps: int | None = None
        self.phases = ProgressLines(lambda line: self._print(f"  [dim]{to_markup(line)}[/]"))

    def __enter__(self) -> TextView:
        (self.live or nullcontext()).__enter__()
        self._print(f"[bold]{to_markup(self.folder.id)}[/]")
        return self

    def __exit__(self, *exc: object) -> None:
        if self.live:
            self.live.stop()

    def _print(self, markup: str) -> None:
        self.console.print(markup, soft_wrap=True)

    def notify(self, text: str) -> None:
        self._print(f"[yellow]{to_markup(text)}[/]")

    def show(self, kind: str, item: Message) -> None:
        match item:
            case Metrics():
                self._metrics(item)
            case Eval():
                best = "  [green]best so far[/]" if item.best else ""
                scope = "whole validation split" if item.whole else f"{item.tokens:,} validation tokens"
                bits = f"  {item.bits_per_byte:.3f} bits/byte" if item.bits_per_byte is not None else ""
                self._print(
                    f"  step {item.step:>6,}  [bold]validation {format_number(item.val_loss)}[/]"
                    f"  perplexity {format_number(item.perplexity, 2)}{bits}  [dim]{scope}[/]{best}"
                )
            case Sample():
                text = f"[dim]{to_markup(item.prompt)}[/]{to_markup(item.text)}"
                self._print(f"  step {item.step:>6,}  [dim]sample ›[/] [italic]{text}[/]")
            case Event():
                self._event(item)

    def _metrics(self, line: Metrics) -> None:
        if self.live is None and time.monotonic() - self.last_line >= LINE_SECONDS:
            self.last_line = time.monotonic()
            value = format_number(line.loss) if line.loss is not None else line.non_finite
            done = f"  {line.step / self.total_steps:4.0%}" if self.total_steps else ""
            self._print(f"  step {line.step:>6,}{done}  loss {value}  {line.tokens_per_second:,.0f} tokens/s")

    def _event(self, event: Event) -> None:
        colour = {"info": "dim", "warning": "yellow", "error": "red"}[event.level]
        if event.kind not in (*FINAL_STATES, "started"):  # `end` reports the final state
            self._print(f"  [{colour}]{to_markup(event.message)}[/]")

    def status(self, status: Status) -> None:
        self.total_steps = status.total_steps
        if self.live is not None and self.task is not None:
            eta = f"  {format_duration(status.eta_seconds)} left" if status.eta_seconds is not None else ""
            loss = f"loss {format_number(status.loss)}  " if status.loss is not None else ""
            speed = f"{status.tokens_per_second:,.0f} tokens/s" if status.tokens_per_second else ""
            of = f"/{status.total_steps:,}" if status.total_steps else ""
            self.live.update(
                self.task,
                description=f"[bold]{status.state}[/] {to_markup(status.phase) if status.phase != 'training' else ''}",
                completed=status.step,
                total=status.total_steps,
                detail=f"step {status.step:,}{of}  {loss}{speed}{eta}",
            )
        elif status.state == "starting":
            self.phases(status.phase, status.fraction)

    def end(self, state: str, status: Status | None) -> None:
        message = _final_message(state, status)
        colour = "red" if state in ("failed", "crashed") else "green"
        self._print(f"[{colour} bold]{state}[/]: {to_markup(message)}")
        if state in ("failed", "crashed"):
            self._print(
                f"  [dim]log: {to_markup(str(self.folder.log))}; resume: gpt-tui train --resume {self.folder.id}[/]"
            )
        elif status and status.step:
            self._print(f"  [dim]generate text: gpt-tui sample {self.folder.id} --tokens 200[/]")


def _final_message(state: str, status: Status | None) -> str:
    return status.message if status and state in FINAL_STATES else "the supervisor and the trainer were killed"


def format_number(value: float | None, digits: int = 4) -> str:
    """Return the number with `digits` decimals, "–" for None."""
    return f"{value:.{digits}f}" if value is not None else "–"


def format_duration(seconds: float) -> str:
    """Return `1h 02m`, `3m 20s` or `12s`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {seconds:02}s" if minutes else f"{seconds}s"
