"""Global identification: 41 models of which theory says what is identified, and laws that are told apart or not."""

import pickle
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import (
    EM,
    CausalMixture,
    Data,
    Fit,
    GaussianMixture,
    PyroModel,
    Status,
    identifiability,
)
from estimators.fits.identification import Extent, Identification
from estimators.fits.kind import Kind
from estimators.mechanisms import Bernoulli, Gaussian
from estimators.modes.equivalents import exchanges
from estimators.modes.flat_walk import is_walkable
from estimators.modes.law_rows import design_of
from estimators.modes.measured_law import measured_law
from estimators.modes.row_law import Reference, RowLaw, law_of
from estimators.modes.rows import rows_of
from tests.known_identification import KNOWN, LINES, PAIRED, Known, bounds, effect, mixture
from tests.models import fit_quietly, quiet

# The others take minutes in all.
QUICK = [
    "binary, an experiment in some rows",
    "equal spreads, a shared slope",
    "three coins",
    "two coins, Z seen in some rows",
    "Poissons",
]
OTHER = {"theta": [0.8, 0.2], "p_T": [0.6, 0.4], "beta_Y": [[0.0, 2.0], [3.0, -4.0]], "sigma_Y": [0.7, 0.7]}
COINS = mixture(2, A=Bernoulli(), B=Bernoulli())
TOSSED = {"theta": [0.4, 0.6], "p_A": [0.2, 0.7], "p_B": [0.3, 0.9]}


def asked(known: Known, seed: int = 0) -> Identification:
    return identifiability(known.model, known.greeks, query=known.query, data=known.data, seed=seed)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in KNOWN]
)
def test_what_theory_says(name: str) -> None:
    known = KNOWN[name]
    verdict = asked(known)["the answer"]
    assert verdict.extent == known.extent, known.reason
    at_greeks = known.query(Fit.from_greeks(known.model, known.greeks))
    value = float(at_greeks.value if hasattr(at_greeks, "value") else at_greeks)
    assert verdict.low - 1e-6 <= value <= verdict.high + 1e-6
    if known.extent == Extent.IDENTIFIED:
        assert verdict.values == pytest.approx([value])
    if known.values:
        assert verdict.values == pytest.approx(known.values, abs=1e-3)


def test_there_are_forty_one() -> None:
    assert len(KNOWN) == 41 and {known.extent for known in KNOWN.values()} == set(Extent)


