"""What the estimators ask of a mechanism p(x | Z = k, parents; φ): `LogLinearFamily` and `GeneralFamily` are its kinds.

A *cell* is a component together with one level of each discrete parent in the mechanism's table: Greeks have one entry
per cell, so that a family is written once, for components, and serves its tables too (`estimators.estep.variable`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.checks import what_came
from estimators.data.remarks import Remark
from estimators.mechanisms.compiled.code import GeneralCode
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.optimise.arrays import Array, Mask
from estimators.parameters.parameter import Parameter
from estimators.parameters.transforms import Transform

Greeks = Mapping[str, Array]
# What a family was given for each Greek, by its symbol: a prior, or numbers.
Given = Mapping[str, KnownOrPrior]
# What stands between the variables of an interaction, and the first coefficient of a line.
INTERACTION, INTERCEPT = ":", "intercept"


@dataclass(frozen=True)
class Reference:
    """The affine change ``u = (x - centre) / scale`` in which a column's features are formed, so x² keeps its digits.

    ``centre`` is a number (an array [D] for a column of vectors, a line for a regression) or, ``by_cell``, an array
    [..., cells] of them ([..., cells, D]), one for each cell.
    """

    centre: Any = 0.0
    scale: Any = 1.0
    by_cell: bool = False

    def of_cells(self, cells: int | NDArray[np.intp]) -> "Reference":
        """The reference of one cell, or of some cells [...], its centre an array ``[..., *of one]``."""
        return replace(self, centre=np.asarray(self.centre)[cells], by_cell=False) if self.by_cell else self

    def of_sets(self) -> "Reference":
        """One with centres [S, cells, ...] as one with those of all cells one after the other."""
        centre = np.asarray(self.centre)
        return self.at(centre.reshape(-1, *centre.shape[2:])) if self.by_cell else self

    def at(self, centre: Array) -> "Reference":
        """The same with one centre for each cell."""
        return replace(self, centre=centre, by_cell=True)

    def about_0(self) -> "Reference":
        """The same where a regression's inputs have no centre."""
        return self

    def of_products(self, factors: Sequence[Sequence[object]]) -> "Reference":
        """The same where they are products of factors."""
        return self


class Equation(NamedTuple):
    """``x = intercept + slopes · inputs + factor · ε`` with ε standard normal, as arrays [..., cells, ...].

    ``intercept`` [..., cells, D], ``slopes`` [..., cells, D, P] and ``factor`` [..., cells, D, D], lower triangular; D
    is 1 for a column of numbers. One cell serves all where the numbers are known for all.
    """

    intercept: Array
    slopes: Array
    factor: Array


class Turn(NamedTuple):
    """A linear predictor, and at which of its values a log density turns, within what width."""

    predictor: Tensor
    centre: Tensor
    width: Tensor


def turns_between(logits: Tensor) -> list[Turn]:
    """Where one of several levels becomes likelier than another, of logits [S, M, C, L]."""
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    pairs = combinations(logits.unbind(-1), 2)
    return [Turn(other - this, 0.0 * one, one) for this, other in pairs]


