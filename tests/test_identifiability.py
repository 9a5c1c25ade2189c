"""Identifiability: the information is the likelihood's Hessian, and the sentences name what the data leave open."""

from dataclasses import replace
from functools import cache

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, NUTS, CausalMixture, Data, EstimationWarning, Fit, GaussianMixture, PyroModel, Status
from estimators.algorithms.protocol import Estimator
from estimators.fits.identifiability import RIVALS, THRESHOLD, Identifiability
from estimators.mechanisms import Bernoulli, Gaussian
from estimators.mixture.coordinates import transforms_of
from tests.models import MODELS, fit_quietly, mixed_rows, rows_of

TUTORIAL = GaussianMixture(K=2, concentration=2.0)
APART = rows_of(TUTORIAL, 200, separation=8.0)
# One cluster, less wide than a component, so that two components lie on each other.
CLUSTER = Data(X=np.linspace(-1.0, 1.0, 40))
COIN = CausalMixture(2, {"X": Bernoulli()}, concentration=2.0)
TOSSES = Data(X=[0.0, 1.0, 1.0] * 30)
ESTIMATORS: dict[str, Estimator] = {
    "EM": EM(num_starts=5),
    "MAP": MAP(num_starts=10, num_steps=20),
    "NUTS": NUTS(num_samples=150, warmup_steps=150, num_chains=2),
}
estimators = pytest.mark.parametrize("name", ESTIMATORS)
# Draws are asked in one case by default.
point_estimators = pytest.mark.parametrize("name", ["EM", "MAP", pytest.param("NUTS", marks=pytest.mark.slow)])


@cache
def fitted(name: str, model: CausalMixture, data: Data) -> Fit:
    return fit_quietly(ESTIMATORS[name], model, data, seed=0)


def known(model: CausalMixture, greeks: dict[str, object], data: Data, kind: str = "map") -> Fit:
    """A point fit at Greeks of one's own, as if an estimator had found them."""
    point = Fit.from_greeks(model, greeks)
    return Fit(model, kind, dict(point.draws), 1, Status.CONVERGED, {}, data=data)


def named(found: Identifiability) -> set[str]:
    return {entry for group in found.groups for entry in group}


# ------------------------------------------------------------------ what is identified, and what is not


@point_estimators
def test_components_far_apart_are_identified(name: str) -> None:
    found = fitted(name, TUTORIAL, APART).identifiability()
    assert found.is_identified
    assert found.directions == ()
    assert found.ratios.min() > THRESHOLD
    assert max(found.uninformed.values()) == 0.0
    assert str(replace(found, search=None)).startswith("identified locally")


@point_estimators
def test_which_component_is_which_part_of_one_cluster_is_not(name: str) -> None:
    # A search ends where one of the components has no rows, where nothing is flat or steep.
    fit = fit_quietly(ESTIMATORS[name], TUTORIAL, CLUSTER, seed=0, search=None)
    found = fit.identifiability()
    assert not found.is_identified
    assert "theta[0] and theta[1]" in " ".join(found.directions)
    assert found.ratios[0] < THRESHOLD
    assert found.uninformed["theta[0]"] > 0.5
    assert str(replace(found, search=None)).startswith("not identified locally")


@estimators
def test_a_mixture_of_coins_in_one_column_is_never_identified(name: str) -> None:
    """Only Σ theta_k p_k is: one number of three."""
    found = fitted(name, COIN, TOSSES).identifiability()
    assert not found.is_identified
    assert named(found) & {"p_X[0]", "p_X[1]"}
    assert (found.ratios < THRESHOLD).sum() == 2


def test_three_columns_of_coins_are_identified() -> None:
    """The negative control: with three columns the classes are told apart (Allman, Matias and Rhodes 2009)."""
    model = CausalMixture(2, {name: Bernoulli() for name in "ABC"}, concentration=2.0)
    truth = {"theta": [0.5, 0.5], **{f"p_{name}": [0.1, 0.9] for name in "ABC"}}
    rows = model.simulate(500, truth, seed=0)
    fit = fitted("EM", model, Data(**{name: rows[name] for name in "ABC"}))
    assert fit.identifiability().is_identified


