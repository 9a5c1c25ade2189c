"""A mixture's causal graph as a networkx graph, and as a picture in rows, from causes to effects.

The picture is a layered one (Sugiyama, Tagawa and Toda 1981, "Methods for visual understanding of hierarchical system
structures", IEEE SMC 11): an edge that passes rows keeps a place of its own in each of them, so that it meets no node.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import isotonic_regression

from estimators.parameters.parameter import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Lengths are in units of the picture, which are inches where the figure is made here.
VARIABLE, GREEK = (0.4, 0.36), (0.29, 0.26)
TEXT, GREEK_TEXT, TEXT_MARGIN = 0.24, 0.2, 0.13
NODE_GAP, ROW_GAP, CLEARANCE, BORDER = 0.36, 1.3, 0.07, 0.15
# The plate around the variables: its name, its margin at the sides and above, its margin below (where the name stands),
# and the width kept free of edges for the name.
PLATE, PLATE_PAD, PLATE_FOOT, PLATE_WORD = "rows", 0.22, 0.42, 0.75
# How much straighter an edge is where it passes a row than where it ends (Gansner et al. 1993, IEEE TSE 19).
STRAIGHT = 8.0
SWEEPS, ROUNDS = 12, 60
# Points of a line when it is laid out, and when it is drawn.
POINTS, DRAWN = 400, 60
INK, GREY, OBSERVED = "#222222", "#808080", "#dfe6ee"
LETTERS = frozenset({"alpha", "beta", "gamma", "delta", "lambda", "mu", "nu", "rho", "sigma", "tau", "theta"})
Node = Hashable
Edge = tuple[Node, Node]
Rows = list[list[Node]]


@dataclass(frozen=True)
class Greek:
    """The node of a Greek: ``mu_X`` is the mu of X."""

    name: str
    variable: str


@dataclass(frozen=True, eq=False)
class Layout:
    """Where everything is: centres and half-widths of ellipses by node, a line [P, 2] for each edge, the plate's box.

    The box is (left, bottom, right, top) around the variables and the edges between them.
    """

    centres: Mapping[Node, tuple[float, float]]
    halves: Mapping[Node, tuple[float, float]]
    routes: Mapping[Edge, Array]
    plate: tuple[float, float, float, float]


def draw(graph: Any, *, greeks: bool = False, plates: bool = False, ax: "Axes | None" = None) -> "Axes":
    """Draw a causal graph on ``ax``, or on a figure of its own that pyplot does not know.

    Raises TypeError where ``ax`` is something else.
    """
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"plot_graph: ax expects matplotlib Axes, or None for a figure of its own, got {ax!r}")
    layout = lay_out(graph, greeks=greeks)
    left, bottom, right, top = _limits(layout, plates)
    if ax is None:
        ax = Figure(figsize=(right - left, top - bottom)).add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.axis("off")
    # Text is sized in points; a unit has this many where the picture just fits the axes.
    pixels = min(ax.bbox.width / (right - left), ax.bbox.height / (top - bottom))
    unit = float(ax.figure.dpi_scale_trans.inverted().transform((72.0 * pixels, 0.0))[0])
    for (cause, _), line in layout.routes.items():
        _draw_edge(ax, line, GREY if isinstance(cause, Greek) else INK, unit)
    for node, centre in layout.centres.items():
        is_latent = not isinstance(node, Greek) and graph.nodes[node]["latent"]
        _draw_node(ax, node, centre, layout.halves[node], is_latent, unit)
    if plates:
        _draw_plate(ax, layout.plate, unit)
    return ax


# -------------------------------------------------------------------- the layout


def lay_out(graph: Any, *, greeks: bool = False) -> Layout:
    """Rows from causes to effects; Greeks above or below all variables, whichever is nearer to their own."""
    row, edges = _rows_of(graph, greeks)
    chains = {edge: _chain(edge, row) for edge in edges}
    for chain in chains.values():
        step = 1 if row[chain[-1]] > row[chain[0]] else -1
        row.update({node: row[chain[0]] + step * place for place, node in enumerate(chain)})
    links: dict[Node, list[Node]] = {node: [] for node in row}
    for chain in chains.values():
        for one, other in pairwise(chain):
            links[one].append(other)
            links[other].append(one)
    numbers = sorted(set(row.values()))
    rows = _ordered([[node for node in row if row[node] == number] for number in numbers], links)
    halves = {node: _half(node) for node in row}
    across = _across(rows, links, halves)
    nodes = [*graph, *(cause for cause, _ in edges if isinstance(cause, Greek))]
    gap = ROW_GAP
    # Edges are steeper in rows further apart, and then pass their ends' neighbours by.
    for _ in range(SWEEPS):
        centres = {node: (across[node], -gap * row[node]) for node in row}
        lines = {edge: _line([centres[node] for node in chain]) for edge, chain in chains.items()}
        if not any(_meets(line, centres[n], halves[n]) for e, line in lines.items() for n in nodes if n not in e):
            break
        gap *= 1.25
    routes = {edge: _clipped(line, edge, centres, halves) for edge, line in lines.items()}
    box = _box([node for node in row if not isinstance(node, Greek)], centres, halves, list(routes.values()))
    return Layout({node: centres[node] for node in nodes}, {node: halves[node] for node in nodes}, routes, box)


def _rows_of(graph: Any, greeks: bool) -> tuple[dict[Node, int], list[Edge]]:
    import networkx

    generations = list(networkx.topological_generations(graph))
    row: dict[Node, int] = {name: place for place, names in enumerate(generations, 1) for name in names}
    edges, last = list(graph.edges), len(generations) + 1
    for name in list(graph) if greeks else ():
        for greek in graph.nodes[name]["greeks"]:
            row[Greek(greek, name)] = 0 if row[name] < last - row[name] else last
            edges.append((Greek(greek, name), name))
    return row, edges


def _chain(edge: Edge, row: Mapping[Node, int]) -> list[Node]:
    """The edge's ends, and between them its places in the rows that it passes."""
    start, end = row[edge[0]], row[edge[1]]
    passed = range(start + 1, end) if end > start else range(start - 1, end, -1)
    return [edge[0], *(("passing", edge, number) for number in passed), edge[1]]


