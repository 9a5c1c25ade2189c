"""Saving and loading: every kind of fit and every model come back bit for bit, from a file without a pickle."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, NUTS, CausalMixture, Data, Exact, Fit, GaussianMixture, PyroModel
from estimators.mechanisms import Gaussian
from estimators.mixture.symmetry import exchangeable
from tests.models import TUTORIAL_ROWS, mixed_rows, quiet

KNOWN: dict[str, CausalMixture] = {
    "tutorial": GaussianMixture(K=2),
    "known scale per component": GaussianMixture(K=2, scale=[1.0, 0.1 + 0.2]),
    "three weights": GaussianMixture(K=3, concentration=[0.5, 1.0, 1 / 3]),
    "one component": GaussianMixture(K=1),
    "HalfNormal scale": CausalMixture(2, {"X": Gaussian(scale=dist.HalfNormal(5.0))}),
    "LogNormal scale": CausalMixture(2, {"X": Gaussian(scale=dist.LogNormal(0.1, 0.7))}),
    "Gamma scale": CausalMixture(2, {"X": Gaussian(scale=dist.Gamma(3.0, 2.0))}),
    "InverseGamma scale": CausalMixture(2, {"X": Gaussian(scale=dist.InverseGamma(3.0, 2.0))}),
    "a scale prior per component": CausalMixture(2, {"X": Gaussian(scale=dist.HalfNormal(torch.tensor([1.0, 2.0])))}),
    "shared scale": CausalMixture(2, {"X": Gaussian(scale=dist.HalfNormal(3.0), shared=["scale"])}),
    "known loc per component": CausalMixture(2, {"X": Gaussian(loc=[-1.0, 2.0], scale=dist.Exponential(1.0))}),
    "loc priors per component": CausalMixture(
        2, {"X": Gaussian(loc=dist.Normal(torch.tensor([-1.0, 1.0]), torch.tensor([2.0, 3.0])), scale=1.0)}
    ),
    "StudentT loc": CausalMixture(2, {"X": Gaussian(loc=dist.StudentT(4.0, 0.0, 5.0), scale=1.0)}),
    "two columns": CausalMixture(
        2, {"Y": Gaussian(scale=1.0), "X": Gaussian(loc=0.5, scale=dist.HalfNormal(2.0))}, concentration=[1.0, 2.0]
    ),
}
MODEL = KNOWN["tutorial"]
DATA = Data(
    X=[*TUTORIAL_ROWS, 2.0],
    Z=[-1, -1, -1, 1, 1, 0],
    intervened={"Z": [False] * 5 + [True], "X": [False, True] + [False] * 4},
)
WEIGHTED = Data(X=TUTORIAL_ROWS, weights=[1.0, 2.0, 0.5, 1.0, 3.0])
KINDS: dict[str, Callable[[], Fit]] = {
    "ml": lambda: EM(num_starts=3).fit(MODEL, WEIGHTED, seed=1),
    "map": lambda: MAP(num_starts=3, num_steps=5).fit(MODEL, DATA, seed=1),
    "posterior": lambda: NUTS(num_samples=30, warmup_steps=30, num_chains=2).fit(MODEL, DATA, seed=1),
    "laplace": lambda: EM(num_starts=3).fit(MODEL, DATA, seed=1).laplace(20, seed=2),
    "exact": lambda: Exact(num_draws=30).fit(MODEL, DATA, seed=1),
    "known": lambda: Fit.from_greeks(MODEL, {"theta": [0.4, 0.6], "mu_X": [0.0, 1 / 3]}),
    "relabelled": lambda: Exact(num_draws=30).fit(MODEL, DATA, seed=1).relabel([1, 0]),
    "named": lambda: EM(num_starts=3).fit(MODEL, WEIGHTED, seed=1).relabel({"low": 0, "high": 1}),
}


@cache
def fit_of(kind: str) -> Fit:
    with quiet():
        return KINDS[kind]()


def reloaded(fit: Fit, path: Path) -> Fit:
    fit.save(path)
    return Fit.load(path)


def same_tensors(found: Any, expected: Any) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_comes_back_bit_for_bit(kind: str, tmp_path: Path) -> None:
    fit = fit_of(kind)
    loaded = reloaded(fit, tmp_path / "fit.npz")
    assert {field.name for field in fields(Fit)} == {
        *("model", "kind", "draws", "num_chains", "status", "stats", "info", "data", "label_names", "uses_prior"),
        *("findings", "remarks", "found"),
    }, "a new field needs its line here"
    same_tensors(loaded.draws, fit.draws)
    same_tensors(loaded.info, fit.info)
    for name in ("kind", "num_chains", "status", "label_names", "uses_prior", "findings", "remarks"):
        assert getattr(loaded, name) == getattr(fit, name)
    assert dict(loaded.stats) == dict(fit.stats)
    assert (loaded.data is None) == (fit.data is None)
    if fit.data is not None and loaded.data is not None:
        same_tensors(loaded.data.columns, fit.data.columns)
        same_tensors(loaded.data.intervened, fit.data.intervened)
        weights, expected = ({} if d.weights is None else {"w": d.weights} for d in (loaded.data, fit.data))
        same_tensors(weights, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_fit_gives_the_same_answers(kind: str, tmp_path: Path) -> None:
    fit = fit_of(kind)
    loaded = reloaded(fit, tmp_path / "fit.npz")
    assert repr(loaded) == repr(fit)
    assert loaded.summary().equals(fit.summary())
    points = [-1.0, 0.0, 5.0]
    for before, after in ((fit.do(Z=1), loaded.do(Z=1)), (fit.do(X=1.0), loaded.do(X=1.0))):
        assert torch.equal(before.mean("X").draws, after.mean("X").draws)
    assert torch.equal(fit.do(Z=0).cdf("X", points), loaded.do(Z=0).cdf("X", points))
    assert torch.equal(fit.do(Z=0).sample(5, seed=3)["X"], loaded.do(Z=0).sample(5, seed=3)["X"])
    assert torch.equal(fit.log_density({"X": points}), loaded.log_density({"X": points}))
    assert torch.equal(fit.responsibilities({"X": points}), loaded.responsibilities({"X": points}))


def test_a_mixtures_file_takes_no_program(tmp_path: Path) -> None:
    fit_of("ml").save(tmp_path / "fit.npz")
    with pytest.raises(TypeError, match="holds its CausalMixture itself; leave model out"):
        Fit.load(tmp_path / "fit.npz", model=PyroModel(lambda N: None))


def test_a_loaded_point_fit_has_the_same_spread(tmp_path: Path) -> None:
    fit = fit_of("ml")
    same_tensors(reloaded(fit, tmp_path / "fit.npz").laplace(10, seed=4).draws, fit.laplace(10, seed=4).draws)


@pytest.mark.parametrize("name", KNOWN)
def test_a_model_comes_back_and_can_be_fitted_again(name: str, tmp_path: Path) -> None:
    model = KNOWN[name]
    data = mixed_rows(model, 24)
    with quiet():
        fit = EM(num_starts=1, max_iterations=5).fit(model, data, seed=0)
        loaded = reloaded(fit, tmp_path / "fit.npz").model
        again = EM(num_starts=1, max_iterations=5).fit(loaded, data, seed=0)
        climbed = [MAP(num_starts=1, num_steps=2).fit(either, data, seed=0) for either in (model, loaded)]
    same_tensors(again.draws, fit.draws)
    same_tensors(climbed[1].draws, climbed[0].draws)
    assert loaded.K == model.K
    assert list(loaded.mechanisms) == list(model.mechanisms), "the first mechanism orders the components"
    assert exchangeable(loaded) == exchangeable(model)
    assert [(p.name, p.shape, p.component_axis) for p in loaded.parameters] == [
        (p.name, p.shape, p.component_axis) for p in model.parameters
    ]
    greeks = model.prior_greeks(seed=5)
    for before, after in zip(model.parameters, loaded.parameters, strict=True):
        assert torch.equal(before.prior.log_prob(greeks[before.name]), after.prior.log_prob(greeks[before.name]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_holds_arrays_and_json_alone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    fit_of(kind).save(path)
    with zipfile.ZipFile(path) as archive:
        assert all(name.endswith(".npy") for name in archive.namelist())
    with np.load(path, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "biuf" for name in arrays.files)
        assert isinstance(json.loads(arrays["header"].tobytes()), dict)


def test_saving_again_overwrites_and_text_paths_will_do(tmp_path: Path) -> None:
    path = str(tmp_path / "fit")
    fit_of("exact").save(path)
    fit_of("ml").save(path)
    assert Fit.load(path).kind == "ml"
    assert [entry.name for entry in tmp_path.iterdir()] == ["fit"], "no suffix is added"


@dataclass(frozen=True, eq=False)
class Own(Gaussian):
    """A mechanism that the package does not know."""


class OwnPrior(dist.HalfNormal):
    """A prior that Pyro does not know."""


@pytest.mark.parametrize(
    ("mechanism", "telling"),
    [
        pytest.param(Own(scale=1.0), "Own", id="mechanism"),
        pytest.param(Gaussian(scale=OwnPrior(1.0)), "OwnPrior", id="prior"),
    ],
)
def test_what_cannot_be_written_as_data_is_named_and_no_file_is_left(
    mechanism: Gaussian, telling: str, tmp_path: Path
) -> None:
    model = CausalMixture(1, {"W": mechanism})
    greeks = {parameter.name: torch.ones(parameter.shape) for parameter in model.parameters}
    with pytest.raises(TypeError, match=f"save.*{telling}.*W"):
        Fit.from_greeks(model, greeks).save(tmp_path / "fit.npz")
    assert not list(tmp_path.iterdir())
