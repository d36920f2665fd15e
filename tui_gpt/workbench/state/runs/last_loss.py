"""Where a run's smoothed loss ends, read from the end of its journal: a list of a thousand runs reads no whole ones."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tui_gpt.run.messages import Message, NonFinite, Rewound
from tui_gpt.workbench.state.smoothing import kernel_width, smooth

TAIL_BYTES = 1 << 14
KERNELS = 10  # widths of the smoothing kernel, beyond which a point no longer counts


class _Loss(Message, frozen=True, gc=False):
    """What the list needs of a line of metrics.jsonl."""

    step: int
    loss: float | None
    non_finite: NonFinite | None = None


def last_loss(path: Path) -> tuple[float | None, NonFinite | None]:
    """Return where the smoothed loss ends, read from the end of the journal, and what it is if not a number.

    Raises OSError when the file is there and cannot be read.
    """
    if not path.exists():
        return None, None
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        tail_bytes = TAIL_BYTES
        while True:
            start = max(0, length - tail_bytes)
            file.seek(start)
            points = _losses(file.read(), is_whole=not start)
            share = (length - start) / length if length else 1.0  # of the journal; how many points it has is a guess
            total = round(len(points) / share)
            width = kernel_width("auto", total, total)
            if not start or len(points) > KERNELS * width:
                break
            tail_bytes *= 4
    points = points[-round(KERNELS * width) :]
    finite = [(float(index), point.loss) for index, point in enumerate(points) if point.loss is not None]
    if not finite:
        return None, points[-1].non_finite or "nan" if points else None
    before = total - len(points)
    positions, values = [index for index, _ in finite], [loss for _, loss in finite]
    widths = [kernel_width("auto", before + index, total) for index in positions]
    non_finite = (points[-1].non_finite or "nan") if points[-1].loss is None else None
    return smooth(positions, values, [1.0] * len(values), widths)[-1], non_finite


def _losses(data: bytes, *, is_whole: bool) -> list[_Loss]:
    """Return the losses that stand; torn lines are skipped and rewinds carried out."""
    points: list[_Loss] = []
    for line in data.splitlines()[0 if is_whole else 1 :]:
        try:
            if line.startswith(b'{"rewound_to"'):
                step = _decode_rewound(line).rewound_to
                while points and points[-1].step > step:
                    points.pop()
            else:
                points.append(_decode_loss(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return points


_decode_loss = msgspec.json.Decoder(_Loss).decode
_decode_rewound = msgspec.json.Decoder(Rewound).decode
