"""One contract: every estimator, on every small model, through the whole interface of a fit."""

import inspect
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pandas as pd
import pyro
import pytest
import torch

from estimators import EM, MAP, NUTS, SMC, CausalMixture, Data, Exact, Fit, GaussianMixture
from estimators.algorithms.protocol import Estimator
from tests.fit_checks import check_copies, check_numbers, check_seed, unchanged_process
from tests.models import MODELS, fit_quietly, quiet, rows_of

ESTIMATORS: dict[str, Estimator] = {
    "EM": EM(num_starts=5),
    "MAP": MAP(num_starts=5, num_steps=8),
    "NUTS": NUTS(num_samples=30, warmup_steps=40, num_chains=2),
    "NUTS by Pyro": NUTS(num_samples=4, warmup_steps=4, num_chains=1, engine="pyro"),
    "SMC": SMC(num_particles=40, num_clouds=2, max_sweeps=2),
    "Exact": Exact(num_draws=200),
}
CONJUGATE = ("tutorial", "one component", "three components", "unequal priors")
# What others among the models are like, for the estimators that take longest.
ALIKE = ("one component", "three components", "unknown scales", "unequal priors", "known means", "another prior")
MORE_ALIKE = {"NUTS by Pyro": ("two columns",), "NUTS": ("shared scale",)}
CASES = [
    pytest.param(
        estimator,
        model,
        id=f"{name}, {of}",
        marks=[pytest.mark.slow] * (isinstance(estimator, NUTS) and of in (*ALIKE, *MORE_ALIKE.get(name, ()))),
    )
    for name, estimator in ESTIMATORS.items()
    for of, model in MODELS.items()
    if name != "Exact" or of in CONJUGATE
]
# Three fits each: that a seed decides all is a property of an estimator, which one or two models show.
SEEDED = [
    pytest.param(
        *case.values,
        id=case.id,
        marks=[]
        if case.id.startswith(("EM", "Exact")) or case.id.endswith(("tutorial", "MAP, two columns"))
        else [pytest.mark.slow],
    )
    for case in CASES
]


def rows_for(model: CausalMixture, estimator: Estimator) -> Data:
    return rows_of(model, 8 if isinstance(estimator, Exact) else 40)


@pytest.mark.parametrize(("estimator", "model"), CASES)
def test_the_whole_interface(estimator: Estimator, model: CausalMixture, tmp_path: Path) -> None:
    data = rows_for(model, estimator)
    fit = fit_quietly(estimator, model, data, seed=3)
    check_greeks(fit, model)
    with quiet():
        check_queries(fit, model, data)
    check_program(fit, model)
    check_copies(fit, data, tmp_path / "fit.npz")


def check_greeks(fit: Fit, model: CausalMixture) -> None:
    assert set(fit.draws) == {parameter.name for parameter in model.parameters}
    check_numbers(fit, {parameter.name: parameter.shape for parameter in model.parameters})
    for parameter in model.parameters:
        assert bool(parameter.prior.support.check(fit.draws[parameter.name]).all())
    assert set(fit.summary().columns) >= ({"mean", "sd", "lower", "upper"} if fit.num_draws > 1 else {"mean"})
    with pytest.raises(FrozenInstanceError):
        fit.kind = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        fit.draws["theta"] = torch.zeros(1)  # type: ignore[index]


def check_queries(fit: Fit, model: CausalMixture, data: Data) -> None:
    for name in model.mechanisms:
        for k in range(model.K):
            query = fit.do(Z=k)
            assert query.mean(name).draws.shape == (fit.num_draws,)
            middle = query.quantile(name, 0.5)
            assert float(query.cdf(name, middle)) == pytest.approx(0.5, abs=1e-9)
            assert bool(torch.isfinite(query.log_density(name, data.columns[name])).all())
        sample = fit.do(Z=model.K - 1).sample(7, seed=1)
        assert set(sample) == set(model.mechanisms)
        assert sample[name].shape == (7,)
        contrast = fit.contrast(name, do={"Z": model.K - 1}, versus={"Z": 0})
        assert contrast.draws.shape == (fit.num_draws,)
        if fit.num_draws > 1:
            low, high = contrast.interval(0.9)
            assert bool(low <= high)
        else:
            with pytest.raises(ValueError, match="laplace"):
                contrast.interval(0.9)
    shares = fit.responsibilities(data)
    assert shares.shape == (data.num_rows, model.K)
    torch.testing.assert_close(shares.sum(1), torch.ones(data.num_rows, dtype=torch.float64))
    assert fit.log_density(data).shape == (data.num_rows,)
    back = list(reversed(range(model.K)))
    for name, value in fit.relabel(back).relabel(back).draws.items():
        assert torch.equal(value, fit.draws[name])


