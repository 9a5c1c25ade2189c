"""What fixes a label: rows with Z seen or set, unequal priors, otherwise the order of the first mechanism's mean."""

import itertools
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, NUTS, CausalMixture, Data, Exact, Fit, GaussianMixture
from estimators.algorithms.protocol import Estimator
from estimators.fits.labels import label
from estimators.mechanisms import Gaussian
from tests.label_draws import clusters, draws_around, equal, shuffled
from tests.models import quiet

THREE = GaussianMixture(K=3)
CENTRES = [-8.0, 0.0, 8.0]
PINNED: dict[str, tuple[CausalMixture, dict[str, Any], list[list[int]], str]] = {
    "nothing": (THREE, {}, [[0, 1, 2]], "ordered by the mean of X"),
    "a seen row": (THREE, {"Z": [1] + [-1] * 17}, [[0, 2], [1]], "[1] are fixed"),
    "a set row": (THREE, {"Z": [1] + [-1] * 17, "intervened": {"Z": [True] + [False] * 17}}, [[0, 2], [1]], "[1]"),
    "all labels seen": (THREE, {"Z": [0] + [-1] * 16 + [2]}, [[0], [1], [2]], "fixed by"),
    "concentrations": (GaussianMixture(K=3, concentration=[1.0, 2.0, 1.0]), {}, [[0, 2], [1]], "[1]"),
    "loc priors": (
        CausalMixture(3, {"X": Gaussian(loc=dist.Normal(torch.tensor([0.0, 0.0, 5.0]), 5.0), scale=1.0)}),
        *({}, [[0, 1], [2]], "[2]"),
    ),
    "known scales": (GaussianMixture(K=3, scale=[1.0, 1.0, 2.0]), {}, [[0, 1], [2]], "[2]"),
    "all apart": (GaussianMixture(K=3, concentration=[1.0, 2.0, 3.0]), {}, [[0], [1], [2]], "fixed by"),
}


@pytest.mark.parametrize(("model", "marks", "groups", "rule"), PINNED.values(), ids=PINNED)
def test_labels_move_only_where_the_posterior_is_symmetric(
    model: CausalMixture, marks: dict[str, Any], groups: list[list[int]], rule: str
) -> None:
    """Draws in which each group ascends; after random permutations within the groups they come back."""
    data = Data(X=clusters(CENTRES).columns["X"], **marks)
    assert sorted(sorted(group) for group in model.symmetry(data).groups) == groups
    mu = np.empty(3)
    mu[list(itertools.chain(*groups))] = CENTRES  # the pinned label's mean need not be in order
    base = draws_around([0.3, 0.4, 0.3], mu.tolist(), 30)
    mixed, _ = shuffled(base, groups)
    found = label(model, model.density(data), mixed)
    assert equal(found.draws, base)
    assert rule in found.rule


ESTIMATORS: dict[str, Estimator] = {
    "EM": EM(num_starts=5),
    "MAP": MAP(num_starts=5, num_steps=5),
    "NUTS": NUTS(num_samples=60, warmup_steps=60, num_chains=2),
    "Exact": Exact(num_draws=100),
}


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.parametrize("is_set", [False, True], ids=["seen", "set"])
def test_a_fit_keeps_the_label_of_a_known_row(estimator: Estimator, is_set: bool) -> None:
    rows = [-5.0, -4.4, -5.6, 5.0, 5.5, 4.6]
    data = Data(X=rows, Z=[-1, -1, -1, 0, -1, -1], intervened={"Z": [False] * 3 + [is_set] + [False] * 2})
    with quiet():
        known = estimator.fit(GaussianMixture(K=2, concentration=2.0), data, seed=0)
        free = estimator.fit(GaussianMixture(K=2, concentration=2.0), Data(X=rows), seed=0)
    assert known["mu_X"][0] > known["mu_X"][1], "row 3 is large and in component 0"
    assert free["mu_X"][0] < free["mu_X"][1], "nothing is known, so components ascend"


