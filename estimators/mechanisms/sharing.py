"""What classes share of a mechanism."""

from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Sharing:
    """Arguments that every mechanism has.

    Without ``caused_by_latent`` there is no edge from Z to the variable, and its Greeks have no axis for classes.
    """

    caused_by_latent: bool = field(default=True, kw_only=True)
