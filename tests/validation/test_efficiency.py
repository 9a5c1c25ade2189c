"""EM reaches the Cramér–Rao bound where N is large, and an estimator that wastes rows does not."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from estimators import EM
from validation.claims import assess_claim
from validation.contenders import Contender
from validation.plan import Claim
from validation.scenarios import STANDARD_SCENARIOS
from validation.study import Study, run
from validation.tolerances import Verdict

SEPARATED = next(each for each in STANDARD_SCENARIOS if each.name == "separated_1000")
REPLICATES, LEVEL = 150, 1e-5
# The excess variance that is claimed to be seen with probability 0.9; the control below has more.
MIN_EFFECT = 2.0


@dataclass(frozen=True)
class OfAThird:
    """EM on the first third of the rows: three times the variance."""

    def fit(self, model, data, *, seed=None):
        return EM(progress_bar=False).fit(model, data.rows(torch.arange(data.num_rows // 3)), seed=seed)


@pytest.mark.parametrize(
    ("estimator", "verdict"),
    [(EM(progress_bar=False), Verdict.PASS), (OfAThird(), Verdict.FAIL)],
    ids=["EM", "control"],
)
def test_efficiency_of_em_on_well_separated_classes(estimator, verdict):
    study = Study((SEPARATED,), (Contender("EM", estimator, efficient=True),), replicates=REPLICATES)
    with ThreadPoolExecutor(1) as executor:
        rows = run(study, executor=executor)
    described = study.plan().scenarios[0]
    claim = Claim("separated_1000", "EM", "efficiency", judged=True, alpha=LEVEL, min_effect=MIN_EFFECT)
    finding = assess_claim(claim, described, rows)
    assert finding.verdict is verdict, finding
    assert finding.detectable <= MIN_EFFECT
    errors = np.array([row.estimate["mu_X[1]"] - row.truth["mu_X[1]"] for row in rows])
    if finding.worst == "mu_X[1]":
        # N = 1000, θ = 0.6, σ = 1, hidden labels cost one row in a hundred.
        bound = described.asymptotics.sd["mu_X[1]"] ** 2
        assert bound == pytest.approx(1 / 600, rel=0.02)
        assert finding.statistic == pytest.approx(np.mean(errors**2) / bound)
