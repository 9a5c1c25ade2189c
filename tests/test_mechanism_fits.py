"""Every mechanism's refusals, transforms and fits, on degenerate data too."""

from pathlib import Path
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.transforms import biject_to
from torch import Tensor
from torch.distributions import constraints

from estimators import EM, MAP, NUTS, CausalMixture, Data, Fit
from estimators.algorithms.protocol import Estimator
from estimators.contract import log_posterior
from estimators.mechanisms import (
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    LinearGaussian,
    Mechanism,
    Poisson,
)
from estimators.mixture.symmetry import exchangeable
from estimators.parameters.correlations import CholeskyOfCorrelation
from estimators.parameters.transforms import Linear, Positive, Simplex, Transform, UnitInterval
from tests.expectations import log_likelihood_of
from tests.mechanism_models import (
    FAMILIES,
    MODELS,
    any_rows,
    hidden_rows,
    random_greeks,
)
from tests.models import fit_quietly
from tests.objectives import objective_of
from validation.testing import Stat

EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


# ------------------------------------------------------------------------------------------------ bad input


BAD_ARGUMENTS: dict[str, tuple[Any, type[Exception], str]] = {
    "levels of text": (lambda: Categorical("three"), TypeError, "num_levels"),
    "half a level": (lambda: Categorical(2.5), TypeError, "num_levels"),
    "one level": (lambda: Categorical(1), ValueError, "num_levels"),
    "weights of another length": (lambda: Categorical(3, prior=dist.Dirichlet(torch.ones(2))), ValueError, "prior"),
    "probabilities of another length": (lambda: Categorical(3, prior=[0.5, 0.5]), ValueError, "prior"),
    "probabilities that sum to 2": (lambda: Categorical(2, prior=[1.0, 1.0]), ValueError, "prior"),
    "a prior over the reals": (lambda: Categorical(2, prior=dist.Normal(0.0, 1.0)), ValueError, "prior"),
    "a prior of text": (lambda: Categorical(2, prior="flat"), TypeError, "prior"),
    "parents as one string": (lambda: Categorical(2, parents="T"), TypeError, "parents"),
    "a rate of 0": (lambda: Poisson(prior=0.0), ValueError, "prior"),
    "a rate that is not finite": (lambda: Poisson(prior=float("inf")), ValueError, "prior"),
    "a rate over the reals": (lambda: Poisson(prior=dist.Normal(0.0, 1.0)), ValueError, "prior"),
    "rates for other components": (
        lambda: CausalMixture(2, {"X": Poisson(prior=[1.0, 2.0, 3.0])}),
        ValueError,
        "prior",
    ),
    "a parent twice": (lambda: Poisson(parents=["T", "T"]), ValueError, "parents"),
    "no columns": (lambda: DiagonalGaussian(0), ValueError, "num_columns"),
    "columns that are true": (lambda: DiagonalGaussian(True), TypeError, "num_columns"),
    "a negative scale": (lambda: DiagonalGaussian(2, scale=[1.0, -1.0]), ValueError, "scale"),
    "a scale over the real line": (lambda: DiagonalGaussian(2, scale=dist.Normal(0.0, 1.0)), ValueError, "scale"),
    "locs for other columns": (lambda: CausalMixture(2, {"X": DiagonalGaussian(2, loc=[1.0] * 3)}), ValueError, "loc"),
    "scales for other columns": (
        lambda: CausalMixture(2, {"X": FullGaussian(2, scale=dist.HalfNormal(torch.ones(3)))}),
        ValueError,
        "scale",
    ),
    "a correlation of text": (lambda: FullGaussian(2, correlation="none"), TypeError, "correlation"),
    "a correlation of 0": (lambda: FullGaussian(2, correlation=0.0), ValueError, "correlation"),
    "full columns of text": (lambda: FullGaussian("2"), TypeError, "num_columns"),
    "parents without levels": (
        lambda: CausalMixture(2, {"X": Gaussian(), "Y": FullGaussian(2, parents=["X"])}),
        ValueError,
        "the parent 'X'",
    ),
}
BAD_COLUMNS: dict[str, tuple[Mechanism, Any, str]] = {
    "a level too high": (Categorical(3), [0, 1, 3, 2], r"column X: expected whole numbers from 0 to 2.*row\(s\) \[2\]"),
    "half a level": (Categorical(3), [0, 0.5, 1, 2], r"column X: .*row\(s\) \[1\]"),
    "a negative level": (Categorical(3), [-1, 0, 1, 2], r"column X: .*row\(s\) \[0\]"),
    "vectors of levels": (Categorical(3), [[0, 1], [1, 2]], "column X: expected one dimension"),
    "a negative count": (Poisson(), [1, 2, -3], r"column X: expected whole numbers from 0,.*row\(s\) \[2\]"),
    "half a count": (Poisson(), [1, 2.5, 3], r"column X: .*row\(s\) \[1\]"),
    "numbers for vectors": (DiagonalGaussian(2), [1.0, 2.0], r"column X: expected shape \[N, 2\]"),
    "other vectors": (DiagonalGaussian(2), [[1.0, 2.0, 3.0]], r"column X: expected shape \[N, 2\]"),
    "vectors for a matrix": (FullGaussian(2), [1.0, 2.0], r"column X: expected shape \[N, 2\]"),
}


