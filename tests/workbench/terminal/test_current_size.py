"""A screen with two sizes in its queue comes to rest at the terminal's."""

from __future__ import annotations

import pytest
from textual import events
from textual.app import App
from textual.geometry import Size
from textual.message import Message
from textual.screen import Screen

from tui_gpt.workbench.dialogs.confirm import Confirm
from tui_gpt.workbench.screens.work_screen import WorkScreen
from tui_gpt.workbench.terminal.current_size import CurrentSize

TURNS = 40


class Other(Message):
    """A message between two sizes, as widgets post them, which keeps the second size from replacing the first."""


class Steady(CurrentSize, Screen[None]):
    pass


async def layouts_after_two_sizes(screen: Screen[None]) -> list[Size]:
    """Return the sizes that a screen is laid out for until it rests, but no more than `TURNS`."""
    sizes: list[Size] = []
    app = App[None]()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(screen)
        await pilot.pause()
        lay_out = screen._refresh_layout

        def record(size: Size | None = None, scroll: bool = False) -> None:
            if size is not None and len(sizes) < TURNS:
                sizes.append(size)
                lay_out(size, scroll)
                screen.post_message(Other())

        screen._refresh_layout = record  # type: ignore[method-assign]
        for size in (Size(50, 20), Size(60, 30), app.size):
            screen.post_message(events.Resize(size, size))
            screen.post_message(Other())
        await pilot.pause()
    return sizes


async def test_a_screen_comes_to_rest_at_the_terminals_size() -> None:
    assert set(await layouts_after_two_sizes(Steady())) == {Size(80, 24)}


async def test_textuals_own_screen_does_not() -> None:
    """When this fails, Textual has mended it, and `CurrentSize` can go."""
    assert len(await layouts_after_two_sizes(Screen())) == TURNS


@pytest.mark.parametrize("kind", [WorkScreen, Confirm])
def test_screens_and_dialogs_of_the_workbench_have_it(kind: type[Screen[None]]) -> None:
    assert issubclass(kind, CurrentSize)
