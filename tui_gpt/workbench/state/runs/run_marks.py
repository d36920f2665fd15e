"""Which runs are marked, and the color and letter that each has in the chart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Marks:
    """The marked runs. The first `size` of them have a slot of the overlay, and keep it for as long as they are marked.

    A slot is a color and a letter. It belongs to the run, whether or not it has something to draw.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._slots: dict[str, int | None] = {}  # in the order of marking

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, run: object) -> bool:
        return run in self._slots

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    @property
    def slots(self) -> dict[str, int | None]:
        return self._slots

    def slot(self, run: str) -> int | None:
        return self._slots.get(run)

    def letter(self, run: str) -> str:
        slot = self._slots.get(run)
        return "" if slot is None else chr(ord("a") + slot)

    def add(self, *runs: str) -> None:
        for run in runs:
            self._slots.setdefault(run, None)
        self._fill()

    def remove(self, *runs: str) -> None:
        for run in runs:
            self._slots.pop(run, None)
        self._fill()

    def toggle(self, run: str) -> None:
        (self.remove if run in self._slots else self.add)(run)

    def rename(self, run: str, new: str) -> None:
        """Keep the mark of a run that has another name now."""
        self._slots = {new if key == run else key: slot for key, slot in self._slots.items()}

    def keep(self, runs: Iterable[str]) -> None:
        """Forget the marks of runs that are gone."""
        self.remove(*self._slots.keys() - set(runs))

    def charted(self) -> list[tuple[str, int]]:
        """Return the marked runs that have a slot, in the order of the slots."""
        return sorted(((run, slot) for run, slot in self._slots.items() if slot is not None), key=lambda pair: pair[1])

    def _fill(self) -> None:
        free = [slot for slot in range(self.size) if slot not in self._slots.values()]
        for run in [run for run, slot in self._slots.items() if slot is None][: len(free)]:
            self._slots[run] = free.pop(0)
