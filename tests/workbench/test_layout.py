"""Panes tile the screen at every size that shows them together."""

from hypothesis import given
from hypothesis import strategies as st

from tui_gpt.workbench.layout import GRID_HEIGHT, GRID_WIDTH, fits_grid, grid


@given(st.integers(GRID_WIDTH, 400), st.integers(GRID_HEIGHT, 150))
def test_panes_cover_everything_once_and_none_is_too_small_to_read(width, height):
    regions = grid(width, height)
    assert len(regions) == 9
    assert sum(region.area for region in regions.values()) == width * height
    for name, region in regions.items():
        assert region.width >= 24
        assert region.height >= 4
        assert all(other is region or not region.overlaps(other) for other in regions.values()), name


def test_eighty_by_twenty_four_shows_tabs():
    assert not fits_grid(80, 21)
    assert fits_grid(120, 37)
