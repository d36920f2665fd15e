"""The lines of the help screen: every key, in two columns where there is room."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tui_gpt.workbench.drawing.formatting import wrap
from tui_gpt.workbench.widgets.line_view import Lines

TWO_COLUMNS_FROM, GAP = 130, 3


def help_lines(groups: Sequence[tuple[str, list[tuple[str, str]]]]) -> Lines:
    """Return the viewer's lines for (title, [(keys, help)]) groups."""
    indent = max((len(keys) for _, lines in groups for keys, _ in lines), default=0) + 4

    def column(width: int) -> list[Text]:
        out: list[Text] = []
        for title, lines in groups:
            out.append(Text(title, "bold"))
            for keys, text in lines:
                if width < 2 * indent:  # the sentence stands below its keys
                    out.append(Text(f"  {keys}", "bold cyan"))
                    out += [Text(f"    {row}") for row in wrap(text, max(8, width - 4))]
                    continue
                first, *rest = wrap(text, width - indent)
                out.append(Text.assemble((f"  {keys}".ljust(indent), "bold cyan"), first))
                out += [Text(" " * indent + row) for row in rest]
            out.append(Text())
        return out[:-1]

    def lines_for(width: int) -> list[Text]:
        if width < TWO_COLUMNS_FROM:
            return column(width)
        half = (width - GAP) // 2
        every = column(half)
        middle = next((n + 1 for n in range(len(every) // 2, len(every)) if not every[n]), len(every))
        left, right = every[:middle], every[middle:]
        for one, two in zip(left, right, strict=False):
            one.pad_right(half + GAP - one.cell_len)
            one.append_text(two)
        return left

    return lines_for
