"""What is printed of fits and answers: at most 25 lines that matter, whatever the model, and a line for its `repr`."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from estimators import CausalMixture, Data, Estimate, Fit, GaussianMixture, PyroModel, Status
from estimators.data.words import few_lines, in_few_digits
from estimators.fits.identification import Extent, Identification, Remedy, Verdict
from estimators.mechanisms import Bernoulli, Categorical, FullGaussian, Gaussian, LinearGaussian
from estimators.modes.table import Modes
from estimators.queries.effect_table import EffectTable
from tests import mechanism_models, models
from tests.gallery import EXAMPLES

LINES, LINE = 25, 200
MIXTURES: dict[str, CausalMixture] = {
    **models.MODELS,
    **mechanism_models.MODELS,
    "thirty variables": CausalMixture(2, {f"X{number}": Gaussian() for number in range(30)}),
    "many classes": CausalMixture(40, {"X": FullGaussian(3), "C": Categorical(5)}),
}
EVERYTHING = {status: "; ".join(f"of the entry {k} so much is said " for k in range(20)) for status in Status}


def mixture_fit(model: CausalMixture) -> Fit:
    greeks = mechanism_models.random_greeks(model, 0)
    return Fit.from_greeks(model, greeks)


def program_fit(name: str) -> Fit:
    example = EXAMPLES[name]
    model, data = PyroModel(example.fn, order_by=example.order_by), example.data(20)
    draws = {greek: value[None] for greek, value in example.truth.items()}
    return Fit(model, "map", draws, 1, Status.CONVERGED, {"labels": "labels are as given"}, data=data)


def several(fit: Fit, num_draws: int = 6) -> Fit:
    """The same fit as draws of two chains, each with a size of its own."""
    sizes = torch.linspace(0.9, 1.1, num_draws, dtype=torch.float64)
    draws = {name: value * sizes.reshape(-1, *[1] * (value.ndim - 1)) for name, value in fit.draws.items()}
    return replace(fit, kind="posterior", draws=draws, num_chains=2)


def burdened(fit: Fit, num_modes: int = 9) -> Fit:
    """The same fit, of which everything holds at length."""
    stats = {"estimator": "NUTS", "labels": "labels are " + "so and " * 90, "label_certainty": 0.5, "log_joint": -1e9}
    greeks = {name: torch.cat([value[:1]] * num_modes) for name, value in fit.draws.items()}
    weights = np.full(num_modes, 1.0 / num_modes)
    words = ("theta[0] at 0",) * num_modes, ("theta[0] is not informed by these data",) * num_modes, ("",) * num_modes
    found = Modes(greeks, -weights, weights, np.ones(num_modes), *words, 99, 0.5, False, True)
    said: dict[str, Any] = {"status": Status.NOT_IDENTIFIED, "findings": EVERYTHING}
    return replace(fit, stats=stats, found=found, remarks=("A remark. " * 40,) * 5, **said)


def check_prints(*fits: Fit) -> None:
    for fit in fits:
        lines = str(fit).splitlines()
        assert len(lines) <= LINES and max(map(len, lines)) <= LINE
        assert "\n" not in repr(fit) and len(repr(fit)) <= LINE
        assert [greek for greek in list(fit.draws)[:1] if greek in str(fit)]


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_is_printed_on_a_page(name: str) -> None:
    fit = mixture_fit(MIXTURES[name])
    check_prints(fit, several(fit), burdened(fit), burdened(several(fit)))
    assert len(repr(burdened(fit).modes).splitlines()) <= LINES


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_program_is_printed_on_a_page(name: str) -> None:
    fit = program_fit(name)
    check_prints(fit, several(fit), burdened(fit), burdened(several(fit)))


def test_rows_of_a_transition_matrix_are_printed_as_rows() -> None:
    fit = program_fit("chain")
    move = fit["move"]
    assert not torch.allclose(move, move.T), "the control"
    rows = [line.split() for line in str(fit).splitlines()]
    for state, row in enumerate(move.tolist()):
        assert [f"move[{state}]", *(f"{entry:.4g}" for entry in row)] in rows


def confounded() -> Fit:
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"], shared=["scale"])})
    data = Data(T=["treated", "control", "treated"], Y=[1.0, 2.0, 3.0])
    greeks = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, 20000.7]], "sigma_Y": 2 / 3}
    stats = {
        "estimator": "EM",
        "log_likelihood": -9.209751,
        "labels": "labels are ordered by Y",
        "label_certainty": 1.0,
    }
    draws = {name: value[None] for name, value in model.check_greeks(greeks).items()}
    return Fit(model, "ml", draws, 1, Status.CONVERGED, {**stats, "label_certainty": 1.0}, data=data)


def test_the_page_says_what_matters() -> None:
    fit = confounded()
    assert str(fit).splitlines() == [
        "EM: a maximum of the likelihood, log-likelihood -9.21",
        "Data(3 rows: T (control, treated), Y)",
        "CONVERGED: The estimator converged.",
        "Labels (certainty 1.00): ordered by Y",
        "Greek             class 0 class 1     all",
        "theta                 0.4     0.6        ",
        "p_T                   0.2     0.8        ",
        "beta_Y[intercept]       0       3        ",
        "beta_Y[T=treated]      -1   20001        ",
        "sigma_Y                            0.6667",
    ]
    named = several(fit).relabel({"low": 0, "high": 1})
    assert "Greek, mean ± sd" in str(named) and "low" in str(named) and "20001 ± " in str(named)
    rival = burdened(fit)
    assert "rival fit.modes[1]: weight 0.11, open, theta=[0.4, 0.6]" in str(rival)
    assert "... print(fit.modes) has all of them, 5 more" in str(rival)
    assert "... fit.advice has all of it" in str(rival)
    many = mixture_fit(MIXTURES["thirty variables"])
    assert str(many).splitlines()[-1] == f"... fit.summary() has all {len(many.summary())} entries"


def test_what_is_said_of_labels_and_levels_has_no_line_of_its_own() -> None:
    known = Fit.from_greeks(GaussianMixture(2), {"theta": [0.4, 0.6], "mu_X": [0.0, 1.0]})
    fit = known.relabel({"a\nb" * 50: 0, "c": 1})
    check_prints(fit, burdened(fit))


def test_an_answer_has_few_digits_and_its_interval() -> None:
    draws = torch.linspace(0.7, 0.8, 101, dtype=torch.float64)
    assert repr(Estimate(torch.tensor([0.744584113904537]).double())) == "Estimate(0.7446; a point estimate)"
    assert repr(Estimate(draws)) == "Estimate(0.75, sd 0.0293, 90 % interval 0.705 to 0.795; 101 draws)"
    simulated = Estimate(draws[:1], error=torch.tensor([0.00123456]))
    assert repr(simulated) == "Estimate(0.7; a point estimate, simulated to ± 0.001235)"
    two = Estimate(torch.stack([draws, 2.0 * draws], 1)).interval()
    assert repr(two) == "([0.705, 1.41], [0.795, 1.59])" and two[0].shape == (2,)
    per_row = Estimate(torch.rand(50, 400, 3))
    assert len(repr(per_row)) <= LINE and "\n" not in repr(per_row)
    assert in_few_digits(float("nan")) == "nan" and in_few_digits([[1e20, -1.0]]) == "[[1e+20, -1]]"


def test_a_table_of_effects_is_cut() -> None:
    levels = {"A": [str(level) for level in range(6)], "B": [0.0, 1.0], "C": ["x", "y", "z"]}
    effects = EffectTable(torch.rand(5, 6, 2, 3), levels=levels)
    lines = repr(effects).splitlines()
    assert len(lines) == LINES and lines[-1] == "... its table() has all 36 combinations"
    assert lines[0].split() == ["A,", "B,", "C", "value", "sd", "lower", "upper"] and lines[1].startswith("0, 0.0, x")


def test_a_wide_table_loses_columns_and_says_so() -> None:
    table = pd.DataFrame([[1.0] * 50], columns=[f"column {number}" for number in range(50)])
    lines = few_lines(table, 10, "whole")
    assert max(map(len, lines)) <= 100 and lines[-1] == "... whole"
    assert few_lines(table.iloc[:, :3], 10, "whole")[-1] != "... whole"


def test_a_question_and_its_answers_to_rows_are_a_line() -> None:
    fit = confounded()
    assert repr(fit.do(T="treated").given(Z=1)).startswith("Query(do(T='treated') given(Z=1);")
    assert repr(fit.counterfactual(fit.data, do={"T": 1})).startswith("Counterfactual(of T, Y;")


def test_what_is_identified_is_said_in_few_lines() -> None:
    quantities = [f"quantity {number}" for number in range(60)]
    verdicts = {
        name: Verdict(name, Extent.IDENTIFIED if number % 2 else Extent.SET, (0.0, 1.0)[: 2 - number % 2])
        for number, name in enumerate(quantities)
    }
    remedies = tuple(Remedy(f"rows with {name} set", (name,)) for name in quantities)
    words = str(Identification({}, verdicts, remedies, "all cells", 10, False, "labels apart"))
    assert len(words.splitlines()) <= 15 and "25 more" in words and "55 more" in words and "18 more" in words
