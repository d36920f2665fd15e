"""Make text from outside safe to show.

What a terminal would obey, or cannot encode, becomes one visible sign (`safe_text`), so that nothing disappears unseen.
A zero-width joiner that joins nothing is dropped, because Rich measures the character after it as zero cells wide,
which would shift the rest of the line.
"""

from __future__ import annotations

import re

from rich.cells import cell_len, split_graphemes

from tui_gpt.safe_text import safe

# Scripts and symbols whose characters a zero-width joiner can join.
_JOINABLE = "\u0600-\u1fff\u2190-\u21ff\u25a0-\u27bf\u2900-\u2bff\ua800-\uabff\U00010000-\U0001faff"
_LOOSE_JOINER = re.compile(f"(?<![{_JOINABLE}\ufe0f])\u200d+|\u200d+(?![{_JOINABLE}])")

_ASCII = str.maketrans(
    "−╸╺▂▃▅▆▇‖·…–—×→←↑↓●○◌◐✓✗▲▼◆◇■⏸⚑━─┄╌│┃┆┊╭╮╰╯┏┓┗┛┌┐└┘├┤┬┴┼█▉▊▌▎▀▄░▒▏▕▁▔²¶“”‘’°σ′‹››▸▾\u00a0",
    "-=-__###=-~--x><^v*ooo+x!v*o#=P=---|#||++++####+++++++++###||\"_.:||_-2$\"\"''os'<>>>v ",
)


def clean(text: str) -> str:
    """Return `text` without anything a terminal would obey; newlines stay, tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text
    text = safe(text.replace("\r\n", "\n").expandtabs(4))
    return _LOOSE_JOINER.sub("", text) if "\u200d" in text else text


def one_line(text: str) -> str:
    """Return `text` cleaned, with newlines shown as `¶`."""
    return clean(text).replace("\n", "¶")


def to_ascii(text: str) -> str:
    """Return `text` in ASCII, as many cells wide as before."""
    if text.isascii():
        return text
    text = text.translate(_ASCII)
    if text.isascii():
        return text
    if "\u200d" not in text and "\ufe0f" not in text:
        return "".join(char if char.isascii() else "?" * cell_len(char) for char in text)
    spans, _ = split_graphemes(text)
    graphemes = ((text[start:end], cells) for start, end, cells in spans)
    return "".join(grapheme if grapheme.isascii() else "?" * cells for grapheme, cells in graphemes)
