"""The causal graph of a mixture: Z, its observed causes, and the variables with their observed parents."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from estimators.data.data import LATENT
from estimators.mechanisms.protocol import Mechanism


def causes(mechanisms: Mapping[str, Mechanism], latent_parents: Sequence[str]) -> dict[str, list[str]]:
    """The direct causes of every variable, Z included: the edges of the graph."""
    edges = {LATENT: list(latent_parents)}
    for name, mechanism in mechanisms.items():
        is_effect = mechanism.caused_by_latent and name not in latent_parents
        edges[name] = [*([LATENT] if is_effect else []), *mechanism.parents]
    return edges


def causal_order(mechanisms: Mapping[str, Mechanism], latent_parents: Sequence[str]) -> list[str]:
    """Z and the variables, causes before effects, or a ValueError that names what is no parent, or a cycle."""
    for name in latent_parents:
        if name not in mechanisms:
            raise ValueError(
                f"latent_parents: {name!r} has no mechanism; the variables are {list(mechanisms)} (a cause of Z has "
                f'one too, e.g. {{"{name}": Bernoulli()}})'
            )
    for name, mechanism in mechanisms.items():
        for parent in mechanism.parents:
            if parent == name:
                raise ValueError(f"mechanisms[{name!r}]: the variable cannot be its own parent")
            if parent == LATENT:
                raise ValueError(f"mechanisms[{name!r}]: {LATENT!r} causes every variable; leave it out of parents")
            if parent not in mechanisms:
                raise ValueError(
                    f"mechanisms[{name!r}]: the parent {parent!r} has no mechanism; "
                    f"the variables are {list(mechanisms)}"
                )
    try:
        return list(TopologicalSorter(causes(mechanisms, latent_parents)).static_order())
    except CycleError as error:
        cycle = error.args[1]
        hint = "; a cause of a latent parent must be in latent_parents too" if LATENT in cycle else ""
        hint += ", or have caused_by_latent=False" if hint else ""
        raise ValueError(f"mechanisms: {' → '.join(cycle)} is a cycle{hint}") from None


def levels_of(mechanisms: Mapping[str, Mechanism], parents: Sequence[str], whose: str) -> tuple[int, ...]:
    """The numbers of levels of the parents in a table, or a ValueError that names one that has infinitely many."""
    levels = []
    for parent in parents:
        mechanism = mechanisms[parent]
        if mechanism.num_levels is None:
            raise ValueError(
                f"{whose}: the parent {parent!r} is a {type(mechanism).__name__}, which has no finite number of levels "
                "for a table; a Bernoulli or Categorical parent has, and LinearGaussian takes any parent"
            )
        levels.append(mechanism.num_levels)
    return tuple(levels)


def widths_of(
    mechanisms: Mapping[str, Mechanism], parents: Sequence[str], whose: str, exposure: str | None = None
) -> tuple[int, ...]:
    """How many numbers each parent of a regression enters as: the levels of a discrete one but the first, else 1."""
    widths = []
    for parent in parents:
        mechanism = mechanisms[parent]
        if mechanism.num_columns is not None:
            raise ValueError(
                f"{whose}: the parent {parent!r} is a column of vectors; a regression takes parents of "
                "one number per row"
            )
        if parent == exposure and not mechanism.is_positive:
            raise ValueError(
                f"{whose}: the exposure {parent!r} is a {type(mechanism).__name__}, which may be 0 or "
                "negative; expected LogNormal(), which has a law of its own until do(...) sets it"
            )
        widths.append(max((mechanism.num_levels or 2) - 1, 1))
    return tuple(widths)


def digraph(mechanisms: Mapping[str, Mechanism], latent_parents: Sequence[str], greeks: Mapping[str, Any]) -> Any:
    """The causal graph as a `networkx.DiGraph`; ``greeks`` are the names of each node's."""
    import networkx

    graph, edges = networkx.DiGraph(), causes(mechanisms, latent_parents)
    for name in edges:
        is_latent = name == LATENT
        family = "Categorical" if is_latent else type(mechanisms[name]).__name__
        graph.add_node(name, latent=is_latent, observed=not is_latent, family=family, greeks=tuple(greeks[name]))
    graph.add_edges_from((cause, effect) for effect, direct in edges.items() for cause in direct)
    return graph
