"""The object behind the fixture ``stat``: a test's checks at their share of the budget, its seeds, and its outcome."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from validation.testing.arguments import Array
from validation.testing.check import Check, Demand, Outcome, check_effect
from validation.testing.dependence import thinned
from validation.testing.distribution import cdf_check, same_check
from validation.testing.errors import StatisticalFailure, StatisticalWarning, Underpowered
from validation.testing.marker import Share
from validation.testing.mean import mean_check
from validation.testing.message import failed, passed_control, underpowered
from validation.testing.proportion import coverage_check, proportion_check
from validation.testing.ranks import ranks_check
from validation.testing.record import Record, record_of
from validation.testing.recovery import errors_check, errors_of_columns, errors_of_estimate


class Stat:
    """Statistical checks of one test. Every check returns a `Check`, or raises StatisticalFailure or Underpowered.

    `min_effect` is the smallest effect that matters, of the call or else of the marker; a check that would not see it
    with the marker's `power` is underpowered, not passed. Bad arguments raise TypeError or ValueError at the call.
    """

    def __init__(self, share: Share, keep: Callable[[Record], None], *, allow_underpowered: bool = False) -> None:
        self._share = share
        self._keep = keep
        self._allow_underpowered = allow_underpowered
        self._made = 0
        self._controls: int | None = None  # made in the block of `control` that is open
        self._controlled = False
        self._last_effect: float | None = None

    # ---------------------------------------------------------------- checks

    def mean(
        self,
        samples: Any,
        expected: float,
        *,
        min_effect: float | None = None,
        ess: float | None = None,
        chains: bool = False,
        skewness: float | None = None,
    ) -> Check:
        """The mean of independent samples [n], of dependent draws with their `ess`, or of chains [C, S] (chains=True).

        Student's test; effects in the samples' unit. `skewness`: of the distribution, if known (0 if symmetric).
        """
        __tracebackhide__ = True
        demand = self._demand(min_effect)
        return self._judged(mean_check(samples, expected, demand, ess=ess, chains=chains, skewness=skewness))

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
        demand = self._demand(min_effect)
        errors, known = errors_of_columns(samples, expected, names, skewness)
        is_known = skewness is not None
        check = errors_check("means", errors, demand, skewness=known, is_known=is_known, what="means", unit="row")
        return self._judged(check)

    def estimate(
        self, value: float, error: float, expected: float, *, min_effect: float | None = None, df: float = math.inf
    ) -> Check:
        """A normal estimate with its standard error, known with `df` degrees of freedom; effects in standard errors."""
        __tracebackhide__ = True
        demand = self._demand(min_effect)
        errors = errors_of_estimate(value, error, expected, df)
        return self._judged(errors_check("estimate", errors, demand, what="an estimate", unit="estimate"))

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
        demand = self._demand(min_effect)
        return self._judged(proportion_check(successes, trials, expected, demand, alternative=alternative))

    def coverage(self, intervals: Any, truths: Any, level: float, *, min_effect: float | None = None) -> Check:
        """How many independent intervals [n, 2] hold their truth [n], against their level; effects in probability."""
        __tracebackhide__ = True
        return self._judged(coverage_check(intervals, truths, level, self._demand(min_effect)))

    def uniform_ranks(self, ranks: Any, num_draws: int, *, min_effect: float | None = None) -> Check:
        """Independent ranks of truths among `num_draws` draws, for uniformity; effects in posterior sds of shift."""
        __tracebackhide__ = True
        return self._judged(ranks_check(ranks, num_draws, self._demand(min_effect)))

    def cdf(self, samples: Any, cdf: Callable[[Array], Any], *, min_effect: float | None = None) -> Check:
        """Independent samples against a distribution function of arrays; effects are largest distances of CDFs."""
        __tracebackhide__ = True
        return self._judged(cdf_check(samples, cdf, self._demand(min_effect)))

    def same_distribution(self, a: Any, b: Any, *, min_effect: float | None = None) -> Check:
        """Two sets of independent samples (`thinned` makes them of chains); effects are largest distances of CDFs."""
        __tracebackhide__ = True
        return self._judged(same_check(a, b, self._demand(min_effect)))

    def recovers(
        self,
        fit_or_fits: Any,
        truth: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        names: Sequence[str] | None = None,
        *,
        min_effect: float | None = None,
        margin: float = 0.0,
        skewness: float = 0.0,
    ) -> Check:
        """Every Greek's entries at the truth, labelled as the fits are: in sds of the draws, or across several fits.

        One fit is judged by its draws (of a point fit, those of `Fit.laplace`); several by the mean of their errors,
        which may be off by `margin` sds, a known bias. Effects are in the same sds. Normal estimates are assumed.
        """
        __tracebackhide__ = True
        from validation.testing.fits import recovery_errors

        demand = self._demand(min_effect)
        errors = recovery_errors(fit_or_fits, truth, names, self._share.seed("laplace", self._made))
        return self._judged(errors_check("recovers", errors, demand, margin=margin, skewness=skewness, what="Greeks"))

    def interventions(
        self,
        fit_or_fits: Any,
        truth: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        do: Mapping[str, Any],
        outcome: str | None = None,
        min_effect: float | None = None,
        margin: float = 0.0,
    ) -> Check:
        """E[outcome | do(...)] of every scalar variable not set (or of one), against the truth's, as in `recovers`."""
        __tracebackhide__ = True
        from validation.testing.fits import intervention_errors

        demand = self._demand(min_effect)
        errors = intervention_errors(fit_or_fits, truth, do, outcome, self._share.seed("laplace", self._made))
        return self._judged(errors_check("interventions", errors, demand, margin=margin, what="predicted means"))

    @contextmanager
    def control(self) -> Iterator[None]:
        """A block whose checks are of what is known to be wrong: each must fail, at the level of this test's checks.

        They spend nothing of the budget, are not counted, and are recorded as controls. Without a `min_effect` of
        their own or of the marker they have that of the check before.
        """
        if self._controls is not None:
            raise ValueError("stat.control(): expected no block within another")
        self._controls = 0
        try:
            yield
            if not self._controls:
                raise ValueError("stat.control(): expected at least one check in the block, got none")
        finally:
            self._controls = None

    # ---------------------------------------------------------------- seeds, thinning

    @property
    def seed(self) -> int:
        """A seed below 2³² from the root seed and the test's id."""
        return self._share.seed()

    @property
    def alpha(self) -> float:
        """The false-alarm probability that one check of this test may spend."""
        return self._share.alpha

    thinned = staticmethod(thinned)

    # ---------------------------------------------------------------- inside

    def _level(self, min_effect: float | None) -> Demand:
        """Return what a check may spend and must see."""
        wish = self._share.wish
        effect = wish.min_effect if min_effect is None else check_effect(min_effect)
        if effect is None and self._controls is not None:
            effect = self._last_effect
        if effect is None:
            raise ValueError("min_effect: say the smallest effect that matters, in the call or in the marker")
        self._last_effect = effect
        return Demand(self._share.alpha, wish.power, effect)

    def _demand(self, min_effect: float | None) -> Demand:
        said = self._share.wish.entry.checks
        if self._controls is None and self._made >= said:
            raise ValueError(
                f"this test says checks={said} and makes check {self._made + 1}: say how many in the marker, "
                f"@pytest.mark.statistical(checks=...), and run pytest --statistical-update"
            )
        return self._level(min_effect)

    def _judged(self, check: Check) -> Check:
        __tracebackhide__ = True
        share, index = self._share, self._made
        is_control = self._controls is not None
        record = record_of(check, test=share.test, index=index, seed=self.seed, replay=share.replay)
        self._keep({**record, "control": is_control})
        if self._controls is not None:
            self._controls += 1
            self._controlled = True
            if check.outcome is not Outcome.FAILED:
                raise AssertionError(passed_control(check, share.replay))
            return check
        self._made += 1
        if check.outcome is Outcome.FAILED:
            raise StatisticalFailure(failed(check, share.replay))
        if check.outcome is Outcome.UNDERPOWERED:
            if not self._allow_underpowered:
                raise Underpowered(underpowered(check, share.replay))
            warnings.warn(StatisticalWarning(underpowered(check, share.replay)), stacklevel=3)
        return check

    def require_check(self) -> None:
        """Raise a ValueError if the test has made no check."""
        if not self._made and not self._controlled:
            raise ValueError("this test is marked statistical and made no check, so it could not have failed")
