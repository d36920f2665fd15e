"""Run a function that needs torch in its own process and wait for the result."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, TypeVar

from tui_gpt.errors import UserError
from tui_gpt.run.child_process import Channel, spawn
from tui_gpt.run.messages import Message, RequestFailed
from tui_gpt.run.messages import Progress as ProgressMessage

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from tui_gpt.corpora.sources.source import Progress

T = TypeVar("T", bound=Message)


def spawn_without_ctrl_c(entry: str, *arguments: Any) -> tuple[SpawnProcess, Channel]:
    """Start a process as `spawn` does, which ignores Ctrl-C: this one gets it too, and ends both."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited
    try:
        return spawn(entry, *arguments)
    finally:
        signal.signal(signal.SIGINT, handler)


def call_torch_process(
    entry: str,
    *arguments: Any,
    kind: type[T],
    error_type: type[UserError],
    where: str,
    progress: Progress,
) -> T:
    """Call the function `entry` ("module:name") in a new process and return its result, of type `kind`.

    progress: called with each phase of the work and the fraction done. Raises `error_type` if the function refuses, or
    if the process ends without a result, then with `where`. Ctrl-C terminates the process and lets it clean up.
    """
    process, channel = spawn_without_ctrl_c(entry, *arguments)
    try:
        while not isinstance(message := channel.receive(None), kind):
            if isinstance(message, RequestFailed):
                failure = message.failure
                raise error_type(failure.what, where=failure.where, do=failure.do)
            if isinstance(message, ProgressMessage):
                progress(message.phase, message.fraction)
    except EOFError:
        process.join()
        raise error_type(f"the process {_describe_exit(process.exitcode or 0)}", where=where) from None
    except KeyboardInterrupt:
        process.terminate()
        raise
    finally:
        process.join()
    return message


def _describe_exit(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code} and no result"
    name = signal.Signals(-exit_code).name
    return f"was killed by {name}" + (", possibly for lack of memory" if name == "SIGKILL" else "")
