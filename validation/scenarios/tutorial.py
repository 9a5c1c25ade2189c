"""The tutorial's model: its five points, where everything is known exactly, and its own prior at few and more rows."""

from collections.abc import Sequence

from estimators import CausalMixture, GaussianMixture
from validation.scenarios.base import Allowed, Role
from validation.scenarios.scenario import Scenario, do_each
from validation.scenarios.sources import FixedData, PriorTruth

CONCENTRATION, SCALE, LOC_SCALE = 0.5, 1.0, 10.0
GROUPS = ((0.0, 1.0), (10.0, 11.0, 12.0))


def tutorial_model() -> CausalMixture:
    """Return the tutorial's mixture of two normals."""
    return GaussianMixture(K=2, concentration=CONCENTRATION, scale=SCALE, loc_scale=LOC_SCALE)


def _modes(groups: Sequence[Sequence[float]], *, concentration: float, precision: float) -> dict[str, float]:
    """Return the stationary point with every row in its own group, ascending: the groups are 9 sd apart.

    ``theta_k = (n_k + c - 1)/(N + K(c - 1))`` and ``mu_k = Σx/(n_k + σ²/τ²)``; c = 1 and σ²/τ² = 0 is maximum
    likelihood. A row's responsibility in the other group is below 1e-15.
    """
    total = sum(len(group) for group in groups) + len(groups) * (concentration - 1)
    weights = {f"theta[{k}]": (len(group) + concentration - 1) / total for k, group in enumerate(groups)}
    means = {f"mu_X[{k}]": sum(group) / (len(group) + precision) for k, group in enumerate(groups)}
    return weights | means


TUTORIAL = (
    Scenario(
        name="five_points",
        sentence=(
            "The tutorial's five points X = 0, 1, 10, 11, 12 with two components of known scale 1, fitted from three "
            "seeds: the maximum is known in closed form."
        ),
        make_model=tutorial_model,
        source=FixedData({"X": tuple(x for group in GROUPS for x in group)}),
        num_rows=5,
        interventions=do_each(2),
        replicates=3,
        exact=True,
        expected={
            "EM": _modes(GROUPS, concentration=1.0, precision=0.0),
            "MAP": _modes(GROUPS, concentration=CONCENTRATION, precision=(SCALE / LOC_SCALE) ** 2),
        },
    ),
    Scenario(
        name="few_rows",
        sentence=(
            "Truths drawn from the tutorial's own prior (concentration 0.5), ten rows each. In about one data set in "
            "four a component is nearly empty or the two overlap: point estimates sit on the boundary or split one "
            "cluster, and chains alone mix badly between modes. The posterior is known exactly."
        ),
        make_model=tutorial_model,
        source=PriorTruth(),
        num_rows=10,
        interventions=do_each(2),
        family="tutorial_prior",
        role=Role.HARD,
        exact=True,
        allowed=Allowed.LABELS,
    ),
    Scenario(
        name="tutorial_prior",
        sentence=(
            "Truths drawn from the tutorial's own prior (concentration 0.5), 100 rows each. In about one data set in "
            "eight the posterior has a mode with an empty component."
        ),
        make_model=tutorial_model,
        source=PriorTruth(),
        num_rows=100,
        interventions=do_each(2),
        family="tutorial_prior",
        role=Role.HARD,
        allowed=Allowed.LABELS,
    ),
)