@pytest.mark.parametrize(("make", "kind", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_a_bad_argument_is_named(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize(("mechanism", "column", "message"), BAD_COLUMNS.values(), ids=BAD_COLUMNS)
def test_a_bad_column_is_named(mechanism: Mechanism, column: Any, message: str) -> None:
    model = CausalMixture(2, {"X": mechanism})
    with pytest.raises(ValueError, match=message):
        model.check(Data(X=column))
    with pytest.raises(ValueError, match=message):
        MAP().fit(model, Data(X=column), seed=0)


# ------------------------------------------------------------------------------------------------ transforms

_MATRIX = np.array([[2.0, 0.0, 0.0], [0.5, 1.5, 0.0], [0.0, 0.0, 3.0]])
TRANSFORMS: dict[str, tuple[Transform, constraints.Constraint, tuple[int, ...]]] = {
    "probabilities": (UnitInterval(), constraints.unit_interval, (3,)),
    "rates of one unit": (Positive(2.5), constraints.positive, (3,)),
    "a scale for each column": (Positive(np.array([0.5, 2.0, 0.5, 2.0])), constraints.positive, (2, 2)),
    "four simplices": (Simplex(3, 4), constraints.simplex, (2, 2, 3)),
    "two pairs": (Simplex(2, 2), constraints.simplex, (2, 2)),
    "four correlation matrices": (CholeskyOfCorrelation(3), constraints.corr_cholesky, (2, 2, 3, 3)),
    "a correlation": (CholeskyOfCorrelation(2), constraints.corr_cholesky, (2, 2)),
    "ten correlations": (CholeskyOfCorrelation(5), constraints.corr_cholesky, (5, 5)),
    "vectors": (Linear(_MATRIX, np.array([1.0, -1.0, 4.0])), constraints.real, (2, 3)),
}


def by_torch(transform: Transform, support: Any, shape: tuple[int, ...], point: Tensor) -> tuple[Tensor, Tensor]:
    """The Greek [prod(shape)] and log |d Greek / d coordinates| by torch's map and its units."""
    if isinstance(transform, Linear):
        value = torch.from_numpy(transform.origin) + point.reshape(shape) @ torch.from_numpy(transform.matrix).T
        count = value.numel() // len(transform.origin)
        return value.reshape(-1), torch.tensor(count * np.linalg.slogdet(transform.matrix)[1])
    to = biject_to(support)
    inner = point.reshape(to.inverse_shape(torch.Size(shape)))
    plain = to(inner)
    unit = torch.as_tensor(transform.scale if isinstance(transform, Positive) else 1.0).double()
    jacobian = to.log_abs_det_jacobian(inner, plain).sum() + unit.log().expand(point.shape).sum()
    return plain.reshape(-1) * unit, jacobian if isinstance(transform, Positive) else jacobian - 0.0


@pytest.mark.parametrize(("transform", "support", "shape"), TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_transform_has_torchs_derivatives(
    transform: Transform, support: constraints.Constraint, shape: tuple[int, ...]
) -> None:
    points = 1.5 * np.random.default_rng(0).standard_normal((5, transform.size(shape)))
    values = transform.forward(points)
    assert values.shape == (5, int(np.prod(shape)))
    np.testing.assert_allclose(transform.inverse(values), points, rtol=1e-9, atol=1e-9)
    jacobians = np.broadcast_to(transform.log_jacobian(values), 5)
    rng = np.random.default_rng(1)
    for point, value, jacobian in zip(points, values, jacobians, strict=True):
        free = torch.from_numpy(point).requires_grad_()
        image, expected = by_torch(transform, support, shape, free)
        np.testing.assert_allclose(value, image.detach().numpy(), rtol=1e-12, atol=1e-14)
        assert float(jacobian) == pytest.approx(float(expected.detach()), rel=1e-9, abs=1e-11)
        direction = rng.standard_normal(value.size)
        (slope,) = torch.autograd.grad((torch.from_numpy(direction) * image).sum(), free, retain_graph=True)
        np.testing.assert_allclose(transform.pull_back(value, direction), slope.numpy(), rtol=1e-9, atol=1e-12)
        if expected.requires_grad:
            (slope,) = torch.autograd.grad(expected, free)
            found = np.broadcast_to(transform.jacobian_slope(value), slope.shape)
            np.testing.assert_allclose(found, slope.numpy(), rtol=1e-8, atol=1e-9)


def test_correlations_stay_a_factor_far_out_and_keep_their_digits() -> None:
    transform = CholeskyOfCorrelation(3)
    far = transform.forward(np.array([[700.0, -700.0, 40.0], [15.0, -16.0, 14.0]]))
    assert bool(constraints.corr_cholesky.check(torch.from_numpy(far.reshape(2, 3, 3))).all())
    np.testing.assert_allclose(transform.inverse(far)[1], [15.0, -16.0, 14.0], rtol=1e-10)


@EVERY_MODEL
def test_coordinates_and_greeks_are_one_to_one(model: CausalMixture) -> None:
    objective = objective_of(model, any_rows(model), log_posterior)
    density = objective.density
    points = np.random.default_rng(2).standard_normal((4, density.size))
    greeks = density.constrain(points)
    for parameter in model.parameters:
        assert greeks[parameter.name].shape == (4, *parameter.shape)
        assert bool(parameter.prior.support.check(torch.from_numpy(greeks[parameter.name])).all())
    np.testing.assert_allclose(density.unconstrain(greeks), points, rtol=1e-8, atol=1e-8)
    value, gradient = objective.value_and_gradient(points[0])
    steps = 1e-6 * np.eye(density.size)
    ahead, behind = objective.value(points[0] + steps), objective.value(points[0] - steps)
    rounding = 1e-14 * abs(value) / 1e-6
    np.testing.assert_allclose(gradient, (ahead - behind) / 2e-6, rtol=1e-5, atol=rounding + 1e-4)


# ------------------------------------------------------------------------------------------------ fits

SHORT: dict[str, Estimator] = {
    "EM": EM(num_starts=4),
    "MAP": MAP(num_starts=2, num_steps=3),
    "NUTS": NUTS(num_samples=8, warmup_steps=8, num_chains=1, progress_bar=False),
}


# Many cells with few rows each: MAP climbs to the edge from every start, and NUTS takes long trees.
LONG = ("FullGaussian with a parent", "two causes of Z", "three components", "three dimensions", "LinearGaussian")


LONG_PAIRS = [
    ("known centres", "NUTS"),
    ("known scales", "NUTS"),
    ("FullGaussian alone", "NUTS"),
    ("Gaussian with a parent", "MAP"),
    ("Gaussian with a parent", "NUTS"),
    ("interactions", "EM"),
    ("PoissonRegression", "NUTS"),
    ("levels below a covariate", "NUTS"),
    ("shared interactions of odds and counts", "EM"),
    ("shared slopes of odds", "EM"),
    ("MultinomialLogit", "MAP"),
    ("OrderedLogistic", "EM"),
    ("PoissonRegression", "EM"),
]
# Every model is fitted by EM, every family by MAP, and as many models as there are families by NUTS.
ALIKE = {
    "MAP": (
        "known scales",
        "known centres",
        "known numbers",
        "one prior per column",
        "one prior per component",
        "interactions",
        "shared interactions of odds and counts",
        "shared slopes",
        "shared slopes of means",
        "shared slopes of odds",
        "what Z does not cause",
    ),
    "NUTS": (
        "a cause of Z",
        "one prior per component",
        "known numbers",
        "one dimension",
        "a line alone in its scale",
        "Bernoulli alone",
    ),
}


def is_long(name: str, kind: str) -> bool:
    """NUTS on many Greeks is long, and its mechanisms are in other models; so are those of the longest with few."""
    with_parent = name.endswith("with a parent") and name != "Gaussian with a parent"
    return name in (*LONG, *ALIKE.get(kind, ())) or (name, kind) in LONG_PAIRS or (kind == "NUTS" and with_parent)


PAIRS = [
    pytest.param(model, estimator, id=f"{name}-{kind}", marks=[pytest.mark.slow] * is_long(name, kind))
    for name, model in MODELS.items()
    for kind, estimator in SHORT.items()
    if kind != "NUTS" or len(model.parameters) <= 5
]


def test_one_correlation_of_all_classes_beside_known_scales_is_a_maximum() -> None:
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, 60)
    model = CausalMixture(2, {"V": FullGaussian(2, scale=1.0, shared=True)})
    fit = fit_quietly(EM(), model, Data(V=rng.normal(2.0 * z[:, None], 1.0, (60, 2))), seed=0)
    density = model.density(fit.data).beyond_priors()
    at = density.unconstrain({name: value[0].numpy() for name, value in fit.draws.items()})
    around = at + 0.05 * rng.normal(size=(200, density.size))
    assert fit.stats["log_likelihood"] > density.values(around).likelihood.max()
    assert fit["corr_V"].shape == (2, 2)


def assert_usable(fit: Fit) -> None:
    for parameter in fit.model.parameters:
        draws = fit.draws[parameter.name]
        assert draws.shape[1:] == parameter.shape
        assert bool(parameter.prior.support.check(draws).all()), parameter.name


@pytest.mark.parametrize(("model", "estimator"), PAIRS)
def test_every_estimator_fits_every_model(model: CausalMixture, estimator: Estimator, tmp_path: Path) -> None:
    data = hidden_rows(model, 60)
    fit = fit_quietly(estimator, model, data, seed=0)
    assert_usable(fit)
    fit.save(tmp_path / "fit.npz")
    loaded = Fit.load(tmp_path / "fit.npz")
    for name, value in fit.draws.items():
        assert torch.equal(loaded.draws[name], value)
    assert [parameter.shape for parameter in loaded.model.parameters] == [p.shape for p in model.parameters]
    first = {name: value[0] for name, value in fit.draws.items()}
    values = [float(log_likelihood_of(one.model.marginal(data), first)) for one in (fit, loaded)]
    assert values[0] == values[1]


@EVERY_MODEL
def test_a_model_is_a_program(model: CausalMixture) -> None:
    if model.covariates:
        with pytest.raises(ValueError, match="is a covariate, which has no law"):
            model(5)
        return
    drawn = model(5)
    predicted = model.prior_predictive(5, seed=0)
    for name, mechanism in model.mechanisms.items():
        shape = (5,) if mechanism.num_columns is None else (5, mechanism.num_columns)
        assert drawn[name].shape == predicted[name].shape == shape
    for parameter in model.parameters:
        assert predicted[parameter.name].shape == (5, *parameter.shape)
    again = model.prior_predictive(5, seed=0)
    assert all(torch.equal(again[name], value) for name, value in predicted.items())
    model.check(Data(**{name: drawn[name] for name in model.mechanisms}))


@EVERY_MODEL
def test_renamed_components_have_renamed_priors(model: CausalMixture) -> None:
    order = list(reversed(range(model.K)))
    renamed = model.permuted(order)
    data, greeks = hidden_rows(model, 10), random_greeks(model, 12)
    moved = {
        p.name: greeks[p.name] if p.component_axis is None else greeks[p.name].flip(p.component_axis)
        for p in model.parameters
    }
    before, after = (
        sum(float(p.prior.log_prob(values[p.name]).sum()) for p in of.parameters)
        for of, values in ((model, greeks), (renamed, moved))
    )
    assert before == pytest.approx(after, rel=1e-12)
    one, other = model.marginal(data).pointwise(greeks), renamed.marginal(data).pointwise(moved)
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_components_with_priors_of_their_own_are_told_apart() -> None:
    assert exchangeable(MODELS["one prior per component"]) == [[0], [1]]
    assert exchangeable(MODELS["one prior per column"]) == [[0, 1]]
    known = CausalMixture(2, {"X": Categorical(2, prior=[[0.2, 0.8], [0.7, 0.3]])})
    assert exchangeable(known) == [[0], [1]]
    assert exchangeable(CausalMixture(2, {"X": Categorical(2, prior=[0.2, 0.8])})) == [[0, 1]]


# ------------------------------------------------------------------------------------------------ degenerate data

CONSTANT: dict[str, Any] = {"Bernoulli": 1.0, "Categorical": 2.0, "Poisson": 0.0, "Gaussian": 3.0}


def same_rows(family: str, num_rows: int) -> Data:
    return Data(X=torch.full((num_rows,), CONSTANT[family]) if family in CONSTANT else torch.full((num_rows, 2), 3.0))


@pytest.mark.parametrize("num_rows", [1, 6])
@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.slow) if "Gaussian" in name[1:] else name for name in FAMILIES]
)
def test_constant_data_have_an_answer_or_a_status(family: str, num_rows: int) -> None:
    data = same_rows(family, num_rows)
    for estimator, K in ((EM(num_starts=2), 1), (SHORT["MAP"], 1), (SHORT["MAP"], 2), (SHORT["NUTS"], 1)):
        model = CausalMixture(K, {"X": FAMILIES[family]}, concentration=2.0)
        fit = fit_quietly(estimator, model, data, seed=0)
        assert_usable(fit)
        if isinstance(estimator, EM):
            # A probability of 1 is a maximum; a spread of 0 is a spike.
            assert fit.status.is_interior == (family in ("Bernoulli", "Categorical", "Poisson"))


