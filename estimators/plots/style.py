"""How every plot looks: colours, sizes, and axes that are made or given.

Text and lines have the ink of the axes they are on, which is the user's (``plt.style.context("dark_background")``), and
fills are translucent, so that a figure reads on light and dark alike. The palette is told apart by colour-blind eyes
and contrasts with white and near-black; line styles and markers say the same again.
"""

import textwrap
from collections.abc import Iterable, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    # Axes to draw on, as many as there are panels, or None for a figure of its own.
    Given = Axes | Iterable[Axes] | None

# The first three are Okabe and Ito's blue, vermilion and green.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#9900FF", "#FF66FF", "#AA99BB", "#EE1155", "#776688")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 1)), (0, (6, 1, 2, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# Mid-grey: of data, on any background.
NEUTRAL = "#808080"
# Opacity of what data fill, and of a band.
FILL, BAND = 0.5, 0.25
SMALL, TEXT = "small", "medium"
LINE = 1.8
# Inches: of one panel among others, and of one alone.
PANEL, ALONE = (3.6, 2.6), (5.2, 3.9)
LETTERS_PER_INCH = 14


def colour(number: int) -> str:
    """The colour of a class, of an estimator."""
    return PALETTE[number % len(PALETTE)]


def line(number: int) -> Any:
    """The line style that goes with it."""
    return LINES[number % len(LINES)]


def marker(number: int) -> str:
    """The marker that goes with it."""
    return MARKERS[number % len(MARKERS)]


def mark(number: int, size: float, *, is_open: bool = False) -> dict[str, Any]:
    """A mark in that colour and shape: filled, or open where it is of another mode than the first."""
    look = {"color": colour(number), "marker": marker(number), "markersize": size}
    return {**look, "markerfacecolor": "none"} if is_open else look


def ink(ax: "Axes") -> Any:
    """The colour of the axes' own text."""
    return ax.xaxis.label.get_color()


def one_axes(call: str, ax: "Axes | None", size: tuple[float, float] = ALONE) -> "Axes":
    """The axes that were given, or those of a new figure."""
    return axes_for(call, None if ax is None else [ax], 1, panel=size)[0]


def new_figure(size: tuple[float, float], layout: str | None = None) -> "Figure":
    """One of pyplot's, by which a notebook shows it at the end of a cell, and ``plt.show()`` in a script."""
    from matplotlib import pyplot

    return pyplot.figure(figsize=size, layout=layout)


def axes_for(
    call: str, axes: "Given", count: int, *, columns: int = 4, panel: tuple[float, float] = PANEL
) -> "list[Axes]":
    """As many axes as there are panels: those that were given, or of a new figure. Raises TypeError or ValueError."""
    from matplotlib.axes import Axes

    if axes is None:
        columns = min(columns, count)
        panel = ALONE if count == 1 and panel == PANEL else panel
        rows = ceil(count / columns)
        figure = new_figure((panel[0] * columns, panel[1] * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        for spare in grid[count:]:
            spare.remove()
        given = grid[:count]
    else:
        # NumPy's array of axes, as `plt.subplots` gives it, too.
        given = [axes] if isinstance(axes, Axes) else list(getattr(axes, "flat", axes))
    wrong = [ax for ax in given if not isinstance(ax, Axes)]
    if wrong:
        raise TypeError(f"{call}: expected matplotlib Axes, or None for a figure of its own, got {wrong[0]!r}")
    if len(given) != count:
        raise ValueError(f"{call}: expected {count} Axes, one for each panel, got {len(given)}")
    for ax in given:
        ax.spines[["top", "right"]].set_visible(False)
        for side in ("left", "bottom"):
            ax.spines[side].set_color(NEUTRAL)
        ax.tick_params(color=NEUTRAL, labelsize=SMALL)
    return given


def title(ax: "Axes", text: str) -> None:
    """A title on the left, in lines that fit the axes."""
    inches = ax.bbox.width / ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, max(int(inches * LETTERS_PER_INCH), 20))]
    ax.set_title(plain("\n".join(lines)), loc="left", fontsize=TEXT)


def legend(axes: "Sequence[Axes]", keys: Sequence[tuple[Any, str]], *heads: str) -> None:
    """One legend for all panels, of handles with their words, under lines that hold of all of them.

    It is below them where the figure has nothing else, or else in the first of the axes.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    handles, names = [handle for handle, _ in keys], [plain(word) for _, word in keys]
    figure: Any = axes[0].get_figure(root=True)
    head = "\n".join(line for line in heads if line)
    look: dict[str, Any] = {"frameon": False, "fontsize": SMALL, "title_fontsize": SMALL, "title": head or None}
    if figure.axes == list(axes) and isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        width = figure.get_size_inches()[0] * LETTERS_PER_INCH
        columns = max(1, min(len(names), int(width / (max(map(len, names), default=0) + 9))))
        box = figure.legend(handles, names, loc="outside lower center", ncols=columns, **look)
    else:
        # Over areas, whose colours are those of its own keys, it is read from the ground of the axes.
        ground = {"frameon": True, "facecolor": axes[0].get_facecolor(), "framealpha": 0.85, "edgecolor": "none"}
        box = axes[0].legend(handles, names, **{**look, **ground})
    for text in (box.get_title(), *box.get_texts()):
        text.set_color(ink(axes[0]))


def name_ticks(ax: "Axes", places: Any, words: Sequence[str]) -> None:
    """Ticks by name, aslant where side by side they would overlap."""
    inches = ax.bbox.width / ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    is_long = sum(map(len, words)) + 2 * len(words) > LETTERS_PER_INCH * inches
    look: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if is_long else {}
    ax.set_xticks(places, [plain(word) for word in words], **look)


def plain(text: str) -> str:
    """Text in which a dollar is a dollar and no mathematics."""
    return text.replace("$", r"\$")
