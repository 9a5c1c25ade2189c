"""Seeing and setting in causal graphs: closed forms against formulas by hand, Pyro's own samples, and integration."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from estimators import CausalMixture, Data, EstimationError, Fit
from estimators.isolation import isolated
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian, Logistic, Poisson, PoissonRegression
from estimators.parameters.symmetry import permute
from tests.causal_models import CONFOUNDER_GREEKS, WORLDS, known, posterior_of
from validation.testing import Stat

NUM_SAMPLES = 50_000
MOST_CHECKS = 2 * max(len(model.mechanisms) for model, _ in WORLDS.values())
SETTINGS = [
    ("confounder", {"T": 1}),
    ("confounder", {"Z": 0}),
    ("mediated", {"T": 1}),
    ("mediated", {"W": 0, "Z": 1}),
    ("mediated", {"M": 2.0}),
    ("mediated", {"V": 2.0}),
    ("front door", {"T": 1}),
    ("front door", {"A": 0, "M": 1.0}),
    ("mixed", {"C": 2}),
    ("mixed", {"P": 3}),
    ("mixed", {"Z": 1, "C": 0}),
]
EVERY_SETTING = pytest.mark.parametrize(
    ("name", "settings"), SETTINGS, ids=[f"{name}, {sorted(given)}" for name, given in SETTINGS]
)


def by_pyro(name: str, settings: dict[str, float], seed: int) -> dict[str, Tensor]:
    """Rows of the mutilated program, sampled by `pyro.do`."""
    model, greeks = WORLDS[name]
    done = {key: torch.tensor(value, dtype=torch.float64) for key, value in settings.items()}
    done = {key: value.long() if key == "Z" else value for key, value in done.items()}
    with isolated(seed):
        return pyro.do(model.rows, data=done)(model.check_greeks(greeks), NUM_SAMPLES)


@EVERY_SETTING
@pytest.mark.statistical(checks=MOST_CHECKS, min_effect=0.05)
def test_means_and_cdfs_are_those_of_pyros_samples(stat: Stat, name: str, settings: dict[str, float]) -> None:
    rows, fit = by_pyro(name, settings, stat.seed), known(name)
    query = fit.do(**settings)
    for variable in WORLDS[name][0].mechanisms:
        if variable in settings:
            continue
        drawn = rows[variable].double().reshape(NUM_SAMPLES, -1)
        mean = query.mean(variable).value.reshape(-1)
        stat.means(drawn, mean, min_effect=0.15)
        with stat.control():  # off by a fifth of a sd
            stat.means(drawn, mean + 0.2 * drawn.std(0))
        if variable == "X":
            continue
        stat.cdf(drawn[:, 0], lambda x, of=variable: query.cdf(of, x))
        with stat.control():
            stat.cdf(drawn[:, 0] + 0.5 * drawn[:, 0].std() + 0.5, lambda x, of=variable: query.cdf(of, x))


@EVERY_SETTING
def test_a_density_sums_or_integrates_to_its_cdf(name: str, settings: dict[str, float]) -> None:
    fit = posterior_of(name)
    query, (model, _) = fit.do(**settings), WORLDS[name]
    for variable, mechanism in model.mechanisms.items():
        if variable in settings or mechanism.num_columns is not None:
            continue
        if mechanism.is_gaussian:
            grid = torch.linspace(-30.0, 12.0, 20_001, dtype=torch.float64)
            area = torch.trapezoid(query.log_density(variable, grid).exp(), grid)
            assert float(area) == pytest.approx(float(query.cdf(variable, 12.0)), abs=1e-8)
            for level in (0.05, 0.5, 0.9):
                root = query.quantile(variable, level)
                assert float(query.cdf(variable, root)) == pytest.approx(level, abs=1e-9)
        else:
            values = torch.arange(200.0 if mechanism.num_levels is None else float(mechanism.num_levels))
            masses = query.log_density(variable, values).exp()
            assert float(masses.sum()) == pytest.approx(1.0, abs=1e-12)
            np.testing.assert_allclose(query.cdf(variable, values), masses.cumsum(0), atol=1e-12)
            median = float(query.quantile(variable, 0.5))
            assert float(query.cdf(variable, median)) >= 0.5 > float(query.cdf(variable, median - 1))
            np.testing.assert_allclose(query.mean(variable).value, (values * masses).sum(), rtol=1e-9)


def test_the_confounders_formulas_by_hand() -> None:
    fit, greeks = known("confounder"), {k: np.array(v) for k, v in CONFOUNDER_GREEKS.items()}
    theta, p, beta, sigma = greeks["theta"], greeks["p_T"], greeks["beta_Y"], greeks["sigma_Y"]
    for t, likelihood in ((0, 1 - p), (1, p)):
        means = beta[:, 0] + beta[:, 1] * t
        assert float(fit.do(T=t).mean("Y").value) == pytest.approx((theta * means).sum(), abs=1e-12)
        shares = theta * likelihood / (theta * likelihood).sum()
        assert float(fit.given(T=t).mean("Y").value) == pytest.approx((shares * means).sum(), abs=1e-12)
        assert float(fit.do(T=t).cdf("Y", 1.5)) == pytest.approx((theta * norm.cdf(1.5, means, sigma)).sum(), abs=1e-12)
        density = (theta * likelihood * norm.pdf(1.5, means, sigma)).sum()
        seen = theta * likelihood * norm.pdf(1.5, means, sigma) / density
        np.testing.assert_allclose(fit.given(T=t, Y=1.5).log_density("Z", [0, 1]).exp(), seen, atol=1e-12)
    # Z confounds T and Y: to set T is not to see it.
    assert abs(float(fit.do(T=1).mean("Y").value - fit.given(T=1).mean("Y").value)) > 0.5
    # Nothing confounds them among those with the same Z.
    for z in (0, 1):
        done = fit.do(T=1).given(Z=z).mean("Y").value
        assert float(done) == pytest.approx(float(fit.given(T=1, Z=z).mean("Y").value), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("mediated", {"Y": 1.0, "T": 1.0}),
        ("mediated", {"V": 0.5, "M": -1.0}),
        ("mixed", {"C": 1.0, "X": [1.0, 2.0]}),
    ],
)
def test_what_is_seen_is_weighed_as_by_the_marginal(name: str, seen: dict[str, float]) -> None:
    """p(Z | seen) by the query engine and by the E-step with everything else missing: two routes."""
    fit, (model, _) = posterior_of(name), WORLDS[name]
    blank = {key: [[np.nan] * (m.num_columns or 1)] for key, m in model.mechanisms.items()}
    columns = {
        key: np.array(value) if model.mechanisms[key].num_columns else np.array(value)[0]
        for key, value in blank.items()
    }
    columns |= {key: np.array([value], dtype=float) for key, value in seen.items()}
    rows = Data(**columns, missing="marginalize")
    np.testing.assert_allclose(
        fit.given(**seen).log_density("Z", [0, 1]).exp(), fit.responsibilities(rows)[0], atol=1e-9
    )


def test_what_is_seen_of_a_count_is_summed_by_hand() -> None:
    fit = known("mixed")
    draws = {name: value[0].numpy() for name, value in fit.draws.items()}
    counts = np.arange(80)
    total, weighted = 0.0, 0.0
    for k in range(2):
        for c in range(3):
            rate, line = draws["rate_P"][k, c], draws["beta_Y"][k]
            masses = np.exp(
                -rate
                + counts * np.log(rate)
                - np.array([float(torch.lgamma(torch.tensor(n + 1.0, dtype=torch.float64))) for n in counts])
            )
            means = line[0] + (line[c] if c else 0.0) + line[3] * counts
            joint = draws["theta"][k] * draws["p_C"][k, c] * masses * norm.pdf(1.0, means, draws["sigma_Y"][k])
            total, weighted = total + joint.sum(), weighted + (joint * counts).sum()
    assert float(fit.given(Y=1.0).mean("P").value) == pytest.approx(weighted / total, rel=1e-10)


@pytest.mark.parametrize("name", WORLDS)
def test_answers_do_not_depend_on_labels(name: str) -> None:
    fit = posterior_of(name)
    axes = {p.name: (p.component_axis,) for p in fit.model.parameters if p.component_axis is not None}  # type: ignore[union-attr]
    swapped = permute(dict(fit.draws), axes, np.tile([1, 0], (fit.num_draws, 1)))
    other = Fit(fit.model, fit.kind, swapped, 1, fit.status, fit.stats)
    settings = {"mixed": {"C": 1}}.get(name, {"T": 1})
    for variable in WORLDS[name][0].mechanisms:
        if variable not in settings:
            one, two = fit.do(**settings).mean(variable).draws, other.do(**settings).mean(variable).draws
            np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)
    # The negative control: what names Z does change.
    last = list(WORLDS[name][0].mechanisms)[-1]
    assert not np.allclose(fit.do(Z=1).mean(last).draws, other.do(Z=1).mean(last).draws, atol=1e-3)


@pytest.mark.statistical(min_effect=0.1)
def test_stochastic_settings_average_over_their_values(stat: Stat) -> None:
    fit = posterior_of("mediated")
    half = torch.tensor(0.25, dtype=torch.float64)
    mixed = fit.do(T=dist.Bernoulli(half)).mean("Y").draws
    expected = 0.25 * fit.do(T=1).mean("Y").draws + 0.75 * fit.do(T=0).mean("Y").draws
    np.testing.assert_allclose(mixed, expected, atol=1e-12)
    normal = dist.Normal(torch.tensor(0.5, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64))
    np.testing.assert_allclose(fit.do(M=normal).mean("Y").draws, fit.do(M=0.5).mean("Y").draws, atol=1e-12)
    drawn = fit.do(T=dist.Bernoulli(half)).sample(2000, seed=stat.seed)["T"]
    stat.proportion(int(drawn.sum()), 2000, 0.25)
    with stat.control():
        stat.proportion(int(drawn.sum()), 2000, 0.4)


@pytest.mark.statistical(checks=3, min_effect=0.3)
def test_what_is_simulated_states_its_error(stat: Stat) -> None:
    """Two settings without a closed form are drawn, always with one seed: here with others, for many of its errors."""
    fit = known("mediated")
    query = fit.do(M=dist.Uniform(0.0, 1.0), T=1, V=dist.Laplace(0.0, 1.0))
    assert query.mean("Y").error is None, "V matters to nothing, so that one setting is left"
    model = CausalMixture(2, {"T": Gaussian(), "U": Gaussian(), "Y": LinearGaussian(parents=["T", "U"], scale=1.0)})
    greeks = {"theta": [0.3, 0.7], "mu_T": [0.0, 1.0], "mu_U": [0.0, 0.0], "sigma_T": [1.0, 1.0], "sigma_U": [1.0, 1.0]}
    fit = Fit.from_greeks(model, {**greeks, "beta_Y": [[0.0, 1.0, -1.0], [1.0, 2.0, 1.0]]})
    two = torch.tensor(2.0, dtype=torch.float64)
    uniform, laplace = dist.Uniform(0.0 * two, two), dist.Laplace(0.0 * two, 0.5 * two)
    query = fit.do(T=uniform, U=laplace).given(Y=1.5)
    grid = np.stack(np.meshgrid(np.linspace(0.005, 1.995, 200), np.linspace(-12.0, 12.0, 1201)), -1).reshape(-1, 2)
    means = np.stack([grid[:, 0] - grid[:, 1], 1.0 + 2.0 * grid[:, 0] + grid[:, 1]])
    joint = np.array([[0.3], [0.7]]) * norm.pdf(1.5, means, 1.0) * np.exp(-np.abs(grid[:, 1]))
    mean = (joint @ grid[:, 0]).sum() / joint.sum()
    below = joint[:, grid[:, 1] <= 0.19].sum() / joint.sum()
    latent = joint[1].sum() / joint.sum()
    scores: list[list[float]] = [[], [], []]
    for seed in range(stat.seed, stat.seed + 180):
        seeded = replace(query, predictive=replace(query.predictive, seed=seed))
        answers = seeded.mean("T"), seeded.cdf("U", 0.2 - 0.01), seeded.log_density("Z", 1.0)
        values = float(answers[0].value), float(answers[1]), float(answers[2].exp())
        errors = float(answers[0].error), float(answers[1].error), float(answers[2].error) * values[2]  # type: ignore[arg-type]
        for score, value, error, right in zip(scores, values, errors, (mean, below, latent), strict=True):
            score.append((value - right) / error)
    for score in scores:
        stat.cdf(score, norm.cdf)
        with stat.control():
            stat.cdf(np.array(score) / 4, norm.cdf)


def test_settings_per_row_answer_per_row() -> None:
    fit = posterior_of("mediated")
    found = fit.do(T=[0.0, 1.0, 1.0], M=2.0).mean("Y").draws
    expected = torch.stack([fit.do(T=t, M=2.0).mean("Y").draws for t in (0, 1, 1)], 1)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    seen = fit.given(Y=[0.0, 3.0]).mean("M").draws
    np.testing.assert_allclose(seen[:, 1], fit.given(Y=3.0).mean("M").draws, atol=1e-12)


@pytest.mark.parametrize("seen", [{"Y": 1.0}, {"T": 1.0, "V": 2.0}])
@pytest.mark.statistical(min_effect=0.06)
def test_samples_given_what_is_seen_have_the_cdf(stat: Stat, seen: dict[str, float]) -> None:
    query = posterior_of("mediated").given(**seen)
    drawn = query.sample(4000, seed=stat.seed)
    assert all(bool((drawn[name] == value).all()) for name, value in seen.items())
    stat.cdf(drawn["M"], lambda x: query.cdf("M", x))
    done = posterior_of("mediated").do(**seen)
    with stat.control():  # to set is not to see
        stat.cdf(drawn["M"], lambda x: done.cdf("M", x))


def test_conditional_contrasts() -> None:
    fit = posterior_of("mediated")
    effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0}, given={"Z": 1}).draws
    beta = {name: value[:, 1] for name, value in fit.draws.items() if name.startswith("beta")}
    by_hand = beta["beta_Y"][:, 2] + beta["beta_Y"][:, 1] * beta["beta_M"][:, 1]
    np.testing.assert_allclose(effect, by_hand, atol=1e-12)
    by_covariate = [fit.contrast("Y", do={"T": 1}, versus={"T": 0}, given={"W": w}).draws for w in (0, 1)]
    overall = fit.contrast("Y", do={"T": 1}, versus={"T": 0}).draws
    share = fit.draws["p_W"]
    np.testing.assert_allclose((1 - share) * by_covariate[0] + share * by_covariate[1], overall, atol=1e-12)
    assert not np.allclose(by_covariate[0], by_covariate[1], atol=1e-3)


def test_labels_may_be_named_in_both_parts_of_a_question() -> None:
    fit = posterior_of("confounder")
    named = fit.relabel({"low": 0, "high": 1}).do(T=1).given(Z="high").mean("Y").draws
    np.testing.assert_allclose(named, fit.do(T=1).given(Z=1).mean("Y").draws, atol=0)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda fit: fit.do(T=0.5), r"column T in do\(...\): expected whole numbers from 0 to 1"),
        (lambda fit: fit.do(T=dist.Normal(0.0, 1.0)), "T expects a distribution over 0 to 1"),
        (lambda fit: fit.given(M=dist.Normal(0.0, 1.0)), "M expects a value"),
        (lambda fit: fit.do(T=1).given(T=1), "T is set by do"),
        (lambda fit: fit.do(Q=1), "no variable 'Q'"),
        (lambda fit: fit.do(T=[0, 1], M=[1.0, 2.0, 3.0]).mean("Y"), "as many values"),
        (lambda fit: fit.do(T=1).mean("Q"), "expected a variable among"),
    ],
)
def test_bad_questions_are_refused(ask, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises((ValueError, EstimationError), match=message):
        ask(known("mediated"))


COUNTED = CausalMixture(
    2,
    {
        "C": Poisson(),
        "T": Bernoulli(),
        "A": Gaussian(),
        "Y": LinearGaussian(["C", "T"]),
        "W": PoissonRegression(["C", "T"]),
        "L": Logistic(["C", "A", "T"]),
    },
)
COUNTED_GREEKS = {
    "theta": [0.4, 0.6],
    "rate_C": [2.0, 5.0],
    "p_T": [0.3, 0.6],
    "mu_A": [0.0, 1.0],
    "sigma_A": [1.0, 1.0],
    "beta_Y": [[0.0, 1.0, 2.0], [1.0, -1.0, 0.5]],
    "sigma_Y": [1.0, 1.0],
    "beta_W": [[0.0, 0.1, 0.2], [0.3, 0.05, -0.2]],
    "beta_L": [[0.0, 0.1, 0.5, 0.3], [-0.2, 0.2, 0.1, 0.1]],
}


@pytest.mark.parametrize("name", ["Y", "W", "L"])
@pytest.mark.parametrize(
    "do, given",
    [
        ({"T": [1, 0, 1]}, {}),
        ({"A": [0.5, -1.0]}, {}),
        ({"C": [3, 0]}, {}),
        ({}, {"W": [0, 4]}),
        ({"T": [1, 0]}, {"A": [0.5, -1.0]}),
        ({"T": [0, 1], "A": dist.Exponential(torch.tensor(1.0))}, {}),
    ],
    ids=["a level", "a number", "the count", "seen", "both", "beside a law"],
)
def test_values_per_row_are_as_one_by_one_where_a_count_is_summed_over(
    name: str, do: dict[str, Any], given: dict[str, Any]
) -> None:
    """Of what is set row by row nothing may weigh, so that the weights of all rows are alike, and the means are not."""
    fit = Fit.from_greeks(COUNTED, COUNTED_GREEKS)

    def asked(do: dict[str, Any], given: dict[str, Any]) -> Tensor:
        query = fit.do(**do) if do else fit.given(**given)
        return (query.given(**given) if do and given else query).mean(name).draws

    def row(values: dict[str, Any], place: int) -> dict[str, Any]:
        return {key: value[place] if isinstance(value, list) else value for key, value in values.items()}

    found = asked(do, given)
    expected = torch.stack([asked(row(do, place), row(given, place)) for place in range(found.shape[1])], 1)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