@pytest.mark.parametrize("kind", ["map", "ml"])
def test_at_equal_means_nothing_informs_the_weights(kind: str) -> None:
    """The rows then say nothing about Z, by construction, but where the means lie they do say."""
    fit = known(TUTORIAL, {"theta": [0.3, 0.7], "mu_X": [0.0, 0.0]}, CLUSTER, kind)
    found = fit.identifiability()
    assert found.directions == ("theta[0] and theta[1] are not informed by these data",)
    assert found.uninformed["theta[0]"] == pytest.approx(1.0)
    assert found.uninformed["mu_X[0]"] == pytest.approx(0.0, abs=1e-6)


def test_one_entry_alone_is_not_informed() -> None:
    """A component that no row is in: its scale is what the prior says."""
    model = CausalMixture(2, {"X": Gaussian(loc=[0.0, 5.0])}, concentration=2.0)
    data = Data(X=[-1.0, 0.0, 1.0] * 3, Z=[0] * 9)
    found = known(model, {"theta": [0.8, 0.2], "sigma_X": [1.0, 1.0]}, data).identifiability()
    assert found.directions == ("sigma_X[1] is not informed by these data",)


def test_what_only_set_rows_leave_open_is_named_and_what_seen_rows_leave_is_nothing() -> None:
    rows: dict[str, list[float]] = {"X": [0.0, 1.0, 10.0, 11.0], "Z": [0, 0, 1, 1]}
    by_hand = fitted("EM", TUTORIAL, Data(**rows, intervened={"Z": True})).identifiability()
    assert by_hand.groups == (("theta[0]", "theta[1]"),)
    assert fitted("EM", TUTORIAL, Data(**rows)).identifiability().is_identified


@pytest.mark.slow
def test_two_greeks_whose_sum_alone_matters_are_named_together() -> None:
    def shifted(N: int) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(2.0 * torch.ones(2)))
        shift = pyro.sample("shift", dist.Normal(0.0, 10.0))
        with pyro.plate("components", 2):
            mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        with pyro.plate("rows", N):
            latent = pyro.sample("Z", dist.Categorical(theta))
            pyro.sample("X", dist.Normal(mu[latent] + shift, 1.0))

    for estimator in (EM(num_starts=3), MAP(num_starts=3, num_steps=10)):
        with pytest.warns(EstimationWarning, match="leave"):
            fit = estimator.fit(PyroModel(shifted, order_by="mu"), {"X": APART.columns["X"]}, seed=0)
        found = fit.identifiability()
        assert found.groups == (("shift", "mu[0]", "mu[1]"),)
        assert found.directions == ("shift, mu[0] and mu[1] cannot be told apart from these data",)


def test_a_program_and_the_model_it_states_have_the_same_ratios() -> None:
    """Ratios to the prior do not depend on the coordinates' affine scale."""

    def stated(N: int) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(2.0 * torch.ones(2, dtype=torch.float64)))
        with pyro.plate("components", 2):
            mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        with pyro.plate("rows", N):
            latent = pyro.sample("Z", dist.Categorical(theta))
            pyro.sample("X", dist.Normal(mu[latent], 1.0))

    fit = fitted("MAP", TUTORIAL, APART)
    point = {"theta": fit.draws["theta"], "mu": fit.draws["mu_X"]}
    program = Fit(PyroModel(stated), "map", point, 1, Status.CONVERGED, {}, data=APART)
    np.testing.assert_allclose(program.identifiability().ratios, fit.identifiability().ratios, rtol=1e-4)