class Mechanism(Protocol):
    """One family p(x | Z = k, parents; φ), in what its kinds have in common.

    Methods take the mechanism's own Greeks under their symbols (``mu``, not ``mu_X``), one entry per cell, flat in that
    axis. Arrays may carry leading axes of parameter sets: ``mu [..., cells]``, coefficients C and statistics
    ``[..., cells, F]``. ``inputs`` [N, P] are the parents of a regression as numbers (P = 0 for every other family).
    """

    @property
    def parents(self) -> Sequence[str]:
        """The observed variables that cause this one, and a regression's interactions of these, ``T:age``."""

    @property
    def caused_by_latent(self) -> bool:
        """Whether Z causes it: False for a mediator, an instrument, or an outcome of other variables alone."""

    @property
    def shared_terms(self) -> Sequence[str]:
        """The terms of a regression's line, its first Greek, that are the same in all classes: parents, the intercept.

        Where all of them are, the Greek is shared.
        """

    @property
    def given(self) -> Given:
        """What it was given for each Greek, by its symbol."""

    @property
    def is_regression(self) -> bool:
        """Whether parents enter as numbers, rather than through a table with a cell for each of their levels."""

    @property
    def num_levels(self) -> int | None:
        """The number of values of a discrete variable that has finitely many."""

    @property
    def num_columns(self) -> int | None:
        """D of a column of vectors [N, D]; None for a column of numbers [N]."""

    @property
    def is_covariate(self) -> bool:
        """Whether rows are conditioned on it, so that Z does not cause it and it has no law."""

    @property
    def is_gaussian(self) -> bool:
        """Whether the log density is quadratic in the value and in a regression's inputs."""

    @property
    def is_ordered(self) -> bool:
        """Whether the order of more than two levels means something."""

    @property
    def is_positive(self) -> bool:
        """Whether every value is above 0, as an exposure's must be."""

    @property
    def has_heavy_tails(self) -> bool:
        """Whether values far out are likelier than any exponential has them, so that exp(value) has no mean."""

    @property
    def exposure(self) -> str | None:
        """The last of the parents, where its log is added to the predictor with no coefficient."""

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        """The Greeks with their priors, under their symbols, for a table of cells (K, levels of the parents...)."""

    def by_default(self) -> "Mechanism":
        """The same with the default priors, which are of standardised columns, of all Greeks that are estimated."""

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """The unconstrained coordinates of a Greek, in units of the standardised column."""

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        """p(x | cell, inputs) as a Pyro distribution; Greeks are [cells] or, one set per row, [N, cells]."""

    def turning(
        self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor, value: Tensor | None
    ) -> Sequence[Turn]:
        """Where quadrature over an input needs its nodes for a value, or for the mean."""

    def check(self, name: str, column: Tensor) -> Tensor:
        """The column as float64, or a ValueError that says what is wrong with it."""

    def reference(self, column: Array, inputs: Array) -> Reference:
        """The centre and scale of a column."""

    def term(self, terms: "Terms") -> None:
        """Give the E-step the family's term: call the method of `terms` for its kind."""

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C as [..., cells, F]."""

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """d(Σ C · S)/dφ for every Greek, S held."""

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        """Whether a component has shrunk onto a point, where the likelihood is unbounded."""

    def own_spreads(self, greeks: Greeks, reference: Reference) -> Array | None:
        """The estimated scales of each cell alone [cells, D], standardised; None where cells have none of their own."""

    def expected_count(self, greeks: Greeks, num_rows: float) -> Array:
        """What is left of the rows at the edge of the Greeks' support: near 0 where one has run into it."""

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """What orders the components, as [..., cells]."""

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        """A group number per component: components of one group have the same prior, and the same known values.

        Without ``uses_prior`` the same known values will do: the likelihood knows no prior.
        """

    def permuted(self, order: Sequence[int]) -> "Mechanism":
        """The mechanism whose component k is what component ``order[k]`` was."""

    def why_not_conjugate(self) -> str | None:
        """The reason why it is no `Conjugate`, or None where it is one."""

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """What rows without gaps say by themselves of the column and of a regression's inputs [N], by name."""

    def scaled_to(self, column: Array, inputs: Mapping[str, Array]) -> "Mechanism":
        """The mechanism with priors in the units of rows without gaps in place of those that it has by default."""


class LogLinearFamily(Mechanism, Protocol):
    """A family with ``log p = C_cell(φ) · Φ(x, parents) + h(x)``."""

    @property
    def is_centred(self) -> bool:
        """Whether features about one centre for all cells lose digits, so that they are formed about each cell's."""

    def num_features(self, num_inputs: int) -> int:
        """F, the number of features."""

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        """Φ as [F, N]; of a column of numbers that is centred, also about a centre [N] for each row."""

    def offset(self, column: Array) -> Array | None:
        """h [N], where ``log p = C · Φ + h``: what no Greek enters; None for 0."""

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """Where it `is_centred`, a reference with one centre per cell, about which features keep their digits."""

    def tabulate(self, table: "VariableTable") -> None:
        """Say to the compiled kernel what the term is: call the method of `table` for it."""

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks, *shared: Mask) -> dict[str, Array]:
        """The M-step: the Greeks that maximise Σ C · S; a cell with no rows keeps its previous ones.

        A regression that lets classes share slopes is given a mask of these among its coefficients [1 + P] too.
        """


