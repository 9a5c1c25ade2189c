"""The contract of the core on programs: every estimator, on every example of the gallery, through a whole fit."""

from pathlib import Path

import pyro
import pytest
import torch

from estimators import EM, MAP, NUTS, SMC, Data, Fit, PyroModel
from estimators.algorithms.protocol import Estimator
from tests.fit_checks import check_copies, check_numbers, check_seed, unchanged_process
from tests.gallery import EXAMPLES, Example, chain_of_a_column
from tests.models import fit_quietly, quiet

ESTIMATORS: dict[str, Estimator] = {
    "EM": EM(num_starts=3, max_iterations=200),
    "MAP": MAP(num_starts=5, num_steps=5),
    "NUTS": NUTS(num_samples=15, warmup_steps=20, num_chains=2),
    "NUTS by Pyro": NUTS(num_samples=4, warmup_steps=2, num_chains=1, engine="pyro"),
    "SMC": SMC(num_particles=40, num_clouds=2, max_sweeps=2),
}
# A whole fit of a program and its questions take up to 20 s, most of them for capturing its graphs: these are the
# shortest, and each estimator meets some.
QUICK = {
    "EM": ("zero-inflated",),
    # Of point fits one has the whole interface; MAP's is asked for its draws and its state below.
    "MAP": (),
    "NUTS": ("tutorial",),
    "NUTS by Pyro": (),
    "SMC": (),
}
# The example with parameters, which have no priors, is refused by an estimator that begins at draws of them.
OF_PARAMETERS = {name: each for name, each in ESTIMATORS.items() if name != "SMC"}
CASES = [
    pytest.param(estimator, example, id=f"{name}, {of}", marks=[] if of in QUICK[name] else [pytest.mark.slow])
    for name, estimator in ESTIMATORS.items()
    for of, example in EXAMPLES.items()
    if of != "parameters" or name in OF_PARAMETERS
]


def model_of(example: Example) -> PyroModel:
    return PyroModel(example.fn, order_by=example.order_by)


@pytest.mark.parametrize(("estimator", "example"), CASES)
def test_the_whole_interface(estimator: Estimator, example: Example, tmp_path: Path) -> None:
    model, data = model_of(example), example.data(12)
    fit = fit_quietly(estimator, model, data, seed=3)
    check_greeks(fit, example)
    check_queries(fit, example, data)
    check_copies(fit, data, tmp_path / "fit.npz", model)


def check_greeks(fit: Fit, example: Example) -> None:
    assert set(fit.draws) == set(example.greeks)
    check_numbers(fit, {name: value.shape for name, value in example.truth.items()})


def check_queries(fit: Fit, example: Example, data: Data) -> None:
    hidden, site = next(iter(example.hidden)), fit_sites(fit)[-1]
    with quiet():
        set_one, seen_one = fit.do(**{hidden: 1}), fit.given(**{hidden: 1})
    mean = set_one.mean(site)
    assert mean.draws.shape[0] == fit.num_draws
    assert bool(torch.isfinite(mean.draws).all())
    # Nothing is above the first site: to see it is to set it.
    torch.testing.assert_close(seen_one.mean(site).draws, mean.draws, rtol=1e-9, atol=1e-9)
    drawn = set_one.sample(7, seed=1)
    assert set(drawn) == set(fit_sites(fit)) - set(example.hidden)
    assert all(len(column) == 7 for column in drawn.values())
    again = set_one.sample(7, seed=1)
    assert all(torch.equal(column, again[name]) for name, column in drawn.items())
    contrast = fit.contrast(site, do={hidden: 1}, versus={hidden: 0})
    assert contrast.draws.shape == mean.draws.shape
    shares = fit.responsibilities(data, hidden)
    assert shares.shape == (data.num_rows, example.hidden[hidden])
    torch.testing.assert_close(shares.sum(1), torch.ones(data.num_rows, dtype=torch.float64))
    assert fit.log_density(data).shape == (data.num_rows,)
    state = torch.get_rng_state()
    if example.fn is not chain_of_a_column:
        rows = pyro.do(fit.program, data={hidden: torch.tensor(1)})(5)
        assert bool((rows[hidden] == 1).all())
        assert all(len(column) == 5 for column in rows.values())
    torch.set_rng_state(state)


def fit_sites(fit: Fit) -> list[str]:
    assert isinstance(fit.model, PyroModel)
    return list(fit.model.structure(fit.data).sites)


@pytest.mark.parametrize(
    "name", ["tutorial", *(pytest.param(name, marks=pytest.mark.slow) for name in ("chain", "inner plate"))]
)
@pytest.mark.parametrize(
    "estimator",
    [pytest.param(each, id=name, marks=pytest.mark.slow if name != "EM" else ()) for name, each in ESTIMATORS.items()],
)
def test_the_same_seed_gives_the_same_bits(estimator: Estimator, name: str) -> None:
    check_seed(estimator, model_of(EXAMPLES[name]), EXAMPLES[name].data(12))


@pytest.mark.parametrize(
    "estimator",
    # The one that runs Pyro's SVI, on its store of parameters; Pyro's sampler is asked the same of a mixture.
    [
        pytest.param(each, id=name, marks=() if name == "MAP" else pytest.mark.slow)
        for name, each in OF_PARAMETERS.items()
    ],
)
def test_a_fit_leaves_the_process_as_it_was(estimator: Estimator) -> None:
    example = EXAMPLES["parameters"]
    with unchanged_process():
        fit = fit_quietly(estimator, model_of(example), example.data(12))
        fit.do(z=1).sample(3, seed=2)
        fit.do(z=1).mean("x")


# By default labels of a program are asked for their draws, and exported, in test_label_names.py.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["tutorial", "confounder"])
def test_laplace(name: str) -> None:
    example = EXAMPLES[name]
    fit = fit_quietly(MAP(num_starts=5, num_steps=5), model_of(example), example.data(60), seed=0)
    spread = fit.laplace(num_draws=200, seed=0)
    assert spread.num_draws == 200
    low, high = spread.do(**{next(iter(example.hidden)): 1}).mean(example.observed[-1]).interval(0.9)
    assert bool(low < high)
    assert spread.to_arviz()["log_likelihood"]["rows"].shape == (1, 200, 60)
