"""Text as the screen may show it: made safe, measured in cells, and numbers in one style everywhere.

Samples, paths and errors can hold escape sequences, markup and half a UTF-8 character. Panes draw plain cells and never
parse markup, so what is left is to take out what a terminal would obey: control characters, direction marks, zero-width
joiners, lone surrogates. Each becomes one visible sign, so that nothing disappears unseen.
"""

from __future__ import annotations

import math
import re

from rich.cells import cell_len, set_cell_size

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
SIGN = "\ufffd"

_ASCII = str.maketrans(
    {
        "·": "-",
        "…": "~",
        "–": "-",
        "—": "-",
        "×": "x",
        "→": ">",
        "←": "<",
        "↑": "^",
        "↓": "v",
        "●": "*",
        "○": "o",
        "◌": "o",
        "◐": "o",
        "✓": "+",
        "✗": "x",
        "▲": "!",
        "■": "#",
        "⏸": "=",
        "━": "=",
        "─": "-",
        "┄": "-",
        "╌": "-",
        "│": "|",
        "┃": "#",
        "┆": "|",
        "┊": "|",
        "╭": "+",
        "╮": "+",
        "╰": "+",
        "╯": "+",
        "┏": "#",
        "┓": "#",
        "┗": "#",
        "┛": "#",
        "┌": "+",
        "┐": "+",
        "└": "+",
        "┘": "+",
        "├": "+",
        "┤": "+",
        "┬": "+",
        "┴": "+",
        "┼": "+",
        "█": "#",
        "▉": "#",
        "▌": "|",
        "▎": "|",
        "▀": '"',
        "▄": "_",
        "░": ".",
        "▒": ":",
        "▏": "|",
        "▕": "|",
        "▁": "_",
        "▔": "-",
        "▊": "#",
        "²": "2",
        "¶": "$",
        "“": '"',
        "”": '"',
        "‘": "'",
        "’": "'",
        "°": "o",
        "σ": "s",
        "′": "'",
        "\u00a0": " ",
    }
)


def clean(text: str) -> str:
    """`text` without anything that a terminal would obey; newlines stay, tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return UNSAFE.sub(SIGN, text.replace("\r\n", "\n").expandtabs(4))


def one_line(text: str) -> str:
    """`text` cleaned, its newlines shown as `¶`."""
    return clean(text).replace("\n", "¶")


def to_ascii(text: str) -> str:
    """`text` in ASCII, as many cells wide as before."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else "?" * cell_len(char) for char in text.translate(_ASCII))


def width_of(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, with `…` where something was cut away."""
    if width_of(text) <= width:
        return text
    if width <= 0:
        return ""
    if text.isascii():
        return text[: width - 1] + "…"
    return set_cell_size(text, width - 1) + "…"


def cut_head(text: str, width: int) -> str:
    """As `cut`, for what says most at its end: a path, or a fault after the place where it is."""
    if width_of(text) <= width:
        return text
    if width <= 0:
        return ""
    kept = text[-(width - 1) :] if width > 1 else ""
    while width_of(kept) > width - 1:
        kept = kept[1:]
    return "…" + kept


def wrap(text: str, width: int, *, limit: int = 10_000) -> list[str]:
    """Cleaned `text` in at most `limit` lines of at most `width` cells, broken at spaces where there are any."""
    lines: list[str] = []
    width = max(1, width)
    for paragraph in clean(text[: width * limit * 2]).split("\n"):
        rest = paragraph
        while width_of(rest) > width and len(lines) < limit:
            head = rest[:width] if rest[:width].isascii() else _head(rest, width)
            at_space = head.rfind(" ", width // 2)
            if at_space > 0 and rest[len(head) : len(head) + 1] != " ":
                head = head[: at_space + 1]
            lines.append(head.rstrip(" "))
            rest = rest[len(head) :].removeprefix(" ")
        lines.append(rest)
        if len(lines) >= limit:
            break
    return lines[:limit]


def _head(text: str, width: int) -> str:
    """As many leading characters as fit into `width` cells, at least one."""
    used = 0
    for index, char in enumerate(text):
        used += cell_len(char)
        if used > width:
            return text[: max(index, 1)]
    return text


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def count(number: float) -> str:
    """1234567 → `1,234,567`."""
    return f"{number:,.0f}"


def short(number: float) -> str:
    """12345 → `12.3k`; three digits that matter."""
    if not math.isfinite(number):
        return str(number)
    for scale, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * scale:
            value = number / scale
            return f"{value:.0f}{unit}" if abs(value) >= 99.95 else f"{value:.3g}{unit}"
    return f"{number:.0f}" if abs(number) >= 99.95 or number == int(number) else f"{number:.3g}"


def nats(value: float | None, non_finite: str | None = None) -> str:
    """A loss: three decimals, or what it was instead of a number."""
    if value is None:
        return non_finite or "nan"
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2e}"


def clock(seconds: float | None) -> str:
    """252 → `4:12`; past a day `3d 04h`."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours >= 48:
        return f"{hours // 24}d {hours % 24:02d}h"
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def size(number_bytes: float) -> str:
    """Bytes in binary units: `1.21 GiB`."""
    value = float(number_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"
