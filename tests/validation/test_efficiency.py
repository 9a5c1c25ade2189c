"""EM reaches the Cramér–Rao bound where N is large, and an estimator that wastes rows does not."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from estimators import EM
from tests.validation.studies import SCENARIOS, judged, replicated
from validation.statistics.check import Verdict
from validation.study.contenders import Contender

REPLICATES = 300


@dataclass(frozen=True)
class OfAThird:
    """EM on the first third of the rows: three times the variance."""

    def fit(self, model, data, *, seed=None):
        return EM(progress_bar=False).fit(model, data.rows(torch.arange(data.num_rows // 3)), seed=seed)


def em_rows(estimator, seed):
    return replicated(SCENARIOS["separated_1000"], Contender("EM", estimator, efficient=True), REPLICATES, seed=seed)


def score(rows, described):
    """The sum of the squared errors of a mean, in units of the bound, as a normal score: it is χ² with a term each."""
    errors = np.array([row.estimate["mu_X[1]"] - row.truth["mu_X[1]"] for row in rows])
    total = np.sum(errors**2) / described.asymptotics.sd["mu_X[1]"] ** 2
    return stats.norm.isf(stats.chi2.sf(total, len(errors)))


@pytest.mark.slow
@pytest.mark.statistical(checks=2)
def test_efficiency_of_em_on_well_separated_classes(stat):
    """One check of a mean, two-sided; the other check's part of the budget is the claim's, of all Greeks together."""
    rows, described = em_rows(EM(progress_bar=False), stat.seed)
    # N = 1000, θ = 0.6, σ = 1, hidden labels cost one row in a hundred.
    assert described.asymptotics.sd["mu_X[1]"] ** 2 == pytest.approx(1 / 600, rel=0.02)
    # Half as much variance again is 6.1 standard errors of 300 squares.
    stat.estimate(score(rows, described), 1.0, 0.0, min_effect=8.0)
    found = judged(rows, described, "efficiency", stat.alpha)
    assert found.verdict is Verdict.PASS, found
    # A third of the rows have three times the variance.
    assert 1.0 < found.sees < found.most < 2.5
    rows, described = em_rows(OfAThird(), stat.seed)
    with stat.control():
        stat.estimate(score(rows, described), 1.0, 0.0)
    assert judged(rows, described, "efficiency", stat.alpha).verdict is Verdict.FAIL
