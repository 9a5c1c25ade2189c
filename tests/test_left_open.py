"""What rows leave open of a posterior is said, whoever draws it; what they tell, or will with more of them, is not."""

from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import (
    EM,
    MAP,
    NUTS,
    SMC,
    CausalMixture,
    Data,
    EstimationError,
    EstimationWarning,
    Exact,
    GaussianMixture,
    Status,
)
from estimators.fits import left_open as module
from estimators.fits.left_open import left_open
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    Gaussian,
    LinearGaussian,
    Logistic,
    LogNormal,
    NegativeBinomial,
    Poisson,
)
from estimators.modes import mode
from tests.known_identification import KNOWN
from tests.models import fit_quietly
from tests.prior_draws import drawn_from_prior

#   Z → T, Z → Y, T → Y, all binary: seven Greeks, three free cells. With two other indicators of Z, all are identified.
CONFOUNDER, TRUTH = KNOWN["binary"].model, KNOWN["binary"].greeks
MEASURED = KNOWN["binary, two other indicators"]
LINES = KNOWN["unequal spreads"]
QUICK = NUTS(num_samples=150, warmup_steps=150, num_chains=2)
ESTIMATORS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "NUTS": (QUICK, {}, 300),
    "NUTS without a search": (QUICK, {"search": None}, 300),
    "NUTS on many rows": (QUICK, {}, 2_500),
    "SMC": (SMC(num_particles=200, max_sweeps=2), {}, 300),
    "Exact": (Exact(num_draws=200), {}, 14),
}


def rows_of(model: CausalMixture, greeks: dict[str, Any], num_rows: int, seed: int) -> Data:
    rows = model.simulate(num_rows, greeks, seed=seed)
    return Data(**{name: column for name, column in rows.items() if name != "Z"})


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ESTIMATORS)
def test_draws_say_what_is_open_and_not_what_more_measures_close(name: str, seed: int) -> None:
    estimator, options, num_rows = ESTIMATORS[name]
    with pytest.warns(EstimationWarning, match="NOT_IDENTIFIED: "):
        fit = estimator.fit(CONFOUNDER, rows_of(CONFOUNDER, TRUTH, num_rows, seed), seed=seed, **options)
    assert fit.status is Status.NOT_IDENTIFIED and fit.advice[0].startswith("NOT_IDENTIFIED")
    about = fit.findings[Status.NOT_IDENTIFIED]
    assert all(entry in about for entry in ("p_T[0]", "p_T[1]", "p_Y[0, 0]", "p_Y[1, 1]")), about
    rows = rows_of(MEASURED.model, MEASURED.greeks, num_rows, seed)
    identified = fit_quietly(estimator, MEASURED.model, rows, seed, **options)
    assert Status.NOT_IDENTIFIED not in identified.findings


def test_other_findings_stay_and_strict_is_an_error() -> None:
    rows = rows_of(CONFOUNDER, TRUTH, 200, 0)
    short = NUTS(num_samples=40, warmup_steps=100, num_chains=2)
    assert set(fit_quietly(short, CONFOUNDER, rows, 0).findings) >= {Status.NOT_IDENTIFIED, Status.LOW_ESS}
    with pytest.raises(EstimationError, match="NOT_IDENTIFIED"):
        short.fit(CONFOUNDER, rows, seed=0, strict=True)


