"""What a model class gives, and all that algorithms, label rules, queries, storage and validation use of it.

Two wings meet here alone: what a model is (mixtures, programs), and what is asked of it (fits, labels, questions).

Shapes: S draws of the Greeks, N rows (a density: units, of which rows share a hidden site), K values of such a site, D
coordinates of all Greeks; ``[...]`` any number of leading axes, or none; Greeks φ: from name to ``[..., *shape]``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from estimators.data.data import LATENT, Data
from estimators.data.levels import Levels
from estimators.data.remarks import Remark
from estimators.optimise.arrays import Array, Mask
from estimators.optimise.objective import (
    Combination,
    NativeFunction,
    Objective,
    Parts,
    log_jacobian,
    log_joint,
    log_likelihood,
    log_posterior,
    log_prior,
)
from estimators.parameters.edges import Edge
from estimators.parameters.parameter import NamedAxes
from estimators.parameters.symmetry import Symmetry

__all__ = [
    "LATENT",
    "Answer",
    "Combination",
    "Conjugate",
    "Density",
    "Model",
    "NativeFunction",
    "Objective",
    "Parts",
    "Predictive",
    "Structural",
    "Variable",
    "WrongModelError",
    "WrongModelTypeError",
    "log_jacobian",
    "log_joint",
    "log_likelihood",
    "log_posterior",
    "log_prior",
]


# Draws of the Greeks [S, *shape] by name; and what is set, value or distribution by variable.
Draws = Mapping[str, Tensor]
Settings = Mapping[str, Any]


class Density(Protocol):
    """``log p(data | φ(v))``, ``log p(φ(v))`` and ``log |dφ/dv|``, hidden sites summed out, for v [..., D].

    Coordinates v are unconstrained, in units of the standardised data where these have any.
    """

    data: Data
    size: int
    # Coordinates [D] that are logs or logits: their ends are the boundary of the Greek's support.
    bounded: Mask
    # Σ w over the rows, or units; and their number, or Σ w if that is more, as where a weight repeats a row.
    total_weight: float
    count: float
    # Whether an M-step that does not move has reached its fixed point, and was not stopped by rounding.
    has_closed_form: bool

    @property
    def names(self) -> list[str]:
        """The Greeks, in the order of their coordinates."""

    @property
    def supports(self) -> Mapping[str, Any]:
        """The support of every Greek."""

    def of(self, data: Data) -> "Density":
        """The same density of other rows."""

    def beyond_priors(self) -> "Density":
        """The same density in coordinates of all that the likelihood allows, where a mixture's priors allow less.

        Without its priors nothing keeps a weight off 0 either.
        """

    @property
    def has_prior(self) -> bool:
        """Whether every Greek has a prior."""

    def log_priors(self, greeks: Mapping[str, Array]) -> Mapping[str, Array]:
        """``log p(φ)`` [...] of Greeks ``[..., *shape]``, in parts drawn apart; -inf outside a prior's support."""

    def row_information(self, information: Array, at: Array) -> Array:
        """What one row tells about each coordinate [D] if it is a location, where all rows tell ``information`` [D]."""

    @property
    def native_log_posterior(self) -> NativeFunction | None:
        """``log p(data, v)`` as code that calls nothing of Python, one for each run; None where there is none."""

    # Row by row.

    @property
    def latent(self) -> tuple[str, ...]:
        """The hidden sites."""

    def site(self, name: str | None) -> str:
        """The hidden site that is meant; where only one is hidden it needs no name. Raises ValueError for another."""

    def pointwise(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(row | φ) as [..., N], without the weights."""

    def responsibilities(self, greeks: Mapping[str, Tensor], site: str | None = None) -> Tensor:
        """p(site = k | row, φ) as [..., N, K]; one-hot where it is known."""

    @property
    def row_size(self) -> int:
        """Numbers that are held at one time for each draw of the Greeks."""

    # Coordinates.

    def constrain(self, coordinates: Array) -> dict[str, Array]:
        """The Greeks φ(v) at coordinates v."""

    def unconstrain(self, greeks: Mapping[str, Array]) -> Array:
        """The coordinates v(φ) of Greeks."""

    def draws(self, coordinates: Array) -> dict[str, Tensor]:
        """φ(v) of S points, as tensors ``[S, *shape]``."""

    def log_jacobian(self, coordinates: Array) -> Array:
        """``log |dφ/dv|`` [S] at points [S, D], which depends on no row."""

    def names_at(self, marked: Mask) -> list[str]:
        """The Greeks of which some coordinate is marked [D]."""

    # The density and its E-step.

    def values(self, coordinates: Array) -> Parts:
        """The parts [...] at points [..., D]."""

    def evaluate(self, coordinates: Array) -> tuple[Parts, Parts]:
        """The parts [...] at points [..., D], and their gradients [..., D]; not finite where the density is not."""

    def e_step(self, coordinates: Array) -> tuple[float, Array, Any]:
        """The log-likelihood, its gradient [D], and what `m_step` takes of the E-step, at one point."""

    def expected(self, coordinates: Array, responsibilities: Array, site: str | None = None) -> Any:
        """What `m_step` takes, of given responsibilities [N, ..., K] of a hidden site, others given that one."""

    def m_step(self, coordinates: Array, statistics: Any) -> Array:
        """The Greeks [D] of greatest expected complete-data log-likelihood, from the E-step made at ``coordinates``."""

    def em_steps(self, points: Array) -> tuple[Array, Array]:
        """The log-likelihoods [S] at points [S, D], and the M-step from each [S, D]."""

    def under(self, points: Array, responsibilities: Array, site: str | None = None) -> Array:
        """The M-steps [S, D] from given responsibilities [S, N, ..., K]; what these do not tell is as at the points."""

    def information(self, coordinates: Array) -> Array:
        """The observed information of the likelihood at one point, as [D, D]."""

    # Where an ascent begins, and where it may end.

    def draw_prior(self, count: int, rng: np.random.Generator) -> Array:
        """Points [count, D] of Greeks drawn from their priors; a Greek without one is near where it begins."""

    def need_maximum(self) -> None:
        """Raise ValueError where the likelihood is known to have no maximum."""

    def has_collapsed(self, coordinates: Array, gradient: Array) -> bool:
        """Whether a component has shrunk onto a point, and the density still grows."""

    def is_spurious(self, coordinates: Array) -> bool:
        """Whether a maximum is one that chance makes, of an unbounded likelihood: a class on a few close rows."""

    def at_boundary(self, coordinates: Array) -> bool:
        """Whether a class has lost its rows, or a Greek has run into an end of its prior: no maximum like any other."""

    def edges(self, greeks: Mapping[str, Array]) -> list[Edge]:
        """What has run to an end of its support, entry by entry."""

    def remarks(self) -> list[Remark]:
        """What the rows say by themselves, whatever the Greeks: columns that are constant, collinear, hardly used."""


class Variable(NamedTuple):
    """An observed variable: its number of levels (None: not discrete), and of columns (None: one number, no vector).

    Rows are conditioned on one that has no law: it may be set, and not asked for.
    """

    num_levels: int | None
    num_columns: int | None
    has_law: bool = True


class Answer(NamedTuple):
    """Numbers, and the standard error of each where they had to be simulated."""

    values: Tensor
    error: Tensor | None = None


class Predictive(Protocol):
    """``p(· | do(settings), seen)`` for each draw of the Greeks, hidden sites summed out.

    Densities and distribution functions are averaged over draws, on their natural scale. Every method raises
    ValueError where what is seen cannot be, and NotImplementedError, with the way out, where there is no answer.
    """

    @property
    def num_draws(self) -> int:
        """The number S of draws."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is set: values, and distributions of stochastic interventions."""

    @property
    def seen(self) -> Mapping[str, Tensor]:
        """What is seen after the intervention."""

    @property
    def variables(self) -> Mapping[str, Variable]:
        """All that can be asked about, hidden sites included."""

    @property
    def hidden(self) -> Collection[str]:
        """The hidden sites."""

    @property
    def has_common_numbers(self) -> bool:
        """Whether what is simulated for one seed has the same random numbers under any settings, draw by draw."""

    @property
    def rows(self) -> Mapping[str, int]:
        """How many values there are of each variable that is set or seen to one value per row."""

    def above(self, name: str) -> Collection[str]:
        """All that a variable depends on, but what is set to a value; the variable itself may be among them."""

    def given(self, seen: Mapping[str, Any]) -> "Predictive":
        """The same where more is seen ("unit": `Data`). Raises ValueError for an unknown variable, or a wrong value."""

    def mean(self, name: str) -> Answer:
        """E[name] for each draw, as [S, ...], or [S, rows, ...] where values are per row."""

    def probability(self, name: str, value: float) -> Answer:
        """P(name = value) for each draw of a variable of whole numbers or levels, in the shape of its mean."""

    def log_density(self, name: str, points: Tensor) -> Answer:
        """log p(name = point) as [P], at points [P], of a column of D numbers [P, D]; the error is the logarithm's."""

    def cdf(self, name: str, points: Tensor) -> Answer:
        """P(name <= point) as [P]."""

    def cdf_at(self, name: str) -> Callable[[float], Answer]:
        """The same at one number after another, as a search for quantiles asks it: of one set of simulated values."""

    def levels(self, name: str) -> Tensor | None:
        """The values that a variable can have, from the smallest, where they are finitely many."""

    def is_whole(self, name: str) -> bool:
        """Whether a variable without such a list has whole numbers for values."""

    def bracket(self, name: str, level: float) -> tuple[float, float]:
        """Where to look first for a quantile."""

    def sample(self, num_rows: int) -> dict[str, Tensor]:
        """Rows [N, ...] of every variable, each with Greeks from a draw of the fit's own, by torch's random numbers."""


class Structural(Protocol):
    """Rows as they would have been under what is set, for each draw of the Greeks: abduct, act, predict."""

    @property
    def variables(self) -> Mapping[str, Variable]:
        """The observed variables."""

    def mean(self, name: str) -> Answer:
        """E[name | row, had ... been set] as [S, N, ...]."""

    def sample(self) -> dict[str, Tensor]:
        """One world for every row, as [N, ...] of every variable and hidden site; random numbers are torch's."""


class WrongModelError(ValueError):
    """A saved fit cannot be read with the model that was given, or without one; the message says why."""


class WrongModelTypeError(WrongModelError, TypeError):
    """What was given to read a saved fit with is not of its model's class."""


class Conjugate(Protocol):
    """A model on rows with its Greeks integrated out, given an allocation: which component every hidden row is in."""

    num_components: int
    num_hidden: int

    def log_joint(self, numbers: NDArray[np.intp]) -> Array:
        """log p(z, x) of allocations [A]; of 0 … K^H - 1 the first hidden row is the digit that changes fastest."""

    def posterior_draws(self, numbers: NDArray[np.intp], rng: np.random.Generator) -> dict[str, Array]:
        """One draw of the Greeks given each allocation, as ``[A, *shape]``."""


@runtime_checkable
class Model(Protocol):
    """A causal model with a hidden discrete cause: what every estimator takes."""

    @property
    def variables(self) -> Mapping[str, Variable]:
        """The observed variables, as far as the model says by itself: a program's are known by running it on data."""

    @property
    def hidden(self) -> Mapping[str, int]:
        """The hidden sites and how many values each has, as far as the model says by itself."""

    def check(self, data: Data) -> Data:
        """Return the data if the model can be fitted to them; otherwise raise a ValueError that says why not."""

    def check_greeks(self, greeks: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return Greeks as float64 tensors, or raise a ValueError on a wrong name, shape or support."""

    def density(self, data: Data) -> Density:
        """The density of the rows and the Greeks, in coordinates of what the priors allow."""

    def prior_greeks(self, seed: int | None = None) -> dict[str, Tensor]:
        """Draw the Greeks from their priors; raises ValueError where one has none."""

    def predictive(
        self, draws: Draws, data: Data | None, *, do: Settings, call: str = "do", seed: int = 0
    ) -> Predictive:
        """``p(· | do(...))`` for draws ``[S, *shape]`` of the Greeks; ``data`` are the rows that were fitted.

        ``call`` is what an error calls the settings, ``seed`` that of what has to be simulated. Raises ValueError for
        an unknown variable, or a value or distribution that it cannot have.
        """

    def structural(self, draws: Draws, data: Data, *, do: Settings, assumptions: Settings, seed: int) -> Structural:
        """What these rows would have been under ``do``; ``assumptions`` say how the noise of a variable is recovered.

        Raises NotImplementedError, with what is missing, where a model does not say which noise made a row, and
        ValueError or TypeError for rows, settings or assumptions that are none of the model's.
        """

    def conjugate(self, data: Data) -> Conjugate:
        """The model with its Greeks integrated out; raises TypeError or ValueError, with the reason, if it cannot."""

    @property
    def component_axes(self) -> Mapping[str, Sequence[int]]:
        """The axes of the Greeks that run over components, as far as the model says so by itself."""

    def named_axes(self, levels: Levels) -> NamedAxes:
        """The axes of the Greeks that run over coefficients of a line, or over levels with names, and the names."""

    def symmetry(self, data: Data | None, greeks: Mapping[str, Tensor], *, uses_prior: bool = True) -> Symmetry:
        """Which labels are free near these Greeks in the posterior (or likelihood), and the axes that they index."""

    def order_keys(self, draws: Mapping[str, Tensor], free: Symmetry) -> Mapping[str, Tensor]:
        """What labels may be put in order by, [S, K] each, by its name in words; what comes first is tried first."""

    def likeliest_order(self, data: Data, draws: Mapping[str, Tensor], free: Symmetry, key: Tensor) -> NDArray[np.intp]:
        """The component of every label [K] of highest prior density at the first draw; where equal, by the key."""

    def permuted(self, order: Sequence[int]) -> "Model":
        """The same model with component k renamed to what ``order[k]`` was."""

    def conditioned(self, data: Data) -> tuple[Callable[[], None], int]:
        """The Pyro program on unweighted data for Pyro's own inference, and how deep its plates are nested."""

    def row_program(
        self, data: Data | None
    ) -> tuple[Callable[[Mapping[str, Tensor], int], dict[str, Tensor]], frozenset[str]]:
        """The Pyro program below the Greeks: a function of them and of the number of rows, and names that it uses."""

    def describe(self, data: Data | None, draws: Mapping[str, Tensor]) -> dict[str, Any]:
        """The model as JSON, with its class under "class", by which a fit in a file is read back.

        Raises TypeError or ValueError for what could not be read again.
        """

    def simulate(
        self, num_rows: int, greeks: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> dict[str, Tensor]:
        """Draw rows, hidden sites included, at given Greeks or at Greeks drawn from the prior."""

    def replicate(self, draws: Draws, data: Data, *, seed: int) -> dict[str, Tensor]:
        """Rows [S, N, ...] like the data's, what is set in them as it is, drawn anew at each draw of the Greeks."""
