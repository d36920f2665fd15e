"""The one family of mistakes that a user can make.

Each says what was wrong, where (file, key, value) and what to do. The command line prints it as one line, the
workbench as a notice, the run folder keeps it in `status.json`; none of them ever shows a traceback for one.
"""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can mend.

    what: what is wrong, as a clause. where: the file, key or place. do: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        super().__init__(what, where, do)
        self.what, self.where, self.do = what, where, do

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.what, self.where, self.do)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.do}" if self.do else text


def _rebuild(kind: type[UserError], what: str, where: str, do: str) -> UserError:
    return kind(what, where=where, do=do)


class ConfigError(UserError):
    """A config that cannot run: an unknown key, a value out of bounds, two values that contradict each other."""


class CorpusError(UserError):
    """Text or a tokenizer that cannot be had, read, or trained on."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, foreign, or does not fit."""


class RunError(UserError):
    """A run that is missing, live when it must not be, or not live when it must."""


def reason(error: OSError) -> str:
    """What the operating system said, without the path that the caller names anyway."""
    return (error.strerror or str(error)).lower()