def _ordered(rows: Rows, links: Mapping[Node, Sequence[Node]]) -> Rows:
    """Sweeps down and up that put nodes in order of their neighbours' mean place; the least crossed of what came."""
    best = rows = [list(row) for row in rows]
    for sweep in range(SWEEPS):
        rows = [list(row) for row in rows]
        for index in range(1, len(rows)) if sweep % 2 == 0 else range(len(rows) - 2, -1, -1):
            beside = rows[index - 1 if sweep % 2 == 0 else index + 1]
            place = {node: number for number, node in enumerate(beside)}
            means = {
                node: float(np.mean([place[other] for other in links[node] if other in place] or [number]))
                for number, node in enumerate(rows[index])
            }
            rows[index].sort(key=means.__getitem__)
        if _crossings(rows, links) < _crossings(best, links):
            best = rows
    return best


def _crossings(rows: Rows, links: Mapping[Node, Sequence[Node]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place = {node: number for number, node in enumerate(lower)}
        ends = [(number, place[other]) for number, node in enumerate(upper) for other in links[node] if other in place]
        total += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(ends, 2))
    return total


def _across(rows: Rows, links: Mapping[Node, Sequence[Node]], halves: Mapping[Node, Any]) -> dict[Node, float]:
    """Every node as near to the mean of its neighbours as the widths in its row allow, by least squares in turn."""
    starts = []
    for row in rows:
        apart = [halves[a][0] + halves[b][0] + NODE_GAP for a, b in pairwise(row)]
        starts.append(np.cumsum([0.0, *apart]))
    x: dict[Node, float] = {}
    for row, start in zip(rows, starts, strict=True):
        x.update(zip(row, (start - start[-1] / 2).tolist(), strict=True))
    pulls = {n: np.array([STRAIGHT ** (_is_passing(n) and _is_passing(m)) for m in links[n]]) for n in x}
    for _ in range(ROUNDS):
        for row, start in zip(rows, starts, strict=True):
            wanted = np.array([np.average([x[other] for other in links[n]], weights=pulls[n]) for n in row])
            found = isotonic_regression(wanted - start, weights=[pulls[n].sum() for n in row]).x + start
            x.update(zip(row, found.tolist(), strict=True))
    return x


def _is_passing(node: Node) -> bool:
    return isinstance(node, tuple)


def _half(node: Node) -> tuple[float, float]:
    """Half the width and height of a node's ellipse, into which its text fits; nothing for a passing edge."""
    if _is_passing(node):
        return 0.0, 0.0
    from matplotlib.textpath import TextPath

    is_greek = isinstance(node, Greek)
    size, (width, height) = (GREEK_TEXT, GREEK) if is_greek else (TEXT, VARIABLE)
    # Measured at a size where the outlines are not rounded to whole points.
    extent = TextPath((0.0, 0.0), _text(node), size=100.0).get_extents()
    return max(width, extent.width * size / 200.0 + TEXT_MARGIN), height


def _line(places: Sequence[tuple[float, float]]) -> Array:
    """A smooth curve [P, 2] through places in successive rows."""
    x, y = np.array(places).T
    at = np.linspace(0.0, len(places) - 1.0, POINTS)
    steps = np.arange(len(places))
    across = CubicSpline(steps, x, bc_type="natural")(at) if len(x) > 2 else np.interp(at, steps, x)
    return np.stack([across, np.interp(at, steps, y)], -1)


def _inside(line: Array, centre: Any, half: Any, margin: float) -> Any:
    return (((line - centre) / (np.asarray(half) + margin)) ** 2).sum(-1) < 1.0


def _meets(line: Array, centre: Any, half: Any) -> bool:
    return bool(_inside(line, centre, half, CLEARANCE).any())


def _clipped(line: Array, edge: Edge, centres: Mapping[Node, Any], halves: Mapping[Node, Any]) -> Array:
    """The part of a line between the ellipses at its ends."""
    inside = [_inside(line, centres[node], halves[node], 0.02) for node in edge]
    between = line[~inside[0] & ~inside[1]]
    return np.asarray(between[np.linspace(0, len(between) - 1, DRAWN).round().astype(int)])


def _box(nodes: Sequence[Node], centres: Mapping[Node, Any], halves: Mapping[Node, Any], lines: list[Array]) -> Any:
    middle, half = np.array([centres[n] for n in nodes]), np.array([halves[n] for n in nodes])
    (left, bottom), (right, top) = (middle - half).min(0) - PLATE_PAD, (middle + half).max(0) + PLATE_PAD
    foot = bottom - (PLATE_FOOT - PLATE_PAD)
    points = np.concatenate([np.zeros((0, 2)), *lines])
    beside = points[(points[:, 1] > foot) & (points[:, 1] < bottom + PLATE_PAD)]
    return left, foot, max([right, *(beside[:, 0] + PLATE_WORD)]), top


def _limits(layout: Layout, plates: bool) -> tuple[float, float, float, float]:
    middle, half = np.array(list(layout.centres.values())), np.array(list(layout.halves.values()))
    lines = list(layout.routes.values())
    boxes = [np.array(layout.plate).reshape(2, 2)] if plates else []
    corners = np.concatenate([middle - half, middle + half, *lines, *boxes])
    (left, bottom), (right, top) = corners.min(0) - BORDER, corners.max(0) + BORDER
    return float(left), float(bottom), float(right), float(top)


# -------------------------------------------------------------------- the picture


def _text(node: Node) -> str:
    """A variable's name as it is, a Greek's as mathematics."""
    if not isinstance(node, Greek):
        return str(node).replace("$", r"\$")
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
            facecolor="white" if is_greek or is_latent else OBSERVED,
            edgecolor=GREY if is_greek else INK,
            linestyle="--" if is_latent else "-",
            linewidth=0.014 * unit,
            zorder=2,
            gid=node.name if isinstance(node, Greek) else str(node),
        )
    )
    size = (GREEK_TEXT if is_greek else TEXT) * unit
    x, y = centre
    ax.text(x, y, _text(node), fontsize=size, color=INK, ha="center", va="center", zorder=3, usetex=False)


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


def _draw_plate(ax: "Axes", plate: tuple[float, float, float, float], unit: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    left, bottom, right, top = plate
    ax.add_patch(
        FancyBboxPatch(
            (left, bottom),
            right - left,
            top - bottom,
            boxstyle="round,pad=0,rounding_size=0.18",
            facecolor="none",
            edgecolor=GREY,
            linewidth=0.014 * unit,
            zorder=0,
            gid=PLATE,
        )
    )
    x, y, size = right - 0.12, bottom + 0.1, GREEK_TEXT * unit
    ax.text(x, y, PLATE, fontsize=size, color=GREY, ha="right", va="bottom", zorder=3, usetex=False)
