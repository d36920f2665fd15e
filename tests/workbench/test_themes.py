"""Every theme knows every role, and a terminal gets the theme that it can show."""

from tui_gpt.workbench.themes import LOOKS, default_theme


def test_every_theme_knows_every_role():
    roles = [set(look.roles) for look in LOOKS.values()]
    assert roles[0] == roles[1] == roles[2]


def test_sixteen_colours_and_none_get_the_terminals_own():
    assert [default_theme(colors) for colors in ("truecolor", "256", "standard", None)] == [
        "dusk",
        "dusk",
        "terminal",
        "terminal",
    ]


def test_the_terminals_theme_names_only_its_own_colours():
    for style in LOOKS["terminal"].roles.values():
        assert style.color is None or style.color.triplet is None
