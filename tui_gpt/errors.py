"""Errors that the user can fix.

Each says what is wrong, where (file, key, value) and what to do. The command line prints it as one line, the workbench
shows it as a notice, the run folder keeps it in `status.json`; none of them shows a traceback for it.
"""

from __future__ import annotations

from tui_gpt.safe_text import safe_line


class UserError(Exception):
    """Base class of errors that the user can fix.

    what: what is wrong, as a clause. where: the file, key or place. do: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        super().__init__(what, where, do)
        self.what, self.where, self.do = what, where, do

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.what, self.where, self.do)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return safe_line(f"{text}. {self.do}" if self.do else text)


def _rebuild(kind: type[UserError], what: str, where: str, do: str) -> UserError:
    return kind(what, where=where, do=do)


class ConfigError(UserError):
    """An invalid config: an unknown key, a value out of bounds, or two values that contradict each other."""


class CorpusError(UserError):
    """Text or a tokenizer that is missing, cannot be read, or cannot be trained on."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, of an unsupported format, or does not fit."""


class RunError(UserError):
    """A run that is missing, live when it must not be, or not live when it must be."""


class CannotResumeError(RunError):
    """A run that cannot be resumed before something outside of it is put right."""


def reason(error: OSError) -> str:
    """Return the operating system's message, in lower case and without the path."""
    return (error.strerror or str(error)).lower()
