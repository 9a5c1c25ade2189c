"""Which label is which where the likelihood does not say: the permutation of highest prior density.

Maximum likelihood knows no prior, so that its components come in any order, also where the priors tell them apart. The
priors of a mixture are independent between components given the permutation, and that of the weights is a sum over
components too, ``Σ_k (α_k − 1) log θ_π(k)``: the best permutation is a linear assignment.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from estimators.estep.weights import WEIGHTS
from estimators.optimise.arrays import Array
from estimators.parameters.laws import is_in_support
from estimators.parameters.parameter import TINY, Parameter
from estimators.parameters.prior_densities import unvalidated

# Log densities whose difference is a smaller part of them are equal.
EQUAL = 1e-9


def label_densities(parameters: Sequence[Parameter], greeks: Mapping[str, Tensor], K: int) -> Array:
    """The log prior density [K, K] of the values of component j as those of label k, up to a constant."""
    total = np.zeros((K, K))
    labels = np.arange(K)
    for parameter in parameters:
        # A prior of all components together, but for Dirichlet's, is the same in every order.
        is_joint = parameter.component_axis is not None and parameter.component_axis >= len(parameter.prior.batch_shape)
        if parameter.component_axis is None or (is_joint and parameter.name != WEIGHTS):
            continue
        value = greeks[parameter.name].double()
        for shift in range(K):
            moved = value.roll(-shift, parameter.component_axis)
            log = _log_weights(parameter, moved) if parameter.name == WEIGHTS else _log_values(parameter, moved)
            total[labels, (labels + shift) % K] += log.numpy()
    return np.nan_to_num(total, nan=-np.inf, posinf=np.inf, neginf=-np.inf)


def likeliest_order(log: Array, groups: Sequence[Sequence[int]], key: Array) -> NDArray[np.intp]:
    """The component of every label, of highest prior density within the groups; where equal, in order of the key.

    >>> likeliest_order(np.array([[-1.0, -9.0], [-9.0, -2.0]]), [[0, 1]], np.array([5.0, 4.0])).tolist()
    [0, 1]
    """
    log, order = _finite(log), np.arange(len(log))
    for group in groups:
        labels = np.array(sorted(group))
        order[labels] = labels[linear_sum_assignment(log[np.ix_(labels, labels)], maximize=True)[1]]
        _settle_ties(order, labels.tolist(), log, key)
    return order


def _settle_ties(order: NDArray[np.intp], labels: Sequence[int], log: Array, key: Array) -> None:
    """Swap two labels whose keys descend while that changes no density."""
    pairs = list(combinations(labels, 2))
    is_moving = True
    while is_moving:
        is_moving = False
        for a, b in pairs:
            now, then = log[[a, b], order[[a, b]]], log[[a, b], order[[b, a]]]
            is_equal = now.sum() - then.sum() <= EQUAL * (1.0 + np.abs([now, then]).sum())
            if is_equal and key[order[a]] > key[order[b]]:
                order[[a, b]] = order[[b, a]]
                is_moving = True


def _finite(log: Array) -> Array:
    """Log densities where what a prior excludes costs more than any choice it allows: as few as possible are chosen."""
    is_finite = np.isfinite(log)
    low, high = (log[is_finite].min(), log[is_finite].max()) if is_finite.any() else (0.0, 0.0)
    reach = len(log) * (high - low + 1.0)
    return np.where(is_finite, log, np.where(log > 0, high + reach, low - reach))


def _log_values(parameter: Parameter, value: Tensor) -> Tensor:
    """log p(values) of every component [K], summed over all other axes."""
    assert parameter.component_axis is not None
    # Maximum likelihood may have left the prior's support.
    log = torch.where(
        is_in_support(parameter.prior, value), unvalidated(parameter.prior).log_prob(value).double(), -torch.inf
    )
    return log.movedim(parameter.component_axis, 0).reshape(value.shape[parameter.component_axis], -1).sum(-1)


def _log_weights(parameter: Parameter, value: Tensor) -> Tensor:
    """(α_k − 1) log θ_k, summed over the causes of Z [K]."""
    terms: Tensor = (parameter.prior.concentration - 1.0) * value.clamp_min(TINY).log()
    return terms.reshape(-1, value.shape[-1]).sum(0)
