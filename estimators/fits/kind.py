"""How the draws of a fit were obtained."""

from enum import StrEnum


class Kind(StrEnum):
    """A maximum of the likelihood or the posterior; draws of a sampler, a normal approximation, or exact; a truth."""

    ML = "ml"
    MAP = "map"
    POSTERIOR = "posterior"
    LAPLACE = "laplace"
    EXACT = "exact"
    KNOWN = "known"

    def __repr__(self) -> str:
        """As the word that users know it by."""
        return repr(self.value)

    @property
    def words(self) -> str:
        """What the draws are."""
        return {
            Kind.ML: "a maximum of the likelihood",
            Kind.MAP: "a maximum of the posterior",
            Kind.POSTERIOR: "draws of the posterior",
            Kind.LAPLACE: "draws about a maximum, importance-corrected",
            Kind.EXACT: "independent draws of the posterior",
            Kind.KNOWN: "Greeks as given",
        }[self]

    @property
    def is_mode(self) -> bool:
        """Whether the one draw is a maximum, around which a density may be expanded."""
        return self in (Kind.ML, Kind.MAP)

    @property
    def is_point(self) -> bool:
        """Whether there is one draw."""
        return self.is_mode or self is Kind.KNOWN

    @property
    def uses_prior(self) -> bool:
        """Whether it rests on the priors, as all do but a maximum of the likelihood."""
        return self is not Kind.ML

    @property
    def is_posterior(self) -> bool:
        """Whether the draws are of the posterior as it is."""
        return self in (Kind.POSTERIOR, Kind.EXACT)

    @property
    def has_chains(self) -> bool:
        """Whether draws depend on those before them, chain by chain."""
        return self is Kind.POSTERIOR
