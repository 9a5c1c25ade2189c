"""What a fit advises: every status that holds, the most misleading first, and words that follow the labels."""

import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from estimators import EstimationError, EstimationWarning, Fit, GaussianMixture, Status
from estimators.algorithms.finish import Estimated, finish
from estimators.algorithms.protocol import begin
from estimators.fits.kind import Kind
from estimators.status import in_order
from tests.models import quiet

MODEL = GaussianMixture(K=2)
ROWS = {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}
# Components in the order that the fit turns round: it names them by their means.
POINT = {"theta": torch.tensor([[0.6, 0.4]]).double(), "mu_X": torch.tensor([[11.0, 0.5]]).double()}


def finished(findings: Mapping[Status, str], remarks: tuple[str, ...] = (), *, strict: bool = False) -> Fit:
    task = begin(MODEL, ROWS, 0, strict)
    estimated = Estimated(Kind.ML, POINT, {"seed": 0}, findings, remarks=remarks)
    return finish(task, MODEL.density(task.data), estimated)


def quietly(findings: Mapping[Status, str], remarks: tuple[str, ...] = ()) -> Fit:
    with quiet():
        return finished(findings, remarks)


def test_the_status_is_what_misleads_most() -> None:
    assert [status.name for status in Status] == [
        *("NOT_IDENTIFIED", "RIVAL_MODES", "PRIOR_POLE", "PRIOR_CONFLICT", "CHAINS_DISAGREE", "SADDLE"),
        *("COMPONENT_COLLAPSED", "BOUNDARY", "MAX_ITERATIONS", "DIVERGENCES", "LOW_ESS", "CONVERGED"),
    ]
    assert list(in_order({Status.LOW_ESS: "", Status.CONVERGED: "", Status.SADDLE: "x"})) == [
        Status.SADDLE,
        Status.LOW_ESS,
    ]
    assert in_order({}) == {Status.CONVERGED: ""}


def test_all_that_holds_is_said_once_and_remarks_are_no_reason_to_warn() -> None:
    with pytest.warns(EstimationWarning) as warned:
        fit = finished({Status.MAX_ITERATIONS: "", Status.SADDLE: "along mu_X[0]"}, ("X is constant.",))
    assert fit.status is Status.SADDLE
    assert fit.advice == (Status.SADDLE.sentence("along mu_X[1]"), str(Status.MAX_ITERATIONS), "X is constant.")
    happened = f"SADDLE: along mu_X[1]; MAX_ITERATIONS: {Status.MAX_ITERATIONS.happened}; print(fit) says what to do"
    assert [str(warning.message) for warning in warned] == [happened]
    assert "SADDLE, MAX_ITERATIONS" in repr(fit) and "3 sentences in fit.advice" in repr(fit)
    with pytest.raises(EstimationError, match=r"SADDLE.*MAX_ITERATIONS"):
        finished({Status.MAX_ITERATIONS: "", Status.SADDLE: ""}, strict=True)


def test_a_remark_alone_leaves_a_fit_converged() -> None:
    fit = finished({}, ("X is constant.",), strict=True)
    assert fit.status is Status.CONVERGED
    assert fit.advice == (str(Status.CONVERGED), "X is constant.")


def test_words_follow_the_labels() -> None:
    fit = quietly({Status.RIVAL_MODES: "mu_X[0] = 3, theta[1] = 1"}, ("mu_X[1] has the prior's spread",))
    assert fit.findings[Status.RIVAL_MODES] == "mu_X[1] = 3, theta[0] = 1", "the labels that the fit gives"
    assert fit.remarks == ("mu_X[0] has the prior's spread",)
    turned = fit.relabel([1, 0])
    assert turned.findings[Status.RIVAL_MODES] == "mu_X[0] = 3, theta[1] = 1"
    assert turned.remarks == ("mu_X[1] has the prior's spread",)
    assert turned.relabel([1, 0]).advice == fit.advice
    # The names of other things that end alike are left alone.
    other = replace(fit, remarks=("my_mu_X[0] and mu_X",)).relabel([1, 0])
    assert other.remarks == ("my_mu_X[0] and mu_X",)


def test_advice_is_kept_by_files_by_pickles_and_by_laplace(tmp_path: Path) -> None:
    fit = quietly({Status.RIVAL_MODES: "mu_X[0] = 3", Status.MAX_ITERATIONS: ""}, ("X is constant.",))
    fit.save(tmp_path / "fit")
    with pytest.warns(EstimationWarning, match="RIVAL_MODES"):
        around = fit.laplace(10, seed=0)
    for kept in (Fit.load(tmp_path / "fit"), pickle.loads(pickle.dumps(fit)), around):
        assert kept.advice == fit.advice
        assert kept.status is Status.RIVAL_MODES


def test_another_status_takes_the_place_of_convergence() -> None:
    fit = replace(finished({}), status=Status.LOW_ESS)
    assert fit.advice == (str(Status.LOW_ESS),)


def test_in_particular_takes_the_place_of_in_general() -> None:
    collapsed = Status.COMPONENT_COLLAPSED
    assert "fewer components" in collapsed.sentence()
    said = collapsed.sentence("column c is constant")
    assert "fewer components" not in said and said.endswith(": column c is constant.")