# ------------------------------------------------------------------ the numbers


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_information_is_minus_the_hessian_of_the_log_likelihood(model: CausalMixture) -> None:
    data, greeks = mixed_rows(model), model.prior_greeks(seed=3)
    found = known(model, dict(greeks), data).identifiability()
    density = model.density(data)
    at = density.unconstrain({name: value.numpy() for name, value in greeks.items()})
    _is_hessian(found.information, lambda point: float(density.values(point).likelihood), at)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_priors_information_is_that_of_the_prior_and_the_jacobian(model: CausalMixture) -> None:
    """Without rows in it, by torch's own log densities and Jacobians of the same coordinates."""
    data, greeks = mixed_rows(model), model.prior_greeks(seed=3)
    found = known(model, dict(greeks), data).identifiability()
    density = model.density(data)
    transforms = transforms_of(model, model.marginal(data).references, within_priors=True)

    def log_prior(point: np.ndarray) -> float:
        total = 0.0
        for parameter in model.parameters:
            value = torch.from_numpy(density.constrain(point)[parameter.name])
            total += float(parameter.prior.log_prob(value).sum())
            total += float(transforms[parameter.name].log_jacobian(value.numpy().reshape(-1)))
        return total

    at = density.unconstrain({name: value.numpy() for name, value in greeks.items()})
    _is_hessian(found.prior_information, log_prior, at)


def _is_hessian(information: np.ndarray, value: object, at: np.ndarray) -> None:
    step, size = 1e-3, len(at)
    eye = step * np.eye(size)
    for i in range(size):
        for j in range(size):
            corners = [value(at + a * eye[i] + b * eye[j]) for a in (1, -1) for b in (1, -1)]  # type: ignore[operator]
            by_value = -(corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
            assert information[i, j] == pytest.approx(by_value, rel=1e-3, abs=1e-3 * np.abs(information).max())


def test_ratios_are_those_of_the_two_informations() -> None:
    found = fitted("MAP", TUTORIAL, APART).identifiability()
    expected = np.linalg.eigvals(np.linalg.solve(found.prior_information, found.information))
    np.testing.assert_allclose(found.ratios, np.sort(expected.real), rtol=1e-8)
    np.testing.assert_allclose(np.prod(found.eigenvalues), np.linalg.det(found.information), rtol=1e-8)
    np.testing.assert_allclose(np.prod(found.prior_eigenvalues), np.linalg.det(found.prior_information), rtol=1e-8)
    assert "the prior does" in found.comparison


def test_a_beta_prior_counts_as_as_many_tosses() -> None:
    """One component: n tosses against Beta(a, b), whose information about the logit is that of a + b tosses."""
    model = CausalMixture(1, {"X": Bernoulli(prior=dist.Beta(3.0, 2.0))})
    found = known(model, {"theta": [1.0], "p_X": [0.4]}, Data(X=[0.0, 1.0, 1.0, 0.0, 0.0] * 4)).identifiability()
    assert found.ratios == pytest.approx([20 / 5], rel=1e-6)
    by_rows = known(model, {"theta": [1.0], "p_X": [0.4]}, Data(X=[0.0, 1.0, 1.0, 0.0, 0.0] * 4), "ml")
    assert by_rows.identifiability().ratios == pytest.approx([20.0], rel=1e-6)


def test_a_strong_prior_is_told_from_weak_data() -> None:
    """The same rows and the same point: the data tell less than the one prior, more than the other."""
    rows = Data(X=[0.0, 1.0] * 5)
    for strength, is_identified in ((2.0, True), (50.0, False)):
        model = CausalMixture(1, {"X": Bernoulli(prior=dist.Beta(strength, strength))})
        found = known(model, {"theta": [1.0], "p_X": [0.5]}, rows).identifiability()
        assert found.is_identified is is_identified


# ------------------------------------------------------------------ words


def test_permuted_labels_permute_the_words() -> None:
    model = CausalMixture(2, {"X": Gaussian()}, concentration=2.0)
    data = Data(X=[-1.0, 0.0, 1.0])
    greeks = {"theta": [0.99, 0.01], "mu_X": [0.0, 40.0], "sigma_X": [1.0, 1.0]}
    one = known(model, greeks, data)
    two = one.relabel([1, 0])
    found, swapped = one.identifiability(), two.identifiability()
    assert {"mu_X[1]", "sigma_X[1]"} <= named(found)
    assert not {"mu_X[0]", "sigma_X[0]"} & named(found)
    other = str.maketrans("01", "10")
    permuted = {frozenset(entry.translate(other) for entry in group) for group in swapped.groups}
    assert permuted == {frozenset(group) for group in found.groups}
    for entry, share in found.uninformed.items():
        assert swapped.uninformed[entry.translate(other)] == pytest.approx(share, abs=1e-6)


def test_words_and_the_table_use_the_labels_names() -> None:
    fit = known(TUTORIAL, {"theta": [0.3, 0.7], "mu_X": [0.0, 0.0]}, CLUSTER).relabel({"low": 0, "high": 1})
    found = fit.identifiability()
    assert found.directions == ("theta[low] and theta[high] are not informed by these data",)
    table = found.table()
    assert list(table.index) == list(fit.summary().index)
    assert table.loc["theta[low]", "finding"] == found.directions[0]
    assert table.loc["mu_X[low]", "finding"] == ""


def test_draws_of_two_modes_are_judged_at_one_not_between() -> None:
    """Their mean is near neither: there the two means would be alike, and nothing would tell the weights."""
    modes = {"theta": [[0.5, 0.5], [0.5, 0.5]], "mu_X": [[-4.0, 4.0], [4.0, -4.0]]}
    draws = {name: torch.tensor(value, dtype=torch.float64) for name, value in modes.items()}
    found = Fit(TUTORIAL, "posterior", draws, 1, Status.CONVERGED, {}, data=APART).identifiability()
    assert found.is_identified
    assert max(found.uninformed.values()) == 0.0


def test_it_says_which_comparison_was_made() -> None:
    by_em, by_map = (fitted(name, TUTORIAL, APART).identifiability() for name in ("EM", "MAP"))
    assert "one row would" in by_em.comparison
    assert "the prior does" in by_map.comparison
    spread = fitted("EM", TUTORIAL, APART).laplace(50, seed=0).identifiability()
    assert "one row would" in spread.comparison
    assert "nearest to the best draw" in spread.comparison


# ------------------------------------------------------------------ where there is no answer


def test_what_the_law_determines_is_told_from_what_these_rows_do() -> None:
    fit = fitted("EM", TUTORIAL, APART)
    assert not fit.identifiability().has_rivals and RIVALS not in str(fit.identifiability())
    with_rivals = replace(fit, status=Status.RIVAL_MODES).identifiability()
    assert with_rivals.has_rivals and str(with_rivals).endswith(f"\n{RIVALS}")


def test_a_fit_without_data_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="identifiability: this fit holds no data"):
        Fit.from_greeks(TUTORIAL, {"theta": [0.5, 0.5], "mu_X": [0.0, 1.0]}).identifiability()


