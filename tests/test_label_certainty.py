"""Label certainty against the posterior probability by enumeration, and what labels are put in order by."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from scipy.special import gammaln, log_ndtr, logsumexp, ndtr

from estimators import (
    EM,
    MAP,
    NUTS,
    SMC,
    CausalMixture,
    Data,
    EstimationWarning,
    Exact,
    GaussianMixture,
    PyroModel,
    Status,
)
from estimators.algorithms.protocol import Estimator
from estimators.fits.label_doubt import CERTAIN
from estimators.fits.label_order import DIFFERS
from estimators.fits.labels import label
from estimators.fits.point_draws import draws_about
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from tests.gallery import EXAMPLES
from tests.models import fit_quietly

MODEL = GaussianMixture(K=2, concentration=2.0)
QUICK: dict[str, Estimator] = {"EM": EM(num_starts=5), "MAP": MAP(num_starts=20, num_steps=10)}
# What is drawn is worth at least so many draws.
WORTH = 500


def tolerance(probability: float) -> float:
    """Four standard errors of a share of draws."""
    return 4.0 * float(np.sqrt(probability * (1.0 - probability) / WORTH))


def enumerated(columns: list[np.ndarray], labels: np.ndarray, sign: int = 1) -> float:
    """P(mean of the first column is smaller in class 0 | data), over all allocations of the rows with label -1.

    Unit scales, Normal(0, 10) means, Dirichlet(2, 2) weights; NaN is not observed. Written apart from the package.
    """
    hidden = np.flatnonzero(labels < 0)
    logs, orders = [], []
    for allocation in itertools.product((0, 1), repeat=len(hidden)):
        z = labels.copy()
        z[hidden] = allocation
        log, means, variances = 0.0, [], []
        for number, column in enumerate(columns):
            for k in (0, 1):
                rows = column[(z == k) & ~np.isnan(column)]
                precision = len(rows) + 0.01
                log += -0.5 * np.log(precision) + 0.5 * rows.sum() ** 2 / precision
                if number == 0:
                    means.append(rows.sum() / precision)
                    variances.append(1.0 / precision)
        logs.append(log + gammaln(2.0 + (z == 0).sum()) + gammaln(2.0 + (z == 1).sum()))
        orders.append(log_ndtr(sign * (means[1] - means[0]) / np.sqrt(sum(variances))))
    return float(np.exp(logsumexp(np.array(logs) + orders) - logsumexp(logs)))


# ------------------------------------------------------------------ pins that tell little

ROWS = np.concatenate([np.random.default_rng(3).normal(-5, 1, 5), np.random.default_rng(4).normal(5, 1, 5)])


def with_pin(seen: float) -> tuple[Data, float]:
    """Two clusters, and one row with Z = 0 seen; the probability that class 0 is the left one."""
    columns, labels = np.append(ROWS, seen), np.append(-np.ones(10, dtype=int), 0)
    return Data(X=columns, Z=labels, missing="marginalize"), enumerated([columns], labels)


PINS = [-0.6, -0.25, 0.0, 0.3, np.nan]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("seen", PINS)
def test_a_weak_pin_is_as_sure_as_the_posterior_says(seen: float, name: str) -> None:
    data, left = with_pin(seen)
    fit = fit_quietly(QUICK[name], MODEL, data, seed=0)
    stated = left if fit["mu_X"][0] < fit["mu_X"][1] else 1.0 - left
    assert fit.stats["label_certainty"] == pytest.approx(stated, abs=tolerance(stated))
    if stated < CERTAIN - tolerance(stated):
        assert "what is known tells little" in fit.stats["labels"]
        with pytest.warns(EstimationWarning, match="label_certainty"):
            fit.do(Z=1)


def test_the_control_another_pin_has_another_probability() -> None:
    sure = [with_pin(seen)[1] for seen in (-0.6, 0.0)]
    assert abs(sure[0] - sure[1]) > tolerance(sure[0]) + tolerance(sure[1])
    assert all(abs(1.0 - max(left, 1.0 - left)) > tolerance(left) for left in [with_pin(s)[1] for s in (-0.25, np.nan)])


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [Exact(num_draws=2000), NUTS(num_samples=300, warmup_steps=300)])
@pytest.mark.parametrize("seen", PINS[:3])
def test_draws_say_the_same_also_where_chains_never_cross(seen: float, estimator: Estimator) -> None:
    data, left = with_pin(seen)
    fit = fit_quietly(estimator, MODEL, data, seed=1)
    most = float((fit.draws["mu_X"][:, 0] < fit.draws["mu_X"][:, 1]).double().mean()) > 0.5
    stated = left if most else 1.0 - left
    assert fit.stats["label_certainty"] == pytest.approx(stated, abs=tolerance(stated))


def test_pins_in_plenty_are_sure_where_classes_are_equal() -> None:
    """Nothing tells the classes apart, yet which is which is known: there is no other answer."""
    rng = np.random.default_rng(0)
    fit = fit_quietly(EM(num_starts=3), MODEL, Data(X=rng.normal(size=60), Z=[0, 1] * 20 + [-1] * 20), seed=0)
    assert fit.stats["label_certainty"] == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.do(Z=1)


AGAINST_EACH_OTHER = {"X": [0.0, 0.5, 1.0, 4.0, 4.5, 5.0], "Z": [1, -1, -1, -1, -1, 1]}


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in ("NUTS", "Exact", "SMC"))]
)
def test_pins_against_each_other_leave_two_answers(name: str) -> None:
    """Z = 1 is the left cluster and the last row, or the right one and the first: of EM each half, as 5 - X is X."""
    drawn = {"NUTS": NUTS(num_samples=400, warmup_steps=400), "Exact": Exact(num_draws=2000), "SMC": SMC()}
    columns = {name: np.array(values) for name, values in AGAINST_EACH_OTHER.items()}
    left = 0.5 if name == "EM" else enumerated([columns["X"]], columns["Z"])
    fit = fit_quietly({**QUICK, **drawn}[name], MODEL, Data(**columns), seed=0)
    most = float((fit.draws["mu_X"][:, 0] < fit.draws["mu_X"][:, 1]).double().mean()) > 0.5
    stated = left if most else 1.0 - left
    assert fit.stats["label_certainty"] == pytest.approx(stated, abs=tolerance(stated))


def few_pins(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten rows of two classes, some of them seen, of which three in ten are said to be of the other class."""
    rng = np.random.default_rng(seed)
    gap, z = rng.choice([0, 2, 4, 6]), rng.integers(0, 2, 10)
    x = np.round(rng.normal(size=10) + gap * z, 2)
    count, labels = rng.integers(1, 6), np.full(10, -1)
    pinned = rng.permutation(10)[:count]
    labels[pinned] = np.where(rng.random(len(pinned)) < 0.3, 1 - z[pinned], z[pinned])
    return x, labels