def test_a_component_on_a_line_is_held_off_and_reported() -> None:
    """Three columns that are one: the covariance has rank 1, and its correlations are ±1."""
    x = torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fit = fit_quietly(
        EM(num_starts=2), CausalMixture(1, {"X": FullGaussian(3)}), Data(X=torch.stack([x, 2 * x, -x], 1)), 0
    )
    assert fit.status.name == "COMPONENT_COLLAPSED"
    assert_usable(fit)


def test_levels_that_never_occur_have_no_probability() -> None:
    fit = fit_quietly(EM(num_starts=2), CausalMixture(1, {"X": Categorical(3)}), Data(X=[0.0, 1.0, 1.0]), 0)
    assert fit.status.name == "CONVERGED" and float(fit["p_X"][0, 2]) < 1e-9
    known = CausalMixture(1, {"X": Categorical(3, prior=[0.5, 0.5, 0.0])})
    greeks = {"theta": torch.ones(1).double()}
    assert bool(torch.isfinite(known.marginal(Data(X=[0.0, 2.0])).pointwise(greeks)).all())
    inside = fit_quietly(EM(num_starts=2), CausalMixture(1, {"X": Categorical(3)}), Data(X=[0.0, 1.0, 2.0]), 0)
    assert inside.status.name == "CONVERGED"


