"""What would identify a quantity: rows with a variable set, rows with Z seen, and further measures of Z, by trying."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from estimators.contract import Density
from estimators.fits.identification import Remedy
from estimators.fits.quantities import Asked
from estimators.fits.verdicts import Judge
from estimators.modes.equivalents import equivalents_from
from estimators.modes.labelling import Labelling
from estimators.modes.law_rows import Design, RowKind
from estimators.modes.measured_law import measured_law
from estimators.modes.row_law import RowLaw, law_of
from estimators.optimise.arrays import Array

# Points of the old law from which the new one is sought, and moves at random from the Greeks in question.
MOST_STARTS, MOVES = 20, (0.3, 0.3, 1.0, 1.0, 1.0, 2.0)
# Points of the new law that are enough to show that it is of many Greeks still.
MOST_POINTS = 8
# Measures that are tried at once.
MOST_MEASURES = 2


@dataclass(frozen=True, eq=False)
class Remedies:
    """What is tried beside the rows of a design, whose law at a point the density's coordinates are about."""

    design: Design
    density: Density
    law: RowLaw
    labelling: Labelling
    seed: int

    def helping(self, asked: Sequence[Asked], points: Array) -> tuple[Remedy, ...]:
        """Those under which some quantities have one value, at all ``points`` [P, D] of the old law that still fit."""
        return tuple(remedy for remedy in self._tried(asked, points) if remedy.identifies)

    def _tried(self, asked: Sequence[Asked], points: Array) -> Iterator[Remedy]:
        for words, kind in self._kinds():
            yield Remedy(words, self._identified_by_rows(kind, asked, points))
        hidden = self.density.latent[0] if self.density.latent else ""
        for number in range(1, MOST_MEASURES + 1):
            identified = self._identified_by_measures(number, asked, points)
            which = "another yes-or-no measure" if number == 1 else f"{number} other yes-or-no measures"
            yield Remedy(f"{which} of {hidden} alone", identified)
            if len(identified) == len(asked):
                break

    def _kinds(self) -> Iterator[tuple[str, RowKind]]:
        """Rows of another kind: each observed variable set, to values that it has, and each hidden site seen."""
        kinds = self.design.kinds or ()
        predictive = self.design.predictive
        for name in self.design.observed:
            is_tried = any(kind.settings.keys() == {name} for kind in kinds)
            variable = predictive.variables[name]
            if variable.num_columns is None and variable.has_law and not is_tried:
                levels = predictive.levels(name)
                values = self.density.data.columns[name].double() if levels is None else levels.double()
                values = values[~values.isnan()]
                if len(values):
                    yield f"rows with {name} set", RowKind({name: values})
        for site in self.density.latent:
            if predictive.variables[site].num_columns is None and not any(site in kind.seen for kind in kinds):
                yield f"rows with {site} seen", RowKind({}, frozenset({site}))

    def _identified_by_rows(self, kind: RowKind, asked: Sequence[Asked], points: Array) -> tuple[str, ...]:
        design = self.design.with_kind(kind)
        if design is None:
            return ()
        rng = np.random.default_rng(self.seed)
        data = design.rows(self.seed).data
        law = law_of(self.density, self.density.of(data), self.law.at, rng)
        at = {name: value[0] for name, value in self.density.draws(self.law.at[None]).items()}
        labelling = Labelling(self.density, design.model.symmetry(data, at, uses_prior=False))
        starts = self._starts(points)
        starts += [self.law.at + size * rng.standard_normal(len(self.law.at)) for size in MOVES]
        return _identified(law, starts, labelling, asked, rng, by_label=labelling)

    def _identified_by_measures(self, number: int, asked: Sequence[Asked], points: Array) -> tuple[str, ...]:
        rng = np.random.default_rng(self.seed)
        law = measured_law(self.density, self.law.at, number, rng)
        if law is None:
            return ()
        odds = law.at[self.density.size :]
        starts = [np.concatenate([start, odds]) for start in self._starts(points)]
        starts += [law.at + size * rng.standard_normal(len(law.at)) for size in MOVES]
        return _identified(law, starts, self.labelling, asked, rng)

    def _starts(self, points: Array) -> list[Array]:
        """Points of the old law, spread over all of them, under every labelling that it leaves free."""
        chosen = points[np.linspace(0, len(points) - 1, min(len(points), MOST_STARTS)).astype(int)]
        return list(np.concatenate(list(self.labelling.images(chosen)))[: 3 * MOST_STARTS])


def _identified(
    law: RowLaw,
    starts: Sequence[Array],
    labelling: Labelling,
    asked: Sequence[Asked],
    rng: np.random.Generator,
    by_label: Labelling | None = None,
) -> tuple[str, ...]:
    """The quantities that have one value at all points of a law to which starts lead, and on walks from there."""
    judge = Judge(law, equivalents_from(law, starts, by_label, most=MOST_POINTS), labelling, rng)
    sound = {verdict.name for verdict in judge.judged((), asked).verdicts if verdict.is_identified}
    left = [one for one in asked if one.name in sound]
    return tuple(verdict.name for verdict in judge.judged(left, ()).verdicts if verdict.is_identified)