@pytest.mark.parametrize(
    "seed", [4, 41, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (28, 44, 51, 55, 63))]
)
def test_pins_of_two_answers_are_as_sure_as_the_posterior_says(seed: int) -> None:
    x, labels = few_pins(seed)
    left = enumerated([x], labels)
    assert left < 0.96 and 1.0 - left < 0.96
    fit = fit_quietly(QUICK["MAP"], MODEL, Data(X=x, Z=labels), seed=0)
    stated = left if fit["mu_X"][0] < fit["mu_X"][1] else 1.0 - left
    assert fit.stats["label_certainty"] == pytest.approx(stated, abs=tolerance(stated))


@pytest.mark.parametrize("seed", [11, 24])
def test_where_there_is_one_answer_labels_are_what_is_known(seed: int) -> None:
    """Means are in either order with much the same probability, and no valley lies between the two orders."""
    x, labels = few_pins(seed)
    assert abs(enumerated([x], labels) - 0.5) < 0.2
    assert fit_quietly(QUICK["MAP"], MODEL, Data(X=x, Z=labels), seed=0).stats["label_certainty"] == 1.0


# ------------------------------------------------------------------ what labels are put in order by

PAIR = CausalMixture(2, {"X": Gaussian(scale=1.0), "Y": Gaussian(scale=1.0)}, concentration=2.0)


