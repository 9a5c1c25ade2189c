"""Names of levels in what a fit says: advice, effects, exports; and levels by name in a Pyro program."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, CausalMixture, Data, EstimationWarning, Fit, PyroModel
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    Gaussian,
    Logistic,
    Mechanism,
    MultinomialLogit,
    OrderedLogistic,
)
from tests.refusals import case, refused

MODEL = CausalMixture(2, {"W": Categorical(3), "X": Gaussian(scale=1.0)})
X = [0.0, 0.5, 1.0, 10.0, 10.5, 11.0]
SIZES = pd.Categorical(["small"] * 3 + ["large"] * 3, categories=["small", "medium", "large"])


def test_advice_calls_levels_by_their_names() -> None:
    fit = EM(num_starts=3).fit(MODEL, {"W": SIZES, "X": X}, seed=0)
    advice = " ".join(fit.advice)
    assert "p_W[0, large] at 0, p_W[1, small] at 0" in advice
    assert "column W has no row with level medium" in advice
    assert "p_W[0, large] at 0" in fit.modes.table()["at an end"][0]
    turned = " ".join(fit.relabel([1, 0]).advice)
    assert "p_W[1, large] at 0, p_W[0, small] at 0" in turned


def test_a_warning_calls_levels_by_their_names() -> None:
    model = CausalMixture(2, {"W": Bernoulli(), "X": Gaussian(scale=1.0)}, latent_parents=["W"])
    rows = {"W": ["a", "b"] * 3, "X": [0.0, 0.5, 0.1, 1.0, 0.2, 0.7]}
    with pytest.warns(EstimationWarning, match=r"theta\[a, [01]\] at 0, theta\[b, [01]\] at 0"):
        MAP(num_starts=3).fit(CausalMixture(2, model.mechanisms, 0.5, ["W"]), rows, seed=0)
    # Absent at one level alone, a class is not lost.
    rows = {"W": ["a", "b"] * 3, "X": [0.0, 5.0, 0.1, 1.0, 0.2, 5.5]}
    assert "theta[a, 1] at 0" in " ".join(EM(num_starts=3).fit(model, rows, seed=0).advice)


def test_an_export_has_the_names_for_coordinates() -> None:
    model = CausalMixture(2, {"W": Categorical(3), "T": Bernoulli(parents=["W"])})
    known = Fit.from_greeks(model, {"theta": [0.5, 0.5], "p_W": [[0.2, 0.3, 0.5]] * 2, "p_T": [[0.2, 0.3, 0.4]] * 2})
    draws = {name: value.expand(8, *value.shape[1:]) for name, value in known.draws.items()}
    fit = replace(known, draws=draws, data=Data(W=SIZES, T=[0, 1] * 3))
    posterior = fit.to_arviz().posterior
    assert posterior["p_T"].dims == ("chain", "draw", "Z_class", "W_level")
    assert posterior["p_T"].sel(W_level="large").values.tolist() == [[[0.4, 0.4]] * 8]
    assert posterior["p_W"].dims == ("chain", "draw", "Z_class", "W_level")
    codes = replace(fit, data=Data(W=SIZES.codes, T=[0, 1] * 3)).to_arviz().posterior
    assert codes["p_T"].dims == ("chain", "draw", "Z_class", "W_level")


def test_effects_are_called_by_the_names_of_levels() -> None:
    model = CausalMixture(2, {"W": Categorical(3), "T": Bernoulli(parents=["W"])})
    rows = {"W": pd.Categorical.from_codes([0, 1, 2] * 20, ["a", "b", "c"]), "T": (["no", "yes"] * 30)}
    with pytest.warns(EstimationWarning):
        fit = EM(num_starts=3).fit(model, rows, seed=0)
    verdicts = fit.identifiability().globally.verdicts
    assert {"effect of W on T (b against a)", "effect of W on T (c against a)"} <= {*verdicts}


OUTCOMES: dict[str, Mechanism] = {
    "Bernoulli": Bernoulli(),
    "Categorical": Categorical(3),
    "Logistic": Logistic(parents=["X"]),
    "MultinomialLogit": MultinomialLogit(3, parents=["X"]),
    "OrderedLogistic": OrderedLogistic(3, parents=["X"]),
}


@pytest.mark.parametrize("mechanism", OUTCOMES.values(), ids=OUTCOMES)
def test_every_family_of_levels_takes_names(mechanism: Mechanism) -> None:
    names = ["low", "middle", "high"][: mechanism.num_levels]
    model = CausalMixture(1, {"X": Gaussian(scale=1.0), "W": mechanism})
    numbers = np.array([0, 1, 1, 0, 1, 0] if len(names) == 2 else [0, 2, 1, 2, 1, 0])
    named, coded = (
        EM(num_starts=2).fit(model, {"X": [0.0, 0.5, -1.0, 2.0, 1.0, 0.3], "W": column}, seed=0)
        for column in (pd.Categorical.from_codes(numbers, names, ordered=True), numbers)
    )
    for name, value in coded.draws.items():
        assert torch.equal(named.draws[name], value), name
    found, expected = named.do(X=1.0).log_density("W", names), coded.do(X=1.0).log_density("W", range(len(names)))
    assert torch.equal(found, expected)


def program(N: int) -> None:
    weight = pyro.sample("weight", dist.Beta(2.0, 2.0))
    with pyro.plate("components", 2):
        share, mean = pyro.sample("share", dist.Beta(1.0, 1.0)), pyro.sample("mean", dist.Normal(0.0, 10.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(weight)).long()
        t = pyro.sample("t", dist.Bernoulli(share[z]))
        pyro.sample("y", dist.Normal(mean[z] + 2.0 * t, 1.0))


def paid(group: torch.Tensor) -> None:
    """A program that takes a column of levels as the index of a table."""
    weight = pyro.sample("weight", dist.Beta(2.0, 2.0))
    with pyro.plate("groups", 2):
        mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
    with pyro.plate("rows", len(group)):
        z = pyro.sample("z", dist.Bernoulli(weight))
        pyro.sample("y", dist.Normal(mean[group] + 5.0 * z, 1.0))


ROWS: dict[str, Any] = {"t": np.array([0, 1, 1, 0, 1, 0] * 5), "y": np.array(X * 5)}
NAMES = np.array(["no", "yes"])


def test_a_program_takes_levels_by_name(tmp_path: Path) -> None:
    model = PyroModel(program, order_by="mean")
    named, coded = (
        EM(num_starts=2).fit(model, rows, seed=0) for rows in (ROWS | {"t": NAMES[ROWS["t"]].tolist()}, ROWS)
    )
    for name, value in coded.draws.items():
        assert torch.equal(named.draws[name], value), name
    assert torch.equal(named.do(t="yes").mean("y").draws, coded.do(t=1).mean("y").draws)
    assert torch.equal(named.given(t="no").mean("y").draws, coded.given(t=0).mean("y").draws)
    at_random = dist.Bernoulli(torch.tensor(0.3, dtype=torch.float64))
    by_name = named.do(t={"yes": 0.3, "no": 0.7}).mean("y").draws
    torch.testing.assert_close(by_name, coded.do(t=at_random).mean("y").draws)
    assert torch.equal(named.log_density({"t": ["yes"], "y": [1.0]}), coded.log_density({"t": [1], "y": [1.0]}))
    named.save(tmp_path / "fit")
    loaded = Fit.load(tmp_path / "fit", model=model)
    assert torch.equal(loaded.do(t="yes").mean("y").draws, coded.do(t=1).mean("y").draws)


def test_a_program_is_passed_the_numbers_of_levels() -> None:
    model = PyroModel(paid)
    named, coded = (
        EM(num_starts=2).fit(model, {"group": group, "y": ROWS["y"]}, seed=0)
        for group in (NAMES[ROWS["t"]].tolist(), ROWS["t"])
    )
    for name, value in coded.draws.items():
        assert torch.equal(named.draws[name], value), name
    turned = {"group": pd.Categorical(["yes"], categories=["yes", "no"]), "y": [1.0]}
    assert torch.equal(named.log_density(turned), coded.log_density({"group": [1], "y": [1.0]}))


REFUSED = [
    case("three levels", {"t": ["a", "b", "c"] * 10}, ValueError, "column t", "2 levels", "Bernoulli", "got 3"),
    case("text for a number", {"y": ["a", "b"] * 15}, TypeError, "column y", "numbers", "Normal", "'a', 'b'"),
    case("others", {"id": ROWS["y"], "site": ROWS["y"]}, ValueError, "'id', 'site'", "['z', 't', 'y']", "frame[["),
]


@pytest.mark.parametrize(("columns", "error", "parts"), REFUSED)
def test_a_frame_that_does_not_fit_the_program_is_refused(
    columns: Any, error: type[Exception], parts: tuple[str, ...]
) -> None:
    with refused(error, *parts):
        EM().fit(PyroModel(program), pd.DataFrame(ROWS | columns), seed=0)
