"""EM reaches the Cramér–Rao bound where N is large, and an estimator that wastes rows does not."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from estimators import EM
from validation.claims.judge import assess_claim
from validation.scenarios import STANDARD_SCENARIOS
from validation.statistics.check import Verdict
from validation.study.assertions import Claim
from validation.study.contenders import Contender
from validation.study.row import by_estimator
from validation.study.study import Study, run

SEPARATED = next(each for each in STANDARD_SCENARIOS if each.name == "separated_1000")
REPLICATES = 300


@dataclass(frozen=True)
class OfAThird:
    """EM on the first third of the rows: three times the variance."""

    def fit(self, model, data, *, seed=None):
        return EM(progress_bar=False).fit(model, data.rows(torch.arange(data.num_rows // 3)), seed=seed)


def replicated(estimator, seed):
    study = Study((SEPARATED,), (Contender("EM", estimator, efficient=True),), seed=seed, replicates=REPLICATES)
    with ThreadPoolExecutor(1) as executor:
        return run(study, executor=executor), study.plan().scenarios[0]


def finding(rows, described, alpha):
    return assess_claim(Claim("separated_1000", "EM", "efficiency", alpha=alpha), described, by_estimator(rows))


def score(rows, described):
    """The sum of the squared errors of a mean, in units of the bound, as a normal score: it is χ² with a term each."""
    errors = np.array([row.estimate["mu_X[1]"] - row.truth["mu_X[1]"] for row in rows])
    total = np.sum(errors**2) / described.asymptotics.sd["mu_X[1]"] ** 2
    return stats.norm.isf(stats.chi2.sf(total, len(errors)))


@pytest.mark.slow
@pytest.mark.statistical(checks=2)
def test_efficiency_of_em_on_well_separated_classes(stat):
    """One check of a mean, two-sided; the other check's part of the budget is the claim's, of all Greeks together."""
    rows, described = replicated(EM(progress_bar=False), stat.seed)
    # N = 1000, θ = 0.6, σ = 1, hidden labels cost one row in a hundred.
    assert described.asymptotics.sd["mu_X[1]"] ** 2 == pytest.approx(1 / 600, rel=0.02)
    # Half as much variance again is 6.1 standard errors of 300 squares.
    stat.estimate(score(rows, described), 1.0, 0.0, min_effect=8.0)
    found = finding(rows, described, stat.alpha)
    assert found.verdict is Verdict.PASS, found
    # A third of the rows have three times the variance.
    assert 1.0 < found.sees < found.most < 2.5
    rows, described = replicated(OfAThird(), stat.seed)
    with stat.control():
        stat.estimate(score(rows, described), 1.0, 0.0)
    assert finding(rows, described, stat.alpha).verdict is Verdict.FAIL
