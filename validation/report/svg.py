"""Matplotlib figures as inline SVG that takes its colours from the page, so that it follows light and dark."""

import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Stand-ins that no real figure uses; each becomes a CSS variable of the page.
INK, FAINT, TRUTH = "#010101", "#010102", "#010103"
SERIES = ("#010111", "#010112", "#010113", "#010114", "#010115", "#010116")
VARIABLES: Mapping[str, str] = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    TRUTH: "var(--truth)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES)},
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
PANEL = (3.0, 2.3)  # inches


def new_panel() -> Figure:
    """Return an empty figure of the size of one panel, in the page's style."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=PANEL)
        figure.add_subplot()
        figure.subplots_adjust(left=0.17, right=0.97, bottom=0.14, top=0.88)
    return figure


def to_svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an ``<svg>`` element: no prologue, no metadata, ids and colours of its own page.

    `name` makes ids unique within the page; `description` is read out by screen readers.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", text)
    for stand_in, variable in VARIABLES.items():
        text = text.replace(stand_in, variable)
    return text.replace("<svg ", f'<svg role="img" aria-label="{_attribute(description)}" ', 1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
