"""Text from outside, made safe to print.

Names, paths, samples, errors and files of others can hold escape sequences, direction overrides and half a UTF-8
character. What a terminal would obey, or cannot encode, becomes one visible sign. Tabs, newlines, and the joiners and
variation selectors that emoji and many scripts need, stay.
"""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, delete, C1
    "\xad\ufeff\ufff9-\ufffb"  # soft hyphen, byte order mark, annotations: terminals disagree about their width
    "\u2028-\u202e\u2066-\u2069\u206a-\u206f"  # line separators, direction overrides and isolates
    "\ud800-\udfff]"  # lone surrogates, as in names of files that are not UTF-8
)


def safe(text: str) -> str:
    """Return `text` without anything that a terminal would obey."""
    if text.isascii() and text.isprintable():
        return text
    return UNSAFE.sub(REPLACEMENT, text.replace("\r\n", "\n"))


def safe_line(text: str) -> str:
    """Return `text` made safe, in one line; a newline is shown as `¶`."""
    return safe(text).replace("\n", "¶")


def safe_json(text: str) -> str:
    """Return JSON with unsafe characters written as escapes, which no terminal obeys and every parser reads."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
