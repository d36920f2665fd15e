"""Fit text into cells, and show numbers the same way everywhere."""

from __future__ import annotations

import math

from rich.cells import cell_len, set_cell_size, split_graphemes

from tui_gpt.workbench.drawing.sanitizing import clean


def width_of(text: str) -> int:
    """Return how many cells `text` takes."""
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, width: int) -> str:
    """Return `text` in at most `width` cells, ending in `…` where something was cut."""
    if width_of(text) <= width:
        return text
    if width <= 0:
        return ""
    return (text[: width - 1] if text.isascii() else set_cell_size(text, width - 1)) + "…"


def cut_head(text: str, width: int) -> str:
    """Return the end of `text` in at most `width` cells, for paths and errors, which say most at their end."""
    if width_of(text) <= width:
        return text
    if width <= 0:
        return ""
    if text.isascii():
        return "…" + text[len(text) - width + 1 :]
    start, used = len(text), 0
    for begin, _, cells in reversed(split_graphemes(text)[0]):
        used += cells
        if used > width - 1:
            break
        start = begin
    return "…" + text[start:]


def wrap(text: str, width: int, *, limit: int = 10_000) -> list[str]:
    """Return cleaned `text` in at most `limit` lines of at most `width` cells, broken at spaces where possible."""
    lines: list[str] = []
    width = max(1, width)
    for paragraph in clean(text[: width * limit * 4]).split("\n"):
        rest = paragraph
        while width_of(rest) > width and len(lines) < limit:
            head = rest[:width] if rest[:width].isascii() else _head(rest, width)
            at_space = head.rfind(" ", len(head) // 2)
            if at_space > 0 and rest[len(head) : len(head) + 1] != " ":
                head = head[: at_space + 1]
            lines.append(head.rstrip(" "))
            rest = rest[len(head) :].removeprefix(" ")
        lines.append(rest)
        if len(lines) >= limit:
            break
    return lines[:limit]


def _head(text: str, width: int) -> str:
    """Return as many leading graphemes as fit into `width` cells, at least one."""
    text = text[: width * 8 + 64]  # a grapheme of more than eight characters is rare, and only ends the line early
    used = end = 0
    for _, after, cells in split_graphemes(text)[0]:
        used += cells
        if used > width and end:
            break
        end = after
    return text[:end]


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def format_count(number: float) -> str:
    """1234567 → `1,234,567`."""
    return f"{number:,.0f}"


def format_short(number: float) -> str:
    """12345 → `12.3k`; three significant digits."""
    if not math.isfinite(number):
        return str(number)
    for scale, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * scale:
            value = number / scale
            return f"{value:.0f}{unit}" if abs(value) >= 99.95 else f"{value:.3g}{unit}"
    return f"{number:.0f}" if abs(number) >= 99.95 or number == int(number) else f"{number:.3g}"


def format_loss(value: float | None, non_finite: str | None = None) -> str:
    """Return a loss with three decimals, or `nan` or `inf` where it is not a number."""
    if value is None:
        return non_finite or "nan"
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2e}"


def format_duration(seconds: float | None) -> str:
    """252 → `4:12`; from two days on `3d 04h`."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours >= 48:
        return f"{hours // 24}d {hours % 24:02d}h"
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def format_bytes(number_bytes: float) -> str:
    """1300000000 → `1.21 GiB`."""
    value = float(number_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or abs(value) >= 99.95 else f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"
