"""What a fit calls the levels of its variables and its labels, and rows in which they are called the same."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from estimators.data.columns import named_columns
from estimators.data.data import Data, as_data
from estimators.data.levels import Levels

if TYPE_CHECKING:
    from estimators.fits.fit import Fit


def levels_of(fit: "Fit") -> Levels:
    """The names of levels in the rows that were fitted."""
    return {} if fit.data is None else dict(fit.data.levels)


def by_number(fit: "Fit") -> "Fit":
    """The same fit, its levels without names: a mean of their numbers is a functional of a law like any other."""
    if fit.data is None or not fit.data.levels:
        return fit
    return replace(fit, data=fit.data.replace(dict(fit.data.columns)))


def rows_for(fit: "Fit", rows: Any) -> Data:
    """Rows as `Data`, with levels numbered as in the fit; raises ValueError for a name that it does not know.

    A frame has its units in the column in which the fitted rows had theirs.
    """
    unit = None if fit.data is None or fit.data.unit is None else fit.data.unit.name
    if unit is not None and not isinstance(rows, Data) and unit in (columns := named_columns(rows)):
        data = Data(columns, unit=unit)
    else:
        data = as_data(rows)
    # Names in a column that the model does not have are nothing to number: the model refuses the column.
    known = fit.model.variables or data.columns
    foreign = {name: names for name, names in data.levels.items() if name not in known}
    return data.numbered_as({**foreign, **levels_of(fit)})


def names_along_axes(fit: "Fit") -> dict[str, Mapping[int, tuple[str, ...]]]:
    """By Greek, the names along its axes, of labels, levels and coefficients, where they have any."""
    named, names = fit.model.named_axes(levels_of(fit)), dict[str, Mapping[int, tuple[str, ...]]]()
    labelled = fit.symmetry.axes if fit.label_names else {}
    for greek in fit.draws:
        axes = {axis: one.names for axis, one in named.get(greek, {}).items()}
        names[greek] = {**axes, **dict.fromkeys(labelled.get(greek, ()), fit.label_names)}
    return names
