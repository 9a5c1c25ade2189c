"""One extreme entry in a batch changes no other row's density: each row as Pyro's distributions have it alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from estimators import CausalMixture, Data, Fit
from estimators.mechanisms import Bernoulli, DiagonalGaussian, FullGaussian, Gaussian, LinearGaussian, Poisson
from tests.expectations import log_likelihood_of

N, K = 7, 2
MODEL = CausalMixture(
    K,
    {
        "T": Bernoulli(),
        "W": Gaussian(),
        "C": Poisson(),
        "X": Gaussian(parents=["T"], shared=["scale"]),
        "Y": LinearGaussian(["T", "W"]),
        "V": DiagonalGaussian(2),
        "D": FullGaussian(3),
        "R": LinearGaussian(["C"], coefficients=0.5, scale=2.0),
        "U": Gaussian(loc=0.5, scale=2.0),
        "B": Poisson(prior=3.0),
    },
)
DRAWS = [MODEL.prior_greeks(seed=seed) for seed in range(2)]
FIT = replace(
    Fit.from_greeks(MODEL, DRAWS[0]), draws={name: torch.stack([d[name] for d in DRAWS]) for name in DRAWS[0]}
)


def rows(seen: bool) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {name: rng.normal(size=N) for name in "WXYRU"}
    found |= {"T": rng.integers(0, 2, N), "C": rng.integers(0, 9, N) * 1.0, "B": rng.integers(0, 9, N) * 1.0}
    found |= {"V": rng.normal(size=(N, 2)), "D": rng.normal(size=(N, 3))}
    return {**found, "Z": np.where(np.arange(N) % 3 == 1, 1, -1)} if seen else found


def by_pyro(columns: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """log p(row) and p(Z = 1 | row), every row and class by the distributions of the model's own Pyro program."""
    values = {name: torch.as_tensor(column).double() for name, column in columns.items() if name != "Z"}
    known = torch.as_tensor(columns.get("Z", np.full(N, -1)))
    joints = []
    for greeks in DRAWS:
        classes = []
        for k in range(K):
            seen = {**values, "Z": torch.full((N,), k)}
            trace = poutine.trace(poutine.condition(lambda g=greeks: MODEL.rows(g, N), data=seen)).get_trace()
            trace.compute_log_prob()
            total = sum(trace.nodes[name]["log_prob"] for name in [*MODEL.mechanisms, "Z"])
            classes.append(torch.where((known >= 0) & (known != k), -torch.inf, total))
        joints.append(torch.stack(classes))
    joint = torch.stack(joints)
    density = torch.logsumexp(joint, (0, 1)) - np.log(len(DRAWS))
    return density.numpy(), torch.softmax(joint, 1)[:, 1].mean(0).numpy()


CASES = [(name, 1e12, False) for name in "WCXYVDRUB"] + [(name, 1e90, True) for name in "WCYVDB"]
CASES += [("W", -1e90, False), ("Y", 1e100, False), ("X", 1e30, False), ("C", 1e6, True), ("R", 1e6, False)]


@pytest.mark.parametrize(("name", "size", "seen"), CASES)
def test_an_extreme_entry_changes_no_other_row(name: str, size: float, seen: bool) -> None:
    columns = rows(seen)
    plain = FIT.log_density(columns).numpy()
    columns[name][(0, 1) if columns[name].ndim > 1 else 0] = size
    with pyro.validation_enabled(False):
        expected, share = by_pyro(columns)
    found = FIT.log_density(columns).numpy()
    np.testing.assert_allclose(found[1:], plain[1:], rtol=0, atol=3e-12)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=3e-12)
    np.testing.assert_allclose(FIT.responsibilities(columns)[:, 1], share, atol=1e-12)
    np.testing.assert_allclose(
        log_likelihood_of(MODEL.marginal(Data(columns)), DRAWS[0]),
        MODEL.marginal(Data(columns)).pointwise(DRAWS[0]).sum(),
        rtol=1e-12,
    )


def test_counts_of_very_different_size_keep_their_digits() -> None:
    """The column's mean is no centre for the small counts where others are a million times as large."""
    model = CausalMixture(2, {"C": Poisson()})
    counts = np.array([0.0, 2.0, 5.0, 3e9, 3.1e9])
    greeks = {"theta": [0.3, 0.7], "rate_C": [2.5, 3.05e9]}
    expected = torch.logsumexp(
        dist.Poisson(torch.tensor(greeks["rate_C"], dtype=torch.float64), validate_args=False).log_prob(
            torch.tensor(counts)[:, None]
        )
        + torch.tensor(greeks["theta"], dtype=torch.float64).log(),
        1,
    )
    found = Fit.from_greeks(model, greeks).log_density({"C": counts})
    np.testing.assert_allclose(found[:3], expected[:3], rtol=1e-14)


def test_known_numbers_far_narrower_than_the_column_serve_all_components() -> None:
    model = CausalMixture(3, {"X": Gaussian(loc=0.25, scale=1e-9), "C": Poisson(prior=4.0)})
    truth = Fit.from_greeks(model, {"theta": [0.2, 0.3, 0.5]})
    rows = {"X": [0.25, 0.25 + 1e-9, 7.0], "C": [3, 4, 10**8]}
    normal = dist.Normal(torch.tensor(0.25, dtype=torch.float64), 1e-9).log_prob(
        torch.tensor(rows["X"], dtype=torch.float64)
    )
    count = dist.Poisson(torch.tensor(4.0, dtype=torch.float64)).log_prob(torch.tensor(rows["C"]).double())
    np.testing.assert_allclose(truth.log_density(rows), normal + count, rtol=1e-12)


@pytest.mark.parametrize("size", [1e3, 1e8, 1e30, -1e90, 1e100])
@pytest.mark.parametrize("num_rows", [1, 8])
def test_a_far_cause_leaves_the_other_class_its_line(num_rows: int, size: float) -> None:
    """The far row belongs to the wider class alone: the other's gradient and M-step are those of the other rows."""
    model = CausalMixture(2, {"T": Gaussian(), "Y": LinearGaussian(["T"])})
    greeks = {"theta": [0.4, 0.6], "mu_T": [0.0, 1.0], "sigma_T": [1.0, 1.5], "beta_Y": [[0.0, 1.0], [1.0, 0.9]]}
    arrays = {name: value.numpy() for name, value in model.check_greeks({**greeks, "sigma_Y": [1.0, 2.0]}).items()}
    rng = np.random.default_rng(0)
    cause, found = rng.normal(size=num_rows), []
    effect = cause + rng.normal(size=num_rows)
    for t, y in ((cause, effect), (np.append(cause, size), np.append(effect, size))):
        marginal = model.marginal(Data(T=t, Y=y))
        statistics = marginal.statistics(arrays)
        found.append((marginal.gradient(arrays, statistics), marginal.argmax(arrays, statistics)))
    (slopes, best), (slopes_beside, best_beside) = found
    for name in ("mu_T", "sigma_T", "beta_Y", "sigma_Y"):
        np.testing.assert_allclose(slopes_beside[name][0], slopes[name][0], rtol=1e-11, atol=1e-13, err_msg=name)
    if num_rows > 1:
        np.testing.assert_allclose(best_beside["beta_Y"][0], best["beta_Y"][0], rtol=1e-9, atol=1e-9)
