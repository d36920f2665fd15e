"""The private names of Textual that the terminal room stands on. When one of these fails, a new Textual moved it.

Look at what it became, change `output.py` or `driver.py` and their lists of names, and then this test.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual import __version__, events
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual._xterm_parser import XTermParser
from textual.app import App, ComposeResult
from textual.driver import Driver
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.strip import Strip
from textual.widgets import Input, Label
from textual.widgets._footer import FooterKey

import tui_gpt.workbench
from tui_gpt.workbench.terminal.output import TerminalCells

HINT = f"Textual {__version__} differs from what tui_gpt/workbench/terminal stands on:"


class Two(App[None]):
    CSS = "Label { width: 10; }"

    def compose(self) -> ComposeResult:
        yield Label("left", id="left")
        yield Label("right", id="right")

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[object] = []

    def _display(self, screen: object, renderable: object) -> None:
        self.updates.append(renderable)
        super()._display(screen, renderable)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (App, "_display", ["self", "screen", "renderable"]),
        (App, "_fatal_error", ["self"]),
        (App, "_close_messages_no_wait", ["self"]),
        (CompositorUpdate, "render_segments", ["self", "console"]),
        (LayoutUpdate, "__init__", ["self", "strips", "region"]),
        (ChopsUpdate, "__init__", ["self", "chops", "spans", "chop_ends"]),
        (Strip, "render_ansi", ["style", "color_system"]),
        (
            FooterKey,
            "__init__",
            ["self", "key", "key_display", "description", "action", "disabled", "tooltip", "classes"],
        ),
        (XTermParser, "__init__", ["self", "debug"]),
        (XTermParser, "feed", ["self", "data"]),
        (XTermParser, "tick", ["self"]),
        (LinuxDriver, "write", ["self", "data"]),
        (LinuxDriver, "run_input_thread", ["self"]),
        (LinuxDriver, "process_message", ["self", "message"]),
        (LinuxDriver, "start_application_mode", ["self"]),
        (LinuxDriver, "stop_application_mode", ["self"]),
        (Driver, "suspend_application_mode", ["self"]),
        (Driver, "resume_application_mode", ["self"]),
    ],
)
def test_methods_take_what_they_took(owner: type, name: str, parameters: list[str]) -> None:
    method = getattr(owner, name, None)
    assert method is not None, f"{HINT} {owner.__name__}.{name} is gone"
    found = [p for p in inspect.signature(inspect.unwrap(method)).parameters if p != "cls"]
    assert found == parameters, f"{HINT} {owner.__name__}.{name}{tuple(found)} instead of {tuple(parameters)}"


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (Driver, ["_app", "_debug", "_loop"]),
        (LinuxDriver, ["_file", "_writer_thread", "_in_band_window_resize", "_must_signal_resume", "exit_event"]),
        (WriterThread, ["_queue"]),
        (XTermParser, ["mouse_pixels", "terminal_size", "terminal_pixel_size"]),
        (App, ["_driver", "_batch_count", "_running", "_closed", "_sync_available", "_exception", "_exit_renderables"]),
    ],
)
def test_attributes_are_still_set(owner: type, names: list[str]) -> None:
    source = inspect.getsource(owner) + "".join(inspect.getsource(base) for base in owner.__mro__[1:-1])
    for name in names:
        assert f"self.{name}" in source, f"{HINT} {owner.__name__} has no {name} any more"


async def test_all_that_is_drawn_comes_through_display_as_layout_or_chops() -> None:
    app = Two()
    async with app.run_test(size=(20, 4)) as pilot:
        await pilot.pause()
        drawn = [update for update in app.updates if update is not None]
        full = [update for update in drawn if isinstance(update, LayoutUpdate)]
        assert full, f"{HINT} the first frame is no LayoutUpdate but {drawn}"
        assert full[-1].region.size == (20, 4), f"{HINT} a LayoutUpdate covers {full[-1].region}"
        app.updates.clear()
        app.query_one("#left", Label).update("LEFT")
        await pilot.pause()
        partial = [update for update in app.updates if isinstance(update, ChopsUpdate)]
        assert partial, f"{HINT} a changed widget sends no ChopsUpdate but {app.updates}"
        update = partial[-1]
        assert list(update.chops[0]) == [0, 10] and update.chop_ends[0] == [10, 20], f"{HINT} chops are {update.chops}"
        assert all(len(span) == 3 for span in update.spans), f"{HINT} spans are {update.spans}"
        cells = TerminalCells()
        cells.apply(update, ColorSystem.TRUECOLOR)
        assert "LEFT" in cells.encode(), f"{HINT} the changed text is not in the update"


async def test_filters_have_been_applied_to_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Two()
    async with app.run_test(size=(20, 4)):
        app.query_one("#left", Label).styles.color = "rgb(250,10,10)"
        update = app.screen._compositor.render_full_update()
        cells = TerminalCells()
        cells.apply(update, ColorSystem.TRUECOLOR)
        assert "250;10;10" not in cells.encode(), f"{HINT} NO_COLOR is not yet applied to the strips of an update"


def test_a_style_renders_to_parameters_alone() -> None:
    ansi = Strip.render_ansi(Style(bold=True, color="#010203", bgcolor="red"), ColorSystem.TRUECOLOR)
    assert ansi == "1;38;2;1;2;3;41", f"{HINT} Strip.render_ansi returns {ansi!r}"


def test_a_parser_takes_one_character_at_a_time() -> None:
    parser = XTermParser(False)
    found = [message for character in "\x1b[A" for message in parser.feed(character)]
    assert [type(message) for message in found] == [events.Key], f"{HINT} the parser returned {found}"
    assert found[0].key == "up"


def test_no_other_room_uses_private_modules_of_textual() -> None:
    root = Path(tui_gpt.workbench.__file__).parent
    for path in root.rglob("*.py"):
        if path.parent.name == "terminal":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                private = module.startswith("textual.") and "._" in module
                assert not private, f"{path.relative_to(root)} imports {module}; only terminal/ may"


def test_the_lists_of_private_names_are_whole() -> None:
    """Each private name that the room uses and that is not its own stands in its module's list."""
    for name in ("crash_report", "driver", "output"):
        module = importlib.import_module(f"tui_gpt.workbench.terminal.{name}")
        tree = ast.parse(inspect.getsource(module))
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        stored = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
        known = own | stored | {"_replace"}  # of a named tuple
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                listed = f"{node.attr}`" in (module.__doc__ or "")
                assert listed or node.attr in known, f"{name}.py uses {node.attr} unlisted"


def test_a_segment_has_three_parts_and_an_input_tells_where_its_cursor_is() -> None:
    assert Segment._fields == ("text", "style", "control")
    assert hasattr(Input, "cursor_screen_offset"), f"{HINT} the cursor's place is no longer told to the app"
