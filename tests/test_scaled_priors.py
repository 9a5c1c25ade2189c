"""Priors in the data's units: the same answer in any units, and nothing of the user's replaced."""

from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, CausalMixture, Data, Fit, GaussianMixture, Status
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    LinearGaussian,
    Poisson,
)

# Velocities of 82 galaxies in km/s (Roeder 1990), MASS::galaxies.
GALAXIES = np.array(
    [
        *(9172, 9350, 9483, 9558, 9775, 10227, 10406, 16084, 16170, 18419, 18552, 18600, 18927, 19052, 19070, 19330),
        *(19343, 19349, 19440, 19473, 19529, 19541, 19547, 19663, 19846, 19856, 19863, 19914, 19918, 19973, 19989),
        *(20166, 20175, 20179, 20196, 20215, 20221, 20415, 20629, 20795, 20821, 20846, 20875, 20986, 21137, 21492),
        *(21701, 21814, 21921, 21960, 22185, 22209, 22242, 22249, 22314, 22374, 22495, 22746, 22747, 22888, 22914),
        *(23206, 23241, 23263, 23484, 23538, 23542, 23666, 23706, 23711, 24129, 24285, 24289, 24366, 24717, 24990),
        *(25633, 26690, 26995, 32065, 32789, 34279),
    ],
    dtype=float,
)
THREE = CausalMixture(3, {"X": Gaussian()})
SHORT = MAP(num_starts=20, num_steps=30)
RNG = np.random.default_rng(0)


def confounded(num_rows: int = 120) -> dict[str, Any]:
    """Z → T, Z → Y, T → Y, with T a number."""
    z = RNG.random(num_rows) < 0.4
    t = RNG.normal(np.where(z, 2.0, -1.0), 1.0)
    return {"T": t, "Y": RNG.normal(1.0 + 3.0 * z + 0.5 * t, 0.4), "C": RNG.poisson(np.where(z, 9.0, 2.0))}


LINE = CausalMixture(2, {"T": Gaussian(), "Y": LinearGaussian(parents=["T"]), "C": Poisson()}, concentration=2.0)
ROWS = confounded()


def scaled_fit(model: CausalMixture, rows: dict[str, Any]) -> Fit:
    return SHORT.fit(model.scaled_to(rows), rows, seed=0)


def test_galaxies_have_the_published_clusters() -> None:
    """Those of maximum likelihood (mclust's V,3): the priors in the default's units swallowed them."""
    published = EM().fit(THREE, {"X": GALAXIES}, seed=0)
    assert [round(float(mean)) for mean in published["mu_X"]] == [9710, 21400, 33044]
    fit = scaled_fit(THREE, {"X": GALAXIES})
    assert fit.advice == (str(Status.CONVERGED),)
    assert torch.allclose(fit["mu_X"], published["mu_X"], rtol=2e-3)
    assert torch.allclose(fit["theta"], published["theta"], atol=2e-3)


def test_another_unit_gives_the_same_answer_in_that_unit() -> None:
    fit, other = (scaled_fit(THREE, {"X": x}) for x in (GALAXIES, GALAXIES / 299_792.458 - 7.0))
    assert torch.allclose(fit["mu_X"] / 299_792.458 - 7.0, other["mu_X"], rtol=0, atol=1e-8)
    assert torch.allclose(fit["sigma_X"] / 299_792.458, other["sigma_X"], rtol=1e-6)
    assert torch.allclose(fit["theta"], other["theta"], atol=1e-6)
    # The control: under the default priors it does not.
    with pytest.warns(match="BOUNDARY|COMPONENT_COLLAPSED"):
        narrow = SHORT.fit(THREE, {"X": GALAXIES}, seed=0, search=None)
    thousands = SHORT.fit(THREE, {"X": GALAXIES / 1e3}, seed=0, search=None)
    assert not torch.allclose(narrow["mu_X"], 1e3 * thousands["mu_X"], rtol=0.5)


