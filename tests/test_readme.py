"""The README's examples run as they stand, and what their comments and the sentences beside them say is true."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from estimators import CausalMixture, Fit
from estimators.mechanisms import Bernoulli, LinearGaussian

README = (Path(__file__).parents[1] / "README.md").read_text()
SECTIONS = {part.splitlines()[0]: part for part in re.split(r"^#+ ", README, flags=re.MULTILINE) if part.strip()}
EXAMPLES = {
    title: found.group(1)
    for title, part in SECTIONS.items()
    if (found := re.search(r"```python\n(.*?)```", part, flags=re.DOTALL)) and "@pytest" not in found.group(1)
}
CONFOUNDED = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]]}
# The cluster of the treated with less weight, 0.08 of all rows, paired with that of the untreated with less, 0.12.
OTHERWISE = {"theta": [0.8, 0.2], "p_T": [0.6, 0.4], "beta_Y": [[0.0, 2.0], [3.0, -4.0]]}
CONFOUNDER = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)


def ran(title: str) -> dict[str, Any]:
    """The names that an example leaves behind."""
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(EXAMPLES[title], f"README: {title}", "exec"), names)
    return names


def effect(fit: Fit) -> Any:
    return fit.contrast("Y", do={"T": 1}, versus={"T": 0})


def test_every_example_is_among_these() -> None:
    assert set(EXAMPLES) == {
        "exact-estimators",
        "Causal graphs",
        "Can an experiment refute it?",
        "Your own Pyro program",
    }


def test_the_first_example(capsys: pytest.CaptureFixture[str]) -> None:
    fit = ran("exact-estimators")["fit"]
    low, high = fit.do(Z=1).mean("X").interval(0.999)
    assert low < 3.0 < high
    assert "truth: tensor(3." in capsys.readouterr().out


@pytest.mark.parametrize("title", ["Causal graphs", pytest.param("Your own Pyro program", marks=pytest.mark.slow)])
def test_the_effect_is_near_minus_one_when_set_and_not_when_seen(
    title: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ran(title)["fit"]
    # Of the equal spreads at the example's end.
    assert ("the answer: one of -1, 0.8" in capsys.readouterr().out) == (title == "Causal graphs")
    spread = effect(fit.laplace(400, seed=0))
    assert abs(effect(fit).value + 1.0) < 4.0 * spread.sd < 0.5
    ((low, high),) = effect(fit).profile(0.999)
    assert low < -1.0 < high < low + 8.0 * spread.sd
    assert fit.given(T=1).mean("Y").value - fit.given(T=0).mean("Y").value > 0.5


def test_an_experiment_refutes_the_first_candidate_only(capsys: pytest.CaptureFixture[str]) -> None:
    ran("Can an experiment refute it?")
    said = capsys.readouterr().out
    assert said.startswith("Refuted (p = ")
    assert "X under do(Z=1) is wider" in said


def test_with_equal_spreads_two_effects_have_the_same_law() -> None:
    """And with the spreads of the example they have not: there the effect is identified."""
    rows = CONFOUNDER.simulate(200, {**CONFOUNDED, "sigma_Y": [0.7, 0.7]}, seed=0)
    seen = {"T": rows["T"], "Y": rows["Y"]}
    for sigma, is_same in (([0.7, 0.7], True), ([0.5, 1.0], False)):
        one = Fit.from_greeks(CONFOUNDER, {**CONFOUNDED, "sigma_Y": sigma})
        other = Fit.from_greeks(CONFOUNDER, {**OTHERWISE, "sigma_Y": sigma})
        assert torch.allclose(one.log_density(seen), other.log_density(seen), atol=1e-12) == is_same
        assert effect(one).value == pytest.approx(-1.0)
        assert effect(other).value == pytest.approx(0.8)
