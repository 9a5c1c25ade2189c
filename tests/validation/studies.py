"""Scenarios by name, studies run in this process, and what their rows say."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from validation.claims.judge import Finding, assess_claim
from validation.scenarios import STANDARD_SCENARIOS, Scenario
from validation.study.assertions import Claim
from validation.study.contenders import Contender
from validation.study.plan import PlannedScenario
from validation.study.row import Row, by_estimator
from validation.study.study import Study, run

SCENARIOS = {scenario.name: scenario for scenario in STANDARD_SCENARIOS}


def run_here(study: Study, *, workers: Any = None, executor: Any = None, **settings: Any) -> list[Row]:
    """Run a study in a thread of this process, whatever else is asked for."""
    with ThreadPoolExecutor(1) as here:
        return run(study, executor=here, **settings)


def without_times(rows: Iterable[Row]) -> list[Row]:
    """Rows without what differs between two runs of one study."""
    return [replace(row, seconds=None) for row in rows]  # type: ignore[arg-type]


def replicated(
    scenario: Scenario, contender: Contender, replicates: int, *, seed: int, workers: int | None = None
) -> tuple[list[Row], PlannedScenario]:
    """The rows of one estimator on one scenario, and the scenario as a plan holds it."""
    study = Study((scenario,), (contender,), seed=seed, replicates=replicates)
    return run(study, workers=workers) if workers else run_here(study), study.plan().scenarios[0]


def judged(rows: list[Row], described: PlannedScenario, kind: str, alpha: float) -> Finding:
    """What comes of one kind of claim about the estimator whose rows they are."""
    claim = Claim(described.name, rows[0].estimator, kind, alpha=alpha)
    return assess_claim(claim, described, by_estimator(rows))
