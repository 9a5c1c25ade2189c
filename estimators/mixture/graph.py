"""The causal graph of a mixture: Z, its observed causes, and the variables with their observed parents."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from estimators.checks import did_you_mean
from estimators.data.data import LATENT
from estimators.estep.design import Design
from estimators.mechanisms.protocol import INTERACTION, Mechanism, variables_of


def causes(mechanisms: Mapping[str, Mechanism], latent_parents: Sequence[str]) -> dict[str, list[str]]:
    """The direct causes of every variable, Z included: the edges of the graph."""
    edges = {LATENT: list(latent_parents)}
    for name, mechanism in mechanisms.items():
        is_effect = mechanism.caused_by_latent and name not in latent_parents
        edges[name] = [*([LATENT] if is_effect else []), *variables_of(mechanism.parents)]
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
        for parent in variables_of(mechanism.parents):
            if parent == name:
                raise ValueError(f"mechanisms[{name!r}]: the variable cannot be its own parent")
            if parent == LATENT:
                raise ValueError(f"mechanisms[{name!r}]: {LATENT!r} causes every variable; leave it out of parents")
            if parent not in mechanisms:
                raise ValueError(
                    f"mechanisms[{name!r}]: the parent {parent!r} has no mechanism; the variables are "
                    f"{list(mechanisms)}; give it one, or name it among the covariates"
                    f"{did_you_mean(parent, mechanisms)}"
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
        if INTERACTION in parent:
            raise ValueError(
                f"{whose}: {parent!r} is an interaction, which a table has by itself, with a cell for each combination "
                "of levels; leave it out"
            )
        mechanism = mechanisms[parent]
        if mechanism.num_levels is None:
            raise ValueError(
                f"{whose}: the parent {parent!r} is a {type(mechanism).__name__}, which has no finite number of levels "
                "for a table; a Bernoulli or Categorical parent has, and LinearGaussian takes any parent"
            )
        levels.append(mechanism.num_levels)
    return tuple(levels)


def design_of(
    mechanisms: Mapping[str, Mechanism], parents: Sequence[str], whose: str, exposure: str | None = None
) -> Design:
    """The inputs of a regression, or a ValueError that names a parent, or an interaction, that can be none."""
    check_interactions(parents, whose, exposure)
    for parent in variables_of(parents):
        mechanism = mechanisms[parent]
        if mechanism.num_columns is not None:
            raise ValueError(
                f"{whose}: the parent {parent!r} is a column of vectors; a regression takes parents of "
                "one number per row"
            )
        if parent == exposure and not mechanism.is_positive:
            raise ValueError(
                f"{whose}: the exposure {parent!r} is a {type(mechanism).__name__}, which may be 0 or "
                "negative; expected LogNormal(), which has a law of its own until do(...) sets it, or one of covariates"
            )
    return Design.of(parents, {parent: mechanisms[parent].num_levels for parent in variables_of(parents)})


def check_interactions(parents: Sequence[str], whose: str, exposure: str | None) -> None:
    """Raise a ValueError for an interaction that is there twice, or of what is no parent by itself."""
    seen = set[frozenset[str]]()
    for parent in parents:
        variables = parent.split(INTERACTION)
        if len(variables) == 1:
            continue
        alone = [name for name in variables if name not in parents or name == exposure]
        if len(set(variables)) < len(variables):
            raise ValueError(
                f"{whose}: {parent!r} has a variable twice; an interaction is of different ones, and a square is a "
                "column of its own"
            )
        if alone:
            why = "has no slope as the exposure" if alone[0] == exposure else "is no parent by itself"
            raise ValueError(
                f"{whose}: {parent!r} is an interaction with {alone[0]!r}, which {why}; give {alone[0]!r} among the "
                f"parents too, as in {[*dict.fromkeys([*parents, *variables])]}, or leave the interaction out"
            )
        if frozenset(variables) in seen:
            raise ValueError(f"{whose}: {parent!r} is there already, with its variables in another order; leave it out")
        seen.add(frozenset(variables))


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