@pytest.mark.parametrize("gap", [0.0, 0.8, 1.5, 3.0])
def test_the_order_is_by_the_first_that_differs(gap: float) -> None:
    """Y tells classes apart; the probability that X is in the same order is that of enumeration."""
    model = CausalMixture(
        2,
        {name: Gaussian(loc=PAIR.mechanisms["X"].loc, scale=1.0) for name in ("X", "Y")},
        concentration=2.0,
    )
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=10) + np.repeat([gap, 0.0], 5), rng.normal(size=10) * 0.5 + np.repeat([-6.0, 6.0], 5)
    # Both images of an allocation count alike: of those with the larger Y in class 1, X is smaller in class 1 or not.
    labels = np.append([0], -np.ones(9, dtype=int))
    smaller = enumerated([x, y], labels)
    fit = fit_quietly(EM(num_starts=5), model, Data(X=x, Y=y), seed=0)
    by_y = fit if fit["mu_Y"][0] < fit["mu_Y"][1] else fit.relabel([1, 0])
    sample = draws_about(model.density(Data(X=x, Y=y)), dict(by_y.draws), uses_prior=False)
    found = float(sample.weights @ (sample.draws["mu_X"][:, 0] < sample.draws["mu_X"][:, 1]).double().numpy())
    assert found == pytest.approx(smaller, abs=max(tolerance(smaller), 1.0 / WORTH))
    is_by_x = max(found, 1.0 - found) >= DIFFERS
    assert ("ordered by the mean of X" in fit.stats["labels"]) == is_by_x
    assert is_by_x == (gap == 3.0), "both happen"
    if not is_by_x:
        assert "by the mean of Y, as the mean of X does not differ" in fit.stats["labels"]
        assert fit["mu_Y"][0] < fit["mu_Y"][1]
    assert fit.stats["label_certainty"] >= DIFFERS


@pytest.mark.parametrize("name", [*QUICK, pytest.param("NUTS", marks=pytest.mark.slow)])
def test_classes_that_differ_in_spread_are_ordered_by_it(name: str) -> None:
    model = CausalMixture(2, {"X": Gaussian()})
    rows = model.simulate(400, {"theta": [0.5, 0.5], "mu_X": [0.0, 0.0], "sigma_X": [1.0, 6.0]}, seed=1)["X"]
    estimator = {**QUICK, "NUTS": NUTS(num_samples=200, warmup_steps=200)}[name]
    fit = fit_quietly(estimator, model, Data(X=rows), seed=0)
    assert fit["sigma_X"][0] < fit["sigma_X"][1]
    assert "by sigma_X, as the mean of X does not differ" in fit.stats["labels"]
    assert fit.stats["label_certainty"] > DIFFERS


def test_where_nothing_differs_labels_mean_nothing() -> None:
    fit = fit_quietly(EM(num_starts=5), MODEL, Data(X=ndtr(np.linspace(-1.0, 1.0, 40))), seed=0)
    assert "labels mean nothing" in fit.stats["labels"]
    assert fit.stats["label_certainty"] < CERTAIN
    with pytest.warns(EstimationWarning, match="label_certainty"):
        fit.do(Z=0)


def test_a_cause_that_is_set_in_all_rows_orders_nothing() -> None:
    """Its own means are where each start left them; lines that differ have one order for every seed."""
    model = CausalMixture(2, {"g": Gaussian(loc=0.0, scale=1.0), "y": LinearGaussian(parents=["g"])})
    rng = np.random.default_rng(0)
    g, z = rng.uniform(0.0, 4.0, 60), rng.integers(0, 2, 60)
    y = np.where(z == 0, 3.0 + 2.0 * g, -1.0 + 0.5 * g) + 0.3 * rng.normal(size=60)
    fits = [fit_quietly(EM(), model, Data(g=g, y=y, intervened={"g": True}), seed=seed) for seed in range(3)]
    assert len({fit.stats["labels"] for fit in fits}) == 1
    answers = [float(fit.do(Z=1, g=2.0).mean("y").value) for fit in fits]
    assert answers == pytest.approx([7.0] * 3, abs=0.5)
    assert max(answers) - min(answers) < 1e-4


def test_labels_of_one_sequence_are_certain() -> None:
    """A chain's sites are told apart one by one: their average over the sequence says little of any label."""
    example = EXAMPLES["chain"]
    fit = fit_quietly(EM(num_starts=3), PyroModel(example.fn, order_by=example.order_by), example.data(12), seed=0)
    assert fit.stats["label_certainty"] > CERTAIN


def test_questions_that_do_not_name_the_cause_need_no_labels() -> None:
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])})
    truth = model.prior_greeks(seed=1)
    rows = {name: value for name, value in model.simulate(60, truth, seed=0).items() if name != "Z"}
    fit = fit_quietly(EM(num_starts=3), model, Data(**rows), seed=0)
    swapped = fit.relabel([1, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one, other in ((fit.do(T=1), swapped.do(T=1)), (fit.given(T=1), swapped.given(T=1))):
            assert float(one.mean("Y").value) == pytest.approx(float(other.mean("Y").value), rel=1e-12)
    assert float(fit.do(Z=1, T=1).mean("Y").value) != float(swapped.do(Z=1, T=1).mean("Y").value)


# ------------------------------------------------------------------ rivals of a point

EFFECTS = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
TRUTH = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.7, 0.7]}


