"""A captured graph at fixed values of most of its inputs: what depends on these alone is computed once.

A root of a CDF asks the same graph, of the same Greeks, at one point after another. What it simulates for them does not
depend on the point: it is kept, and only what does is computed again.
"""

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor
from torch.fx import Graph as NodeGraph
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from estimators.programs.captured import Graph, of_entries
from estimators.programs.operations import is_mutable, is_repeatable

# Numbers that are kept at one time: 160 MB.
MOST_KEPT = 20_000_000


class Settled:
    """``first -> graph.batched(first for each entry, *rest)`` with the rest fixed, and the same random numbers.

    Where a graph was not captured, does not come apart, or would keep too much, every call computes all of it.
    """

    def __init__(self, graph: Graph, rest: Sequence[Tensor]) -> None:
        self._graph, self._rest, self._kept = graph, rest, None
        halves = None if graph.module is None else halves_of(graph.module)
        if halves is not None:
            early, self._late = halves
            if _size(self._late) * len(rest[0]) <= MOST_KEPT:
                self._kept = of_entries(early, rest, graph.chunk)

    def __call__(self, first: Tensor) -> tuple[Tensor, ...]:
        """The function of the first input and of every entry of the others, stacked."""
        every = first.expand(len(self._rest[0]), *first.shape)
        if self._kept is None:
            return self._graph.batched(every, *self._rest)
        return of_entries(self._late, (every, *self._kept), self._graph.chunk)


def halves_of(module: GraphModule) -> tuple[GraphModule, GraphModule] | None:
    """A graph of all inputs but the first, and one of the first input and of what that graph returns.

    None where the second would draw random numbers or write, or the first would write to what the second reads.
    """
    nodes = list(module.graph.nodes)
    late = {nodes[0]}
    for node in nodes:
        if any(used in late for used in node.all_input_nodes):
            late.add(node)
    computed = [node for node in nodes if node.op == "call_function"]
    if not all(is_repeatable(node.target) if node in late else _is_alone(node) for node in computed):
        return None
    # Constants are in both graphs: passed from one to the other, each entry of the batch would have a copy.
    constants = {node for node in nodes if node.op == "get_attr"}
    passed = [n for n in nodes if n not in late | constants and any(u in late or u.op == "output" for u in n.users)]
    if not all(node.meta["size"] is not None for node in passed):
        return None
    before, copies = NodeGraph(), dict[Node, Node]()
    for node in nodes:
        if node not in late and node.op != "output":
            copies[node] = before.node_copy(node, copies.__getitem__)
    before.output(tuple(copies[node] for node in passed))
    after = _rest_of(nodes, late | constants, passed)
    return _module(module, before), _module(module, after)


def _rest_of(nodes: Sequence[Node], included: Collection[Node], passed: Sequence[Node]) -> NodeGraph:
    """The graph of the included nodes, with the passed ones for its inputs after the first."""
    graph = NodeGraph()
    copies = {nodes[0]: graph.node_copy(nodes[0])}
    for node in passed:
        copies[node] = graph.placeholder(node.name)
        copies[node].meta = dict(node.meta)
    for node in nodes[1:]:
        if node.op == "output":
            graph.output(map_arg(node.args[0], copies.__getitem__))
        elif node in included:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    return graph


def _is_alone(node: Node) -> bool:
    """Whether an operation writes to nothing, or to a new tensor that nothing else reads before (`torch.normal`)."""
    if not is_mutable(node.target):
        return True
    target: Any = node.args[0]
    return not target.all_input_nodes and target.op == "call_function" and list(target.users) == [node]


def _size(late: GraphModule) -> int:
    """How many numbers the second graph is passed for each entry of the batch."""
    inputs = [node for node in late.graph.nodes if node.op == "placeholder"]
    return sum(node.meta["size"] for node in inputs[1:])


def _module(of: GraphModule, graph: NodeGraph) -> GraphModule:
    graph.eliminate_dead_code()
    return GraphModule(of, graph)
