"""Global identification: whether other Greeks give the rows the law that they have at a fit's, and what they answer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from estimators.fits.identification import Identification
from estimators.fits.quantities import Question, effects_of, entries, known_fit, questions_of
from estimators.fits.remedies import Remedies
from estimators.fits.verdicts import Judge
from estimators.modes.equivalents import equivalents
from estimators.modes.labelling import Labelling
from estimators.modes.law_rows import design_of
from estimators.modes.row_law import law_of
from estimators.optimise.ascent import within_limits
from estimators.parameters.symmetry import Draws

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# Points near the Greeks in question at which it shows which variables act on which.
NEARBY = 4
LABELS_APART = "labels apart"


def identification(
    fit: "Fit", draws: Draws, query: "Question | Mapping[str, Question] | None", seed: int
) -> Identification:
    """Search for Greeks that give rows of the fit's kinds the law that they have at one draw [1, *shape]."""
    design = design_of(fit.model, draws, fit.data)
    rows, rng = design.rows(seed), np.random.default_rng(seed)
    density = fit.model.density(rows.data).beyond_priors()
    if not density.size:
        raise ValueError("identifiability: every Greek of this model is known, so there is nothing to identify")
    at = density.unconstrain({name: value[0].numpy() for name, value in draws.items()})
    at = within_limits(at, density.bounded)
    law = law_of(density, density, at, rng)
    labelling = Labelling.of(fit.model, density, uses_prior=False)
    known = known_fit(fit, density, at[None])
    if query is not None:
        asked, others = questions_of(known, density, query), []
    else:
        nearby = at + rng.standard_normal((NEARBY, len(at)))
        asked, others = effects_of(known, density, design.predictive, nearby), entries(known, density)
    found = equivalents(fit.model, density, law, labelling, rng)
    judged = Judge(law, found, labelling, rng).judged(asked, others)
    sought = {verdict.name for verdict in judged.verdicts if not verdict.is_identified}
    wanted = [one for one in asked or others if one.name in sought]
    remedies = Remedies(design, density, law, labelling, seed).helping(wanted, judged.points) if wanted else ()
    return Identification(
        greeks={name: torch.as_tensor(value) for name, value in density.draws(found.points).items()},
        verdicts={verdict.name: verdict for verdict in judged.verdicts},
        remedies=remedies,
        rows=rows.words,
        num_starts=found.num_starts,
        is_continuous=judged.is_continuous or found.is_endless,
        labels=LABELS_APART if labelling.symmetry.is_fixed else labelling.symmetry.sentence,
    )