def test_components_ascend_in_the_first_mechanisms_mean() -> None:
    columns = {"X": clusters([0.0, 9.0]).columns["X"], "Y": clusters([9.0, 0.0], seed=1).columns["X"]}
    for first, second in (("X", "Y"), ("Y", "X")):
        model = CausalMixture(2, {first: Gaussian(scale=1.0), second: Gaussian(scale=1.0)})
        fit = EM(num_starts=3).fit(model, columns, seed=0)
        assert fit[f"mu_{first}"][0] < fit[f"mu_{first}"][1]
        assert fit[f"mu_{second}"][0] > fit[f"mu_{second}"][1]
        assert f"ordered by the mean of {first}" in fit.stats["labels"]


def test_relabel_renames_component_k_to_what_its_entry_was() -> None:
    fit = Fit.from_greeks(THREE, {"theta": [0.2, 0.3, 0.5], "mu_X": [0.0, 1.0, 2.0]})
    assert fit.relabel([2, 0, 1])["mu_X"].tolist() == [2.0, 0.0, 1.0]
    assert fit.relabel([2, 0, 1])["theta"].tolist() == [0.5, 0.2, 0.3]
    assert fit.relabel(np.array([2, 0, 1])).relabel((1, 2, 0))["mu_X"].tolist() == [0.0, 1.0, 2.0]
    assert fit["mu_X"].tolist() == [0.0, 1.0, 2.0]


def with_known_rows() -> Fit:
    rows = [-5.0, -4.4, -5.6, 5.0, 5.5, 4.6]
    data = Data(X=rows, Z=[0, -1, -1, 1, -1, 1], intervened={"Z": [False] * 5 + [True]})
    return EM(num_starts=3).fit(GaussianMixture(K=2), data, seed=0)


def test_relabel_says_nothing_about_the_fitted_rows() -> None:
    """Names change, those in the Z column of the fitted rows too, so the rows' likelihood is what it was."""
    fit = with_known_rows().laplace(100, seed=1)
    before, after = (either.to_arviz()["log_likelihood"]["rows"].values for either in (fit, fit.relabel([1, 0])))
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("known", [True, False], ids=["rows with known Z", "all hidden"])
def test_names_given_by_hand_outlive_laplace(known: bool) -> None:
    fit = (
        with_known_rows() if known else EM(num_starts=3).fit(GaussianMixture(K=2), {"X": [0.0, 1.0, 9.0, 9.5]}, seed=0)
    )
    spread = fit.relabel([1, 0]).laplace(100, seed=1)
    assert bool((spread.draws["mu_X"][:, 0] > spread.draws["mu_X"][:, 1]).all())


# ------------------------------------------------------------------ known rows that say nothing

PAIR = GaussianMixture(K=2, concentration=2.0)
CLUSTERS = clusters([-5.0, 5.0], per_cluster=5).columns["X"].numpy()


@pytest.mark.parametrize("weights", [None, [1.0] * 10 + [0.0, 0.0]], ids=["not observed", "of weight 0"])
def test_a_pin_without_information_pins_nothing(weights: Any) -> None:
    is_missing = weights is None
    rows = np.append(CLUSTERS, [np.nan, np.nan] if is_missing else [5.0, -5.0])
    known = np.append(-np.ones(10, dtype=int), [0, 1])
    data = Data(X=rows, Z=known, intervened={"Z": known >= 0}, weights=weights, missing="marginalize")
    assert PAIR.symmetry(data).groups == [[0, 1]]
    fit = EM(num_starts=5).fit(PAIR, data, seed=0)
    assert fit["mu_X"][0] < -4.0 < 4.0 < fit["mu_X"][1], "and no start is where a row was not observed"
    observed = Data(X=np.append(CLUSTERS, [5.0, -5.0]), Z=known, intervened={"Z": known >= 0})
    assert PAIR.symmetry(observed).groups == [[0], [1]], "the control"
