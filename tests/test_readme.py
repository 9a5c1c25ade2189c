"""The README's example runs as it stands, and what its comments and the sentences beside it say is true."""

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch

from estimators import MAP, NUTS, SMC, CausalMixture, EstimationWarning, Fit, Status
from estimators.algorithms.protocol import Estimator
from estimators.mechanisms import Bernoulli, LinearGaussian

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
TRUTH = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[8.0, -2.0], [14.0, -2.0]]}
# The cluster of the treated with less weight, 0.08 of all rows, paired with that of the untreated with less, 0.12.
OTHERWISE = {"theta": [0.8, 0.2], "p_T": [0.6, 0.4], "beta_Y": [[8.0, 4.0], [14.0, -8.0]]}
CONFOUNDER = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)


def test_the_example_gives_both_answers_and_draws_them(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    with pytest.warns(EstimationWarning, match="RIVAL_MODES"):
        exec(compile(EXAMPLE, "README.md", "exec"), names)
    fit = names["fit"]
    effect = fit.effect("days", of="treated")
    assert fit.status is Status.RIVAL_MODES
    assert "RIVAL_MODES" in capsys.readouterr().out
    assert effect.value == pytest.approx(-2.0, abs=0.1)
    assert effect.rivals.tolist() == pytest.approx([1.6], abs=0.1)
    (low, high), (lowest, highest) = effect.profile(0.9)
    assert low < effect.value < high < lowest < effect.rivals < highest
    stay = names["frame"].groupby("treated")["days"].mean()
    assert stay["yes"] - stay["no"] == pytest.approx(1.5, abs=0.05)
    assert "Seen, not set, the difference is 1.5" in plt.gca().get_title(loc="left")
    plt.close("all")


@pytest.fixture(scope="module")
def stay() -> dict[str, Any]:
    """The names of the example before its fit."""
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(EXAMPLE.partition("fit = ")[0], "README.md", "exec"), names)
    return names


def test_map_answers_as_em_does(stay: dict[str, Any]) -> None:
    with pytest.warns(EstimationWarning, match="RIVAL_MODES"):
        fit = MAP().fit(stay["model"], stay["frame"], seed=0)
    effect = fit.effect("days", of="treated")
    assert effect.value == pytest.approx(-2.0, abs=0.1) and effect.rivals.tolist() == pytest.approx([1.6], abs=0.1)
    (low, high), (lowest, highest) = effect.profile(0.9)
    assert low < effect.value < high < lowest < effect.rivals < highest


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(NUTS(num_samples=250, warmup_steps=300, num_chains=2), id="NUTS"),
        pytest.param(SMC(), id="SMC", marks=pytest.mark.slow),
    ],
)
def test_a_posterior_has_an_interval_in_place_of_a_profile(estimator: Estimator, stay: dict[str, Any]) -> None:
    fit = estimator.fit(stay["model"], stay["frame"], seed=0)
    effect = fit.effect("days", of="treated")
    assert fit.status is Status.CONVERGED and "CONVERGED" in str(fit)
    low, high = effect.interval(0.9)
    assert low < -2.0 < 1.6 < high
    with pytest.raises(ValueError, match=r"use \.interval"):
        effect.profile(0.9)
    fit.plot.effect("days", of="treated")
    plt.close("all")
    answers = [float(mode.effect("days", of="treated").value) for mode in fit.modes]
    assert sorted(answers) == pytest.approx([-2.0, 1.6], abs=0.15)
    assert (fit.modes.weights > 0.3).all() and (fit.modes.weights < 0.7).all()
    assert len(effect.by_mode) == 2


def test_with_equal_spreads_two_effects_have_the_same_law_and_else_not() -> None:
    rows = CONFOUNDER.simulate(200, {**TRUTH, "sigma_Y": [1.4, 1.4]}, seed=0)
    seen = {"T": rows["T"], "Y": rows["Y"]}
    for sigma, is_same in (([1.4, 1.4], True), ([1.0, 1.8], False)):
        one = Fit.from_greeks(CONFOUNDER, {**TRUTH, "sigma_Y": sigma})
        other = Fit.from_greeks(CONFOUNDER, {**OTHERWISE, "sigma_Y": sigma})
        assert torch.allclose(one.log_density(seen), other.log_density(seen), atol=1e-12) == is_same
        assert one.effect("Y", of="T").value == pytest.approx(-2.0)
        assert other.effect("Y", of="T").value == pytest.approx(1.6)


def test_its_pages_and_pictures_are_there() -> None:
    root = Path(__file__).parents[1]
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 10
    assert [link for link in links if not (root / link).exists()] == []