# What starts that end elsewhere may get wrong: ranges that go far, and classes that are alike.
DELICATE = [
    "equal spreads, free slopes",
    "three classes of one spread",
    "counts",
    "binary",
    "equal lines",
    "two Gaussians as three",
    "the mean of one Gaussian as two",
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", DELICATE)
def test_another_seed_says_the_same(name: str, seed: int) -> None:
    known = KNOWN[name]
    verdict = asked(known, seed)["the answer"]
    assert verdict.extent == known.extent
    if known.values:
        assert verdict.values == pytest.approx(known.values, abs=1e-3)


# ------------------------------------------------------------------ the law


def law_at(model: CausalMixture, greeks: dict[str, Any]) -> Any:
    fit = Fit.from_greeks(model, greeks)
    density = model.density(design_of(model, dict(fit.draws), None).rows(0).data).beyond_priors()
    at = density.unconstrain({name: value[0].numpy() for name, value in fit.draws.items()})
    return density, law_of(density, density, at, np.random.default_rng(0))


def at_greeks(density: Any, greeks: dict[str, Any]) -> Any:
    return density.unconstrain({name: np.asarray(value, dtype=np.float64) for name, value in greeks.items()})


def test_a_law_is_that_of_its_rival_and_of_no_neighbour() -> None:
    density, law = law_at(mixture(2, **LINES), PAIRED)
    rival = at_greeks(density, OTHER)
    assert law.is_same(rival)
    assert not law.is_same(rival + 1e-6) and not law.is_same(at_greeks(density, {**OTHER, "theta": [0.8001, 0.1999]}))
    near = law.polished(rival + 0.02 * np.random.default_rng(1).standard_normal(len(rival)))
    assert near is not None
    np.testing.assert_allclose(near, rival, atol=1e-9)


def test_the_rank_is_the_number_of_free_cells() -> None:
    density, law = law_at(COINS, TOSSED)
    assert density.size == 5 and law.rank(law.at) == 3
    assert is_walkable(law, law.at, 3, np.random.default_rng(0))
    _, of_three = law_at(mixture(2, A=Bernoulli(), B=Bernoulli(), C=Bernoulli()), {**TOSSED, "p_C": [0.1, 0.6]})
    assert of_three.rank(of_three.at) == 7


def test_what_is_flat_to_first_order_only_leads_nowhere() -> None:
    """Of x² + y nothing moves along x to first order; of y nothing at all."""

    def law(power: float) -> RowLaw:
        at = np.array([0.0, 1.0])
        rows = Reference(lambda v: (power * v[:, :1] ** 2 + v[:, 1:]) * np.arange(1.0, 6.0) + power * v[:, :1] ** 4, at)
        return RowLaw(at, np.zeros(2, dtype=bool), rows, rows)

    for power, leads_on in ((0.0, True), (1.0, False)):
        assert law(power).rank(np.array([0.0, 1.0])) == 1
        assert is_walkable(law(power), np.array([0.0, 1.0]), 1, np.random.default_rng(0)) == leads_on


def test_a_measure_beside_has_the_law_of_the_model_that_has_it() -> None:
    """log p(row) + log P(W = 1 | row) of the law with a measure is log p(row, W = 1) of a model with a column more."""
    density, _ = law_at(COINS, TOSSED)
    law = measured_law(density, at_greeks(density, TOSSED), 1, np.random.default_rng(0))
    assert law is not None
    moved = law.at + np.r_[np.zeros(density.size), 0.3, -0.2]
    before, after = (1.0 / (1.0 + np.exp(-point[density.size :])) for point in (law.at, moved))
    model = mixture(2, A=Bernoulli(), B=Bernoulli(), W=Bernoulli())
    rows = Data(**dict(density.data.columns), W=torch.ones(4))
    logs = [
        model.density(rows).pointwise(Fit.from_greeks(model, {**TOSSED, "p_W": p}).draws)[0] for p in (before, after)
    ]
    alone = density.pointwise(Fit.from_greeks(COINS, TOSSED).draws)[0]
    expected = (logs[1] - logs[0]) / (1.0 + (logs[0] - alone).abs())
    np.testing.assert_allclose(law.all(moved[None])[0, 4:], expected, atol=1e-12)
    np.testing.assert_allclose(law.all(moved[None])[0, :4], 0.0, atol=1e-12)


# ------------------------------------------------------------------ rows of a law


def design(model: Any, greeks: dict[str, Any], data: Data | None) -> Any:
    return design_of(model, dict(Fit.from_greeks(model, greeks).draws), data)


def test_cells_have_their_probabilities() -> None:
    data, words = design(COINS, TOSSED, None).rows(0)
    assert words == "all 4 cells, exactly" and data.weights is not None
    expected = [0.4 * a * b + 0.6 * c * d for a, c in ((0.8, 0.3), (0.2, 0.7)) for b, d in ((0.7, 0.1), (0.3, 0.9))]
    np.testing.assert_allclose(data.weights / data.weights.sum(), expected, rtol=1e-12)


def test_rows_are_of_the_kinds_of_the_data() -> None:
    """Set entries keep their values, seen Z is seen, and what is missing is missing."""
    nan = float("nan")
    data = Data(
        A=[0, 1, 0, 1, 1],
        B=[0, 1, nan, 0, 1],
        Z=[-1, -1, -1, 0, 1],
        intervened={"A": [False, True, False, False, False], "Z": [False, False, False, True, False]},
        missing="marginalize",
    )
    rows = design(COINS, TOSSED, data).rows(0).data
    set_a, set_z = rows.is_set("A"), rows.is_set("Z")
    missing, seen = rows.is_missing("B"), (rows.latent() >= 0) & ~rows.is_set("Z")
    assert set(rows.columns["A"][set_a].tolist()) == {1.0} and set(rows.latent()[set_z].tolist()) == {0}
    counts = [int(mask.sum()) for mask in (set_a, set_z, missing, seen)]
    # Cells: B alone; A and B; A alone; A, B and Z.
    assert counts == [2, 4, 2, 8] and len(rows) == 4 + sum(counts)


def test_simulated_rows_are_of_these_kinds_too() -> None:
    model, data = mixture(2, **LINES), KNOWN["an experiment in some rows"].data
    rows, words = design(model, PAIRED, data).rows(0)
    assert words == "1500 simulated rows" and int(rows.is_set("T").sum()) == 750
    set_rows = rows.columns["T"][rows.is_set("T")]
    assert abs(set_rows.mean() - 0.5) < 0.01 and rows.weights is not None
    untreated = (rows.is_set("T") & (rows.columns["T"] == 0)).nonzero()[:, 0]
    mean = float((rows.weights * rows.columns["Y"])[untreated].sum() / rows.weights[untreated].sum())
    # Under do(T = 0) the classes have their shares: 1.8, and among rows with T = 0 seen 0.12 / 0.44 of 3.
    assert mean == pytest.approx(1.8, abs=4 * 1.63 * np.sqrt(2.0 / 375))


# ------------------------------------------------------------------ levels and classes of few rows


def with_rare(theta: float, treated: tuple[float, float], sigma: tuple[float, float] = (0.7, 0.7)) -> dict[str, Any]:
    return {**PAIRED, "theta": [theta, 1.0 - theta], "p_T": list(treated), "sigma_Y": list(sigma)}


def effect_of_rival(greeks: dict[str, Any]) -> float:
    """The effect of T on Y where the classes of the treated are exchanged: each class has another share, and slope."""
    theta, treated, lines = (np.array(greeks[name]) for name in ("theta", "p_T", "beta_Y"))
    joint = np.stack([theta * (1.0 - treated), (theta * treated)[::-1]])
    return float(joint.sum(0) @ (lines.sum(1)[::-1] - lines[:, 0]))


RARE = {
    "level": with_rare(0.4, (0.005, 0.02)),
    "level in a thousand": with_rare(0.4, (0.001, 0.003)),
    "class": with_rare(0.01, (0.2, 0.8)),
    "both": with_rare(0.02, (0.005, 0.02)),
}


def test_what_is_rare_is_in_many_rows_that_weigh_little() -> None:
    model, greeks = mixture(2, **LINES), RARE["both"]
    assert effect_of_rival(PAIRED) == pytest.approx(0.8)
    rows, words = design(model, greeks, None).rows(0)
    assert words == "1500 simulated rows" and rows.weights is not None and float(rows.weights.max()) <= 2.0
    weights, treated = rows.weights.numpy(), rows.columns["T"].numpy()
    assert abs(treated.mean() - 0.25) < 0.02
    share = 0.02 * 0.005 + 0.98 * 0.02
    moments = [(np.ones(1500), 1.0), (treated, share), (rows.columns["Y"].numpy(), 0.98 * 3.0 - share)]
    for values, mean in moments:
        assert (weights * values).mean() == pytest.approx(mean, abs=4.0 * (weights * values).std() / np.sqrt(1500))


@pytest.mark.parametrize("name", RARE)
def test_classes_exchanged_within_a_level_of_few_rows_lead_to_the_rival(name: str) -> None:
    model, greeks = mixture(2, **LINES), RARE[name]
    fit = Fit.from_greeks(model, greeks)
    for seed in range(3):
        density = model.density(design(model, greeks, None).rows(seed).data).beyond_priors()
        rng = np.random.default_rng(seed)
        law = law_of(density, density, at_greeks(density, greeks), rng)
        ends = [law.polished(start) for start in exchanges(density, rows_of(density.data), law.at, rng)]
        found = np.array([law.at, *(end for end in ends if end is not None)])
        effects = effect(replace(fit, draws=density.draws(found))).draws
        assert float((effects - effect_of_rival(greeks)).abs().min()) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", RARE)
def test_what_is_rare_is_identified_no_better(name: str, seed: int) -> None:
    model, greeks = mixture(2, **LINES), RARE[name]
    values = sorted([effect(Fit.from_greeks(model, greeks)).value.item(), effect_of_rival(greeks)])
    found = identifiability(model, greeks, query=effect, seed=seed)["the answer"]
    assert found.values == pytest.approx(values, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", RARE)
def test_the_control_unequal_spreads_identify(name: str, seed: int) -> None:
    greeks = {**RARE[name], "sigma_Y": [0.7, 1.2]}
    assert identifiability(mixture(2, **LINES), greeks, query=effect, seed=seed)["the answer"].is_identified


def test_kinds_of_rows_have_each_value_that_is_set() -> None:
    """Of 1,000 rows with T set, three are treated."""
    treated = torch.zeros(1000)
    treated[:3] = 1.0
    data = Data(T=treated, Y=torch.zeros(1000), intervened={"T": True})
    rows = design(mixture(2, **LINES), PAIRED, data).rows(0).data
    assert rows.columns["T"].mean() == 0.5


def test_of_the_fitted_rows_rare_ones_are_taken() -> None:
    treated = torch.zeros(30_000)
    treated[::1000] = 1.0
    data = Data(T=treated, Y=torch.zeros(30_000))
    of_fit = replace(design(mixture(2, **LINES), PAIRED, data), kinds=None)
    assert of_fit.rows(0).data.columns["T"].sum() == 30 and len(of_fit.rows(0).data) == 1500


# ------------------------------------------------------------------ what is said


def test_everything_is_told_without_a_question() -> None:
    found = identifiability(mixture(2, **LINES), PAIRED, seed=0)
    assert next(iter(found.verdicts)) == "effect of T on Y" and "effect of Y on T" not in found.verdicts
    assert found["effect of T on Y"].values == pytest.approx((-1.0, 0.8)) and not found.is_identified
    assert found["sigma_Y[0]"].is_identified and found["theta[0]"].extent is Extent.SET
    # Its labels are as near to those in question as can be.
    for name, value in found.greeks.items():
        np.testing.assert_allclose(value[1], np.array(OTHER[name])[[1, 0]], atol=1e-9)
    assert [remedy.words for remedy in found.remedies] == [
        "rows with T set",
        "rows with Z seen",
        "another yes-or-no measure of Z alone",
    ]
    assert all(remedy.identifies == ("effect of T on Y",) for remedy in found.remedies)
    said = str(found)
    assert said.startswith("not identified globally (1500 simulated rows; labels apart): 1 other set of Greeks")
    assert "- effect of T on Y: one of -1, 0.8" in said and "rows with T set: identifies effect of T on Y" in said
    assert found.table().loc["effect of T on Y", ["verdict", "low", "high"]].tolist() == [
        "set",
        pytest.approx(-1.0),
        pytest.approx(0.8),
    ]
    with pytest.raises(KeyError, match="no quantity 'effect of Y on T'"):
        found["effect of Y on T"]


def test_nothing_found_is_said_to_be_no_more() -> None:
    found = asked(KNOWN["three coins"])
    assert found.is_identified and not found.remedies
    assert "identified globally (all 8 cells, exactly; labels apart): no other Greeks with this law" in str(found)
    assert f"found from {found.num_starts} starts" in str(found)


def test_a_question_that_names_a_class_is_the_same_up_to_labels() -> None:
    """Its values under all labels are compared: they are one set, whatever the labels of the Greeks in question."""
    model = GaussianMixture(2)
    found = [
        identifiability(model, greeks, query=lambda fit: fit.do(Z=0).mean("X"), seed=0)["the answer"]
        for greeks in ({"theta": [0.3, 0.7], "mu_X": [-2.0, 3.0]}, {"theta": [0.7, 0.3], "mu_X": [3.0, -2.0]})
    ]
    assert [verdict.values[0] for verdict in found] == pytest.approx([-2.0, 3.0])
    assert all(verdict.is_identified and verdict.by_label == pytest.approx((-2.0, 3.0)) for verdict in found)
    assert str(found[0]) == "the answer: -2 (by its label -2, 3)"


def test_questions_may_be_numbers_vectors_and_several() -> None:
    questions = {"share": lambda fit: float(fit["theta"].max()), "chances": lambda fit: fit["p_A"]}
    known = KNOWN["three coins"]
    found = identifiability(known.model, known.greeks, query=questions, seed=0)
    assert list(found.verdicts) == ["share", "chances[0]", "chances[1]"] and found.is_identified
    assert [verdict.values[0] for verdict in found.verdicts.values()] == pytest.approx([0.6, 0.2, 0.8])


@pytest.mark.slow
def test_a_program_without_an_order_says_that_labels_are_not_apart() -> None:
    found = asked(
        Known(
            PyroModel(three_coins), {"w": 0.4, "p": [[0.2, 0.3, 0.2], [0.8, 0.8, 0.6]]}, first, "set", "", data=TOSSES
        )
    )
    assert found["the answer"].values == pytest.approx((0.2, 0.8)) and "order_by" in str(found)


def three_coins(N: int) -> None:
    w = pyro.sample("w", dist.Beta(2.0, 2.0))
    with pyro.plate("coins", 3, dim=-1), pyro.plate("classes", 2, dim=-2):
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(w)).long()
        for number, name in enumerate("ABC"):
            pyro.sample(name, dist.Bernoulli(p[z, number]))


def first(fit: Fit) -> Any:
    return fit["p"][0, 0]


TOSSED_FIT = Fit.from_greeks(COINS, TOSSED)
TOSSES = Data({name: torch.arange(16.0) // 2**place % 2 for place, name in enumerate("ABC")})


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, r"fit.identifiability\(\); got CausalMixture and Fit", partial(identifiability, COINS, TOSSED_FIT)),
        (TypeError, r"fit.identifiability\(\); got Fit and CausalMixture", partial(identifiability, TOSSED_FIT, COINS)),
        (TypeError, "query: expected a function of a fit", partial(identifiability, COINS, TOSSED, query="B")),
        (ValueError, "at least one question", partial(identifiability, COINS, TOSSED, query={})),
        (TypeError, "for 'B'", partial(identifiability, COINS, TOSSED, query={"B": 3.0})),
        (TypeError, "expected an Estimate or numbers", partial(identifiability, COINS, TOSSED, query=lambda fit: "no")),
        (
            ValueError,
            "hidden when it is run",
            partial(identifiability, PyroModel(three_coins), {"w": 0.4, "p": torch.full((2, 3), 0.5)}),
        ),
        (
            ValueError,
            "every Greek",
            partial(identifiability, mixture(1, X=Gaussian(loc=0.0, scale=1.0)), {"theta": [1.0]}),
        ),
        (ValueError, "column 'B' is missing", partial(identifiability, COINS, TOSSED, data={"A": [0, 1]})),
    ],
)
def test_what_is_wrong_is_named(error: type[Exception], words: str, call: Any) -> None:
    with pytest.raises(error, match=words):
        call()


