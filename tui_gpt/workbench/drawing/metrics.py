"""The metrics that a chart can show, with their names and how their values read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from tui_gpt.workbench.drawing.formatting import format_bytes, format_loss, format_short
from tui_gpt.workbench.drawing.ranges import same_decimals


@dataclass(frozen=True)
class Metric:
    """Something that a chart can show. `format` and `ticks` get values times `scale`.

    kind: logged for every step (series), at evaluations (eval), of each block (blocks), or val against train (gap).
    """

    key: str
    label: str
    unit: str = ""
    format: Callable[[float], str] = format_short
    ticks: Callable[[Iterable[float]], list[str]] = same_decimals
    from_zero: bool = False
    is_noisy: bool = False  # drawn smoothed, with the values behind the curve
    kind: Literal["series", "eval", "gap", "blocks"] = "series"
    scale: float = 1.0


def _gibibytes(values: Iterable[float]) -> list[str]:
    return [f"{text} GiB" if text != "0" else text for text in same_decimals(values)]


def _memory(gibibytes: float) -> str:
    return format_bytes(gibibytes * 2**30)


def _wait(milliseconds: float) -> str:
    return f"{milliseconds:.3g} ms"


def _percent(values: Iterable[float]) -> list[str]:
    return [f"{text} %" for text in same_decimals(values)]


def _powers(values: Iterable[float]) -> list[str]:
    return [f"{value:.1e}".replace("e-0", "e-") if value else "0" for value in values]


def _scientific(value: float) -> str:
    return f"{value:.2e}".replace("e-0", "e-") if value else "0"


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("loss", "loss", "nats/token", format_loss, is_noisy=True),
        Metric("val_loss", "validation loss", "nats/token", format_loss, kind="eval"),
        Metric("gap", "train–val gap", "%", lambda value: f"{value:+.1f} %", _percent, kind="gap"),
        Metric("bits_per_byte", "bits per byte", "bits/byte", format_loss, kind="eval"),
        Metric("learning_rate", "learning rate", "", _scientific, _powers, from_zero=True),
        Metric("grad_norm", "gradient norm", "", from_zero=True, is_noisy=True),
        Metric("grad_norms", "gradient norm by block", "", from_zero=True, kind="blocks"),
        Metric("update_norms", "update norm by block", "", from_zero=True, kind="blocks"),
        Metric("tokens_per_second", "tokens/s", "tokens/s", from_zero=True, is_noisy=True),
        Metric("mfu", "MFU", "%", lambda value: f"{value:.1f} %", _percent, from_zero=True, is_noisy=True, scale=100.0),
        Metric("memory_bytes", "memory", "GiB", _memory, _gibibytes, from_zero=True, scale=2.0**-30),
        Metric("data_wait_seconds", "data wait", "ms", _wait, from_zero=True, is_noisy=True, scale=1000.0),
    )
}