def test_a_maximum_of_many_rows_is_looked_at_on_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20,000 rows the curvature would take longer than the fit: some are asked, and of what they leave open all."""
    asked: list[tuple[int, int]] = []
    moving_no_row = module._moving_no_row

    def counted(density: Any, part: Any, points: Any, directions: Any) -> Any:
        asked.append((density.data.num_rows, directions.shape[1]))
        return moving_no_row(density, part, points, directions)

    monkeypatch.setattr(module, "_moving_no_row", counted)
    monkeypatch.setattr(mode, "MOST_WORK", 1e6)
    rows = rows_of(CONFOUNDER, TRUTH, 20_000, 0)
    fit = fit_quietly(EM(num_starts=2), CONFOUNDER, rows, 0, search=None)
    # Seven Greeks, of which three free cells tell three.
    assert fit.status is Status.NOT_IDENTIFIED and asked == [(module.WORKING_ROWS, 7), (20_000, 4)]
    monkeypatch.setattr(mode, "MOST_WORK", 1e3)
    assert fit_quietly(EM(num_starts=2), CONFOUNDER, rows, 0, search=None).status is Status.CONVERGED
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("estimator", "options"),
    [(EM(), {"search": None}), (EM(num_starts=3), {}), (MAP(num_steps=5), {})],
    ids=["EM without a search", "EM", "MAP"],
)
def test_what_rare_rows_alone_tell_is_not_open(
    monkeypatch: pytest.MonkeyPatch, estimator: Any, options: dict[str, Any]
) -> None:
    """Four rows of 20,000 have T = 2: a sample of 2,000 has none of them, and leaves its slopes open."""
    monkeypatch.setattr(mode, "MOST_WORK", 1e6)
    rng = np.random.default_rng(0)
    z, t = rng.random(20_000) < 0.4, rng.integers(0, 2, 20_000) * 1.0
    t[[7, 1_500, 9_000, 15_000]] = 2.0
    rows = Data(T=t, W=rng.normal(size=20_000) + 4.0 * z, Y=rng.normal(size=20_000) + z + t)
    model = CausalMixture(2, {"T": Categorical(3), "W": Gaussian(), "Y": LinearGaussian(parents=["T"])})
    fit = fit_quietly(estimator, model, rows, 0, **options)
    assert fit.status is Status.CONVERGED, fit.advice


def test_greeks_that_are_open_are_named_by_all_rows() -> None:
    """Of six rows with T = 2 those of class 0 have Y = 0 alone: its slope is open, and that of class 1 is not."""
    rng = np.random.default_rng(1)
    z, t = rng.random(9_000) < 0.4, rng.integers(0, 2, 9_000) * 1.0
    t[rng.integers(0, 9_000, 6)] = 2.0
    w, y = rng.normal(size=9_000) + 3.0 * z, (rng.random(9_000) < 0.3 + 0.3 * z) * 1.0
    assert not y[(t == 2.0) & ~z].any() and set(y[(t == 2.0) & z]) == {0.0, 1.0}
    model = CausalMixture(2, {"T": Categorical(3), "W": Gaussian(), "Y": Logistic(parents=["T"])})
    fit = fit_quietly(EM(), model, Data(T=t, W=w, Y=y), 1, search=None)
    about = fit.findings[Status.NOT_IDENTIFIED]
    assert "beta_Y[0, 2]" in about and "beta_Y[1" not in about


def test_rivals_are_no_open_direction() -> None:
    pairs = KNOWN["equal spreads, free slopes"]
    fit = NUTS(num_samples=500).fit(pairs.model, rows_of(pairs.model, pairs.greeks, 500, 2), seed=0)
    assert fit.status is Status.CONVERGED and "all modes in proportion" in " ".join(fit.advice)


@pytest.mark.parametrize("estimator", [QUICK, MAP(num_steps=5)], ids=["NUTS", "MAP"])
def test_priors_that_decide_do_not_hide_it(estimator: Any) -> None:
    """A density that is nowhere flat, whose likelihood is."""
    coins = {"T": Bernoulli(dist.Beta(20.0, 20.0)), "Y": Bernoulli(dist.Beta(20.0, 20.0), parents=["T"])}
    model = CausalMixture(2, coins, concentration=20.0)
    fit = fit_quietly(estimator, model, rows_of(CONFOUNDER, TRUTH, 300, 0), 0)
    assert fit.status is Status.NOT_IDENTIFIED and "p_Y[0, 1]" in fit.findings[Status.NOT_IDENTIFIED]


def test_laplace_draws_of_a_mode_keep_the_words() -> None:
    model = CausalMixture(2, {"X": Bernoulli(dist.Beta(5.0, 5.0))}, concentration=20.0)
    fit = fit_quietly(MAP(num_steps=5), model, Data(X=np.arange(60) % 3 == 0), 0)
    with pytest.warns(EstimationWarning, match="NOT_IDENTIFIED"):
        assert fit.laplace(seed=0).findings == fit.findings


@pytest.mark.parametrize(("num_classes", "num_rows", "num_sets"), [(2, 10, 30), (3, 9, 10), (3, 4, 20), (2, 1, 5)])
def test_few_rows_and_classes_without_any_leave_nothing_open(num_classes: int, num_rows: int, num_sets: int) -> None:
    model = GaussianMixture(num_classes)
    for seed in range(num_sets):
        fit = Exact(num_draws=200).fit(model, drawn_from_prior(model, num_rows, seed), seed=seed)
        assert fit.status is Status.CONVERGED


def test_what_is_set_has_the_prior_s_draws_and_a_remark() -> None:
    rows = rows_of(LINES.model, LINES.greeks, 200, 0)
    fit = fit_quietly(QUICK, LINES.model, Data(**rows.columns, intervened={"T": True}), 0)
    assert Status.NOT_IDENTIFIED not in fit.findings
    assert "The rows tell next to nothing of p_T[0], p_T[1]" in " ".join(fit.advice)
    same = {name: column[rows.columns["T"] == 1] for name, column in rows.columns.items()}
    constant = fit_quietly(QUICK, LINES.model, Data(**same), 0)
    assert "beta_Y[0, 0] and beta_Y[0, 1] cannot be told apart" in constant.findings[Status.NOT_IDENTIFIED]


def points(model: Any, data: Data, seed: int) -> tuple[Any, dict[str, torch.Tensor]]:
    """A density, and a few draws of its prior: any point tells what is open."""
    density = model.density(model.check(data))
    return density, density.draws(density.draw_prior(3, np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", [2, 5])
def test_want_of_rows_is_no_want_of_identification(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rows, nine Greeks; the control never asks what more rows of the kind would tell."""
    density, draws = points(LINES.model, rows_of(LINES.model, LINES.greeks, 10, seed), seed)
    assert left_open(LINES.model, density, draws, 0) == ""
    monkeypatch.setattr(module, "ROWS_BY_COORDINATE", 0)
    assert "beta_Y[0, 1]" in left_open(LINES.model, density, draws, 0)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_classes_that_are_one_at_the_maximum_are_told_apart_elsewhere(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clusters narrower than a class, three classes: two of them are one where the likelihood is highest."""
    model = CausalMixture(3, {"T": Bernoulli(), "X": Gaussian(scale=1.0)}, concentration=2.0)
    rng = np.random.default_rng(seed)
    clusters = rng.normal(8.0 * (np.arange(60) % 2), 0.5)
    density, draws = points(model, Data(T=rng.integers(0, 2, 60), X=clusters, intervened={"T": True}), seed)
    assert left_open(model, density, draws, 0) == ""
    monkeypatch.setattr(module, "has_joined", lambda shares: False)
    assert "theta" in left_open(model, density, draws, 0)


@pytest.mark.parametrize(
    ("name", "num_rows", "is_open"),
    [
        ("one coin", 50, True),
        ("two of three levels", 300, True),
        ("three coins, three classes", 300, True),
        ("three coins", 300, False),
        ("three of three levels", 300, False),
        ("lines over a Gaussian", 100, False),
        ("Poissons", 100, False),
        ("a program of two coins", 40, True),
        ("a program with one slope", 60, False),
    ],
)
def test_known_models(name: str, num_rows: int, is_open: bool) -> None:
    known = KNOWN[name]
    data = rows_of(known.model, known.greeks, num_rows, 0)
    density, draws = points(known.model, data, 0)
    assert bool(left_open(known.model, density, draws, 0)) is is_open


def test_rows_with_z_seen_or_t_set_close_it() -> None:
    rows = CONFOUNDER.simulate(300, TRUTH, seed=0)
    few = torch.arange(300) < 30
    seen = Data(T=rows["T"], Y=rows["Y"], Z=torch.where(few, rows["Z"], -1))
    density, draws = points(CONFOUNDER, seen, 0)
    assert left_open(CONFOUNDER, density, draws, 0) == ""
    # A setting of T identifies its effect, and leaves the classes open.
    density, draws = points(CONFOUNDER, Data(T=rows["T"], Y=rows["Y"], intervened={"T": few}), 0)
    assert "p_Y[0, 0]" in left_open(CONFOUNDER, density, draws, 0)


@pytest.mark.parametrize("cause", ["count", "positive"])
def test_draws_of_a_prior_may_have_rows_that_no_data_set_can_hold(cause: str) -> None:
    rng = np.random.default_rng(1)
    mechanisms: dict[str, Any]
    if cause == "count":
        mechanisms = {"C": Poisson(), "D": NegativeBinomial(parents=["C"], coefficients=dist.Normal(0.0, 50.0))}
    else:
        mechanisms = {"C": LogNormal(), "D": LogNormal(parents=["C"], coefficients=dist.Normal(0.0, 1e4))}
    C = rng.poisson(3, 20)
    data = Data(C=C if cause == "count" else np.exp(rng.normal(size=20)), D=rng.poisson(2, 20) + 1)
    fit = fit_quietly(MAP(num_steps=50), CausalMixture(2, mechanisms), data, seed=0, search=None)
    assert all(bool(torch.isfinite(value).all()) for value in fit.draws.values())
