"""The account of one statistical test: what its next check may spend, and what the outcome of a check means."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from validation.statistics.check import Check, Requirement, Verdict, check_effect
from validation.testing.errors import StatisticalFailure, Underpowered
from validation.testing.marker import TestBudget
from validation.testing.message import failed, passed_control, underpowered
from validation.testing.plain_check import PlainCheck, plain_check


class Ledger:
    """The checks of one test, against those that its marker says. `keep` is called with each as plain numbers."""

    def __init__(self, budget: TestBudget, keep: Callable[[PlainCheck], None]) -> None:
        self.budget = budget
        self.checks_made = 0
        self.failure: AssertionError | None = None  # of the first check that did not come out as it must
        self._keep = keep
        self._open_controls: int | None = None  # made in the block of `control` that is open
        self._has_controls = False
        self._last_effect: float | None = None

    def requirement(self, min_effect: float | None) -> Requirement:
        """Return what the next check may spend and must see; raise a ValueError if the marker says no more checks."""
        settings = self.budget.settings
        if self._open_controls is None and self.checks_made >= settings.entry.checks:
            raise ValueError(
                f"this test says checks={settings.entry.checks} and makes check {self.checks_made + 1}: say how many "
                "in the marker, @pytest.mark.statistical(checks=...), and run pytest --statistical-update"
            )
        effect = settings.min_effect if min_effect is None else check_effect(min_effect)
        if effect is None and self._open_controls is not None:
            effect = self._last_effect
        if effect is None:
            raise ValueError("min_effect: say the smallest effect that matters, in the call or in the marker")
        self._last_effect = effect
        return Requirement(self.budget.alpha, settings.power, effect)

    def seed(self, purpose: str) -> int:
        """Return a seed for what the next check draws itself."""
        return self.budget.seed(purpose, self.checks_made)

    def judged(self, check: Check) -> Check:
        """Keep a check and return it; raise what its outcome says, or, of a control, an error unless it failed."""
        __tracebackhide__ = True
        budget, is_control = self.budget, self._open_controls is not None
        self._keep({**plain_check(check, budget, self.checks_made), "control": is_control})
        if self._open_controls is not None:
            self._open_controls += 1
            self._has_controls = True
            if check.verdict is not Verdict.FAIL:
                raise self._noted(AssertionError(passed_control(check, budget.replay)))
            return check
        self.checks_made += 1
        if check.verdict is Verdict.FAIL:
            raise self._noted(StatisticalFailure(failed(check, budget.replay)))
        if check.verdict is Verdict.UNDERPOWERED:
            raise self._noted(Underpowered(underpowered(check, budget.replay)))
        return check

    def _noted(self, failure: AssertionError) -> AssertionError:
        self.failure = self.failure or failure
        return failure

    @contextmanager
    def control(self) -> Iterator[None]:
        """Treat the checks that are made in the block as negative controls (`Stat.control`)."""
        if self._open_controls is not None:
            raise ValueError("stat.control(): expected no block within another")
        self._open_controls = 0
        try:
            yield
            if not self._open_controls:
                raise ValueError("stat.control(): expected at least one check in the block, got none")
        finally:
            self._open_controls = None

    def require_check(self) -> None:
        """Raise a ValueError if the test has made no check."""
        if not self.checks_made and not self._has_controls:
            raise ValueError("this test is marked statistical and made no check, so it could not have failed")
