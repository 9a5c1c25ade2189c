"""What classes share of a mechanism: some of its Greeks, some slopes of a regression, or the variable altogether."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from estimators.checks import check_flag
from estimators.mechanisms.protocol import check_names


@dataclass(frozen=True, eq=False)
class Sharing:
    """The arguments of every mechanism that say what is the same in all classes.

    ``shared`` names Greeks by the arguments that they are given by, and causes whose slopes a regression shares:
    ``["T", "scale"]``. True is all of these, so that classes differ in their locations or intercepts alone. A shared
    Greek has no axis for classes (``sigma_Y`` []), nor one for levels of a table. Where classes share some slopes,
    these are ``shared_beta_Y``, in the order of the causes, and ``beta_Y`` [K, ...] has the intercept and the others.

    Without ``caused_by_latent`` there is no edge from Z to the variable, and no Greek of it has an axis for classes.
    """

    shared: bool | Sequence[str] = field(default=False, kw_only=True)
    caused_by_latent: bool = field(default=True, kw_only=True)

    # The causes whose slopes are shared.
    shared_parents = tuple[str, ...]()

    def take_shared(self, symbols: Mapping[str, str], causes: Sequence[str]) -> set[str]:
        """Keep the causes whose slopes are shared, and return the symbols of the shared Greeks.

        ``symbols`` are those of the Greeks that can be, by argument. Raises TypeError or ValueError for other names.
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
        for name in names:
            if name not in known:
                raise ValueError(
                    f"shared: a {family} has no {name!r} that classes could share; expected some of {known}"
                )
        object.__setattr__(self, "shared_parents", tuple(name for name in causes if name in names))
        return {symbol for name, symbol in symbols.items() if name in names}
