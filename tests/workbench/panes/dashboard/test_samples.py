"""Which steps stand beside each other."""

import pytest

from tui_gpt.workbench.panes.dashboard.samples import compare_steps

EARLY = [0, 10, 25, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]


@pytest.mark.parametrize(
    ("steps", "chosen", "count", "shown"),
    [
        (EARLY, 1000, 3, [100, 300, 1000]),
        (EARLY, 1000, 2, [300, 1000]),
        (EARLY, 0, 3, [0]),
        (EARLY, 10, 3, [0, 10]),
        ([250, 500, 750, 1000], 1000, 3, [250, 500, 1000]),
        ([250], 250, 3, [250]),
    ],
)
def test_earlier_samples_are_a_third_and_a_ninth_as_far(steps, chosen, count, shown):
    assert compare_steps(steps, chosen, count) == shown
