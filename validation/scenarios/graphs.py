"""Causal graphs with fixed, known truth: many effects of Z, a hidden confounder, and Z that is partly seen or set."""

from pyro.distributions import HalfNormal, Normal

from estimators import CausalMixture
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from validation.scenarios.base import Allowed
from validation.scenarios.intervention import Intervention
from validation.scenarios.scenario import Scenario, do_each
from validation.scenarios.sources import FixedTruth, Partly
from validation.scenarios.tutorial import tutorial_model

COLUMNS = tuple(f"X{i}" for i in range(1, 7))


def many_columns() -> CausalMixture:
    """Return two classes that six columns of unknown scale tell apart."""
    mechanism = Gaussian(loc=Normal(0, 10), scale=HalfNormal(5))
    return CausalMixture(2, dict.fromkeys(COLUMNS, mechanism), concentration=1.0)


def confounder() -> CausalMixture:
    """Return Z → T, Z → Y, T → Y: a hidden severity decides who is treated, and how they fare."""
    outcome = LinearGaussian(parents=["T"], coefficients=Normal(0, 10), scale=HalfNormal(5))
    return CausalMixture(2, {"T": Bernoulli(), "Y": outcome}, concentration=1.0)


GRAPHS = (
    Scenario(
        name="many_columns",
        sentence="Six columns of unknown scale, each of which alone tells the two classes apart badly, 500 rows.",
        make_model=many_columns,
        source=FixedTruth(
            {"theta": (0.4, 0.6)}
            | {f"mu_{name}": (-0.6 - 0.1 * i, 0.6 + 0.1 * i) for i, name in enumerate(COLUMNS)}
            | {f"sigma_{name}": (1.0, 0.8 + 0.1 * i) for i, name in enumerate(COLUMNS)}
        ),
        num_rows=500,
        interventions=do_each(2, "X1") + do_each(2, "X6"),
        sort_by="mu_X1",
    ),
    Scenario(
        name="hidden_confounder",
        sentence=(
            "Z causes the treatment T and the outcome Y, and T causes Y: do(T) is asked, which is not what is seen at "
            "T = t. 1000 rows. The classes differ in spread, which tells which outcomes of the treated and of the "
            "untreated are of one class; with equal spreads nothing would."
        ),
        make_model=confounder,
        source=FixedTruth(
            {
                "theta": (0.4, 0.6),
                "p_T": (0.2, 0.8),
                "beta_Y": ((0.0, -1.0), (5.0, -1.5)),
                "sigma_Y": (0.7, 1.4),
            }
        ),
        num_rows=1000,
        interventions=(Intervention("Y", {"T": 0}), Intervention("Y", {"T": 1})),
        sort_by="p_T",
        allowed=Allowed.ONE,
    ),
    Scenario(
        name="partly_seen",
        sentence="Overlapping components (2.5 standard deviations), Z seen in a third of 300 rows.",
        make_model=tutorial_model,
        source=FixedTruth({"theta": (0.4, 0.6), "mu_X": (-1.25, 1.25)}, Partly(seen=1 / 3)),
        num_rows=300,
        interventions=do_each(2),
        sort_by=None,
    ),
    Scenario(
        name="partly_set",
        sentence=(
            "Overlapping components (2.5 standard deviations); in a third of 300 rows Z was set by an experimenter, to "
            "either label equally often, which says nothing about its weights 0.25 and 0.75."
        ),
        make_model=tutorial_model,
        source=FixedTruth({"theta": (0.25, 0.75), "mu_X": (-1.25, 1.25)}, Partly(set=1 / 3)),
        num_rows=300,
        interventions=do_each(2),
        sort_by=None,
    ),
)
