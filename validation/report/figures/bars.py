"""Counts of a few kinds as bars of one length, a bar for each name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from validation.report.marks import drawing, text_at
from validation.report.words import clipped

WIDTH, LEFT, RIGHT, TOP, STEP, HEIGHT = 390.0, 122.0, 382.0, 26.0, 19.0, 14.0
DIGIT = 7.0  # pixels that a digit of a count needs


@dataclass(frozen=True)
class Bar:
    """A count, and the class of the page that colours it."""

    count: int
    css: str


def bars(title: str, lines: Mapping[str, Sequence[Bar]], description: str) -> str:
    """Return a panel with a line for each name: its bars one after the other, with their counts where they fit."""
    marks = [text_at(4, 15, clipped(title, 62), "title")]
    for i, (name, parts) in enumerate(lines.items()):
        y, x = TOP + STEP * i, LEFT
        total = sum(part.count for part in parts)
        marks.append(text_at(LEFT - 7, y + 11, clipped(name, 20), "end"))
        for part in parts:
            width = (RIGHT - LEFT) * part.count / total
            if not part.count:
                continue
            marks.append(
                f'<rect class="bar {part.css}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{HEIGHT:g}"/>'
            )
            if width > DIGIT * len(str(part.count)) + 3:
                marks.append(text_at(x + width / 2, y + 11, str(part.count), "on"))
            x += width
    return drawing(WIDTH, TOP + STEP * len(lines) + 4, marks, f"{title}. {description}")