@pytest.mark.parametrize("scale", [1e-50, 1e50])
@pytest.mark.parametrize("mechanism", [DiagonalGaussian(2), FullGaussian(2)], ids=["diagonal", "full"])
def test_units_do_not_matter_to_em(mechanism: Mechanism, scale: float) -> None:
    model = CausalMixture(2, {"X": mechanism})
    drawn = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn[:30] += 8.0
    units = torch.tensor([scale, 1.0 / scale], dtype=torch.float64)
    plain, other = (EM(num_starts=3).fit(model, Data(X=rows), seed=0) for rows in (drawn, drawn * units))
    torch.testing.assert_close(other["mu_X"] / units, plain["mu_X"], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(other["sigma_X"] / units, plain["sigma_X"], rtol=1e-6, atol=0)


@pytest.mark.statistical(min_effect=8.0)
def test_a_line_is_still_a_regression(stat: Stat) -> None:
    """LinearGaussian is in every test above; here its slopes recover those of the rows."""
    generator = torch.Generator().manual_seed(stat.seed)
    x = torch.randn(400, generator=generator, dtype=torch.float64)
    z = torch.arange(400) % 2
    y = torch.where(z == 0, 1.0 + 2.0 * x, -1.0 - 3.0 * x) + 0.1 * torch.randn(400, generator=generator).double()
    model = CausalMixture(2, {"X": Gaussian(), "Y": LinearGaussian(parents=["X"])})
    fit = EM().fit(model, Data(X=x, Y=y, Z=z), seed=0)
    stat.recovers(fit, {"beta_Y": [[1.0, 2.0], [-1.0, -3.0]]}, names=["beta_Y"])
    with stat.control():
        stat.recovers(fit, {"beta_Y": [[1.0, 2.0], [-1.0, -2.9]]}, names=["beta_Y"])
