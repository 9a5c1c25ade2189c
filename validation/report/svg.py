"""Size and style of a Matplotlib panel, for the figure of a refutation (`validation.refutation.figure`)."""

from typing import Any

PANEL = (3.0, 2.3)  # inches
INK, FAINT = "#1c1f24", "#9aa3b0"
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
