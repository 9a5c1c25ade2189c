"""Graphs that cannot be: each refused with the names of what is wrong."""

import pytest

from estimators import CausalMixture
from estimators.mechanisms import Bernoulli, Categorical, DiagonalGaussian, Gaussian, LinearGaussian, Mechanism, Poisson


@pytest.mark.parametrize(
    ("mechanisms", "latent_parents", "message"),
    [
        ({"Y": LinearGaussian(parents=["T"])}, [], r"mechanisms\['Y'\]: the parent 'T' has no mechanism"),
        ({"Y": LinearGaussian(parents=["Y"])}, [], r"mechanisms\['Y'\]: the variable cannot be its own parent"),
        ({"Y": LinearGaussian(parents=["Z"])}, [], "'Z' causes every variable; leave it out of parents"),
        (
            {"A": Bernoulli(parents=["B"]), "B": Bernoulli(parents=["C"]), "C": Bernoulli(parents=["A"])},
            [],
            "mechanisms: [ABC] → [ABC] → [ABC] → [ABC] is a cycle$",
        ),
        (
            {"U": Bernoulli(), "W": Bernoulli(parents=["U"]), "X": Gaussian()},
            ["W"],
            "is a cycle; a cause of a latent parent must be in latent_parents too",
        ),
        ({"X": Gaussian()}, ["W"], "latent_parents: 'W' has no mechanism"),
        ({"W": DiagonalGaussian(2), "X": Gaussian()}, ["W"], "latent_parents: the parent 'W' is a column of vectors"),
        ({"P": Poisson(), "X": Gaussian(parents=["P"])}, [], r"mechanisms\['X'\]: the parent 'P' is a Poisson"),
        (
            {"V": DiagonalGaussian(2), "Y": LinearGaussian(parents=["V"])},
            [],
            r"mechanisms\['Y'\]: the parent 'V' is a column of vectors",
        ),
    ],
)
def test_a_graph_that_cannot_be_is_refused(
    mechanisms: dict[str, Mechanism], latent_parents: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CausalMixture(2, mechanisms, latent_parents=latent_parents)


@pytest.mark.parametrize("parents", ["T", [1], 3])
def test_parents_are_a_list_of_names(parents: object) -> None:
    with pytest.raises(TypeError, match="parents: expected a list of variable names"):
        Bernoulli(parents=parents)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="parents: expected a list of variable names"):
        CausalMixture(2, {"T": Bernoulli()}, latent_parents=parents)  # type: ignore[arg-type]


def test_a_parent_is_named_once() -> None:
    with pytest.raises(ValueError, match=r"expected each once, got \['T', 'T'\]"):
        Categorical(3, parents=["T", "T"])


def test_causes_come_before_effects_whatever_the_order_of_the_mapping() -> None:
    model = CausalMixture(
        2,
        {"Y": LinearGaussian(parents=["M", "W"]), "M": LinearGaussian(parents=["W"]), "W": Bernoulli()},
        latent_parents=["W"],
    )
    assert list(model.nodes) == ["W", "M", "Y"]
    assert list(model(3)) == ["Y", "M", "W", "Z"]
    assert [parameter.name for parameter in model.parameters][:2] == ["theta", "beta_Y"]
