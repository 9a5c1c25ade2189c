"""Tensor functions captured once as a graph of tensor operations, so that a Pyro program is not run at every step.

A run of a Pyro program costs milliseconds in message passing around microseconds of arithmetic. Tracing it once with
`make_fx` on fake tensors keeps the arithmetic alone, its gradient included; a graph can also be mapped over a batch of
parameters. A program that cannot be captured (Python control flow on the value of a Greek) is run as it is.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from estimators.isolation import double_precision, program_mode, single_thread
from estimators.status import in_words

Function = Callable[..., tuple[Tensor, ...]]
# Elements that one batched evaluation may hold in each of its intermediate tensors.
MAX_ELEMENTS = 2_000_000


class Graph:
    """``function`` of tensors to a tuple of tensors, captured at example inputs; see `is_captured`.

    ``row_size`` is the size of its largest intermediate tensor for one set of parameters, which bounds batches.
    """

    def __init__(self, function: Function, examples: Sequence[Tensor], row_size: int = 1) -> None:
        self._function, self._row_size = function, row_size
        # The operations; None where they were not captured.
        self.module = _captured(function, examples)

    @property
    def is_captured(self) -> bool:
        """Whether calls run the captured operations; if not, they run the function."""
        return self.module is not None

    @property
    def chunk(self) -> int:
        """How many entries of a batch are evaluated at one time."""
        return max(MAX_ELEMENTS // max(self._row_size, 1), 1)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if self.module is None:
            with in_words("PyroModel"), single_thread(), program_mode():
                return tuple(output.detach() for output in self._function(*inputs))
        with single_thread(), double_precision(), torch.no_grad():
            return tuple(self.module(*inputs))

    def batched(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The function of every entry of the inputs' leading axis, stacked."""
        if self.module is None:
            return _one_by_one(self, inputs)
        return of_entries(self.module, inputs, self.chunk)


def of_entries(module: GraphModule, inputs: Sequence[Tensor], chunk: int) -> tuple[Tensor, ...]:
    """Captured operations on every entry of the inputs' leading axis, `chunk` of them at a time, stacked."""
    with single_thread(), double_precision(), torch.no_grad():
        try:
            mapped = torch.func.vmap(lambda *entry: tuple(module(*entry)), randomness="different")
            outputs = [mapped(*chunk_inputs) for chunk_inputs in zip(*(i.split(chunk) for i in inputs), strict=True)]
            return tuple(torch.cat(chunk_inputs) for chunk_inputs in zip(*outputs, strict=True))
        except (RuntimeError, NotImplementedError):
            # vmap has no rule for some operations.
            return _one_by_one(module, inputs)


def _one_by_one(function: Callable[..., Any], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    outputs = [function(*entry) for entry in zip(*inputs, strict=True)]
    return tuple(torch.stack(values) for values in zip(*outputs, strict=True))


def sources(function: Function, examples: Sequence[Tensor]) -> list[frozenset[int]] | None:
    """The inputs, by number, that each output of a function is computed from; None where that is not certain.

    An output may be computed from an input and not vary with it. An input that is written into another tensor may show
    wherever that tensor does, and is not followed.
    """
    graph = _traced(function, examples)
    if graph is None or any(_is_lost(graph, node) for node in graph.graph.nodes):
        return None
    reached: dict[Node, frozenset[int]] = {}
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            reached[node] = frozenset([len(reached)])
            continue
        reached[node] = frozenset().union(*(reached[used] for used in node.all_input_nodes))
        if reached[node] and is_mutable(node):
            return None
        if node.op == "output":
            return [reached.get(output, frozenset()) for output in node.args[0]]
    return None


def _is_lost(graph: GraphModule, node: Node) -> bool:
    """Whether a constant of the graph was computed from inputs by operations that the graph does not have."""
    return node.op == "get_attr" and isinstance(getattr(graph, str(node.target)), FakeTensor)


def _captured(function: Function, examples: Sequence[Tensor]) -> GraphModule | None:
    graph = _traced(function, examples)
    try:
        with single_thread(), program_mode():
            return None if graph is None else _folded(graph)
    except Exception:
        # Constants may need what tracing did not run; then the program is run as it is, as in `_traced`.
        return None


def _traced(function: Function, examples: Sequence[Tensor]) -> GraphModule | None:
    try:
        # Tracing loads modules of torch that warn of deprecations within torch and add warning filters.
        with single_thread(), program_mode(), warnings.catch_warnings(action="ignore"):
            # Of a bound method make_fx would count `self` among the inputs.
            return make_fx(lambda *inputs: function(*inputs), tracing_mode="fake", _allow_non_fake_inputs=True)(
                *examples
            )
    except Exception:
        # A program that cannot be traced is run as it is; what is wrong with it as a program is raised there.
        return None


def _folded(graph: GraphModule) -> GraphModule:
    """The graph with every node that does not depend on the inputs replaced by its value."""
    if any(_mutates_fixed(node) for node in graph.graph.nodes):
        return graph
    fixed: dict[Node, Any] = {}
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            fixed[node] = getattr(graph, str(node.target))
        elif node.op == "call_function" and is_repeatable(node):
            if node.target is torch.ops.aten.detach.default:
                # Graphs run without autograd.
                node.replace_all_uses_with(node.args[0])
                if node.args[0] in fixed:
                    fixed[node] = fixed[node.args[0]]
            elif all(used in fixed for used in node.all_input_nodes):
                fixed[node] = node.target(
                    *torch.fx.node.map_arg(node.args, fixed.__getitem__),
                    **torch.fx.node.map_arg(node.kwargs, fixed.__getitem__),
                )
    for number, (node, value) in enumerate(fixed.items()):
        if node.op == "call_function" and isinstance(value, Tensor) and node.users:
            name = f"_fixed_{number}"
            graph.register_buffer(name, value.contiguous().clone())
            with graph.graph.inserting_before(node):
                node.replace_all_uses_with(graph.graph.get_attr(name))
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _mutates_fixed(node: Node) -> bool:
    """Whether an operation writes to a tensor that does not come from the inputs."""
    if not is_mutable(node):
        return False
    pending, seen = [node.args[0]], set[Any]()
    while pending:
        argument = pending.pop()
        if isinstance(argument, Node) and argument not in seen:
            if argument.op == "placeholder":
                return False
            seen.add(argument)
            pending.extend(argument.all_input_nodes)
    return True


def is_mutable(node: Node) -> bool:
    """Whether an operation writes to its first input."""
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and bool(schema.is_mutable)


def is_repeatable(node: Node) -> bool:
    """Whether an operation does the same at every call: it neither draws random numbers nor writes."""
    tags = getattr(node.target, "tags", ())
    schema = getattr(node.target, "_schema", None)
    return torch.Tag.nondeterministic_seeded not in tags and schema is not None and not schema.is_mutable
