"""The modes of a fit: a table of every answer that was found within reach, each of them a fit of its own."""

from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import logsumexp

from estimators.checks import what_came
from estimators.contract import Density, Model
from estimators.data.words import LINES, WIDTH, few_lines
from estimators.fits.advice import with_names
from estimators.fits.kind import Kind
from estimators.fits.labels import labelled_alike
from estimators.fits.left_open import open_at_mode
from estimators.fits.left_to_priors import left_to_priors, prior_remarks
from estimators.fits.level_names import names_along_axes
from estimators.fits.sample import Rivals
from estimators.fits.summary import entries_of
from estimators.modes.found import Found
from estimators.modes.table import SHARE, Modes
from estimators.optimise.arrays import Array
from estimators.parameters.edges import words_of_edges
from estimators.parameters.symmetry import Draws
from estimators.status import Status, in_order

if TYPE_CHECKING:
    import pandas as pd

    from estimators.fits.fit import Fit

# Rivals that labels are looked at under.
MOST_RIVALS = 5
# What holds of all modes of a fit alike.
KEPT = ("estimator", "seed", "labels", "labels_by", "labels_unfixed", "label_certainty")


class FitModes:
    """Every answer within reach, the fit's own first: ``fit.modes[1]`` is a fit, ``print(fit.modes)`` the table."""

    def __init__(self, fit: "Fit", modes: Modes) -> None:
        self._fit, self._modes = fit, modes

    def __len__(self) -> int:
        return len(self._modes)

    def __getitem__(self, number: int) -> "Fit":
        """The mode as a fit, its labels in order; of a posterior, the mode's draws, or its point if it has none."""
        if not isinstance(number, Integral):
            raise TypeError(f"modes: expected a number below {len(self)}, got {what_came(number)}")
        if not -len(self) <= number < len(self):
            raise IndexError(f"modes: the search found {len(self)}, numbered from 0; got {number}")
        place = number % len(self)
        order = [place, *(i for i in range(len(self)) if i != place)]
        modes = self._modes.ordered(order)
        draws = {name: value[:1] for name, value in modes.greeks.items()}
        if "mode" in self._fit.info:
            return _part_of(self._fit, place, draws, modes)
        if place == 0:
            return self._fit
        value = {name: float(modes.values[0]) for name in ("log_likelihood", "log_joint") if name in self._fit.stats}
        stats = {**{name: self._fit.stats[name] for name in KEPT if name in self._fit.stats}, **value}
        # A mode below another always has a rival: that other.
        said = _with_a_rival(self._fit, modes)
        return replace(self._fit, draws=draws, found=modes, stats=stats, info={}, **said)

    def __iter__(self) -> "Iterator[Fit]":
        return (self[number] for number in range(len(self)))

    @property
    def weights(self) -> Array:
        """The share of each [M]."""
        return self._modes.weights

    @property
    def is_settled(self) -> bool:
        """Whether another random start is unlikely to end at a mode that is not here."""
        return self._modes.is_settled

    @property
    def chance(self) -> float:
        """The Good-Turing estimate of that: the share of starts that ended where no other did."""
        return self._modes.chance

    def table(self) -> "pd.DataFrame":
        """One row a mode: how far its value is below the first, weight, hits, what is at an end or open, and Greeks."""
        import pandas as pd  # a quarter of a second, which only tables need

        modes = self._modes
        columns: dict[str, Array | tuple[str, ...]] = {
            "below": modes.values[0] - modes.values,
            "weight": modes.weights,
            "hits": modes.hits,
        }
        if any(modes.ends):
            names = names_along_axes(self._fit)
            columns["at an end"] = tuple(with_names(end, names) for end in modes.ends)
        if any(modes.are_open):
            names = names_along_axes(self._fit)
            columns["open"] = tuple(with_names(open_there, names) for open_there in modes.open_in_words)
        for greek, entries in entries_of(self._fit).items():
            flat = modes.greeks[greek].reshape(len(modes), -1).numpy()
            columns |= dict(zip(entries, flat.T, strict=True))
        return pd.DataFrame(columns, index=pd.RangeIndex(len(modes), name="mode"))

    def __repr__(self) -> str:
        modes = self._modes
        settled = "settled" if modes.is_settled else "not settled"
        head = (
            f"{len(modes)} mode(s) of {modes.num_starts} starts, {settled}: another random start ends elsewhere within "
            f"reach with a chance of {modes.chance:.3f}, as far as these tell"
        )
        many = "; there are many, of which these are some" if modes.is_many else ""
        table = self.table()
        for column in {"at an end", "open"}.intersection(table):
            table[column] = ["yes" if words else "" for words in table[column]]
        # One column a mode: there are more Greeks than modes.
        lines = few_lines(table.T.rename_axis("mode"), LINES - 3, "fit.modes.table() has all of it")
        return "\n".join([*wrap(f"{head}{many}", WIDTH), *lines])


def _with_a_rival(fit: "Fit", modes: Modes) -> dict[str, Any]:
    """What is said of one mode of several, the first: that there are others, and what holds of whichever mode."""
    own = {Status.NOT_IDENTIFIED: modes.opens[0]} if modes.opens[0] else {}
    # What the rows leave open of a posterior is so at all its modes; where the fit's own mode is flat, at that.
    is_of_any = fit.uses_prior and not (fit.found and fit.found.opens[0])
    of_any = {Status.PRIOR_CONFLICT} | ({Status.NOT_IDENTIFIED} if is_of_any else set())
    kept = {status: about for status, about in fit.findings.items() if status in of_any}
    findings = in_order({Status.RIVAL_MODES: "", **own, **kept})
    return {"status": next(iter(findings)), "findings": findings, "remarks": prior_remarks(modes.left_to_priors[0])}


