"""Labels of maximum likelihood where priors differ by class: those of highest prior density, whatever the seed."""

import itertools
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from estimators import EM, MAP, CausalMixture, Data, Fit, GaussianMixture, PyroModel
from estimators.fits.labels import label
from estimators.mechanisms import Bernoulli, Categorical, DiagonalGaussian, FullGaussian, Gaussian, LinearGaussian
from estimators.mixture.prior_labels import label_densities, likeliest_order
from estimators.mixture.symmetry import exchangeable
from tests.label_draws import clusters

ROWS = clusters([0.0, 6.0, 12.0], per_cluster=12).columns["X"].tolist()
QUICK = EM(num_starts=3)


def locs(*means: float) -> CausalMixture:
    return CausalMixture(len(means), {"X": Gaussian(loc=dist.Normal(torch.tensor(means), 1.0), scale=1.0)})


# The model, and its means by label in the likelihood's maximum.
NAMED: dict[str, tuple[CausalMixture, list[float]]] = {
    "ascending": (locs(0.0, 6.0, 12.0), [0.0, 6.0, 12.0]),
    "descending": (locs(12.0, 6.0, 0.0), [12.0, 6.0, 0.0]),
    "a cycle": (locs(6.0, 12.0, 0.0), [6.0, 12.0, 0.0]),
    "two alike": (locs(20.0, -9.0, 20.0), [6.0, 0.0, 12.0]),
    "of which none is allowed": (
        CausalMixture(
            3,
            {
                "X": Gaussian(
                    loc=dist.Uniform(torch.tensor([90.0, 50.0, -9.0]), torch.tensor([95.0, 60.0, 2.0])), scale=1.0
                )
            },
        ),
        [6.0, 12.0, 0.0],
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_labels_are_those_of_the_priors_for_every_seed(name: str) -> None:
    model, means = NAMED[name]
    for seed in range(4):
        fit = QUICK.fit(model, {"X": ROWS}, seed=seed)
        np.testing.assert_allclose(fit["mu_X"], means, atol=1.0)
        assert "free in the likelihood, and named by the highest prior density" in fit.stats["labels"]
        # Priors that exclude every order prefer none of the six.
        certainty = 1 / 6 if name == "of which none is allowed" else 1.0
        assert fit.stats["label_certainty"] == pytest.approx(certainty, abs=1e-6)
        drawn = fit.laplace(20, seed=0)
        np.testing.assert_allclose(drawn["mu_X"], means, atol=1.0)


@pytest.mark.parametrize(
    "model", [locs(12.0, 6.0, 0.0), GaussianMixture(3, concentration=[4.0, 1.0, 9.0])], ids=["means", "weights"]
)
def test_labels_are_those_of_map(model: CausalMixture) -> None:
    rows = {"X": [*ROWS, *(ROWS[12:24] * 2), *ROWS[:12]]}  # 24, 36 and 12 rows
    mode = MAP(num_starts=200, num_steps=5).fit(model, rows, seed=0, search=None)
    for seed in range(4):
        fit = QUICK.fit(model, rows, seed=seed)
        np.testing.assert_allclose(fit["mu_X"], mode["mu_X"], atol=0.5)
        np.testing.assert_allclose(fit["theta"], mode["theta"], atol=0.1)


def test_equal_priors_change_nothing() -> None:
    fit = QUICK.fit(GaussianMixture(3), {"X": ROWS}, seed=1)
    assert fit.stats["labels"] == "labels are aligned across draws and ordered by the mean of X"
    assert fit["mu_X"].tolist() == sorted(fit["mu_X"].tolist())
    # Known values are the likelihood's own, and tell labels apart with or without a prior.
    known = GaussianMixture(2, scale=[1.0, 3.0])
    assert exchangeable(known, uses_prior=False) == exchangeable(known) == [[0], [1]]


def test_rows_with_z_seen_pin_against_the_prior() -> None:
    model = locs(0.0, 6.0, 12.0)
    fit = QUICK.fit(model, Data(X=ROWS, Z=[2] + [-1] * 35), seed=0)
    np.testing.assert_allclose(fit["mu_X"], [6.0, 12.0, 0.0], atol=1.0)
    assert fit.stats["labels"].startswith("labels [2] are fixed by known Z or known values; [[0, 1]] are free in")
    every = QUICK.fit(model, Data(X=ROWS, Z=[2, -1] + [-1] * 10 + [0] + [-1] * 22 + [1]), seed=0)
    np.testing.assert_allclose(every["mu_X"], [6.0, 12.0, 0.0], atol=1.0)
    assert every.stats["labels"] == "labels are fixed by rows with known Z or by unequal priors"


def random_model(seed: int) -> CausalMixture:
    """Priors of every kind that differ by class, in tables, vectors and weights with a cause."""
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(0.5, 3.0, shape))

    mechanisms: Any = {
        "W": Bernoulli(),
        "T": Bernoulli(prior=dist.Beta(some(4), some(4))),
        "X": Gaussian(loc=dist.Normal(some(4, 2), some(4, 2)), scale=dist.Gamma(some(4, 2), 1.0), parents=["T"]),
        "C": Categorical(3, prior=dist.Dirichlet(some(4, 3))),
        "Y": LinearGaussian(["T"], coefficients=dist.Normal(some(4, 2), 1.0), shared=["scale"]),
        "V": DiagonalGaussian(2, loc=dist.Laplace(some(4, 2), 1.0), scale=dist.LogNormal(some(4, 2), 1.0)),
        "U": FullGaussian(2, loc=dist.Normal(some(4, 2), 1.0)),
    }
    return CausalMixture(4, mechanisms, concentration=some(4), latent_parents=["W"])


@pytest.mark.parametrize("seed", range(5))
def test_the_order_is_the_best_of_all_by_pyros_own_prior(seed: int) -> None:
    model = random_model(seed)
    greeks, other = model.prior_greeks(seed), model.prior_greeks(seed + 100)
    greeks = {
        name: 0.5 * (value + other[name]) if not name.startswith("corr") else value for name, value in greeks.items()
    }
    axes = {p.name: p.component_axis for p in model.parameters if p.component_axis is not None}

    def log_prior(order: Any) -> float:
        moved = {
            name: value.index_select(axes[name], torch.tensor(order)) if name in axes else value
            for name, value in greeks.items()
        }
        return float(poutine.trace(poutine.condition(model.sample_greeks, data=moved)).get_trace().log_prob_sum())

    table = label_densities(model.parameters, greeks, model.K)
    for groups in ([[0, 1, 2, 3]], [[0, 2], [1], [3]]):
        orders = [
            order
            for order in itertools.permutations(range(4))
            if all({order[k] for k in group} == set(group) for group in groups)
        ]
        values = {order: log_prior(order) for order in orders}
        best = max(values, key=lambda order: values[order])
        assert tuple(likeliest_order(table, groups, np.zeros(4)).tolist()) == best
        assert values[best] > min(values.values()) + 0.1, "the control: orders differ"
        # The table is the prior's up to a constant.
        gap = [values[order] - table[np.arange(4), list(order)].sum() for order in orders]
        np.testing.assert_allclose(gap, gap[0], rtol=1e-10)


def test_equal_densities_are_ordered_by_the_key() -> None:
    """Weights of one half each tell no concentrations apart."""
    model = GaussianMixture(2, concentration=[1.0, 3.0])
    draws = {"theta": torch.tensor([[0.5, 0.5]]).double(), "mu_X": torch.tensor([[9.0, 0.0]]).double()}
    data = clusters([0.0, 9.0])
    assert label(model, model.density(data), draws, uses_prior=False).draws["mu_X"].tolist() == [[0.0, 9.0]]
    # The control: under the prior both orders are modes, of which a draw is one.
    assert label(model, model.density(data), draws).draws["mu_X"].tolist() == [[9.0, 0.0]]


def test_coinciding_components_are_not_sure_of_their_labels() -> None:
    draws = {"theta": torch.tensor([[0.5, 0.5]]).double(), "mu_X": torch.zeros(1, 2).double()}
    found = label(locs(0.0, 6.0), locs(0.0, 6.0).density(clusters([0.0])), draws, uses_prior=False)
    assert found.certainty == pytest.approx(0.5)


# ------------------------------------------------------------------ programs


def two_means(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("components", 2):
        mu = pyro.sample("mu", dist.Normal(torch.tensor([12.0, 0.0]), 9.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[z], 1.0))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_program_with_priors_that_differ(seed: int) -> None:
    rows, model = {"X": ROWS[:12] + ROWS[24:]}, PyroModel(two_means, order_by="mu")
    data = Data(**rows)
    fit = EM(num_starts=1).fit(model, data, seed=seed)
    np.testing.assert_allclose(fit["mu"], [12.0, 0.0], atol=1.0)
    assert "named by the highest prior density" in fit.stats["labels"]
    assert "labels_unfixed" not in fit.stats
    swapped = {name: value.flip(1) for name, value in fit.draws.items()}
    assert torch.equal(label(model, model.density(data), swapped, uses_prior=False).draws["mu"], fit.draws["mu"])
    # Under the prior these labels are free no more, and a draw keeps its own.
    assert torch.equal(label(model, model.density(data), swapped).draws["mu"], swapped["mu"])
    pinned = EM(num_starts=2).fit(model, {**rows, "z": [0] * 6 + [-1] * 18}, seed=0)
    np.testing.assert_allclose(pinned["mu"], [0.0, 12.0], atol=1.0)
    assert pinned.stats["labels"] == "labels are fixed by rows in which the site is known"
    assert (
        isinstance(fit, Fit)
        and model.symmetry(data, {n: v[0] for n, v in fit.draws.items()}, uses_prior=False).by_prior
    )


def test_without_a_greek_to_order_by_a_program_says_that_labels_are_as_found() -> None:
    fit = EM(num_starts=1).fit(PyroModel(two_means), {"X": ROWS[:12] + ROWS[24:]}, seed=0)
    assert fit.stats["labels"].startswith("labels are as the estimator found them")
    assert fit.stats["labels_unfixed"] == ["z"]
    seen = [0] + [-1] * 22 + [1]
    fit = EM(num_starts=1).fit(PyroModel(two_means), {"X": ROWS[:12] + ROWS[24:], "z": seen}, seed=0)
    assert fit.stats["labels"] == "labels are fixed by rows in which the site is known"
    assert "labels_unfixed" not in fit.stats
