"""Any Pyro program with hidden discrete sites as a model: estimated, and asked what if, like the built-in ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from estimators.checks import check_num_rows, check_seed
from estimators.contract import Draws, Model, Settings, Variable, WrongModelError, WrongModelTypeError
from estimators.data.data import Data
from estimators.data.levels import Levels
from estimators.isolation import own_modes, program_mode
from estimators.parameters.parameter import NamedAxes, checked_greeks
from estimators.parameters.sparse import DrawnInLogs
from estimators.parameters.symmetry import Symmetry, entries_by_label
from estimators.programs.call import Program, parameters_of, rows_alone, rows_to_simulate
from estimators.programs.conditioned import conditioned, drawn_greeks, row_program, simulated
from estimators.programs.density import ProgramDensity
from estimators.programs.description import check_described, described, program_needed
from estimators.programs.enumeration_check import check_program
from estimators.programs.marginal import ProgramMarginal
from estimators.programs.predictive import ProgramPredictive
from estimators.programs.replicated import replicated
from estimators.programs.settings import check_reachable, checked_setting
from estimators.programs.sites import Structure
from estimators.programs.structure import structure_of
from estimators.programs.symmetry import likeliest_order_of_program, symmetry_of_program

NO_COLUMNS: Settings = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class PyroModel:
    """A Pyro program whose hidden discrete sites, in the plate over rows, are summed out by enumeration.

    ``log p(data | φ) = Σ_n log Σ_z p(z, row n | φ)``, by Pyro's enumeration (hidden Markov chains, written with
    `pyro.markov`, in time linear in their length) and autograd.

    The program is called by name: data columns named like its sites condition them (a column [N, T] named ``x`` also
    the sites x_0 ... x_{T-1}), columns and scalars named like its parameters are passed, and the first other parameter
    is the number of rows. Greeks are the continuous sites outside the plate over rows, and `pyro.param` statements
    (Greeks without a prior). A hidden site may be seen in some rows: its column holds -1 elsewhere.

    ``order_by`` names a Greek with one entry per component, by which labels are put in order (or by another, where it
    does not differ between them). Those of hidden sites that it does not index, and all without it, stay as the
    estimator found them, and a question about one warns: rows in which it is seen fix them. Raises TypeError where
    ``fn`` is not callable or ``order_by`` is not a name.

    >>> def program(N):
    ...     weight = pyro.sample("weight", dist.Beta(2.0, 2.0))
    ...     with pyro.plate("components", 2):
    ...         mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
    ...     with pyro.plate("rows", N):
    ...         z = pyro.sample("z", dist.Bernoulli(weight))
    ...         pyro.sample("x", dist.Normal(mean[z.long()], 1.0))
    >>> fit = EM().fit(PyroModel(program), {"x": [0.0, 1.0, 10.0, 11.0, 12.0]}, seed=0)
    >>> sorted(round(mean, 4) for mean in fit["mean"].tolist())
    [0.5, 11.0]
    """

    fn: Program
    order_by: str | None = None
    # The marginal of the last data: its structure and its captured graphs are found once per fit.
    _last: list[ProgramMarginal] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise TypeError(f"PyroModel: expected a function with pyro.sample sites, got {self.fn!r}")
        if self.order_by is not None and not isinstance(self.order_by, str):
            raise TypeError(f"PyroModel: order_by expects the name of a Greek, got {self.order_by!r}")
        parameters_of(self.fn)

    # A program says what its variables and hidden sites are when it is run on data.
    variables: ClassVar[Mapping[str, Variable]] = {}
    hidden: ClassVar[Mapping[str, int]] = {}

    @own_modes()
    def prior_greeks(self, seed: int | None = None) -> dict[str, Tensor]:
        """Draw the Greeks by the program, which takes the number of rows alone; ValueError for a `pyro.param`."""
        return drawn_greeks(self, [greek.name for greek in self.structure().greeks], check_seed(seed))

    def __reduce__(self) -> tuple[Any, ...]:
        return PyroModel, (self.fn, self.order_by)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program itself."""
        with DrawnInLogs():
            return self.fn(*args, **kwargs)

    @own_modes()
    def check(self, data: Data) -> Data:
        """Return the data if the program can be fitted to them; otherwise raise a ValueError that says why not."""
        marginal = self.marginal(data)
        if not marginal.hidden:
            raise ValueError(
                "PyroModel: nothing to enumerate: the plate over rows has no discrete site that is hidden in some row; "
                "use Pyro's own inference where nothing is hidden"
            )
        if self.order_by is not None and self.order_by not in {g.name for g in marginal.coordinates.greeks}:
            raise ValueError(
                f"PyroModel: order_by={self.order_by!r} is not a Greek of the program; these are "
                f"{[greek.name for greek in marginal.coordinates.greeks]}"
            )
        check_program(marginal)
        return data

    @own_modes()
    def marginal(self, data: Data) -> ProgramMarginal:
        """log p(data | φ) with every hidden discrete site summed out."""
        _need_no_units(data)
        if not self._last or self._last[0].data is not data:
            self._last[:] = [ProgramMarginal(self.fn, data)]
        return self._last[0]

    @own_modes()
    def density(self, data: Data) -> ProgramDensity:
        """The density of the rows and the Greeks in unconstrained coordinates, hidden sites summed out."""
        return ProgramDensity(self.marginal(data))

    def predictive(
        self, draws: Draws, data: Data | None, *, do: Settings, call: str = "do", seed: int = 0
    ) -> ProgramPredictive:
        """``p(· | do(...))`` for draws of the Greeks, on the fitted rows of the columns that the program takes."""
        structure, rows = self.fitted(data)
        hidden, causes = ((), {}) if data is None else (self.marginal(data).latent, self.marginal(data).causes)
        settings = {name: checked_setting(structure, call, name, value) for name, value in do.items()}
        predictive = ProgramPredictive(self.fn, structure, rows, hidden, draws, settings, seed=seed, causes=causes)
        check_reachable(predictive.situation(), draws, call)
        return predictive

    def structural(self, draws: Draws, data: Data, *, do: Settings, assumptions: Settings, seed: int) -> NoReturn:
        raise NotImplementedError(
            "counterfactual: a Pyro program does not say which noise made a row; write the model as a CausalMixture of "
            "mechanisms"
        )

    def conjugate(self, data: Data) -> NoReturn:
        raise TypeError("model: Exact needs conjugate mechanisms (a CausalMixture); for a PyroModel use NUTS()")

    def conditioned(self, data: Data) -> tuple[Callable[[], None], int]:
        """The program on data for Pyro's own inference, hidden sites marked for enumeration; and its plate nesting.

        A `pyro.param` statement becomes a site with an improper uniform prior.
        """
        return conditioned(self.marginal(data))

    def row_program(
        self, data: Data | None
    ) -> tuple[Callable[[Mapping[str, Tensor], int], dict[str, Tensor]], frozenset[str]]:
        """The program at given Greeks, as a function of them and of the number of rows; and the names of its sites.

        It runs under the caller's handlers. Columns that the program takes as arguments are drawn with replacement from
        the fitted rows, each as often as it counts.
        """
        structure, rows = self.fitted(data)
        return row_program(self.fn, structure, rows), frozenset(self.structure(data).names)

    def fitted(self, data: Data | None) -> tuple[Structure, Data]:
        """The program's structure, and the fitted rows of positive weight: where none were, rows without a column."""
        if data is None:
            return self.structure(), rows_alone(2)
        counting = data if bool(data.counts().all()) else data.rows(data.counts().nonzero()[:, 0])
        return self.marginal(data).structure, counting

    def structure(self, data: Data | None = None) -> Structure:
        """The program's Greeks, sites and plates; without data, of a program that takes the number of rows alone."""
        return structure_of(self.fn, rows_alone(2) if data is None else data)

    @own_modes()
    def check_greeks(self, greeks: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return Greeks as float64 tensors, or raise a ValueError on a wrong name, shape or support."""
        return _checked_by(self.structure(), greeks)

    def describe(self, data: Data | None, draws: Mapping[str, Tensor]) -> dict[str, Any]:
        """What tells this program, which is code and not in a file, from another with the same Greeks."""
        return described(self, data, draws)

    @staticmethod
    def restore(
        description: Mapping[str, Any], data: Data | None, draws: Mapping[str, Tensor], given: Model | None
    ) -> "PyroModel":
        """The given model, if it is the one that was described; raises WrongModelError where it is not."""
        if not isinstance(given, PyroModel | None):
            raise WrongModelTypeError(f"model: expected the PyroModel that was fitted, got {given!r}")
        if given is None:
            raise WrongModelError(program_needed(description))
        check_described(given, description, data, draws)
        return given

    @own_modes()
    def simulate(
        self, num_rows: int, greeks: Settings | None = None, seed: int | None = None, *, columns: Settings = NO_COLUMNS
    ) -> dict[str, Tensor]:
        """Draw rows, every site included, at given Greeks or at such as the program draws.

        ``columns`` are what it takes beside the number of rows. TypeError or ValueError for missing or unknown ones.
        """
        check_num_rows(num_rows)
        rows = rows_to_simulate(self.fn, int(num_rows), columns)
        structure = self.structure(rows)
        known = {} if greeks is None else _checked_by(structure, greeks)
        return simulated(self.fn, structure, known, rows, check_seed(seed))

    def replicate(self, draws: Draws, data: Data, *, seed: int) -> dict[str, Tensor]:
        with program_mode(seed):
            return replicated(self.marginal(data), draws)

    # A program does not say which axes of its Greeks run over components: its symmetry finds them, on data.
    component_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {}

    def named_axes(self, levels: Levels) -> NamedAxes:
        return {}

    def symmetry(self, data: Data | None, greeks: Mapping[str, Tensor], *, uses_prior: bool = True) -> Symmetry:
        return symmetry_of_program(
            None if data is None else self.marginal(data), self.order_by, greeks, uses_prior=uses_prior
        )

    def order_keys(self, draws: Mapping[str, Tensor], free: Symmetry) -> dict[str, Tensor]:
        """The entries of the Greek `order_by`, then those of the others that the labels index."""
        assert self.order_by is not None
        own = entries_by_label(draws, {self.order_by: free.axes[self.order_by]})
        # The first entry is called by the Greek alone.
        return {self.order_by: next(iter(own.values())), **own, **entries_by_label(draws, free.axes)}

    def likeliest_order(self, data: Data, draws: Mapping[str, Tensor], free: Symmetry, key: Tensor) -> NDArray[np.intp]:
        at = {name: value[:1] for name, value in draws.items()}
        return likeliest_order_of_program(self.marginal(data), free, at, key)

    def permuted(self, order: Sequence[int]) -> "PyroModel":
        # Only exchangeable labels are ever renamed.
        return self


def _checked_by(structure: Structure, greeks: Mapping[str, Any]) -> dict[str, Tensor]:
    """The Greeks of a program as float64 tensors, or a ValueError on a wrong name, shape or support."""
    return checked_greeks(greeks, {greek.name: (greek.shape, greek.support) for greek in structure.greeks})


def _need_no_units(data: Data) -> None:
    if data.unit is not None:
        raise ValueError(
            "unit: a PyroModel says by its plates which rows share a hidden site; give units as rows, with columns "
            "[units, rows of each], and a plate over these inside the one over units"
        )
