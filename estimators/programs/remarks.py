"""What the rows of a program say by themselves of its sites."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from estimators.data.data import Data
from estimators.data.remarks import Remark, constant, point_mass
from estimators.programs.sites import RowSite


def remarks_of(sites: Mapping[str, RowSite], hidden: Collection[str], data: Data) -> list[Remark]:
    """Remarks on each known site with a column [N] of its name, by the entries that are neither set nor missing."""
    found = []
    for name, site in sites.items():
        if name not in data.columns or data.columns[name].ndim > 1 or name in hidden:
            continue
        is_scaled = not site.is_discrete
        keep = ~(data.is_set(name) | data.is_missing(name))
        column = data.columns[name].double()[keep].numpy()
        remarks = constant(column, is_scaled=is_scaled) or (point_mass(column, is_scaled=True) if is_scaled else [])
        found += [replace(remark, what=f"column {name} {remark.what}") for remark in remarks]
    return found
