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
    from validation.claims import Finding
    from validation.comparison import compare
    from validation.contenders import Contender, standard_contenders
    from validation.plan import Plan
    from validation.record import Row
    from validation.refinement import History, Step, refine
    from validation.refutation import Refutation, refute
    from validation.results import Results, assess, write_results
    from validation.scenarios import STANDARD_SCENARIOS, FixedTruth, Intervention, Partly, PriorTruth, Scenario, do_each
    from validation.store import Store
    from validation.study import Study, run
    from validation.tolerances import Verdict

_HOME = {
    "STANDARD_SCENARIOS": "validation.scenarios",
    "Contender": "validation.contenders",
    "FixedTruth": "validation.scenarios",
    "Finding": "validation.claims",
    "History": "validation.refinement",
    "Intervention": "validation.scenarios",
    "Partly": "validation.scenarios",
    "Plan": "validation.plan",
    "PriorTruth": "validation.scenarios",
    "Refutation": "validation.refutation",
    "Results": "validation.results",
    "Row": "validation.record",
    "Scenario": "validation.scenarios",
    "Step": "validation.refinement",
    "Store": "validation.store",
    "Study": "validation.study",
    "Verdict": "validation.tolerances",
    "assess": "validation.results",
    "compare": "validation.comparison",
    "do_each": "validation.scenarios",
    "refine": "validation.refinement",
    "refute": "validation.refutation",
    "run": "validation.study",
    "standard_contenders": "validation.contenders",
    "write_results": "validation.results",
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