@pytest.mark.parametrize("status", [Status.BOUNDARY, Status.COMPONENT_COLLAPSED])
def test_at_the_edge_there_is_a_sentence_and_no_number(status: Status) -> None:
    point = known(TUTORIAL, {"theta": [1.0, 0.0], "mu_X": [0.0, 1.0]}, CLUSTER)
    found = Fit(TUTORIAL, "map", dict(point.draws), 1, status, {}, data=CLUSTER).identifiability()
    assert not found.is_identified
    assert status.value in str(replace(found, search=None))
    assert not found.ratios.size
    assert found.table().empty


def test_draws_at_the_edge_are_said_to_be_there() -> None:
    found = known(TUTORIAL, {"theta": [1.0, 0.0], "mu_X": [0.0, 1.0]}, CLUSTER).identifiability()
    assert not found.is_identified
    assert "edge" in str(replace(found, search=None))


def test_a_collapsed_fit_of_an_estimator_has_an_answer() -> None:
    fit = fit_quietly(EM(num_starts=3), CausalMixture(2, {"X": Gaussian()}), {"X": [0.0, 0.0, 0.0, 0.0, 9.0]}, seed=0)
    assert fit.status is Status.COMPONENT_COLLAPSED
    assert "shrunk" in str(fit.identifiability())


def test_nothing_to_estimate_is_identified() -> None:
    model = CausalMixture(1, {"X": Gaussian(loc=0.0, scale=1.0)})
    assert known(model, {"theta": [1.0]}, CLUSTER).identifiability().is_identified