def check_program(fit: Fit, model: CausalMixture) -> None:
    state = torch.get_rng_state()
    rows = pyro.do(fit.program, data={"Z": torch.tensor(0)})(5)
    torch.set_rng_state(state)
    assert set(rows) == {*model.mechanisms, "Z"}
    assert bool((rows["Z"] == 0).all())
    assert all(column.shape == (5,) for column in rows.values())


@pytest.mark.parametrize(("estimator", "model"), SEEDED)
def test_the_same_seed_gives_the_same_bits(estimator: Estimator, model: CausalMixture) -> None:
    check_seed(estimator, model, rows_for(model, estimator))


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_a_fit_leaves_the_process_as_it_was(estimator: Estimator) -> None:
    model = MODELS["tutorial"]
    with unchanged_process():
        fit = fit_quietly(estimator, model, rows_for(model, estimator))
        with quiet():
            fit.do(Z=1).sample(3, seed=2)


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_a_seed_of_none_is_fresh_and_recorded(estimator: Estimator) -> None:
    model = MODELS["tutorial"]
    data = rows_for(model, estimator)
    with quiet():
        fits = [estimator.fit(model, data) for _ in range(2)]
        again = estimator.fit(model, data, seed=fits[0].stats["seed"])
    assert fits[0].stats["seed"] != fits[1].stats["seed"]
    for name, value in fits[0].draws.items():
        assert torch.equal(again.draws[name], value)


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_estimators_follow_the_protocol(estimator: Estimator) -> None:
    expected = inspect.signature(Estimator.fit).parameters
    found = inspect.signature(type(estimator).fit).parameters
    own = [(p.name, p.kind, p.default) for p in found.values()]
    assert own[: len(expected)] == [(p.name, p.kind, p.default) for p in expected.values()]
    # Whatever else one takes may be left out.
    others = own[len(expected) :]
    assert all(kind is inspect.Parameter.KEYWORD_ONLY for _, kind, _ in others)
    assert all(default is not inspect.Parameter.empty for _, _, default in others)
    with pytest.raises(FrozenInstanceError):
        estimator.progress_bar = True  # type: ignore[attr-defined]


# Data are read before an estimator sees them.
@pytest.mark.parametrize(
    "estimator",
    [pytest.param(each, id=name, marks=[pytest.mark.slow] * ("NUTS" in name)) for name, each in ESTIMATORS.items()],
)
def test_a_mapping_and_a_data_frame_are_data(estimator: Estimator) -> None:
    model = MODELS["tutorial"]
    column = [0.0, 1.0, 10.0, 11.0, 12.0]
    with quiet():
        fits = [
            estimator.fit(model, data, seed=1) for data in ({"X": column}, pd.DataFrame({"X": column}), Data(X=column))
        ]
    for name, value in fits[0].draws.items():
        assert torch.equal(fits[1].draws[name], value)
        assert torch.equal(fits[2].draws[name], value)


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_progress_is_drawn_when_asked_for_and_not_off_a_terminal(
    estimator: Estimator, capsys: pytest.CaptureFixture[str]
) -> None:
    model = MODELS["tutorial"]
    fit_quietly(estimator, model, rows_for(model, estimator), seed=0)
    assert capsys.readouterr() == ("", "")
    shown = replace(estimator, progress_bar=True)  # type: ignore[type-var]
    fit_quietly(shown, model, rows_for(model, estimator), seed=0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "%" in err


def test_a_seed_may_be_any_whole_number_below_two_to_the_63() -> None:
    fit = Fit.from_greeks(GaussianMixture(K=2), {"theta": [0.5, 0.5], "mu_X": [0.0, 1.0]})
    large = [fit.do(Z=1).sample(3, seed=seed)["X"] for seed in (2**40, 2**40, 2**40 + 1)]
    assert torch.equal(large[0], large[1]) and not torch.equal(large[0], large[2])
