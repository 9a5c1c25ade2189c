"""A mixture's causal graph as a picture in rows, from causes to effects: Graphviz lays out, matplotlib draws."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from estimators.optimise.arrays import Array
from estimators.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Lengths are in units of the picture, which are inches where the figure is made here; a node's are half its axes.
VARIABLE, GREEK = (0.4, 0.36), (0.29, 0.26)
TEXT, GREEK_TEXT, TEXT_MARGIN = 0.24, 0.2, 0.13
NODE_GAP, ROW_GAP, CLEARANCE, BORDER = 0.3, 0.6, 0.03, 0.15
# The plate around the variables: its name, its margin, what it has below that for the name, and the name's width.
PLATE, PLATE_PAD, PLATE_FOOT, PLATE_WORD = "rows", 0.22, 0.2, 0.75
POINTS = 72  # Graphviz's, in an inch
DRAWN = 60  # points of a line
LETTERS = frozenset({"alpha", "beta", "gamma", "delta", "lambda", "mu", "nu", "rho", "sigma", "tau", "theta"})
Node = Hashable


class HasGraph(Protocol):
    """A model that says its causal graph."""

    @property
    def graph(self) -> Any:
        """A `networkx.DiGraph` whose nodes say ``latent``, ``observed``, ``family`` and ``greeks``."""


@dataclass(frozen=True)
class Greek:
    """The node of a Greek: ``mu_X`` is the mu of X."""

    name: str
    variable: str


@dataclass(frozen=True, eq=False)
class Layout:
    """Where everything is: centres and half-axes of ellipses by node, a line [P, 2] for each edge.

    Boxes are (left, bottom, right, top): `limits` is around everything, `plate` around the variables, or None.
    """

    centres: Mapping[Node, Array]
    halves: Mapping[Node, tuple[float, float]]
    routes: Mapping[tuple[Node, Node], Array]
    limits: tuple[float, float, float, float]
    plate: Array | None


def plot_graph(model: HasGraph, *, greeks: bool = False, plates: bool = False, ax: "Axes | None" = None) -> "Axes":
    """Draw the causal graph of a model (its ``graph``) with matplotlib, Z dashed as it is hidden; return the Axes.

    With ``greeks`` every Greek has an arrow to its variable, and with ``plates`` a box is around what each row has
    anew. Without ``ax`` the figure is a new one of pyplot's, which a notebook shows. Raises TypeError for a model that
    does not say its graph, and where ``ax`` is not matplotlib Axes; ImportError without the extra ``[graph]``.

    >>> sorted(text.get_text() for text in plot_graph(GaussianMixture(K=2)).texts)
    ['X', 'Z']
    """
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"plot_graph: ax expects matplotlib Axes, or None for a figure of its own, got {ax!r}")
    graph = getattr(model, "graph", None)
    if graph is None:
        raise TypeError(
            f"plot_graph: model expects one that says its causal graph, as CausalMixture does; got {model!r}"
        )
    layout = lay_out(graph, greeks=greeks, plates=plates)
    left, bottom, right, top = layout.limits
    if ax is None:
        ax = style.new_figure((right - left, top - bottom)).add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.axis("off")
    # Text is sized in points; a unit has this many where the picture just fits the axes.
    pixels = min(ax.bbox.width / (right - left), ax.bbox.height / (top - bottom))
    unit = float(ax.figure.dpi_scale_trans.inverted().transform((72.0 * pixels, 0.0))[0])
    for (cause, _), line in layout.routes.items():
        _draw_edge(ax, line, style.NEUTRAL if isinstance(cause, Greek) else style.ink(ax), unit)
    for node, centre in layout.centres.items():
        is_latent = not isinstance(node, Greek) and graph.nodes[node]["latent"]
        _draw_node(ax, node, centre, layout.halves[node], is_latent, unit)
    if layout.plate is not None:
        _draw_plate(ax, layout.plate, unit)
    return ax


def lay_out(graph: Any, *, greeks: bool = False, plates: bool = False) -> Layout:
    """Rows from causes to effects; Greeks above or below all variables, whichever is nearer to their own."""
    try:
        from pygraphviz import AGraph
    except ImportError:
        raise ImportError("plot_graph needs Graphviz: pip install 'exact-estimators[graph]'") from None
    above, below = _greeks_of(graph) if greeks else ([], [])
    halves: dict[Node, tuple[float, float]] = {node: _half(node) for node in (*graph, *above, *below)}
    # Nodes by number: a name may hold what Graphviz's language reads as its own. Without a label no font is looked for.
    number = {node: str(position) for position, node in enumerate(halves)}
    picture = AGraph(directed=True, nodesep=NODE_GAP, ranksep=ROW_GAP)
    for node, half in halves.items():
        width, height = (2 * (length + CLEARANCE) for length in half)
        picture.add_node(number[node], label="", shape="ellipse", width=width, height=height)
    downwards = [*graph.edges, *((greek, greek.variable) for greek in above)]
    upwards = [(greek, greek.variable) for greek in below]
    for upper, lower in (*downwards, *(edge[::-1] for edge in upwards)):
        picture.add_edge(number[upper], number[lower], dir="none")
    for row, rank in ((above, "source"), (below, "sink")):
        picture.add_subgraph([number[greek] for greek in row], rank=rank)
    if plates:
        picture.add_subgraph([number[node] for node in graph], name="cluster", margin=PLATE_PAD * POINTS)
    picture.layout("dot")
    routes = {edge: _line(picture.get_edge(*(number[node] for node in edge)).attr["pos"]) for edge in downwards}
    for greek, variable in upwards:
        routes[greek, variable] = _line(picture.get_edge(number[variable], number[greek]).attr["pos"])[::-1]
    left, bottom, right, top = _numbers(picture.graph_attr["bb"]).tolist()
    plate = None
    if plates:
        plate = _plate(_numbers(picture.get_subgraph("cluster").graph_attr["bb"]), routes.values())
        bottom, right = min(bottom, plate[1]), max(right, plate[2])
    centres = {node: _numbers(picture.get_node(number[node]).attr["pos"]) for node in halves}
    limits = left - BORDER, bottom - BORDER, right + BORDER, top + BORDER
    return Layout(centres, halves, routes, limits, plate)


def _greeks_of(graph: Any) -> tuple[list[Greek], list[Greek]]:
    """Greeks of variables nearer to the first causes, and of those nearer to the last effects."""
    import networkx

    generations = list(networkx.topological_generations(graph))
    above: list[Greek] = []
    below: list[Greek] = []
    for depth, names in enumerate(generations):
        row = above if 2 * depth + 1 < len(generations) else below
        row += [Greek(greek, name) for name in names for greek in graph.nodes[name]["greeks"]]
    return above, below


def _numbers(text: str) -> Array:
    """Graphviz's points as units of the picture."""
    return np.array(text.replace(",", " ").split(), dtype=np.float64) / POINTS


