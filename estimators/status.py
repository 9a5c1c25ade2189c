"""How an estimation ended, in words a person can act on."""

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum


class Status(Enum):
    """The end state of a fit; the value says what happened and what to do.

    Several may hold at once. The order of the members is that of how much each would mislead if it went unsaid: the
    first that holds is a fit's ``status``, and ``fit.advice`` has a sentence for every one.
    """

    happened: str

    NOT_IDENTIFIED = (
        "The rows leave some Greeks open: others fit them as well, so a point is one choice of many, and draws are as "
        "the priors have it; `fit.identifiability()` says what is open, and seen Z, rows with something set, or "
        "another measure of Z may settle it"
    )
    RIVAL_MODES = (
        "Other Greeks explain the rows about as well, and may answer otherwise; `print(fit.modes)` lists them, and "
        "seen Z, rows with something set, or another measure of Z may tell them apart"
    )
    PRIOR_POLE = (
        "The prior is infinite at an end of the Greeks, where all else is better than at this answer, the best one "
        "inside",
        "take a prior that has no pole (`concentration=1` or more, `Beta(1, 1)`) with MAP, or NUTS, which weighs it as "
        "it is",
    )
    PRIOR_CONFLICT = (
        "Prior and data disagree beyond chance, so the answer is a compromise, and all else may be for this reason",
        "check the units of the columns, or use wider priors (a mixture's `model.scaled_to(data)`)",
    )
    CHAINS_DISAGREE = (
        "The chains do not agree (rank-normalised R-hat above 1.01 after relabelling): little above it, there are too "
        "few draws; far above it, the chains explored different regions, and are not a sample of one posterior",
        "raise `warmup_steps` and `num_samples` (NUTS) or `num_particles` (SMC), use `Exact` on small data, or give "
        "the model stronger priors or seen Z",
    )
    SADDLE = (
        "The density still grows from here in some direction: this is a saddle, not a maximum",
        "raise `num_starts`, or try another `seed`",
    )
    COMPONENT_COLLAPSED = (
        "Every start ended with a component shrunk onto a single value, where the density is unbounded: this is a "
        "spike, not an estimate",
        "use fewer components, a scale that classes share (`shared=True`) or a known one, or a prior on the scale that "
        "keeps away from 0 together with MAP or NUTS",
    )
    BOUNDARY = (
        "A component has lost its rows, or a Greek ran to an end of its prior or to infinity, and was held short of it",
        "use a prior that keeps away from that end (MAP, NUTS)",
    )
    MAX_ITERATIONS = (
        "Stopped at the iteration limit before the gradient was small enough",
        "raise `max_iterations` (EM), `num_steps` (MAP), or loosen `tolerance`",
    )
    DIVERGENCES = (
        "Some transitions diverged, so a part of the posterior may be missing",
        "raise `target_accept_prob` towards 1 or use priors that keep scales away from 0",
    )
    LOW_ESS = (
        "Fewer than 100 effective draws per chain: means and intervals carry noticeable Monte Carlo error",
        "raise `num_samples` (NUTS) or `num_particles` (SMC)",
    )
    CONVERGED = "The estimator converged"

    def __new__(cls, happened: str, remedy: str = "") -> "Status":
        """A member whose value is both parts as one sentence."""
        member = object.__new__(cls)
        member.happened = happened
        member._value_ = f"{happened}; {remedy}." if remedy else f"{happened}."
        return member

    @property
    def is_interior(self) -> bool:
        """Whether a climb ended inside the parameters' space, at a stationary point or on its way to one."""
        return self in (Status.CONVERGED, Status.SADDLE, Status.MAX_ITERATIONS)

    def sentence(self, about: str = "") -> str:
        """What happened and to what; what to do in general is said where ``about`` does not say it in particular.

        >>> Status.LOW_ESS.sentence("mu_X[0] has 41")[-15:]
        'mu_X[0] has 41.'
        """
        return f"{self.name}: {self.happened}: {about}." if about else str(self)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


def in_order(findings: Mapping[Status, str]) -> dict[Status, str]:
    """What holds of a fit, and what each is about, the most misleading first; CONVERGED where nothing else does."""
    found: dict[Status, str] = {status: findings[status] for status in Status if status in findings}
    if len(found) > 1:
        found.pop(Status.CONVERGED, None)
    return found or {Status.CONVERGED: ""}


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
