"""One piece of work that needs torch, done in a process of its own, and its answer."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, TypeVar

from tui_gpt.errors import UserError
from tui_gpt.run.child_process import spawn
from tui_gpt.run.messages import Message, Progress, RequestFailed

T = TypeVar("T", bound=Message)


def ask(
    entry: str, *arguments: Any, kind: type[T], mistake: type[UserError], where: str, say: Callable[[str], object]
) -> T:
    """What the process that starts at `entry` answers, of type `kind`; what it is doing goes to `say`.

    Raises `mistake` when it refuses, and when it ends without a word, with `where`. Ctrl-C lets it clean up.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: the terminal's Ctrl-C is for us to pass on
    process, channel = spawn(entry, *arguments)
    signal.signal(signal.SIGINT, before)
    try:
        while not isinstance(message := channel.receive(None), kind):
            if isinstance(message, RequestFailed):
                failure = message.failure
                raise mistake(failure.what, where=failure.where, do=failure.do)
            if isinstance(message, Progress):
                say(message.phase)
    except EOFError:
        process.join()
        raise mistake(f"could not be done: the process {_how(process.exitcode or 0)}", where=where) from None
    except KeyboardInterrupt:
        process.terminate()  # which it cleans up after
        raise
    finally:
        process.join()
    return message


def _how(exit_code: int) -> str:
    if exit_code >= 0:
        return "ended without a word"
    name = signal.Signals(-exit_code).name
    return f"was killed by {name}" + (", as when memory runs out" if name == "SIGKILL" else "")