def test_what_a_point_says_of_its_labels_holds_of_its_rivals_too() -> None:
    """The rival's class of the greater intercept has the rows of the other class: the intercept is no order."""
    rows = EFFECTS.simulate(60, TRUTH, seed=2)
    data = Data(T=rows["T"], Y=rows["Y"])
    fit = fit_quietly(EM(), EFFECTS, data, seed=0)
    rival = fit.modes[1]
    own, theirs = (one.responsibilities(data).numpy() for one in (fit, rival))
    costs = [float((own * np.log(own / theirs[:, order] + 1e-300)).sum()) for order in ([0, 1], [1, 0])]
    intercepts = [
        one["beta_Y"][order, 0] for one, order in ((fit, [0, 1]), (rival, [[0, 1], [1, 0]][np.argmin(costs)]))
    ]
    assert (intercepts[0].diff() > 0) != (intercepts[1].diff() > 0) and fit.modes.weights[1] > 0.4
    assert "does not differ beyond its uncertainty" in fit.stats["labels"]
    assert "by the intercept" not in fit.stats["labels"] and fit.stats["label_certainty"] < 0.97
    alone = label(EFFECTS, EFFECTS.density(data).beyond_priors(), dict(fit.draws), uses_prior=False)
    assert "by the intercept" in alone.rule and alone.certainty > 0.999, "the control: a point alone"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_point_is_as_sure_as_the_draws_around_it(seed: int) -> None:
    """On 60 rows draws hold up to four modes; before, certainty was 1.00 where draws said .89 and .90."""
    rows = EFFECTS.simulate(60, TRUTH, seed=seed)
    fit = fit_quietly(MAP(), EFFECTS, Data(T=rows["T"], Y=rows["Y"]), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = fit.laplace(2000, seed=0)
    assert fit.stats["label_certainty"] == pytest.approx(drawn.stats["label_certainty"], abs=0.1)


# ------------------------------------------------------------------ classes without rows, and how labels are numbered

THREE = GaussianMixture(K=3, concentration=2.0)


def with_two_pins(seed: int, pinned: int) -> Data:
    """Nine rows about 0, two of them seen in one class, and three about 5."""
    x = np.random.default_rng(seed).normal(size=12) + 5.0 * (np.arange(12) >= 9)
    labels = np.full(12, -1)
    labels[[0, 3]] = pinned
    return Data(X=x, Z=labels)


@pytest.mark.parametrize("place", [-9.0, *(pytest.param(x, marks=pytest.mark.slow) for x in (5.3, 20.0))])
def test_which_class_is_empty_does_not_matter(place: float) -> None:
    """One class has the rows about 0 and the pins, one the others; the empty one may be anywhere, by any number."""
    data, found = with_two_pins(1, 0).columns["X"], []
    for pinned, full, empty in itertools.permutations(range(3)):
        rows = with_two_pins(1, pinned)
        theta, mu = torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
        theta[0, [pinned, full, empty]] = torch.tensor([0.75, 0.25, 1e-12], dtype=torch.float64)
        mu[0, [pinned, full, empty]] = torch.tensor([data[:9].mean(), data[9:].mean(), place], dtype=torch.float64)
        density = THREE.density(rows).beyond_priors()
        found.append(label(THREE, density, {"theta": theta, "mu_X": mu}, uses_prior=False).certainty)
    assert np.ptp(found) < 0.02 and min(found) > 0.98


@pytest.mark.parametrize("seed", [4, pytest.param(3, marks=pytest.mark.slow)])
def test_numbering_does_not_matter_where_modes_are_rivals(seed: int) -> None:
    """The pinned class is that about 0 in all modes: what is uncertain is the order of the others."""
    fits = [fit_quietly(MAP(), THREE, with_two_pins(seed, pinned), seed=0) for pinned in range(3)]
    certainties = [fit.stats["label_certainty"] for fit in fits]
    assert all(Status.RIVAL_MODES in fit.findings for fit in fits) and np.ptp(certainties) < 0.02
    assert not any("what is known tells little" in fit.stats["labels"] for fit in fits)
