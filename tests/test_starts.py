"""Random starts, and the best of them for estimators that do not search."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, CausalMixture, Data, GaussianMixture, PyroModel, Status, modes
from estimators.contract import Density, Model, Objective, log_joint, log_likelihood
from estimators.mechanisms import Bernoulli, Covariate, FullGaussian, Gaussian, LinearGaussian, Logistic, StudentT
from estimators.modes.best_starts import WORKING_ROWS, best_starts
from estimators.modes.rows import rows_of
from estimators.modes.starts import FROM_SHARES, KINDS, RandomStarts
from tests.gallery import tutorial
from tests.models import TUTORIAL_ROWS, fit_quietly

FREE = CausalMixture(2, {"X": Gaussian()})
PROGRAM = pytest.param(PyroModel(tutorial), marks=pytest.mark.slow)


def starts_on(
    model: Model, density: Density, count: int, *, seed: int = 0, refinements: int = 3, unrefined: bool = False
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([*best_starts(model, density, log_joint, count, rng, refinements=refinements, unrefined=unrefined)])


@pytest.mark.parametrize("kind", FROM_SHARES)
def test_no_two_classes_have_the_same_share_of_rows_that_are_alike(kind: str) -> None:
    """EM would leave them alike for ever."""
    rows = rows_of(Data(X=[0.0, 0.0, 0.0, 0.0, 9.0]))
    shares = FROM_SHARES[kind](rows, 3, 50, np.random.default_rng(0))
    assert shares.shape == (50, 3, 5) and (shares > 0).all()
    of_each = shares / shares.sum(2, keepdims=True)
    apart = np.abs(of_each[:, :, None] - of_each[:, None]).max(-1)[:, ~np.eye(3, dtype=bool)]
    assert apart.min() > 1e-6


def test_kinds_are_taken_in_turn() -> None:
    rng = np.random.default_rng(0)
    kinds, points = RandomStarts(FREE.density(Data(X=TUTORIAL_ROWS))).drawn(7, rng, KINDS)
    assert sorted(kinds) == sorted([*KINDS, *KINDS[:2]]) and points.shape == (7, 5)


@pytest.mark.slow
def test_a_program_does_not_say_what_is_a_class() -> None:
    density, rng = PyroModel(tutorial).density(Data(X=TUTORIAL_ROWS)), np.random.default_rng(0)
    assert RandomStarts(density).drawn(3, rng, KINDS)[0] == ["prior"] * 3


def test_a_known_row_is_no_place_for_its_class_if_nothing_else_is_observed() -> None:
    data = Data(X=[5.0, 1.0, 9.0], Z=[1, 0, -1], intervened={"X": [True, False, False]})
    assert rows_of(data).known.tolist() == [-1, 0, -1]


@pytest.mark.parametrize("model", [FREE, GaussianMixture(2), PROGRAM], ids=["free", "known", "program"])
def test_the_best_starts_are_distinct_and_in_order(model: CausalMixture | PyroModel) -> None:
    density = model.density(Data(X=[*TUTORIAL_ROWS, 4.0, 7.0]))
    points = starts_on(model, density, 6, unrefined=True)
    values = Objective(density, log_joint).value(points)
    assert 1 <= len(points) <= 12 and (np.diff(values) < 0).all()
    np.testing.assert_array_equal(points, starts_on(model, density, 6, unrefined=True))
    assert not np.array_equal(points[0], starts_on(model, density, 6, seed=1, unrefined=True)[0])


def test_starts_that_have_met_under_other_names_are_one() -> None:
    """Ranked by value alone the best of these are all next to one maximum, and so would be all that EM runs."""
    model, rng = GaussianMixture(2), np.random.default_rng(0)
    density = model.density(Data(X=rng.choice([0.0, 9.0], 100) + rng.standard_normal(100)))
    assert len(starts_on(model, density, 20, refinements=10)) == 1
    # The control: before they have gone anywhere they are many.
    assert len(starts_on(model, density, 20, refinements=0)) > 10
    far_apart = CausalMixture(3, {"X": Gaussian(scale=0.3)})
    several = far_apart.density(Data(X=np.repeat([0.0, 4.0, 9.0, 15.0], 25) + 0.1 * rng.standard_normal(100)))
    points = starts_on(far_apart, several, 20, refinements=10)
    means = [np.sort(several.constrain(point)["mu_X"]) for point in points]
    # One for each way to be short of a class, however many starts lead there.
    assert len(points) == len({tuple(mean.round()) for mean in means}) > 1


@pytest.mark.parametrize("model", [FREE, PROGRAM], ids=["mixture", "program"])
def test_of_many_rows_some_lead_next_to_the_maximum_of_all(model: CausalMixture | PyroModel) -> None:
    rng = np.random.default_rng(0)
    rows = 1e3 + rng.choice([0.0, 8.0], 3 * WORKING_ROWS) + rng.standard_normal(3 * WORKING_ROWS)
    data = Data(X=rows - (0.0 if model is FREE else 1e3))
    density = model.density(data)
    objective = Objective(density, log_likelihood)
    highest = EM().fit(model, data, seed=0).stats["log_likelihood"]
    # Both have at most five Greeks: the chi-square of a sample a third as large is three times that of all.
    assert objective.value(starts_on(model, density, 3)[:1])[0] > highest - 50.0


IN_UNITS = {
    "Gaussian": CausalMixture(2, {"A": Gaussian()}),
    "vectors": CausalMixture(2, {"V": FullGaussian(2)}),
    "line": CausalMixture(2, {"A": Gaussian(), "B": LinearGaussian(["A"])}),
    "Student": CausalMixture(2, {"A": StudentT()}),
    "logistic": CausalMixture(2, {"A": Gaussian(), "T": Logistic(["A"])}),
    "gate": CausalMixture(2, {"A": Covariate(), "B": Gaussian()}, latent_parents=["A"]),
}


@pytest.mark.parametrize("name", IN_UNITS)
def test_no_start_of_a_likelihood_depends_on_the_origin_or_the_unit_of_a_column(name: str) -> None:
    model, rng = IN_UNITS[name], np.random.default_rng(1)
    columns = {"A": rng.normal(size=40), "B": rng.normal(size=40), "T": rng.integers(0, 2, 40) * 1.0}
    columns = {"V": rng.normal(size=(40, 2)), **columns}
    rows = {variable: columns[variable] for variable in model.variables}

    def drawn(origin: float, unit: float, *, within_priors: bool) -> np.ndarray:
        moved = {n: column if n == "T" else unit * column + origin for n, column in rows.items()}
        density = model.density(Data(moved))
        density = density if within_priors else density.beyond_priors()
        return density.draw_prior(5, np.random.default_rng(0))

    expected = drawn(0.0, 1.0, within_priors=False)
    for origin, unit in ((1024.0, 1.0), (0.0, 2.0**-20), (0.0, 2.0**20)):
        np.testing.assert_allclose(drawn(origin, unit, within_priors=False), expected, rtol=1e-9)
    # The control: draws of a posterior's priors are in the column's own units.
    assert not np.allclose(drawn(0.0, 2.0**20, within_priors=True), drawn(0.0, 1.0, within_priors=True), rtol=1e-2)


def test_starts_of_a_likelihood_do_not_depend_on_priors() -> None:
    """Where these are far from the rows all starts would be: of a posterior they are, which is the control."""
    data = Data(X=[160.0, 165.0, 190.0])
    own = Gaussian(loc=dist.Normal(torch.tensor([0.0, 9.0]), 1.0), scale=dist.LogNormal(2.0, 0.1))
    densities = [CausalMixture(2, {"X": family}).density(data) for family in (own, Gaussian())]

    def drawn(density: Density) -> np.ndarray:
        return density.draw_prior(5, np.random.default_rng(0))

    one, other = (drawn(density.beyond_priors()) for density in densities)
    np.testing.assert_array_equal(one, other)
    assert not np.allclose(*map(drawn, densities), rtol=1e-2)


def test_modes_do_not_depend_on_the_unit_of_a_column() -> None:
    """In small units draws of priors all began a million sds wide, and led to two modes of these three."""
    rng = np.random.default_rng(3)
    z = rng.random(60) < 0.4
    treated = (rng.random(60) < np.where(z, 0.8, 0.2)) * 1.0
    y = np.where(z, 2.0, 0.0) - treated + rng.normal(size=60)
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(["T"])})
    values = []
    for unit in (1.0, 2.0**-20):
        found = modes.search(model, Data(T=treated, Y=unit * y), seed=0).modes
        values.append([mode.value + 60 * np.log(unit) for mode in found])
    assert len(values[0]) == 3
    np.testing.assert_allclose(values[1], values[0], atol=1e-6)


@pytest.mark.parametrize("search", [None, modes.Search()], ids=["starts", "search"])
def test_where_climbs_lead_does_not_depend_on_a_factor_of_the_weights(search: modes.Search | None) -> None:
    """Weights that sum to 1 are shares of all rows; starts in different basins were taken for one."""
    rng = np.random.default_rng(2057)
    K, N = int(rng.integers(2, 5)), int(rng.integers(30, 300))
    x = rng.normal(size=N) + rng.choice([0.0, 4.0, 9.0, 12.0, 15.0], N)
    y = rng.normal(size=N) + rng.choice([0.0, 3.0], N)
    model = CausalMixture(K, {"X": Gaussian(shared=True), "Y": Gaussian(shared=True)})
    ends = [
        [fit_quietly(EM(), model, Data(X=x, Y=y, weights=np.full(N, w)), seed, search=search) for seed in range(2)]
        for w in (1.0, 1.0 / N)
    ]
    one, shares = ([fit.stats["log_likelihood"] for fit in fits] for fits in ends)
    np.testing.assert_allclose(N * np.array(shares), one, atol=1e-3)


def test_the_best_mode_of_a_joint_density_does_not_depend_on_the_unit_of_a_column() -> None:
    """Whether it is bounded was judged by the log-likelihood, which is in the columns' units and the prior is not."""
    rng = np.random.default_rng(0)
    z = rng.random(80) < 0.45
    rng.random(80), rng.normal(size=80)
    x = np.where(z, 1.5, 0.0) + rng.normal(size=80)
    statuses = set()
    for unit in (1.0, 2.0**-20, 2.0**20):
        data = Data(X=unit * x)
        model = CausalMixture(3, {"X": Gaussian()}).scaled_to(data)
        statuses.add(fit_quietly(MAP(num_steps=5), model, data, 0).status)
    assert statuses == {Status.BOUNDARY}