class GeneralFamily(Mechanism, Protocol):
    """A family with ``log p = log f(x, parents; C_cell(φ))`` for any f of W numbers C, by three functions of some rows.

    ``numbers`` are C [S, K, W] in the rows' cells, ``column`` [n] and ``inputs`` [n, P] the rows, ``shares`` their
    responsibilities R [S, K, n]. C is best unconstrained, a scale as its log: in it the M-step's Newton step is made.
    """

    def num_numbers(self, num_inputs: int) -> int:
        """W, how many numbers C has in a cell."""

    def log_joint(self, numbers: Array, column: Array, inputs: Array) -> Array:
        """log f as [S, K, n]."""

    def pullback(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        """``Σ_n R d log f / dC`` as [S, K, W]."""

    def curvature(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        """``-Σ_n R d² log f / dC²`` as [S, K, W, W]."""


class CompiledFamily(GeneralFamily, Protocol):
    """A general family whose log joint and pullback are compiled, too, for the kernel to call by their addresses."""

    def tabulate(self, table: "VariableTable") -> None:
        """Say to the compiled kernel what the term is."""


class Terms(Protocol):
    """What a mechanism gives its term to: a model's E-step."""

    def log_linear(self, family: LogLinearFamily) -> None:
        """The family is log-linear."""

    def general(self, family: GeneralFamily) -> None:
        """It is not."""

    def compiled(self, family: CompiledFamily) -> None:
        """It is not, and its functions are compiled."""


class VariableTable(Protocol):
    """What a family says its term is; `given` is what it was given for its Greeks, by their symbols."""

    @property
    def column(self) -> Array:
        """The column, [N] or [N, D]."""

    @property
    def reference(self) -> Reference:
        """Its reference, shared by all cells."""

    @property
    def inputs(self) -> Array:
        """A regression's inputs [N, P]."""

    def changed(self, column: Array, offset: Array) -> "VariableTable":
        """The same of a function of the column [N], with the log of its derivative as a constant of each row."""

    def masses(self, given: Given, symbol: str, num_levels: int) -> None:
        """``log p`` of the row's level, `symbol` the masses of all levels."""

    def chances(self, given: Given, symbol: str) -> None:
        """``log p`` where the row is 1, ``log(1 - p)`` where it is 0."""

    def counts(self, given: Given, symbol: str, largest: Array) -> None:
        """``log Poisson(x; rate)``, `largest` [N] the log mass of each row at a rate of its own."""

    def gaussians(self, given: Given, location: str, scale: str) -> None:
        """Independent Gaussians, of a column of numbers or of vectors."""

    def line(self, given: Given, location: str, scale: str, centre: Array, units: Array) -> None:
        """A Gaussian about a line of the inputs; sums are formed of these less `centre` in `units` [P]."""

    def correlated(self, given: Given, location: str, scale: str, correlation: str) -> None:
        """Gaussians with the factor ``diag(scale) correlation``."""

    def general(
        self, given: Given, location: str, logs: Sequence[str], code: GeneralCode, columns: Sequence[Array]
    ) -> None:
        """Functions of the numbers of one Greek, and after these of the logs of up to two others, and of some columns.

        The variable's own column stands before these.
        """

    def features(self) -> None:
        """The family's own features and coefficients, about the column's reference: any family that is not centred."""


class JointlyGaussian(Protocol):
    """A mechanism with ``is_gaussian``: with missing entries its columns are integrated out together.

    Its features are products of *forms*, which are affine in the column and the inputs: ``Φ = (forms_i · forms_j)``
    for the pairs (i, j) of ``products``. Numbers that are affine in others are rows of coefficients [..., M], the
    constant first.
    """

    def equation(self, greeks: Greeks, num_inputs: int) -> Equation:
        """The column as a line of its inputs and noise, in its own units: no row has a part in it."""

    def forms(self, equation: Equation, inputs: Array, noise: Array, reference: Reference) -> Array:
        """The forms [..., Q, M] of a column that obeys the equation, of inputs [..., P, M] and noise [..., D, M]."""

    def products(self, num_inputs: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The pairs of forms, one for each of the F features."""


class Conjugate(Protocol):
    """A mechanism whose prior is conjugate, so that a cell's rows integrate out in closed form."""

    def log_evidence(self, statistics: Array, reference: Reference) -> Array:
        """log ∫ p(φ_c) Π p(x_n | φ_c) dφ_c as [..., cells], from the rows' summed features [..., cells, F]."""

    def posterior_draws(
        self, statistics: Array, reference: Reference, generator: np.random.Generator
    ) -> dict[str, Array]:
        """One draw of the Greeks per leading axis, from the posterior given the rows' summed features."""


def check_names(names: object, argument: str = "parents", example: str = "T") -> tuple[str, ...]:
    """Return names, each once, or raise an error that says what is wrong with them."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        example = names if isinstance(names, str) else example
        raise TypeError(f'{argument}: expected a list of variable names such as ["{example}"], got {what_came(names)}')
    if len(set(names)) < len(names):
        raise ValueError(f"{argument}: expected each once, got {list(names)}")
    return tuple(names)


def variables_of(parents: Sequence[str]) -> tuple[str, ...]:
    """The variables in parents such as ``T`` and ``T:age``, each once."""
    return tuple(dict.fromkeys(name for parent in parents for name in parent.split(INTERACTION)))
