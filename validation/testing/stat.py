"""The object behind the fixture ``stat``: the checks that a test can make, and its seeds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from validation.statistics.arguments import Array
from validation.statistics.check import Check
from validation.statistics.dependence import thinned
from validation.statistics.distribution import cdf_check, same_check
from validation.statistics.estimates import errors_of_columns, errors_of_estimate
from validation.statistics.mean import mean_check
from validation.statistics.proportion import alternative_of, coverage_check, proportion_check
from validation.statistics.ranks import ranks_check
from validation.statistics.student import student_check
from validation.testing.ledger import Ledger


class Stat:
    """Statistical checks of one test. Every check returns a `Check`, or raises StatisticalFailure or Underpowered.

    `min_effect` is the smallest effect that matters, of the call or else of the marker; a check that would not see it
    with the marker's `power` is underpowered, not passed. Bad arguments raise TypeError or ValueError at the call.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    # ---------------------------------------------------------------- checks

    def mean(
        self,
        samples: Any,
        expected: float,
        *,
        min_effect: float | None = None,
        chains: bool = False,
        skewness: float | None = None,
    ) -> Check:
        """The mean of independent samples [n], or of the draws of chains [C, S] (chains=True).

        Student's test; effects in the samples' unit. `skewness`: of the distribution, if known (0 if symmetric).
        """
        __tracebackhide__ = True
        requirement = self.ledger.requirement(min_effect)
        return self.ledger.judged(mean_check(samples, expected, requirement, chains=chains, skewness=skewness))

    def means(
        self,
        samples: Any,
        expected: Any,
        *,
        names: Sequence[str] | None = None,
        min_effect: float | None = None,
        skewness: float | None = None,
    ) -> Check:
        """The means of all columns of independent rows [n, E], as one check; effects in sds of a column.

        Student's test of each at an E-th of the level. `expected` is a number or [E]; `skewness` as in `mean`, of all.
        """
        __tracebackhide__ = True
        requirement = self.ledger.requirement(min_effect)
        errors, allowed = errors_of_columns(samples, expected, names, skewness)
        return self.ledger.judged(student_check("means", errors, requirement, allowed, subject="means", unit="row"))

    def estimate(self, value: float, error: float, expected: float, *, min_effect: float | None = None) -> Check:
        """A normal estimate with its standard error; effects in standard errors."""
        __tracebackhide__ = True
        requirement = self.ledger.requirement(min_effect)
        errors = errors_of_estimate(value, error, expected)
        return self.ledger.judged(
            student_check("estimate", errors, requirement, subject="an estimate", unit="estimate")
        )

    def proportion(
        self,
        successes: int,
        trials: int,
        expected: float,
        *,
        min_effect: float | None = None,
        alternative: str = "two-sided",
    ) -> Check:
        """Successes in independent trials against a probability: exact binomial tails; effects in probability.

        `alternative`: "less" where only fewer would be a fault, "greater" where only more would.
        """
        __tracebackhide__ = True
        requirement = self.ledger.requirement(min_effect)
        sides = alternative_of(alternative)
        return self.ledger.judged(proportion_check(successes, trials, expected, requirement, sides))

    def coverage(self, intervals: Any, truths: Any, level: float, *, min_effect: float | None = None) -> Check:
        """How many independent intervals [n, 2] hold their truth [n], against their level; effects in probability."""
        __tracebackhide__ = True
        return self.ledger.judged(coverage_check(intervals, truths, level, self.ledger.requirement(min_effect)))

    def uniform_ranks(self, ranks: Any, num_draws: int, *, min_effect: float | None = None) -> Check:
        """Independent ranks of truths among `num_draws` draws, for uniformity; effects in posterior sds of shift."""
        __tracebackhide__ = True
        return self.ledger.judged(ranks_check(ranks, num_draws, self.ledger.requirement(min_effect)))

    def cdf(self, samples: Any, cdf: Callable[[Array], Any], *, min_effect: float | None = None) -> Check:
        """Independent samples against a distribution function of arrays; effects are largest distances of CDFs."""
        __tracebackhide__ = True
        return self.ledger.judged(cdf_check(samples, cdf, self.ledger.requirement(min_effect)))

    def same_distribution(self, a: Any, b: Any, *, min_effect: float | None = None) -> Check:
        """Two sets of independent samples (`thinned` makes them of chains); effects are largest distances of CDFs."""
        __tracebackhide__ = True
        return self.ledger.judged(same_check(a, b, self.ledger.requirement(min_effect)))

    def recovers(
        self,
        fit_or_fits: Any,
        truth: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        names: Sequence[str] | None = None,
        *,
        rows: Any = None,
        unit: float | Mapping[str, float] | None = None,
        min_effect: float | None = None,
    ) -> Check:
        """Every Greek's entries at the truth, labelled as the fits are.

        With `rows`, what each fit was to be made of (a number, or the data sets), errors are measured in sds of an
        efficient estimator of these rows (Cramér and Rao); with `unit`, in units that you name: a number, or one by
        Greek. Never in a spread of their own. Asserted are the mean error and the mean squared error
        (`efficiency_check`). Several fits need one of the two.

        One fit without either: of a point fit, that the likelihood of its rows allows the truth and is highest at the
        fit (`drop_to`); of draws, that they hold it (`tails_check`), or else that the likelihood does, as of a point.
        """
        __tracebackhide__ = True
        from validation.testing.fits import Fits

        fits = Fits(fit_or_fits, truth, rows=rows, unit=unit)
        requirement = self.ledger.requirement(min_effect)
        asked = fits.entries(names)
        return self.ledger.judged(fits.check("recovers", asked, requirement, self.ledger.seed("truth")))

    def interventions(
        self,
        fit_or_fits: Any,
        truth: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        do: Mapping[str, Any],
        outcome: str | None = None,
        rows: Any = None,
        unit: float | Mapping[str, float] | None = None,
        min_effect: float | None = None,
    ) -> Check:
        """E[outcome | do(...)] of every scalar variable not set (or of one), against the truth's, as in `recovers`."""
        __tracebackhide__ = True
        from validation.testing.fits import Fits

        fits = Fits(fit_or_fits, truth, rows=rows, unit=unit)
        requirement = self.ledger.requirement(min_effect)
        asked = fits.means(do, outcome)
        return self.ledger.judged(fits.check("interventions", asked, requirement, self.ledger.seed("truth")))

    # ---------------------------------------------------------------- controls, seeds, thinning

    def control(self) -> AbstractContextManager[None]:
        """A block whose checks are of what is known to be wrong: each must fail, at the level of this test's checks.

        They spend nothing of the budget, are not counted, and are recorded as controls. Without a `min_effect` of
        their own or of the marker they have that of the check before.
        """
        return self.ledger.control()

    @property
    def seed(self) -> int:
        """A seed below 2³² from the root seed and the test's id."""
        return self.ledger.budget.seed()

    @property
    def alpha(self) -> float:
        """The false-alarm probability that one check of this test may spend."""
        return self.ledger.budget.alpha

    thinned = staticmethod(thinned)
