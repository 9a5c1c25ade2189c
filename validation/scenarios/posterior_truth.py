"""Truths drawn from the posterior given a person's own rows: calibration around these data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from estimators import Data
from validation.scenarios.base import Draw, Seeds, Truth
from validation.scenarios.design import Design

if TYPE_CHECKING:
    from validation.scenarios.scenario import Scenario


@dataclass(frozen=True, eq=False)
class PosteriorTruth:
    """Greeks φ ~ p(φ | data) in each replicate, and the data with rows ~ p(rows | φ) added to them.

    ``draws`` [S, *shape] are of the posterior given ``data``, ``design`` is that of the rows added. Then φ is a draw of
    the posterior given both, so its rank among an estimator's draws given both is uniform: simulation-based calibration
    with the posterior in the place of the prior (Säilynoja, Schmitt, Bürkner & Vehtari 2025, Posterior SBC). Rows of
    the data stay as they are, with what is seen or set in them and their weights.
    """

    data: Data
    design: Design
    draws: Mapping[str, NDArray[np.float64]]
    truth: ClassVar[Truth] = Truth.POSTERIOR

    def draw(self, scenario: "Scenario", seeds: Seeds) -> Draw:
        number = np.random.default_rng(seeds.truth).integers(len(next(iter(self.draws.values()))))
        drawn = {name: value[[number]] for name, value in self.draws.items()}
        greeks = {name: value[0] for name, value in scenario.arranged(drawn).items()}
        rows = self.design.simulate(scenario.model, greeks, hidden=scenario.hidden, seed=seeds.data)
        return Draw(Data.concat([self.data, rows]), greeks)
