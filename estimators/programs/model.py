"""Any Pyro program with hidden discrete sites as a model: estimated, and asked what if, like the built-in ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import constraints
from torch import Tensor

from estimators.checks import check_seed
from estimators.data.data import Data
from estimators.isolation import own_modes, program_mode
from estimators.parameters.parameter import checked_greeks
from estimators.parameters.sparse import DrawnInLogs
from estimators.programs.call import Program, parameters_of, passed
from estimators.programs.call import arguments as call_arguments
from estimators.programs.enumeration_check import check_program
from estimators.programs.handlers import Observing, Substituting
from estimators.programs.marginal import ProgramMarginal
from estimators.programs.predictive import columns_of
from estimators.programs.sites import Greek, Structure
from estimators.programs.structure import find, run


@dataclass(frozen=True, eq=False)
class PyroModel:
    """A Pyro program whose hidden discrete sites, in the plate over rows, are summed out by enumeration.

    ``log p(data | φ) = Σ_n log Σ_z p(z, row n | φ)``, by Pyro's enumeration (hidden Markov chains, written with
    `pyro.markov`, in time linear in their length) and autograd.

    The program is called by name: data columns named like its sites condition them (a column [N, T] named ``x`` also
    the sites x_0 ... x_{T-1}), columns and scalars named like its parameters are passed, and the first other parameter
    is the number of rows. Greeks are the continuous sites outside the plate over rows, and `pyro.param` statements
    (Greeks without a prior). A hidden site may be seen in some rows: its column holds -1 elsewhere.

    ``order_by`` names a Greek with one entry per component, by which labels are put in order; without it they stay as
    the estimator found them.

    Raises TypeError where ``fn`` is not callable or ``order_by`` is not a name.

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
        if not self._last or self._last[0].data is not data:
            self._last[:] = [ProgramMarginal(self.fn, data)]
        return self._last[0]

    def conditioned(self, data: Data) -> tuple[Callable[[], None], int]:
        """The program on data for Pyro's own inference, hidden sites marked for enumeration; and its plate nesting.

        A `pyro.param` statement becomes a site with an improper uniform prior.
        """
        marginal = self.marginal(data)
        structure = marginal.structure
        flat: dict[str, Any] = {greek.name: _Flat(greek) for greek in structure.greeks if greek.initial is not None}
        program = (
            poutine.lift(Observing(marginal.evidence)(self.fn), prior=flat)
            if flat
            else Observing(marginal.evidence)(self.fn)
        )
        positional, named = call_arguments(self.fn, passed(self.fn, data, structure.names), data.num_rows)

        def conditioned_program() -> None:
            program(*positional, **named)

        return conditioned_program, structure.num_plate_dims

    def structure(self, data: Data | None = None) -> Structure:
        """The program's Greeks, sites and plates; without data, of a program that takes the number of rows alone."""
        return find(self.fn, Data(rows=torch.zeros(2)) if data is None else data)

    @own_modes()
    def check_greeks(self, greeks: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return Greeks as float64 tensors, or raise a ValueError on a wrong name, shape or support."""
        return checked_greeks(greeks, {greek.name: (greek.shape, greek.support) for greek in self.structure().greeks})

    @own_modes()
    def simulate(
        self, num_rows: int, greeks: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> dict[str, Tensor]:
        """Draw `num_rows` rows, every site of a row included, at given Greeks or at Greeks drawn by the program.

        For a program that takes the number of rows alone.
        """
        if isinstance(num_rows, bool) or not isinstance(num_rows, Integral) or num_rows < 1:
            raise ValueError(f"num_rows: expected a positive whole number, got {num_rows!r}")
        structure, known = self.structure(), {} if greeks is None else self.check_greeks(greeks)
        if structure.factors:
            raise NotImplementedError(
                f"simulate: the program weighs rows by pyro.factor ({list(structure.factors)}), so that running it "
                "does not draw from its law; write its factors as distributions"
            )
        with program_mode(check_seed(seed)):
            given = passed(self.fn, Data(rows=torch.zeros(1)), structure.names)
            trace = run(Substituting(known)(self.fn), self.fn, given, int(num_rows))
        return columns_of(trace, structure, int(num_rows))

    def permuted(self, order: Sequence[int]) -> "PyroModel":
        """The same model: only labels that are exchangeable are renamed."""
        return self


class _Flat(dist.ImproperUniform):
    """A prior that changes nothing, over a parameter's support; run without inference, the parameter's own value."""

    def __init__(self, greek: Greek) -> None:
        batch = len(greek.shape) - greek.event_dim if greek.plate_axes else 0
        support = constraints.independent(greek.support, len(greek.shape) - batch - greek.event_dim)
        super().__init__(support, greek.shape[:batch], greek.shape[batch:])  # type: ignore[no-untyped-call]
        self._initial = greek.initial

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        assert self._initial is not None
        return self._initial
