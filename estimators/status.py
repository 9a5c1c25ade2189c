"""How an estimation ended, in words a person can act on."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class Status(Enum):
    """The end state of a fit; the value is advice.

    The first that holds is reported, in the order of the members after ``CONVERGED``.
    """

    CONVERGED = "The estimator converged."
    MAX_ITERATIONS = (
        "Stopped at the iteration limit before the gradient was small enough; raise `max_iterations` (EM), "
        "`num_steps` (MAP), or loosen `tolerance`."
    )
    COMPONENT_COLLAPSED = (
        "Every start ended with a component shrunk onto a single value, where the density is unbounded: this is a "
        "spike, not an estimate. Use fewer components, `shared_scale=True`, a known scale, or a prior on the scale "
        "that keeps away from 0 together with MAP or NUTS."
    )
    BOUNDARY = (
        "No start reached an interior stationary point: a component's weight, a probability, a rate, or a Greek with a "
        "bounded prior ran to the end of its support and was held just short of it; `fit.stats['at_edge']` says which, "
        "and what to do."
    )
    CHAINS_DISAGREE = (
        "The chains explored different regions (rank-normalised R-hat above 1.01 after relabelling), so the draws are "
        "not a sample of one posterior; raise `warmup_steps` and `num_samples`, use `Exact` on small data, or give "
        "the model stronger priors or seen Z."
    )
    DIVERGENCES = (
        "Some transitions diverged, so a part of the posterior may be missing; raise `target_accept_prob` towards 1 "
        "or use priors that keep scales away from 0."
    )
    LOW_ESS = (
        "Fewer than 100 effective draws per chain: means and intervals carry noticeable Monte Carlo error; "
        "raise `num_samples`."
    )

    @property
    def is_interior(self) -> bool:
        """Whether a climb ended inside the parameters' space, at a stationary point or on its way to one."""
        return self in (Status.CONVERGED, Status.MAX_ITERATIONS)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


def worth(status: Status, value: float) -> tuple[bool, bool, float]:
    """Order the ends of climbs: the best interior end, else the best at the boundary, else the best spike."""
    return status.is_interior, status is not Status.COMPONENT_COLLAPSED, value


class EstimationWarning(UserWarning):
    """A fit was returned that did not converge, or whose answer needs care."""


class EstimationError(RuntimeError):
    """A fit did not converge and ``strict=True`` asked for an error, or an operation needs a converged fit."""


def warn_user(message: str) -> None:
    """Warn as of the line of the caller's own code that led here, however deep in this package."""
    frame, level, own = sys._getframe(1), 2, ("estimators", "contextlib")
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in own:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, EstimationWarning, stacklevel=level)


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Run what evaluates a model at Greeks of an algorithm's choice: an exception there becomes an EstimationError."""
    try:
        yield
    except (EstimationError, NotImplementedError):
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        raise EstimationError(
            f"{what}: the model raised {type(error).__name__} ({first}) at some of the Greeks that were tried; let its "
            "log probability be a number or -inf wherever the Greeks are in their supports, or use tighter priors"
        ) from error
