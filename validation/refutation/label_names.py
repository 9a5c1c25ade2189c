"""Which class of a draw is which label: those of all draws are named by what the fit says of its own."""

from dataclasses import replace

import numpy as np
import torch

from estimators import Fit
from validation.refutation.experiment import Array


def permuted(fit: Fit, orders: Array) -> Fit:
    """The fit with component k of draw s renamed to what ``orders[s, k]`` was."""
    draws = dict(fit.draws)
    for name, label_axes in fit.symmetry.axes.items():
        for axis in label_axes:
            value = draws[name].movedim(axis + 1, 1)
            index = torch.from_numpy(orders).reshape(*orders.shape, *[1] * (value.ndim - 2)).expand(value.shape)
            draws[name] = torch.gather(value, 1, index).movedim(1, axis + 1)
    return replace(fit, draws=draws)


def named_as(fit: Fit, others: Fit) -> Fit:
    """Draws whose free labels are, each by itself, in the order in which the fit's are, by what it orders them by.

    An experimenter who sets Z=1 goes by what the fit says of it, "the class with the larger mean of Y", and of Greeks
    that fit the rows as well, but divide them otherwise, that is another class than the one whose rows overlap most.
    Labels that rows or priors pin stay as they are.
    """
    symmetry, key = fit.symmetry, fit.stats.get("labels_by", "")
    if not key or not symmetry.is_nontrivial or symmetry.by_prior:
        return others
    centre = fit.model.order_keys(fit.draws, symmetry)[key].mean(0).numpy()
    values = fit.model.order_keys(others.draws, symmetry)[key].numpy()
    orders = np.tile(np.arange(values.shape[1]), (len(values), 1))
    for group in symmetry.groups:
        labels = np.array(sorted(group, key=lambda label: float(centre[label])))
        orders[:, labels] = labels[np.argsort(values[:, labels], axis=1, kind="stable")]
    return permuted(others, orders)
