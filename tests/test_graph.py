"""The causal graph: its edges and attributes; pictures in which nothing overlaps and no edge runs through a node."""

import itertools
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import matplotlib
import networkx
import numpy as np
import pyro.distributions as dist
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch

from estimators import CausalMixture, GaussianMixture, PyroModel, plot_graph
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


CHAIN = CausalMixture(2, {"W": Bernoulli(), "T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, latent_parents=["W"])
GRAPHS: dict[str, CausalMixture] = {
    "tutorial": GaussianMixture(K=2),
    "W → Z → T → Y with Z → Y": CHAIN,
    "four columns": CausalMixture(3, {name: Gaussian() for name in ("age", "systolic_blood_pressure", "C", "D")}),
    "twelve columns": CausalMixture(2, {f"X{place}": Gaussian() for place in range(12)}),
    "long edges": CausalMixture(
        2,
        {
            "W": Bernoulli(),
            "V": Bernoulli(parents=["W"]),
            "A": Bernoulli(),
            "B": Bernoulli(parents=["A"]),
            "C": LinearGaussian(parents=["A", "B"]),
            "D": LinearGaussian(parents=["A", "C"]),
            "E": LinearGaussian(parents=["B", "D"]),
        },
        latent_parents=["W", "V"],
    ),
    "a dollar and a space": CausalMixture(2, {"price ($)": Gaussian(), "a_b^c\\d": Gaussian()}),
}
VIEWS: dict[str, dict[str, bool]] = {
    "causal": {},
    "Bayesian": {"greeks": True, "plates": True},
    "Greeks alone": {"greeks": True},
    "plate alone": {"plates": True},
}
# Each view shows one of two things that "Bayesian" shows both of.
ALONE = ("Greeks alone", "plate alone")
views = pytest.mark.parametrize(
    "view", [pytest.param(view, id=name, marks=[pytest.mark.slow] * (name in ALONE)) for name, view in VIEWS.items()]
)
graphs = pytest.mark.parametrize("model", GRAPHS.values(), ids=GRAPHS)


# ------------------------------------------------------------------ the graph


def test_the_graph_has_the_edges_that_the_model_was_given() -> None:
    graph = CHAIN.graph
    assert isinstance(graph, networkx.DiGraph)
    assert set(graph.edges) == {("W", "Z"), ("Z", "T"), ("Z", "Y"), ("T", "Y")}
    assert set(GRAPHS["four columns"].graph.edges) == {
        ("Z", name) for name in ("age", "systolic_blood_pressure", "C", "D")
    }


def test_nodes_say_what_they_are() -> None:
    nodes = CHAIN.graph.nodes
    assert {name: nodes[name]["latent"] for name in nodes} == {"Z": True, "W": False, "T": False, "Y": False}
    assert all(nodes[name]["observed"] is not nodes[name]["latent"] for name in nodes)
    families = {"Z": "Categorical", "W": "Bernoulli", "T": "Bernoulli", "Y": "LinearGaussian"}
    assert {name: nodes[name]["family"] for name in nodes} == families
    named = [greek for name in nodes for greek in nodes[name]["greeks"]]
    assert sorted(named) == sorted(parameter.name for parameter in CHAIN.parameters)
    assert nodes["Z"]["greeks"] == ("theta",)


def test_a_known_greek_is_not_in_the_graph() -> None:
    assert CausalMixture(2, {"X": Gaussian(scale=1.0)}).graph.nodes["X"]["greeks"] == ("mu_X",)


# ------------------------------------------------------------------ the picture


@cache
def drawn(model: CausalMixture, **view: bool) -> tuple[Any, dict[str, Ellipse], list[np.ndarray]]:
    """The axes, the ellipses by name, and each edge's line [P, 2] in the units of the picture."""
    ax = plot_graph(model, **view)
    nodes = {str(patch.get_gid()): patch for patch in ax.patches if isinstance(patch, Ellipse)}
    arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    lines = [ax.transData.inverted().transform(arrow.get_transform().transform(_path(arrow))) for arrow in arrows]
    return ax, nodes, lines


def _path(arrow: FancyArrowPatch) -> np.ndarray:
    path = arrow._path_original  # type: ignore[attr-defined]
    return np.asarray(path.vertices)


def inside(node: Ellipse, points: np.ndarray) -> np.ndarray:
    half = np.array([node.width, node.height]) / 2
    return np.asarray((((points - np.array(node.center)) / half) ** 2).sum(-1) < 1.0)


def outline(node: Ellipse) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 200)
    half = np.array([node.width, node.height]) / 2
    return np.array(node.center) + half * np.stack([np.cos(angle), np.sin(angle)], -1)


def nearest(nodes: dict[str, Ellipse], point: np.ndarray) -> str:
    return min(nodes, key=lambda name: float(np.linalg.norm(outline(nodes[name]) - point, axis=1).min()))


@views
@graphs
def test_every_edge_is_drawn_from_cause_to_effect(model: CausalMixture, view: dict[str, bool]) -> None:
    _, nodes, lines = drawn(model, **view)
    expected = set(model.graph.edges)
    if view.get("greeks"):
        own = model.graph.nodes(data="greeks")
        expected |= {(greek, name) for name, greeks in own for greek in greeks}
    found = {(nearest(nodes, line[0]), nearest(nodes, line[-1])) for line in lines}
    assert found == expected
    assert len(lines) == len(expected)


@views
@graphs
def test_nothing_overlaps_and_no_edge_runs_through_a_node(model: CausalMixture, view: dict[str, bool]) -> None:
    _, nodes, lines = drawn(model, **view)
    for one, other in itertools.permutations(nodes.values(), 2):
        assert not inside(one, outline(other)).any()
    for line in lines:
        for name, node in nodes.items():
            assert not inside(node, line).any(), name


def test_the_check_sees_an_edge_through_a_node() -> None:
    """The negative control: a straight line from W to Y runs through Z, which stands between them."""
    _, nodes, _ = drawn(CHAIN)
    assert inside(nodes["Z"], np.linspace(nodes["W"].center, nodes["Y"].center, 50)).any()


@views
@graphs
def test_causes_stand_above_their_effects(model: CausalMixture, view: dict[str, bool]) -> None:
    _, nodes, _ = drawn(model, **view)
    for cause, effect in model.graph.edges:
        assert nodes[cause].center[1] > nodes[effect].center[1] + nodes[effect].height


@views
@graphs
def test_text_fits_its_node_and_the_picture_its_figure(model: CausalMixture, view: dict[str, bool]) -> None:
    ax, nodes, lines = drawn(model, **view)
    renderer = FigureCanvasAgg(ax.figure).get_renderer()
    ax.figure.draw(renderer)
    to_units = ax.transData.inverted()
    boxes = {text: text.get_window_extent(renderer).transformed(to_units) for text in ax.texts}
    centres = {tuple(np.round(node.center, 9)): node for node in nodes.values()}
    for text, box in boxes.items():
        node = centres.get(tuple(np.round(text.get_position(), 9)))
        if node is not None:
            assert node.center[0] - node.width / 2 < box.x0 < box.x1 < node.center[0] + node.width / 2
            assert node.center[1] - node.height / 2 < box.y0 < box.y1 < node.center[1] + node.height / 2
        else:
            assert text.get_text() == "rows"
            assert not any(box.contains(x, y) for line in lines for x, y in line), "an edge crosses the plate's word"
            assert not any(inside(node, box.corners()).any() for node in nodes.values())
    corners = np.concatenate([outline(node) for node in nodes.values()])
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < corners[:, 0].min() < corners[:, 0].max() < right
    assert bottom < corners[:, 1].min() < corners[:, 1].max() < top


@graphs
def test_the_plate_is_around_the_variables_and_not_the_greeks(model: CausalMixture) -> None:
    ax, nodes, _ = drawn(model, greeks=True, plates=True)
    (plate,) = (patch for patch in ax.patches if isinstance(patch, FancyBboxPatch))
    low = np.array([plate.get_x(), plate.get_y()])
    high = low + np.array([plate.get_width(), plate.get_height()])
    for name, node in nodes.items():
        within = ((outline(node) > low) & (outline(node) < high)).all(1)
        assert within.all() if name in model.graph else not within.any(), name
    assert not any(isinstance(patch, FancyBboxPatch) for patch in plot_graph(model, greeks=True).patches)


@views
def test_the_hidden_cause_is_dashed_and_the_rest_is_not(view: dict[str, bool]) -> None:
    _, nodes, _ = drawn(CHAIN, **view)
    assert {name for name, node in nodes.items() if node.get_linestyle() == "--"} == {"Z"}


def test_greeks_are_there_only_where_asked_for() -> None:
    assert set(drawn(CHAIN)[1]) == {"W", "Z", "T", "Y"}
    assert set(drawn(CHAIN, greeks=True)[1]) == {"W", "Z", "T", "Y", *(p.name for p in CHAIN.parameters)}


# ------------------------------------------------------------------ the caller's matplotlib


def test_the_callers_matplotlib_stays_as_it_was() -> None:
    open_figures, before = pyplot.get_fignums(), dict(matplotlib.rcParams)
    figure = plot_graph(CHAIN, greeks=True, plates=True).figure
    assert dict(matplotlib.rcParams) == before
    # Of the figures one is new, and pyplot's, or no notebook would show it.
    assert [pyplot.figure(number) for number in pyplot.get_fignums() if number not in open_figures] == [figure]


def test_it_draws_on_the_axes_that_are_given() -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot_graph(CHAIN, ax=right) is right
    assert not left.patches
    assert len(right.patches) == 8, "four nodes and four edges"
    assert figure.axes == [left, right]


def test_anything_but_axes_is_refused() -> None:
    with pytest.raises(TypeError, match="ax expects matplotlib Axes"):
        plot_graph(CHAIN, ax=Figure())
    with pytest.raises(TypeError, match="says its causal graph, as CausalMixture does"):
        plot_graph(PyroModel(lambda N: None))


def test_without_graphviz_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(ImportError, match=r"pip install 'exact-estimators\[graph\]'"):
        plot_graph(GaussianMixture(K=2))


def test_a_prior_does_not_change_the_graph() -> None:
    other = CausalMixture(5, {"X": Gaussian(scale=dist.Gamma(3.0, 2.0))})
    assert networkx.utils.graphs_equal(other.graph, CausalMixture(2, {"X": Gaussian()}).graph)