def test_so_do_other_units_of_a_regression() -> None:
    fit = scaled_fit(LINE, ROWS)
    other = scaled_fit(LINE, {**ROWS, "T": 1e-3 * ROWS["T"], "Y": 40.0 * ROWS["Y"] + 300.0})
    slope = 40.0 * 1e3 * fit["beta_Y"][:, 1]
    assert torch.allclose(other["beta_Y"][:, 1], slope, rtol=1e-5)
    assert torch.allclose(other["beta_Y"][:, 0], 40.0 * fit["beta_Y"][:, 0] + 300.0, rtol=1e-5)
    assert torch.allclose(other["rate_C"], fit["rate_C"], rtol=1e-5)


def test_a_far_covariate_has_room_for_its_intercept() -> None:
    """Years as 2000 and something: the line at year 0 is far off, and no reason for a flat slope."""
    near = scaled_fit(LINE, ROWS)["beta_Y"][:, 1]
    far = scaled_fit(LINE, {**ROWS, "T": ROWS["T"] + 2000.0})["beta_Y"][:, 1]
    assert torch.allclose(far, near, rtol=5e-3)


def test_what_the_user_gave_stays() -> None:
    rows = {"X": GALAXIES}
    own = Gaussian(loc=dist.Normal(0.0, 5.0), scale=2.0)
    kept = CausalMixture(2, {"X": own}).scaled_to(rows).mechanisms["X"]
    assert isinstance(kept, Gaussian)
    assert float(kept.loc.scale) == 5.0 and float(kept.scale) == 2.0
    half = CausalMixture(2, {"X": Gaussian(scale=dist.HalfNormal(7.0))}).scaled_to(rows).mechanisms["X"]
    assert isinstance(half, Gaussian)
    assert float(half.scale.scale) == 7.0 and float(half.loc.loc) == pytest.approx(GALAXIES.mean())
    tutorial = GaussianMixture(2, scale=500.0).scaled_to(rows)
    assert tutorial.concentration.tolist() == [0.5, 0.5]
    assert float(tutorial.mechanisms["X"].loc.loc) == pytest.approx(GALAXIES.mean())  # type: ignore[attr-defined]


def test_discrete_ones_are_in_no_unit() -> None:
    model = CausalMixture(2, {"A": Categorical(3), "B": Bernoulli(), "C": Poisson()})
    rows = {"A": [0, 1, 2, 1], "B": [0, 1, 1, 0], "C": [0, 4, 8, 20]}
    scaled = model.scaled_to(rows).mechanisms
    assert scaled["A"] is model.mechanisms["A"] and scaled["B"] is model.mechanisms["B"]
    assert float(scaled["C"].prior.mean) == 8.0  # type: ignore[attr-defined]
    none = model.scaled_to({**rows, "C": [0, 0, 0, 0]}).mechanisms["C"]
    assert none is model.mechanisms["C"]


@pytest.mark.parametrize("family", [DiagonalGaussian, FullGaussian])
def test_vectors_have_a_unit_for_each_place(family: Any) -> None:
    columns = np.c_[ROWS["T"], 1e3 * ROWS["Y"] + 5e4]
    scaled = CausalMixture(2, {"V": family(2)}).scaled_to({"V": columns}).mechanisms["V"]
    assert scaled.loc.loc.numpy() == pytest.approx(columns.mean(0))  # type: ignore[attr-defined]
    assert scaled.loc.scale.numpy() == pytest.approx(2.5 * columns.std(0))  # type: ignore[attr-defined]


def test_set_and_missing_rows_have_no_part_in_it() -> None:
    x = GALAXIES.copy()
    x[:3], x[3] = 1e9, np.nan
    data = {"X": x}
    with pytest.raises(ValueError, match="NaN"):
        THREE.scaled_to(data)
    is_set = np.arange(82) < 3
    scaled = THREE.scaled_to(Data(X=x, intervened={"X": is_set}, missing="marginalize")).mechanisms["X"]
    assert float(scaled.loc.loc) == pytest.approx(GALAXIES[4:].mean())  # type: ignore[attr-defined]


def test_it_can_be_saved(tmp_path: Any) -> None:
    fit = scaled_fit(LINE, ROWS)
    fit.save(tmp_path / "fit")
    assert torch.equal(Fit.load(tmp_path / "fit")["beta_Y"], fit["beta_Y"])