# ------------------------------------------------------------------ of a fit


def test_a_fit_says_both() -> None:
    known = KNOWN["three coins"]
    data = Data({name: TOSSES.columns[name] for name in "ABC"})
    fit = Fit(
        known.model, Kind.ML, dict(Fit.from_greeks(known.model, known.greeks).draws), 1, Status.CONVERGED, {}, data=data
    )
    found = fit.identifiability()
    assert found.globally is not None and found.globally is found.globally and found.globally.is_identified
    assert "identified locally" in str(found) and "identified globally (all 8 cells" in str(found)
    assert set(found.globally.verdicts) == set(fit.summary().index)
    assert str(pickle.loads(pickle.dumps(found.globally))) == str(found.globally)


def fitted(sigma: tuple[float, float], data: Data | None = None) -> Fit:
    rows = mixture(2, **LINES).simulate(1000, {**PAIRED, "sigma_Y": list(sigma)}, seed=0)
    return fit_quietly(EM(), mixture(2, **SHARED_LINES), Data(T=rows["T"], Y=rows["Y"]), seed=0)


SHARED_LINES = KNOWN["shared spread, free slopes"].model.mechanisms


@pytest.mark.slow
def test_a_confounded_fit_says_both_near_it_and_globally() -> None:
    fit = fitted((0.7, 0.7))
    found = fit.identifiability(effect)
    assert found.is_identified, "near the fit"
    assert found.globally is not None and found.globally is found.globally
    verdict = found.globally["the answer"]
    own = float(effect(fit).value)
    assert verdict.extent is Extent.SET and len(verdict.values) == 2
    assert min(abs(value - own) for value in verdict.values) < 1e-9
    assert str(found).startswith("identified locally") and "not identified globally" in str(found)


@pytest.mark.slow
def test_rows_that_were_set_in_a_fit_count() -> None:
    known = KNOWN["binary, an experiment in some rows"]
    assert known.data is not None
    with quiet():
        fits = [EM().fit(known.model, data, seed=0) for data in (known.data, Data(**dict(known.data.columns)))]
    extents = [fit.identifiability(effect).globally["the answer"].extent for fit in fits]  # type: ignore[index]
    assert extents == [Extent.IDENTIFIED, Extent.RANGE]


@pytest.mark.slow
def test_the_range_is_that_of_manski_at_a_fit() -> None:
    rng = np.random.default_rng(0)
    T = (rng.random(2000) < 0.5).astype(int)
    Y = (rng.random(2000) < np.where(T == 1, 0.6, 0.3)).astype(int)
    fit = fit_quietly(EM(), KNOWN["binary"].model, {"T": T, "Y": Y}, seed=0)
    found = fit.identifiability(effect).globally
    assert found is not None
    ends = bounds({"theta": [1.0], "p_T": [T.mean()], "p_Y": [[Y[T == 0].mean(), Y[T == 1].mean()]]})
    assert found["the answer"].values == pytest.approx(ends, abs=2e-3)
