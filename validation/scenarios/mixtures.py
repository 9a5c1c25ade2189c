"""Mixtures of one column with fixed, known truth: a grid of separation, balance and rows, and more classes."""

from pyro.distributions import HalfNormal, Normal

from estimators import CausalMixture, GaussianMixture
from estimators.mechanisms import Gaussian
from validation.scenarios.base import Allowed, Role
from validation.scenarios.scenario import Scenario, do_each
from validation.scenarios.sources import FixedTruth
from validation.scenarios.tutorial import tutorial_model

ROWS = (100, 300, 1000)
SEPARATIONS = {"separated": 6.0, "overlapping": 2.5}
SHARES = {"": 0.4, "_unbalanced": 0.1}
# The fewest rows at which each family's errors are held to the efficient ones: with fewer, bias of the order 1/N is a
# large part of any estimator's error. Families that are not listed are hard at any of these numbers of rows.
REGULAR_FROM = {"separated": 100, "overlapping": 1000, "separated_unbalanced": 300}
TOO_FEW = " Too few rows to tell the two apart well: errors are far from normal, and a fit should be right or warn."


def _scenario(separated: str, balance: str, num_rows: int) -> Scenario:
    family, separation, share = f"{separated}{balance}", SEPARATIONS[separated], SHARES[balance]
    is_regular = num_rows >= REGULAR_FROM.get(family, ROWS[-1] + 1)
    return Scenario(
        name=f"{family}_{num_rows}",
        sentence=(
            f"Two components of known scale 1, {separation:g} standard deviations apart, of which the first has "
            f"{share:.0%} of {num_rows} rows.{'' if is_regular else TOO_FEW}"
        ),
        make_model=tutorial_model,
        source=FixedTruth({"theta": (share, 1 - share), "mu_X": (-separation / 2, separation / 2)}),
        num_rows=num_rows,
        interventions=do_each(2),
        family=family,
        role=Role.REGULAR if is_regular else Role.HARD,
        allowed=None if is_regular else Allowed.ONE,
    )


def five_classes() -> CausalMixture:
    """Return a mixture of five normals of known scale."""
    return GaussianMixture(K=5, concentration=1.0, scale=1.0, loc_scale=20.0)


def unknown_scales() -> CausalMixture:
    """Return a mixture of two normals whose scales are estimated, one for each component."""
    return CausalMixture(2, {"X": Gaussian(loc=Normal(0, 10), scale=HalfNormal(5))}, concentration=1.0)


MIXTURES = (
    *(_scenario(separated, balance, num_rows) for separated in SEPARATIONS for balance in SHARES for num_rows in ROWS),
    Scenario(
        name="five_classes",
        sentence="Five components of known scale 1, five standard deviations apart, of unequal weight, 1000 rows.",
        make_model=five_classes,
        source=FixedTruth({"theta": (0.1, 0.3, 0.2, 0.25, 0.15), "mu_X": (-10.0, -5.0, 0.0, 5.0, 10.0)}),
        num_rows=1000,
        interventions=do_each(5),
    ),
    Scenario(
        name="unknown_scales",
        sentence="Two components of unknown scales 1 and 2, the first three tenths of 600 rows.",
        make_model=unknown_scales,
        source=FixedTruth({"theta": (0.3, 0.7), "mu_X": (-6.0, 3.0), "sigma_X": (1.0, 2.0)}),
        num_rows=600,
        interventions=do_each(2),
    ),
)
