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


def _with_unit(unit: str) -> Callable[[Iterable[float]], list[str]]:
    return lambda values: [f"{text} {unit}" if text != "0" else text for text in same_decimals(values)]


def _scientific(value: float, decimals: int = 2) -> str:
    return f"{value:.{decimals}e}".replace("e-0", "e-") if value else "0"


def _powers(values: Iterable[float]) -> list[str]:
    return [_scientific(value, 1) for value in values]


def _memory(gibibytes: float) -> str:
    return format_bytes(gibibytes * 2**30)


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("loss", "loss", "nats/token", format_loss, is_noisy=True),
        Metric("val_loss", "validation loss", "nats/token", format_loss, kind="eval"),
        Metric("gap", "train–val gap", "%", "{:+.1f} %".format, _with_unit("%"), kind="gap"),
        Metric("bits_per_byte", "bits per byte", "bits/byte", format_loss, kind="eval"),
        Metric("learning_rate", "learning rate", "", _scientific, _powers, from_zero=True),
        Metric("grad_norm", "gradient norm", "", from_zero=True, is_noisy=True),
        Metric("grad_norms", "gradient norm by block", "", from_zero=True, kind="blocks"),
        Metric("update_norms", "update norm by block", "", from_zero=True, kind="blocks"),
        Metric("tokens_per_second", "tokens/s", "tokens/s", from_zero=True, is_noisy=True),
        Metric("mfu", "MFU", "%", "{:.1f} %".format, _with_unit("%"), from_zero=True, is_noisy=True, scale=100.0),
        Metric("memory_bytes", "memory", "GiB", _memory, _with_unit("GiB"), from_zero=True, scale=2.0**-30),
        Metric("data_wait_seconds", "data wait", "ms", "{:.3g} ms".format, from_zero=True, is_noisy=True, scale=1000.0),
    )
}
