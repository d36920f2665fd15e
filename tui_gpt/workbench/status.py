"""The status line: the state in word, glyph and colour, then the figures one looks for first."""

from __future__ import annotations

from tui_gpt.workbench.canvas import Row, Span, row, row_width, sides
from tui_gpt.workbench.commander import PATIENCE_SECONDS, Commander
from tui_gpt.workbench.feed import RunFeed
from tui_gpt.workbench.text import clock, nats, one_line, short

STATES: dict[str, tuple[str, str]] = {  # glyph, role
    "starting": ("◌", "accent"),
    "running": ("●", "good"),
    "paused": ("⏸", "warn"),
    "stopping": ("◐", "warn"),
    "finished": ("✓", "good"),
    "stopped": ("■", "text"),
    "failed": ("✗", "bad"),
    "crashed": ("✗", "bad"),
    "elsewhere": ("○", "accent"),
    "gone": ("✗", "bad"),
    "unreadable": ("✗", "bad"),
}
SILENT_SECONDS = 10.0


def state_span(state: str, word: str = "") -> Span:
    glyph, role = STATES.get(state, ("○", "text"))
    return (f"{glyph} {word or state}", role)


def status_line(feed: RunFeed, commander: Commander, width: int, *, frozen: bool = False) -> Row:
    """`● running · step 120/3000 · loss 3.214 · …`, and how far it is at the right where there is room."""
    status, last = feed.status, feed.series.last
    parts: list[list[Span]] = [[state_span(feed.state, commander.state_word)]]
    if frozen:
        parts.append([("view frozen", "warn")])
    parts += _watchdog(feed, commander)
    step, total = feed.step, feed.total_steps
    if step or total:
        parts.append([("step ", "dim"), (f"{step}/{total}" if total else f"{step}", "bright")])
    if last is not None:
        parts.append([("loss ", "dim"), (nats(last.loss, last.non_finite), "bad" if last.loss is None else "bright")])
    if feed.state == "elsewhere" and status:
        parts.append([(f"on host {one_line(status.host)}", "text")])
    elif status and feed.is_live and status.phase and status.phase not in ("training", feed.state):
        done = f" {status.fraction:.0%}" if status.fraction is not None else ""
        parts.append([(one_line(status.phase) + done, "text")])
    parts += [[(word, "accent")] for word in commander.side_words]
    failure = feed.failure()
    if failure:
        parts.append([(one_line(failure), "bad")])
    if feed.evals and not failure:
        parts.append([("val ", "dim"), (nats(feed.evals[-1].val_loss, feed.evals[-1].non_finite), "bright")])
    if feed.is_live:
        parts += _live(feed)
    elif last is not None and not failure:
        parts.append([("in ", "dim"), (clock(last.elapsed_seconds), "text")])
        parts.append([("tokens ", "dim"), (short(last.tokens), "text")])
    left: list[Span] = []
    for index, part in enumerate(parts):
        left += [(" · ", "dim"), *part] if index else part
    return sides(left, _bar(step, total, width - row_width(left) - 2), width)


def _live(feed: RunFeed) -> list[list[Span]]:
    status, last = feed.status, feed.series.last
    parts: list[list[Span]] = []
    if last is not None and feed.state in ("running", "stopping"):
        parts.append([(short(last.tokens_per_second), "bright"), (" tok/s", "dim")])
    if status and status.eta_seconds is not None and feed.state == "running":
        parts.append([("ETA ", "dim"), (clock(status.eta_seconds), "bright")])
    if last is not None:
        parts.append([("tokens ", "dim"), (short(last.tokens), "text")])
    if (silent := feed.silent_seconds()) > SILENT_SECONDS and feed.state != "elsewhere":
        parts.append([(f"no sign of life for {clock(silent)}", "warn")])
    return parts


def _watchdog(feed: RunFeed, commander: Commander) -> list[list[Span]]:
    ask = commander.waiting()
    if ask is None or ask.age_seconds < PATIENCE_SECONDS:
        return []
    return [[(f"no answer for {int(ask.age_seconds)} s", "warn"), (" X ", "key"), ("goes further", "dim")]]


def _bar(step: int, total: int | None, room: int) -> Row:
    if not total or room < 16:
        return ()
    share = min(1.0, step / total)
    length = min(30, room - 6)
    full = int(share * length)
    percent = f"{int(100 * share):3d} %"
    return row(("━" * full, "accent"), ("─" * (length - full), "faint"), (f" {percent}", "dim"))
