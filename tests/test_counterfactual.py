"""Counterfactuals: consistency and composition on every row, formulas by hand, and the structural assumptions."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from estimators import Data, Fit, PyroModel
from estimators.isolation import isolated
from estimators.mechanisms.structural import GumbelMax, MonotoneInverse, Residual
from tests.causal_models import WORLDS, known, posterior_of
from tests.gallery import tutorial
from validation.testing import Stat

EVERY_WORLD = pytest.mark.parametrize("name", WORLDS)
CAUSES = {"front door": "T", "confounder": "T", "mediated": "T", "mixed": "C"}


def rows_of(name: str, num_rows: int = 40) -> tuple[Data, dict[str, Tensor]]:
    model, greeks = WORLDS[name]
    drawn = model.simulate(num_rows, greeks, seed=4)
    return Data(**{key: drawn[key] for key in model.mechanisms}), drawn


@EVERY_WORLD
def test_had_it_been_what_it_was_nothing_changes(name: str) -> None:
    (data, drawn), fit = rows_of(name), posterior_of(name)
    for cause in WORLDS[name][0].mechanisms:
        same = fit.counterfactual(data, do={cause: drawn[cause].double()}, seed=0)
        world = same.sample(seed=1)
        for variable in WORLDS[name][0].mechanisms:
            expected = drawn[variable].double().expand(fit.num_draws, *drawn[variable].shape)
            assert torch.equal(same.mean(variable).draws, expected)
            assert torch.equal(world[variable].double(), drawn[variable].double())


@EVERY_WORLD
def test_to_set_also_what_would_have_followed_changes_nothing(name: str) -> None:
    """Composition: do(T=t) makes M = m; do(T=t, M=m) makes the same of everything else, in every world."""
    (data, _), fit, cause = rows_of(name), posterior_of(name), CAUSES[name]
    world = fit.counterfactual(data, do={cause: 1}).sample(seed=5)
    for variable in WORLDS[name][0].mechanisms:
        if variable != cause:
            again = fit.counterfactual(data, do={cause: 1, variable: world[variable]}).sample(seed=5)
            assert all(torch.equal(again[key].double(), world[key].double()) for key in world)
    # The negative control: had the effect been another, something else would be, too.
    if name == "mediated":
        other = fit.counterfactual(data, do={"T": 1, "M": world["M"] + 1.0}).sample(seed=5)
        assert float((other["Y"] - world["Y"]).abs().min()) > 0.1


def test_what_nothing_that_is_set_causes_keeps_its_value() -> None:
    (data, drawn), fit = rows_of("mediated"), posterior_of("mediated")
    found = fit.counterfactual(data, do={"M": 3.0})
    for variable in ("W", "T", "V"):
        assert bool((found.mean(variable).draws == drawn[variable].double()).all())
    set_rows = Data(**dict(data.columns), intervened={"Y": True})
    kept = fit.counterfactual(set_rows, do={"M": 3.0}).mean("Y").value
    torch.testing.assert_close(kept, drawn["Y"], rtol=1e-15, atol=0)


def test_the_confounder_by_hand() -> None:
    (data, drawn), fit = rows_of("confounder"), known("confounder")
    greeks = {name: value[0].numpy() for name, value in fit.draws.items()}
    t, y = drawn["T"].double().numpy(), drawn["Y"].numpy()
    beta, sigma = greeks["beta_Y"], greeks["sigma_Y"]
    likelihood = np.where(t[:, None] == 1, greeks["p_T"], 1 - greeks["p_T"])
    joint = greeks["theta"] * likelihood * norm.pdf(y[:, None], beta[:, 0] + beta[:, 1] * t[:, None], sigma)
    shares = joint / joint.sum(1, keepdims=True)
    found = fit.counterfactual(data, do={"T": 1}).mean("Y")
    assert found.error is None
    np.testing.assert_allclose(found.value, y + (shares * beta[:, 1] * (1 - t)[:, None]).sum(1), atol=1e-10)
    # Had Z been 1: the residual in units of the class's own scale, carried over.
    residual = (y[:, None] - beta[:, 0] - beta[:, 1] * t[:, None]) / sigma
    expected_t = fit.counterfactual(data, do={"Z": 1, "T": t}).mean("Y").value
    np.testing.assert_allclose(
        expected_t, (shares * (beta[1, 0] + beta[1, 1] * t[:, None] + sigma[1] * residual)).sum(1), atol=1e-10
    )


def test_labels_may_be_named() -> None:
    (data, _), fit = rows_of("confounder"), known("confounder")
    named = fit.relabel({"low": 0, "high": 1}).counterfactual(data, do={"Z": "high"}, seed=0).mean("Y").value
    torch.testing.assert_close(named, fit.counterfactual(data, do={"Z": 1}, seed=0).mean("Y").value)


@pytest.mark.statistical(min_effect=0.2)
def test_a_mean_is_that_of_the_sampled_worlds(stat: Stat) -> None:
    (data, _), fit = rows_of("mixed", 12), known("mixed")
    mean = fit.counterfactual(data, do={"C": 2}, seed=0).mean("Y")
    assert mean.error is None
    many = Data(**{key: column.repeat(1500, *[1] * (column.ndim - 1)) for key, column in data.columns.items()})
    worlds = fit.counterfactual(many, do={"C": 2}).sample(seed=stat.seed)["Y"].reshape(1500, 12)
    # Over all rows together, since a class that is rare given a row may not be met.
    stat.mean(worlds.mean(1), float(mean.value.mean()))
    with stat.control():
        stat.mean(worlds.mean(1), float(data.columns["Y"].mean()))


@pytest.mark.statistical(checks=2, min_effect=0.07)
def test_counterfactuals_over_rows_have_the_interventional_distribution(stat: Stat) -> None:
    """Averaged over rows of the truth, what would have been is what is when it is done."""
    fit = known("mixed")
    data, _ = rows_of("mixed", 3000)
    world = fit.counterfactual(data, do={"C": 2}).sample(seed=stat.seed)
    done = fit.do(C=2)
    stat.cdf(world["Y"], lambda y: done.cdf("Y", y))
    stat.mean(world["P"], float(done.mean("P").value), min_effect=0.2 * float(world["P"].std()))
    with stat.control():  # what was is not what would have been
        stat.cdf(data.columns["Y"], lambda y: done.cdf("Y", y))


@pytest.mark.parametrize(
    ("assumption", "before", "after"),
    [
        (MonotoneInverse(), dist.Bernoulli(torch.tensor(0.3)), dist.Bernoulli(torch.tensor(0.6))),
        (
            GumbelMax(),
            dist.Categorical(torch.tensor([0.2, 0.5, 0.3])),
            dist.Categorical(torch.tensor([0.5, 0.2, 0.3])),
        ),
        (Residual(), dist.Normal(1.0, 2.0), dist.Normal(-1.0, 0.5)),
    ],
)
@pytest.mark.statistical
def test_an_assumption_keeps_values_and_distributions(stat, assumption, before, after) -> None:  # type: ignore[no-untyped-def]
    with isolated(stat.seed):
        many = before.expand([50_000])
        value = many.sample().double()
        noise = assumption.abduct(many, value)
        assert torch.allclose(assumption.act(many, noise), value, atol=1e-5)
        moved = assumption.act(after.expand([50_000]), noise).double()
    mean = after.probs @ torch.arange(3.0) if isinstance(after, dist.Categorical) else after.mean
    stat.mean(moved, float(mean), min_effect=0.03 * float(moved.std()))
    with stat.control():
        stat.mean(moved, float(mean) + 0.06 * float(moved.std()))
    if isinstance(after, dist.Bernoulli):
        assert bool((moved >= value).all()), "what raises the chance of 1 never makes a 0 of a 1"
    if isinstance(after, dist.Categorical):
        # Option 0 gained odds against every other, option 1 lost: none leaves 0, none comes to 1.
        assert bool((moved[value == 0] == 0).all()) and bool((value[moved == 1] == 1).all())


def test_another_assumption_may_be_put_in_its_place() -> None:
    class Independent:
        """The value under other causes has nothing to do with the one seen."""

        def abduct(self, distribution, value):  # type: ignore[no-untyped-def]
            return torch.rand(value.shape, dtype=torch.float64)

        def act(self, distribution, noise):  # type: ignore[no-untyped-def]
            return (noise < distribution.probs).double()

    (data, drawn), fit = rows_of("mediated"), known("mediated")
    usual = fit.counterfactual(data, do={"W": 1 - drawn["W"]}, seed=0).mean("T").value
    other = fit.counterfactual(data, do={"W": 1 - drawn["W"]}, assumptions={"T": Independent()}, seed=0).mean("T").value
    assert float((usual - other).abs().max()) > 0.1


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda fit, data: fit.counterfactual(data, do={}), ValueError, "at least one setting"),
        (lambda fit, data: fit.counterfactual(data, do={"Q": 1}), ValueError, "no variable 'Q'"),
        (lambda fit, data: fit.counterfactual(data, do={"T": [1, 0]}), ValueError, "2 values, but there are 40 rows"),
        (lambda fit, data: fit.counterfactual(data, do={"T": dist.Bernoulli(0.5)}), ValueError, "T expects a value"),
        (lambda fit, data: fit.counterfactual(data, do={"T": 1}).mean("Z"), ValueError, "expected a variable"),
        (
            lambda fit, data: fit.counterfactual(data, do={"T": 1}, assumptions={"Y": 3}),
            TypeError,
            "abduct and act",
        ),
        (
            lambda fit, data: fit.counterfactual(data, do={"T": 1}, assumptions={"Q": Residual()}),
            ValueError,
            "assumptions: expected variables",
        ),
        (
            lambda fit, data: fit.counterfactual(
                Data(T=[1.0, np.nan], Y=[0.0, 1.0], missing="marginalize"), do={"T": 1}
            ),
            ValueError,
            "column T has missing entries",
        ),
        (
            lambda fit, data: Fit.from_greeks(PyroModel(tutorial), {"θ": [0.5, 0.5], "μ": [0.0, 1.0]}).counterfactual(
                {"X": [0.0]}, do={"Z": 1}
            ),
            NotImplementedError,
            "CausalMixture",
        ),
    ],
)
def test_bad_questions_are_refused(ask, error: type[Exception], message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        ask(known("confounder"), rows_of("confounder")[0])