def _part_of(fit: "Fit", place: int, point: "Draws", modes: Modes) -> "Fit":
    """The draws of a posterior that belong to one of its modes; of a mode without draws its point."""
    said: dict[str, Any] = {"stats": {name: fit.stats[name] for name in KEPT if name in fit.stats}, "found": modes}
    if len(modes) > 1:
        # A part has a rival: the others.
        said |= _with_a_rival(fit, modes)
    inside = fit.info["mode"] == place
    if not bool(inside.any()):
        return replace(fit, draws=point, num_chains=1, info={}, kind=Kind.KNOWN, **said)
    draws = {name: value[inside] for name, value in fit.draws.items()}
    info = {name: value[inside] for name, value in fit.info.items() if name != "mode" and len(value) == fit.num_draws}
    info["mode"] = torch.zeros(int(inside.sum()), dtype=torch.int64)
    return replace(fit, draws=draws, num_chains=1, info=info, **said)


def modes_of(fit: "Fit") -> FitModes:
    """Every answer that a search found, or that draws of a posterior are of; ValueError where there is neither."""
    if fit.found is not None:
        return FitModes(fit, fit.found)
    if not fit.kind.is_posterior and "search_starts" not in fit.stats:
        raise ValueError("modes: this fit was made without a search (fit with search=modes.Search())")
    starts = f", of {fit.stats['search_starts']} starts," if "search_starts" in fit.stats else ""
    raise ValueError(
        f"modes: the search{starts} found no maximum to list: its climbs ended where a class has lost "
        f"its rows or holds few of them alone, or a Greek is at an end of its support (this fit is {fit.status.name}: "
        "fit.advice says of what); fewer classes, or priors that exclude such ends, have maxima"
    )


def kept_modes(found: Found, model: Model, density: Density, weights: Array, key: str, *, kind: Kind) -> Modes:
    """The modes of a search as a fit keeps them, each with its labels in the order of the fit's own: by a key."""
    uses_prior, is_mode = kind.uses_prior, kind.is_mode
    labelled, opens, left = list[Draws](), list[str](), list[str]()
    for mode in found.modes:
        draws, renamed = labelled_alike(model, density, density.draws(mode.point[None]), key, uses_prior=uses_prior)
        labelled.append(draws)
        opens.append(renamed(open_at_mode(density, mode)))
        left.append(renamed(left_to_priors(density, mode)) if uses_prior and is_mode else "")
    return Modes(
        greeks={name: torch.cat([draws[name] for draws in labelled]) for name in labelled[0]},
        values=np.array([mode.value for mode in found.modes]),
        weights=weights,
        hits=np.array([sum(mode.hits.values()) for mode in found.modes]),
        ends=tuple(
            words_of_edges(density.edges({name: value[0].numpy() for name, value in draws.items()}))
            for draws in labelled
        ),
        opens=tuple(opens),
        left_to_priors=tuple(left),
        num_starts=found.num_starts,
        chance=found.chance,
        is_settled=found.is_settled,
        is_many=found.is_many,
    )


def mode_weights(found: Found, density: Density, *, uses_prior: bool) -> Array:
    """The share of each mode [M] in the posterior, by Laplace's approximation, or in the likelihood.

    ``∫ p(data, v) dv ≈ p(data, φ̂) |dφ/dv| |I / 2π|^-1/2`` around each; by values alone where one has flat directions,
    or is at an end of its support.
    """
    logs = np.array([mode.value for mode in found.modes])
    if uses_prior:
        logs = logs + _log_volumes(found, density, uses_prior=True)
    return np.asarray(np.exp(logs - logsumexp(logs)))


def rivals_of(found: Found | None, density: Density, *, uses_prior: bool) -> Rivals | None:
    """The modes beside the first, as draws of `laplace` would be of them; of many, those that weigh most."""
    if found is None or len(found.modes) < 2:
        return None
    logs = np.array([mode.value for mode in found.modes]) + _log_volumes(found, density, uses_prior=uses_prior)
    shares = np.exp(logs - logsumexp(logs))
    chosen = [number for number in np.argsort(-shares) if number and shares[number] >= SHARE][:MOST_RIVALS]
    if not chosen:
        return None
    return Rivals(np.array([found.modes[number].point for number in chosen]), shares[[0, *chosen]])


def _log_volumes(found: Found, density: Density, *, uses_prior: bool) -> Array:
    """What Laplace's approximation adds to the value of each mode [M]; nothing where it has none for some of them."""
    curves = [mode.curve for mode in found.modes]
    known = [curve for curve in curves if curve is not None and not curve.is_flat.any()]
    if len(known) < len(curves) or not all(bool(mode.free.all()) for mode in found.modes):
        return np.zeros(len(curves))
    volumes = np.array([np.linalg.slogdet(curve.information / (2.0 * np.pi))[1] for curve in known])
    jacobians = density.values(np.array([mode.point for mode in found.modes])).jacobian if uses_prior else 0.0
    return np.asarray(jacobians - 0.5 * volumes)
