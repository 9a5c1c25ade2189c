"""Validation: does an estimator recover known Greeks, and predict interventions, as accurately as it claims?

``python -m validation run`` fits synthetic data with known truth and writes a report; from Python,

>>> from validation import STANDARD_SCENARIOS, Study, assess, run, standard_contenders  # doctest: +SKIP
>>> study = Study(scenarios=STANDARD_SCENARIOS[:1], contenders=standard_contenders())  # doctest: +SKIP
>>> results = assess(study.plan(), run(study))  # doctest: +SKIP

Names are loaded on first use, so that importing this package does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from validation.claims.compare import compare
    from validation.claims.judge import Finding
    from validation.claims.results import Results, assess, write_results
    from validation.refutation.refine import History, Step, refine
    from validation.refutation.refute import Refutation, refute
    from validation.scenarios import STANDARD_SCENARIOS, FixedTruth, Intervention, Partly, PriorTruth, Scenario, do_each
    from validation.statistics.check import Verdict
    from validation.study.contenders import Contender, standard_contenders
    from validation.study.plan import Plan
    from validation.study.row import Row
    from validation.study.store import Store
    from validation.study.study import Study, run

_HOME = {
    "STANDARD_SCENARIOS": "validation.scenarios",
    "Contender": "validation.study.contenders",
    "FixedTruth": "validation.scenarios",
    "Finding": "validation.claims.judge",
    "History": "validation.refutation.refine",
    "Intervention": "validation.scenarios",
    "Partly": "validation.scenarios",
    "Plan": "validation.study.plan",
    "PriorTruth": "validation.scenarios",
    "Refutation": "validation.refutation.refute",
    "Results": "validation.claims.results",
    "Row": "validation.study.row",
    "Scenario": "validation.scenarios",
    "Step": "validation.refutation.refine",
    "Store": "validation.study.store",
    "Study": "validation.study.study",
    "Verdict": "validation.statistics.check",
    "assess": "validation.claims.results",
    "compare": "validation.claims.compare",
    "do_each": "validation.scenarios",
    "refine": "validation.refutation.refine",
    "refute": "validation.refutation.refute",
    "run": "validation.study.study",
    "standard_contenders": "validation.study.contenders",
    "write_results": "validation.claims.results",
}

__all__ = [
    "STANDARD_SCENARIOS",
    "Contender",
    "Finding",
    "FixedTruth",
    "History",
    "Intervention",
    "Partly",
    "Plan",
    "PriorTruth",
    "Refutation",
    "Results",
    "Row",
    "Scenario",
    "Step",
    "Store",
    "Study",
    "Verdict",
    "assess",
    "compare",
    "do_each",
    "refine",
    "refute",
    "run",
    "standard_contenders",
    "write_results",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'validation' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
