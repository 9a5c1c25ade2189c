"""What earlier rows of a unit tell of its Z, where a question is about the unit's next row."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from estimators.data.data import LATENT, Data
from estimators.mixture.arguments import check_rows
from estimators.mixture.covariates import CovariateRows, has_several_rows, is_steady
from estimators.mixture.program import MixtureProgram
from estimators.parameters.parameter import LOG_ZERO


def earlier_rows(
    model: MixtureProgram,
    draws: Mapping[str, Tensor],
    rows: Data,
    known: Collection[str],
    fitted: CovariateRows | None,
) -> tuple[dict[str, Tensor], Tensor]:
    """What a unit's rows share, one value each [U] (or a number), and log p(Z = k | rows of the unit) [S, U, K].

    These are what causes Z, and covariates that change within none of these units nor of the ``fitted`` ones, of which
    the next row has the same; of single rows nothing can be said to stay. Rows without units are those of one. Raises
    ValueError where Z, or what causes it, is ``known`` otherwise, where a cause is missing, and for rows that cannot
    be.
    """
    data = check_rows(model, rows if rows.unit is not None else rows.in_one_unit())
    for name in model.shared_in_units:
        if name in known:
            raise ValueError(
                f"given: {name} is one of all rows of a unit, so it cannot be set or seen beside the unit's earlier "
                "rows; ask fit.counterfactual(rows, do=...) what these would have been"
            )
    shared = {name: data.of_units(data.columns[name]) for name in model.shared_in_units if name != LATENT}
    for name, column in shared.items():
        if bool(column.isnan().any()):
            raise ValueError(f"given: {name} is missing in the rows of a unit, whose next row has the same; give it")
    stays = {} if fitted is None else fitted.is_steady
    for name in model.covariates:
        if name not in known and stays.get(name, has_several_rows(data)) and is_steady(data, name):
            shared[name] = data.of_units(data.columns[name])
    latent, logs = data.of_units(data.latent()), []
    for label in range(model.K):
        at_label = data.replace(Z=torch.full((data.num_rows,), label))
        is_other = (latent >= 0) & (latent != label)
        logs.append(model.marginal(at_label).pointwise(draws).masked_fill(is_other, -torch.inf))
    joint = torch.stack(logs, -1)
    if bool((impossible := joint.amax(-1) <= LOG_ZERO / 2).any()):
        unit = int(impossible.any(0).nonzero()[0])
        raise ValueError(f"given: the rows of unit {data.unit_labels[unit]!r} have probability 0 under the fit")
    is_one = data.num_units == 1
    return {name: column[0] if is_one else column for name, column in shared.items()}, torch.log_softmax(joint, -1)
