"""What classes share of a mechanism: some of its Greeks, some slopes of a regression, or the variable altogether."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from estimators.checks import check_flag
from estimators.mechanisms.protocol import INTERCEPT, check_names


@dataclass(frozen=True, eq=False)
class Sharing:
    """The arguments of every mechanism that say what is the same in all classes.

    ``shared`` names Greeks by the arguments that they are given by, and causes whose slopes a regression shares:
    ``["T", "T:age", "scale"]``. True is all of these, so that classes differ in their locations or intercepts alone. A
    shared Greek has no axis for classes (``sigma_Y`` []), nor one for levels of a table. Where classes share some
    coefficients of a line, these are ``shared_beta_Y``, in the order of the causes, and ``beta_Y`` [K, ...] has the
    others. "intercept" among them is the line where all causes are 0; with every slope it is the whole line.

    Without ``caused_by_latent`` there is no edge from Z to the variable, and no Greek of it has an axis for classes.
    """

    shared: bool | Sequence[str] = field(default=False, kw_only=True)
    caused_by_latent: bool = field(default=True, kw_only=True)

    # The coefficients of a line that are shared.
    shared_terms = tuple[str, ...]()

    def take_shared(self, symbols: Mapping[str, str], line: str | None, causes: Sequence[str]) -> set[str]:
        """Keep which coefficients are shared, and return the symbols of the shared Greeks.

        ``symbols`` are those of the Greeks that can be, by argument, ``line`` is that of a regression's line. Raises
        TypeError or ValueError for other names, and where nothing is left to classes.
        """
        check_flag("caused_by_latent", self.caused_by_latent)
        if self.shared is False:
            return set()
        family, known = type(self).__name__, [*causes, *symbols]
        if not self.caused_by_latent:
            raise ValueError("shared: with caused_by_latent=False classes share all of it; leave one of the two out")
        if not known:
            raise ValueError(
                f"shared: a {family} has a location alone, which classes differ in; caused_by_latent=False shares it"
            )
        names = known if self.shared is True else check_names(self.shared, "shared")
        object.__setattr__(self, "shared", self.shared if self.shared is True else tuple(names))
        terms = [] if line is None else [INTERCEPT, *causes]
        for name in names:
            if name not in (*terms, *symbols):
                expected = [*known, *terms[:1]]
                raise ValueError(
                    f"shared: a {family} has no {name!r} that classes could share; expected some of {expected}"
                )
        if terms and {*names} == {*terms, *symbols}:
            raise ValueError("shared: classes share all of it; say caused_by_latent=False, and leave shared out")
        object.__setattr__(self, "shared_terms", tuple(name for name in terms if name in names))
        found = {symbol for name, symbol in symbols.items() if name in names}
        return found | {line} if line is not None and len(self.shared_terms) == len(terms) else found
