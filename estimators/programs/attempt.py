"""A run of a program whose errors say what is wrong with it under enumeration."""

from collections.abc import Mapping

from torch import Tensor

from estimators.programs.call import describe, first_line
from estimators.programs.factors import Enumeration, Factors


def attempt(enumeration: Enumeration, greeks: Mapping[str, Tensor], *, enumerated: bool = True) -> Factors:
    """The factors of one run in `program_mode`; a ValueError that says what is wrong with the program if it fails."""
    name, evidence = describe(enumeration.fn), enumeration.evidence
    hidden = [site for site in enumeration.structure.sites if site in evidence.hidden or site in evidence.seen]
    try:
        return enumeration.factors(greeks)
    except Exception as error:
        detail = f"({type(error).__name__}: {first_line(error)})"
        if "Boolean value of Tensor" in str(error):
            raise ValueError(
                f"PyroModel: {name} uses a hidden site ({hidden}) in Python control flow (if, while, "
                "and, or), but under enumeration it has all its values at once; use torch.where or index a table "
                f"with it {detail}"
            ) from error
        if (greek := _without_plate(error, greeks)) is not None:
            raise ValueError(
                f"PyroModel: the numbers of {greek!r} in {name} lie along dimensions that belong to no plate; declare "
                f"them by .to_event(1), one for each dimension, or put the site into a plate {detail}"
            ) from error
        if enumerated:
            raise ValueError(
                f"PyroModel: {name} fails when its hidden sites {hidden} are enumerated {detail}: they "
                "have extra dimensions on the left then. Index with pyro.ops.indexing.Vindex, e.g. "
                'Vindex(table)[Z, T], and keep dimensions from the right ("...")'
            ) from error
        raise ValueError(f"PyroModel: {name} fails on the data {detail}") from error


def _without_plate(error: Exception, greeks: Mapping[str, Tensor]) -> str | None:
    """The Greek, if any, whose batch dimensions Pyro could not assign to plates."""
    return next((greek for greek in greeks if f"packing tensors at site '{greek}'" in str(error)), None)
