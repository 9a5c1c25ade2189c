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

_NAMES = {
    "claims.compare": ("compare",),
    "claims.judge": ("Finding",),
    "claims.results": ("Results", "assess", "write_results"),
    "refutation.refine": ("History", "Step", "refine"),
    "refutation.refute": ("Refutation", "refute"),
    "scenarios": (
        "STANDARD_SCENARIOS",
        "FixedTruth",
        "Intervention",
        "Partly",
        "PriorTruth",
        "Scenario",
        "do_each",
    ),
    "statistics.check": ("Verdict",),
    "study.contenders": ("Contender", "standard_contenders"),
    "study.plan": ("Plan",),
    "study.row": ("Row",),
    "study.store": ("Store",),
    "study.study": ("Study", "run"),
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
    for module, names in _NAMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module 'validation' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
