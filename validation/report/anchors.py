"""Where on the page a scenario stands, and the figures on which a claim can be seen."""

from collections.abc import Mapping
from dataclasses import dataclass

# The topic (by the name of its table) that shows each kind of claim.
SHOWN_BY: Mapping[str, str] = {
    "bias": "recovery",
    "mode": "recovery",
    "agreement": "recovery",
    "efficiency": "efficiency",
    "gross": "recovery",
    "divergence": "interventions",
    "spread": "coverage",
    "coverage": "coverage",
    "floor": "coverage",
    "calibration": "calibration",
    "exactness": "exactness",
    "reference": "recovery",
    "candour": "candour",
    "answered": "candour",
    "convergence": "endings",
}


@dataclass(frozen=True)
class Anchors:
    """The anchor of each scenario, and of each of its topics that is on the page, by scenario and name of the topic."""

    scenarios: Mapping[str, str]
    topics: Mapping[tuple[str, str], str]

    def figure(self, scenario: str, kind: str) -> str:
        """Return the anchor of the figures that show a kind of claim; the scenario's where there are none."""
        return self.topics.get((scenario, SHOWN_BY.get(kind, "")), self.scenarios[scenario])