def _line(spline: str) -> Array:
    """Points of a piecewise cubic Bézier curve."""
    from scipy.interpolate import BPoly

    controls = _numbers(spline).reshape(-1, 2)
    pieces = len(controls) // 3
    curve = BPoly(np.stack([controls[first : first + 3 * pieces : 3] for first in range(4)]), np.arange(pieces + 1))
    return np.asarray(curve(np.linspace(0, pieces, DRAWN)))


def _plate(box: Array, lines: Iterable[Array]) -> Array:
    """The box with a foot for its name, so wide that no edge is where that stands, on the right."""
    left, bottom, right, top = box - [0.0, PLATE_FOOT, 0.0, 0.0]
    points = np.concatenate([np.zeros((0, 2)), *lines])
    beside = points[(points[:, 1] > bottom) & (points[:, 1] < bottom + PLATE_FOOT + PLATE_PAD)]
    return np.array([left, bottom, max([right, *(beside[:, 0] + PLATE_WORD)]), top])


def _half(node: Node) -> tuple[float, float]:
    """Half the width and height of a node's ellipse, into which its text fits."""
    from matplotlib.textpath import TextPath

    is_greek = isinstance(node, Greek)
    size, (width, height) = (GREEK_TEXT, GREEK) if is_greek else (TEXT, VARIABLE)
    # Measured at a size where the outlines are not rounded to whole points.
    extent = TextPath((0.0, 0.0), _text(node), size=100.0).get_extents()
    return max(width, extent.width * size / 200.0 + TEXT_MARGIN), height


def _text(node: Node) -> str:
    """A variable's name as it is, a Greek's as mathematics."""
    if not isinstance(node, Greek):
        return style.plain(str(node))
    symbol = node.name.removesuffix(f"_{node.variable}")
    letter = f"\\{symbol}" if symbol in LETTERS else f"\\mathrm{{{_escaped(symbol)}}}"
    return f"${letter}$" if symbol == node.name else f"${letter}_{{\\mathrm{{{_escaped(node.variable)}}}}}$"


def _escaped(name: str) -> str:
    return "".join(f"\\{letter}" if letter in "_$%#&{}" else letter for letter in name if letter not in "\\^ ")


def _draw_node(ax: "Axes", node: Node, centre: Any, half: Any, is_latent: bool, unit: float) -> None:
    from matplotlib.patches import Ellipse

    is_greek = isinstance(node, Greek)
    ax.add_patch(
        Ellipse(
            centre,
            2 * half[0],
            2 * half[1],
            facecolor="none" if is_greek or is_latent else (style.NEUTRAL, style.BAND),
            edgecolor=style.NEUTRAL if is_greek else style.ink(ax),
            linestyle="--" if is_latent else "-",
            linewidth=0.014 * unit,
            zorder=2,
            gid=node.name if isinstance(node, Greek) else str(node),
        )
    )
    size = (GREEK_TEXT if is_greek else TEXT) * unit
    x, y = centre
    ax.text(x, y, _text(node), fontsize=size, color=style.ink(ax), ha="center", va="center", zorder=3, usetex=False)


def _draw_edge(ax: "Axes", line: Array, color: str, unit: float) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    ax.add_artist(
        FancyArrowPatch(
            path=Path(line),
            arrowstyle="-|>,head_length=0.4,head_width=0.2",
            mutation_scale=0.3 * unit,
            color=color,
            linewidth=0.014 * unit,
            capstyle="butt",
            joinstyle="miter",
            zorder=1,
        )
    )


def _draw_plate(ax: "Axes", plate: Array, unit: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    left, bottom, right, top = plate
    ax.add_patch(
        FancyBboxPatch(
            (left, bottom),
            right - left,
            top - bottom,
            boxstyle="round,pad=0,rounding_size=0.18",
            facecolor="none",
            edgecolor=style.NEUTRAL,
            linewidth=0.014 * unit,
            zorder=0,
            gid=PLATE,
        )
    )
    x, y, size = right - 0.12, bottom + 0.1, GREEK_TEXT * unit
    ax.text(x, y, PLATE, fontsize=size, color=style.NEUTRAL, ha="right", va="bottom", zorder=3, usetex=False)
