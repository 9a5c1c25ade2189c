"""Every kind of claim, by name, as a reader asks: are numbers right, predictions, intervals; how did fits end."""

from collections.abc import Mapping

from validation.claims.errors import (
    AgreesWithEM,
    BiasIsSmall,
    DivergenceIsSmall,
    IsEfficient,
    IsNeverGrosslyOff,
    SpreadIsEfficient,
)
from validation.claims.kind import Kind
from validation.claims.outcomes import Converges, IsAnswered, IsCandid, IsExpected
from validation.claims.posteriors import AgreesWithExact, AgreesWithReference, Covers, CoversAtLeast, IsCalibrated

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        IsExpected(),
        BiasIsSmall(),
        IsEfficient(),
        IsNeverGrosslyOff(),
        DivergenceIsSmall(),
        AgreesWithEM(),
        SpreadIsEfficient(),
        Covers(),
        CoversAtLeast(),
        IsCalibrated(),
        AgreesWithExact(),
        AgreesWithReference(),
        IsCandid(),
        IsAnswered(),
        Converges(),
    )
}
