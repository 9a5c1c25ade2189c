"""Where more than one answer may fit the rows: rival modes, a range, weak pins, a truth at an end, random graphs."""

from estimators import CausalMixture, GaussianMixture
from estimators.mechanisms import Bernoulli, LinearGaussian
from validation.scenarios.base import Allowed
from validation.scenarios.intervention import Intervention
from validation.scenarios.random_graphs import RandomEffects, random_effect
from validation.scenarios.scenario import Scenario, do_each
from validation.scenarios.sources import FixedTruth, Partly, PriorTruth

ITEMS = tuple(f"X{i}" for i in range(1, 6))
TREATED = (Intervention("Y", {"T": 0}), Intervention("Y", {"T": 1}))
RANDOM_ROWS = 500


def equal_spreads() -> CausalMixture:
    """Return Z → T, Z → Y, T → Y with an intercept and a slope of each class's own."""
    return CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)


def binary_confounder() -> CausalMixture:
    """Return Z → T, Z → Y, T → Y where all are binary: seven Greeks, of which three cells are seen."""
    return CausalMixture(2, {"T": Bernoulli(), "Y": Bernoulli(parents=["T"])})


def weakly_pinned() -> CausalMixture:
    """Return a mixture whose means, of scale 2, are close together."""
    return GaussianMixture(K=2, concentration=2.0, scale=1.0, loc_scale=2.0)


def items() -> CausalMixture:
    """Return two classes that answer five yes-or-no items."""
    return CausalMixture(2, dict.fromkeys(ITEMS, Bernoulli()), concentration=1.0)


def example_graph() -> CausalMixture:
    """Return one of the graphs that are drawn at random."""
    return random_effect(0, RANDOM_ROWS).model


SEVERAL_ANSWERS = (
    Scenario(
        name="rival_effects",
        sentence=(
            "A hidden confounder of T and Y whose classes have equal spreads and slopes of their own, 500 rows. The "
            "effect of T is −1; other Greeks, with an effect of +0.8, give rows of the same law, so the rows of a data "
            "set prefer one or the other by chance."
        ),
        make_model=equal_spreads,
        source=FixedTruth(
            {
                "theta": (0.4, 0.6),
                "p_T": (0.2, 0.8),
                "beta_Y": ((0.0, -1.0), (3.0, -1.0)),
                "sigma_Y": (0.7, 0.7),
            }
        ),
        num_rows=500,
        interventions=TREATED,
        sort_by="p_T",
        allowed=Allowed.SEVERAL,
    ),
    Scenario(
        name="unidentified_confounder",
        sentence=(
            "T and Y are binary and a hidden binary Z causes both, 1000 rows: three free cells, seven Greeks. Of those "
            "treated more have Y = 1, and yet the effect of T is −0.225; anything from about −0.34 to 0.66 would give "
            "the same rows."
        ),
        make_model=binary_confounder,
        source=FixedTruth({"theta": (0.5, 0.5), "p_T": (0.1, 0.9), "p_Y": ((0.25, 0.05), (0.95, 0.7))}),
        num_rows=1000,
        interventions=TREATED,
        sort_by="p_T",
        allowed=Allowed.RANGE,
    ),
    Scenario(
        name="weak_pin",
        sentence=(
            "Truths drawn from a prior under which the two means are close together (scale 2), 12 rows, in one of "
            "which Z is seen. That row alone says which label is which, and often says little. The posterior is known "
            "exactly."
        ),
        make_model=weakly_pinned,
        source=PriorTruth(Partly(seen=1 / 12)),
        num_rows=12,
        interventions=do_each(2),
        sort_by=None,
        exact=True,
        allowed=Allowed.LABELS,
    ),
    Scenario(
        name="boundary_truth",
        sentence=(
            "Five yes-or-no items as pathologists give them: one class never says yes to the first two, the other "
            "always to the second, 120 rows. Probabilities of 0 and 1 are maxima like any other, and no reason to warn."
        ),
        make_model=items,
        source=FixedTruth(
            {"theta": (0.6, 0.4)}
            | {
                f"p_{item}": chances
                for item, chances in zip(
                    ITEMS, ((0.0, 0.8), (0.0, 1.0), (0.1, 0.7), (0.2, 0.9), (0.3, 0.6)), strict=True
                )
            }
        ),
        num_rows=120,
        interventions=do_each(2, "X1"),
        sort_by="p_X1",
        allowed=Allowed.AT_AN_END,
    ),
    Scenario(
        name="random_graphs",
        sentence=(
            "A causal graph drawn at random for each replicate: two or three hidden classes, two to four variables of "
            "mixed families, far apart to nearly alike, in which T causes Y; 500 rows. The effect of T on Y is asked, "
            "which the rows of some graphs determine and those of others do not."
        ),
        make_model=example_graph,
        source=RandomEffects(),
        num_rows=RANDOM_ROWS,
        interventions=TREATED,
        sort_by=None,
        allowed=Allowed.MIXED,
    ),
)
