"""A study of the user's own data: reading it, the model of it, the truth taken from it, and the command."""

import json
import re
import shutil
import signal
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
import torch

from estimators import NUTS, Status
from estimators.mixture.density import Density
from tests.validation.studies import run_here, without_times
from validation.__main__ import main
from validation.report.own_data import explanation
from validation.scenarios import Seeds, Truth
from validation.scenarios.quantities import is_query
from validation.statistics.check import BUDGET, Verdict
from validation.study import own_data
from validation.study.contenders import Contender
from validation.study.own_data import Arguments, DataError
from validation.study.store import Store
from validation.study.study import Study

ARGUMENTS = Arguments("data.csv", ("X",), "gaussian_mixture", 2)
EM_AND_MAP = tuple(each for each in own_data.contenders() if each.name != "NUTS")
OWN_MODEL = """
from estimators import CausalMixture
from estimators.mechanisms import Gaussian
from pyro.distributions import Normal

def make(K):
    return CausalMixture(K, {"X": Gaussian(loc=Normal(0, 10), scale=1.0)}, concentration=1.0)

def wrong(K):
    return "no model"

def fails(K):
    raise RuntimeError("not today")
"""


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)
    x = np.where(rng.random(60) < 0.4, -3.0, 3.0) + rng.normal(size=60)
    return pd.DataFrame({"X": x, "W": x + rng.normal(size=60), "who": ["a", "b"] * 30, "same": 1.0})


@pytest.fixture
def quick(monkeypatch):
    """Point estimators only, in this process."""
    from validation.cli import commands

    monkeypatch.setattr(own_data, "contenders", lambda: EM_AND_MAP)
    monkeypatch.setattr(commands, "run", run_here)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".pq", ".CSV"])
def test_files_are_read_to_the_last_bit(suffix, frame, tmp_path):
    path = tmp_path / f"data{suffix}"
    (frame.to_csv(path, index=False) if "csv" in suffix.lower() else frame.to_parquet(path))
    columns = own_data.read(replace(ARGUMENTS, file=str(path), columns=("X", "W")))
    assert list(columns) == ["X", "W"]
    assert columns["X"] == frame["X"].tolist()


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("data.txt", ("X",), "expected a file that ends in .csv or .parquet"),
        ("nowhere.csv", ("X",), "nowhere.csv: there is no such file"),
        ("data.csv", ("Q",), "--columns: .*data.csv has no column 'Q'; it has X, W, who, same"),
        ("data.csv", ("who",), "column 'who' has 60 entries that are not finite numbers, the first in row 1: 'a'"),
        ("gaps.csv", ("X",), "column 'X' has 2 entries that are not finite numbers, the first in row 4: "),
        ("broken.parquet", ("X",), "broken.parquet: cannot be read: "),
        ("empty.csv", ("X",), "empty.csv: cannot be read: "),
        ("names.csv", ("X",), "names.csv: expected rows below the names of the columns, got none"),
        ("latin.csv", ("X",), "latin.csv: cannot be read: 'utf-8' codec can't decode"),
        ("twice.csv", ("X",), "'X' is there more than once"),
        ("huge.csv", ("X",), "column 'X' has 1 entries that are not finite numbers, the first in row 2: .*1e.200"),
        ("times.parquet", ("X",), "column 'X' holds times .*; expected numbers"),
        ("whole.parquet", ("X",), "column 'X' has 1 entries that are not finite numbers, the first in row 2: <NA>"),
        ("lists.parquet", ("X",), "column 'X' has 2 entries that are not finite numbers, the first in row 1: "),
        ("folder.csv", ("X",), "folder.csv: there is no such file"),
        ("x" * 300 + ".csv", ("X",), "there is no such file"),
    ],
)
def test_files_that_cannot_be_used(name, columns, message, frame, tmp_path, capsys):
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.assign(X=frame["X"].mask(frame.index.isin([3, 7]))).to_csv(tmp_path / "gaps.csv", index=False)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 or not")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "names.csv").write_text("X,W\n")
    (tmp_path / "latin.csv").write_bytes("X,é\n1,2\n".encode("latin-1"))
    (tmp_path / "twice.csv").write_text("X,X\n1,2\n2,3\n")
    (tmp_path / "huge.csv").write_text("X\n1\n1e200\n")
    for kind, values in (
        ("times", pd.to_datetime(["2020-01-01", "2020-01-02"])),
        ("whole", pd.array([1, None], dtype="Int64")),
        ("lists", [[1.0], [2.0]]),
    ):
        pd.DataFrame({"X": values}).to_parquet(tmp_path / f"{kind}.parquet")
    with pytest.raises(DataError, match=message):
        own_data.read(replace(ARGUMENTS, file=str(tmp_path / name), columns=columns))
    arguments = ["mine", str(tmp_path / name), "--columns", *columns, "--K", "2", "--output", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("validation: ")
    assert not (tmp_path / "out" / "study.sqlite").exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("Z",), "'Z' is the hidden cause"),
        (("weights",), "'weights' is an argument of Data"),
        (("theta",), "'theta' is the name of a Greek"),
        (("X", "mu_X"), "'mu_X' is the name of a Greek"),
        (("rows",), "'rows' is the name of the plate"),
        (("X", "X"), "'X' is there more than once"),
        (("tiny",), "column tiny: .*rescale"),
        (("huge",), "column 'huge' has .*rescale the column"),
        (("two\nlines",), "control character"),
    ],
)
def test_columns_that_no_model_can_have_are_two_and_a_sentence(columns, message, frame, tmp_path, capsys):
    names = ("Z", "weights", "theta", "mu_X", "rows", "two\nlines")
    frame = frame.assign(**dict.fromkeys(names, frame["X"]), tiny=frame["X"] * 1e-160, huge=frame["X"] * 1e160)
    frame.to_csv(tmp_path / "data.csv", index=False)
    arguments = ["mine", str(tmp_path / "data.csv"), "--K", "2", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--columns", *columns]) == 2
    said = capsys.readouterr().err
    assert re.match(f"validation: --columns: .*{message}", said, re.DOTALL)
    assert not (tmp_path / "out" / "study.sqlite").exists()


def test_a_parquet_file_may_repeat_a_column_that_is_not_asked_for(frame, tmp_path):
    table = pyarrow.table([frame["X"], frame["W"], frame["W"]], names=["X", "W", "W"])
    pyarrow.parquet.write_table(table, tmp_path / "data.parquet")
    asked = replace(ARGUMENTS, file=str(tmp_path / "data.parquet"))
    with pytest.raises(DataError, match=r"'W' is there more than once|cannot be read"):
        own_data.read(replace(asked, columns=("W",)))


# ---------------------------------------------------------------- the model


def test_the_model_moves_with_the_data(frame):
    """Shifted and scaled data get the shifted and scaled prior, so no unit is favoured."""
    columns = {"X": frame["X"].to_numpy()}
    model = own_data.model_of(ARGUMENTS, columns)
    far = own_data.model_of(ARGUMENTS, {"X": 1e6 + 1e3 * columns["X"]})
    at = {"theta": torch.tensor([0.4, 0.6]), "mu_X": torch.tensor([-3.0, 3.0]), "sigma_X": torch.tensor([1.0, 1.2])}
    there = {"theta": at["theta"], "mu_X": 1e6 + 1e3 * at["mu_X"], "sigma_X": 1e3 * at["sigma_X"]}
    shift = {}
    for name, each, greeks in (("near", model, at), ("far", far, there)):
        prior = {p.name: p.prior for p in each.parameters}
        shift[name] = sum(float(prior[k].log_prob(greeks[k].double()).sum()) for k in ("mu_X", "sigma_X"))
    assert shift["near"] - shift["far"] == pytest.approx(4 * np.log(1e3))
    assert model.K == 2 and own_data.model_of(replace(ARGUMENTS, K=3), columns).K == 3
    known = own_data.model_of(replace(ARGUMENTS, scale=1.5), columns)
    assert "sigma_X" not in {p.name for p in known.parameters}


def test_models_that_cannot_be_made(frame, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    own = tmp_path / "mine_models.py"
    own.write_text(OWN_MODEL)
    columns = {"X": frame["X"].tolist(), "same": frame["same"].tolist()}
    for asked, message in (
        (
            replace(ARGUMENTS, model="normal"),
            "--model: expected gaussian_mixture or my_models.py:make_model, got 'normal'",
        ),
        (replace(ARGUMENTS, model=f"{own}:nothing"), "has no function 'nothing'"),
        (replace(ARGUMENTS, model=f"{own}:wrong"), r"wrong\(2\) should return a CausalMixture; 'no model'"),
        (replace(ARGUMENTS, model=f"{own}:fails"), "RuntimeError: not today"),
    ):
        with pytest.raises(DataError, match=message):
            own_data.model_of(asked, columns)
    with pytest.raises(DataError, match="column 'same' is constant; there is nothing to learn from it"):
        own_data.model_of(ARGUMENTS, {"same": columns["same"]})
    assert own_data.model_of(replace(ARGUMENTS, model=f"{own}:make"), columns).K == 2


def test_a_model_of_ones_own_takes_text_as_levels(frame, quick, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    own = tmp_path / "text_models.py"
    own.write_text(
        OWN_MODEL.replace("Gaussian\n", "Bernoulli, Gaussian\n").replace("1.0)}", '1.0), "who": Bernoulli()}')
    )
    frame.to_csv(tmp_path / "data.csv", index=False)
    asked = replace(ARGUMENTS, file=str(tmp_path / "data.csv"), columns=("X", "who"), model=f"{own}:make")
    columns = json.loads(json.dumps(own_data.read(asked)))
    assert columns["who"] == frame["who"].tolist()
    (scenario,), notes = own_data.prepare(asked, columns, seed=0)
    drawn = scenario.source.draw(scenario, Seeds(1, 2, 3, 4, 5, 6)).data
    assert dict(drawn.levels) == {"who": ("a", "b")}
    said = " Means of who (a=0, b=1) are those of these numbers."
    assert scenario.sentence.endswith(said) and explanation(notes["mine"]).endswith(said)
    with pytest.raises(DataError, match="column 'who' has 60 entries that are not finite numbers"):
        own_data.read(replace(asked, model="gaussian_mixture"))


def test_rows_of_a_unit_share_one_class(frame, quick, tmp_path):
    visits = frame.assign(patient=[f"p{row // 3}" for row in range(60)]).sample(frac=1.0, random_state=1)
    visits.to_csv(tmp_path / "visits.csv", index=False)
    asked = replace(ARGUMENTS, file=str(tmp_path / "visits.csv"), columns=("X",), unit="patient")
    columns = json.loads(json.dumps(own_data.read(asked)))
    assert list(columns) == ["X", "patient"]
    (scenario,), notes = own_data.prepare(asked, columns, seed=0)
    drawn = scenario.source.draw(scenario, Seeds(1, 2, 3, 4, 5, 6)).data
    assert (drawn.num_rows, drawn.num_units) == (60, 20)
    assert notes["mine"]["columns"] == ["X"] and "rows of one patient share one class" in notes["mine"]["model"]
    (again,) = own_data.rebuilt(asked, columns, json.loads(json.dumps(own_data.truths((scenario,)))))
    assert again.source.draw(again, Seeds(1, 2, 3, 4, 5, 6)).data.num_units == 20
    for unit in ("X", "nobody"):
        with pytest.raises(
            DataError, match=f"--unit: expected a column beside .* got '{unit}'; there are: W, who, same"
        ):
            own_data.read(replace(asked, unit=unit))
    visits.assign(patient=visits["patient"].mask(visits.index == visits.index[4])).to_csv(tmp_path / "visits.csv")
    with pytest.raises(DataError, match="column 'patient' has no entry in 1 rows, the first is 5"):
        own_data.read(asked)


# ---------------------------------------------------------------- the truth and the claims


def test_a_fit_at_which_nothing_can_be_planned_is_one_sentence(frame, quick, tmp_path, monkeypatch, capsys):
    """As with a --scale of 1e300, where the grid of an outcome has no size."""

    def no_grid(study):
        raise ValueError("Maximum allowed size exceeded")

    monkeypatch.setattr(Study, "plan", no_grid)
    monkeypatch.setattr(own_data, "contenders", lambda: EM_AND_MAP[:1])
    frame.to_csv(tmp_path / "data.csv", index=False)
    arguments = ["mine", str(tmp_path / "data.csv"), "--columns", "X", "--K", "2", "--output", str(tmp_path / "out")]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("validation: no study can be planned at the fit (Maximum allowed size exceeded); is --scale")
    assert not (tmp_path / "out" / "study.sqlite").exists()


def test_the_fit_is_the_truth(frame, quick):
    columns = {"X": frame["X"].tolist()}
    (scenario,), notes = own_data.prepare(ARGUMENTS, columns, seed=0)
    notes = notes["mine"]
    assert notes["no_posterior"] == "No estimator here claims to draw from the posterior."
    assert notes["truth_from"] == "EM" and notes["rows"] == 60 and notes["columns"] == ["X"]
    assert set(notes["fits"]) == {"EM", "EM+laplace", "MAP", "MAP+laplace"}
    source = scenario.source
    assert source.truth is Truth.FIXED
    told = notes["fits"]["EM"]["quantities"]
    assert told["mu_X[0]"]["value"] == source.greeks["mu_X"][0]
    assert told["mu_X[0]"]["lower"] is None
    laplace = notes["fits"]["EM+laplace"]["quantities"]["E[X | do(Z=1)]"]
    assert laplace["lower"] < laplace["value"] < laplace["upper"]
    (again,) = own_data.rebuilt(ARGUMENTS, columns, json.loads(json.dumps(own_data.truths((scenario,)))))
    assert again.source.greeks == source.greeks
    assert again.sentence != "" and again.interventions == scenario.interventions
    assert own_data.prepare(replace(ARGUMENTS, truth="MAP"), columns, seed=0)[1]["mine"]["truth_from"] == "MAP"


def test_every_query_is_judged_and_the_budget_is_spent_once(frame, quick):
    scenarios = own_data.prepare(ARGUMENTS, {"X": frame["X"].tolist()}, seed=0)[0]
    plan = own_data.asked(Study(scenarios, EM_AND_MAP, preset="mine").plan())
    judged = plan.claims
    queries = {claim.only for claim in judged if claim.only}
    assert queries == {"E[X | do(Z=0)]", "E[X | do(Z=1)]", "E[X | do(Z=1)] − E[X | do(Z=0)]"}
    assert all(is_query(name) for name in queries)
    assert sum(claim.alpha for claim in judged) == pytest.approx(BUDGET)
    for name in ("EM", "MAP"):
        kinds = {(claim.kind, claim.only) for claim in judged if claim.estimator == name}
        assert kinds == {("bias", query) for query in queries} | {("convergence", "")}
        spread = {(claim.kind, claim.only) for claim in judged if claim.estimator == f"{name}+laplace"}
        assert spread == {(kind, query) for kind in ("bias", "coverage") for query in queries}


def test_no_fit_no_truth(frame, monkeypatch):
    class Refuses:
        def fit(self, model, data, *, seed=None):
            raise ValueError("not today")

    monkeypatch.setattr(own_data, "contenders", lambda: (replace(EM_AND_MAP[0], estimator=Refuses()),))
    with pytest.raises(DataError, match="no fit to take as the truth: EM: ValueError: not today"):
        own_data.prepare(ARGUMENTS, {"X": frame["X"].tolist()}, seed=0)


# ---------------------------------------------------------------- around the posterior


SAMPLER = Contender(
    "Sampler", NUTS(num_samples=150, warmup_steps=150, num_chains=2, progress_bar=False), posterior=True
)


@dataclass(frozen=True)
class Doubtful:
    """A sampler whose fits end as they are told to."""

    held: tuple[Status, ...]

    def fit(self, model, data, *, seed=None):
        fit = SAMPLER.estimator.fit(model, data, seed=seed)
        return replace(fit, status=self.held[0], findings=dict.fromkeys(self.held, "mu_X[1]"))


class Fails:
    def fit(self, model, data, *, seed=None):
        raise ValueError("not today")


@pytest.fixture
def with_sampler(quick, monkeypatch):
    """EM and a short NUTS, in this process."""
    monkeypatch.setattr(own_data, "contenders", lambda: (*EM_AND_MAP[:1], SAMPLER))


def test_posteriors_are_tried_around_the_rows_too(frame, with_sampler):
    columns = {"X": frame["X"].tolist()}
    scenarios, notes = own_data.prepare(ARGUMENTS, columns, seed=0)
    own, around = scenarios
    assert notes["mine"]["no_posterior"] == "" and own.source.truth is Truth.FIXED
    assert around.source.truth is Truth.POSTERIOR and around.num_rows == 2 * own.num_rows == 120
    again = own_data.rebuilt(ARGUMENTS, columns, json.loads(json.dumps(own_data.truths(scenarios))))[1]
    seeds = Seeds(1, 2, 3, 4, 5, 6)
    drawn, redrawn = (each.source.draw(each, seeds) for each in (around, again))
    assert again.sort_by == around.sort_by == "mu_X" and again.interventions == around.interventions
    assert all(np.array_equal(drawn.greeks[name], redrawn.greeks[name]) for name in drawn.greeks)
    assert torch.equal(drawn.data.columns["X"], redrawn.data.columns["X"])
    plan = own_data.asked(Study(scenarios, own_data.contenders(), preset="mine").plan())
    asked = {(claim.estimator, claim.kind, claim.only) for claim in plan.claims if claim.scenario == around.name}
    assert asked == {("Sampler", "calibration", ""), ("Sampler", "coverage", "")}
    assert sum(claim.alpha for claim in plan.claims) == pytest.approx(BUDGET)
    assert plan.scenario(around.name).replicates == {"Sampler": 300}  # nobody else draws from a posterior


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (
            Doubtful((Status.CHAINS_DISAGREE,)),
            "CHAINS_DISAGREE: The chains do not agree",
        ),
        (
            Doubtful((Status.RIVAL_MODES, Status.DIVERGENCES)),
            "NUTS on your rows: DIVERGENCES: Some transitions diverged",
        ),
        (
            Doubtful((Status.LOW_ESS,)),
            "NUTS on your rows: LOW_ESS: Fewer than 100 .* noticeable Monte Carlo error: mu_X",
        ),
        (Fails(), "NUTS gave no draws: ValueError: not today"),
        (Doubtful((Status.RIVAL_MODES,)), ""),  # draws are in proportion to the modes
    ],
)
def test_draws_that_cannot_be_truths_are_a_reason(estimator, reason, frame, with_sampler, monkeypatch):
    monkeypatch.setattr(own_data, "TRUTHS", estimator)
    scenarios, notes = own_data.prepare(ARGUMENTS, {"X": frame["X"].tolist()}, seed=0)
    assert [each.name for each in scenarios] == ["mine", *(["mine_posterior"] if not reason else [])]
    assert re.search(reason, notes["mine"]["no_posterior"]) and bool(reason) == bool(notes["mine"]["no_posterior"])


@pytest.mark.slow
def test_the_command_tries_posteriors_around_the_rows(frame, with_sampler, tmp_path):
    path, out = tmp_path / "data.csv", tmp_path / "out"
    frame.to_csv(path, index=False)
    arguments = ["mine", str(path), "--columns", "X", "--K", "2", "--replicates", "4", "--quiet"]
    assert main([*arguments, "--output", str(out)]) in (0, 1, 3)
    whole = rows_in(out / "study.sqlite")
    assert {(row.scenario, row.estimator) for row in whole} == {
        *(("mine", name) for name in ("EM", "EM+laplace", "Sampler")),
        ("mine_posterior", "Sampler"),
    }
    assert not any(row.failed for row in whole)
    with closing(Store.open(out / "study.sqlite")) as store, store.connection:
        store.connection.execute("DELETE FROM rows WHERE scenario = 'mine_posterior' AND replicate > 1")
        store.connection.execute("UPDATE totals SET rows = (SELECT count(*) FROM rows)")
    assert main(["resume", str(out / "study.sqlite"), "--quiet"]) in (0, 1, 3)
    assert rows_in(out / "study.sqlite") == whole
    assert 'href="#scenario-mine_posterior-calibration"' in (out / "index.html").read_text()


# ---------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_command_end_to_end(frame, quick, tmp_path, capsys):
    path, out = tmp_path / "data.csv", tmp_path / "out"
    frame.to_csv(path, index=False)
    arguments = ["mine", str(path), "--columns", "X", "--model", "gaussian_mixture", "--K", "2", "--replicates", "12"]
    assert main([*arguments, "--output", str(out)]) in (0, 3)
    assert capsys.readouterr().out.startswith(f"Report: {out / 'index.html'}\n")
    html = (out / "index.html").read_text()
    assert 'id="your-data"' in html and "data.csv" in html
    with closing(Store.open(out / "study.sqlite")) as store:
        rows, notes = list(store.rows()), store.notes["mine"]
    assert {row.estimator for row in rows} == {"EM", "EM+laplace", "MAP", "MAP+laplace"}
    assert len(rows) == 4 * 12
    truth = notes["fits"]["EM"]["quantities"]["mu_X[0]"]["value"]
    assert {row.truth["mu_X[0]"] for row in rows} == {truth}
    results = json.loads((out / "results.json").read_text())
    assert {each["verdict"] for each in results["findings"]} <= {each.name for each in Verdict}
    path.unlink()  # the study has its data in its file
    assert main(["resume", str(out / "study.sqlite")]) in (0, 3)
    assert main([*arguments, "--output", str(out)]) == 2


def test_an_interrupt_while_the_truth_is_fitted(frame, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Density, "e_step", interrupted)
    frame.to_csv(tmp_path / "d.csv", index=False)
    command = ["mine", str(tmp_path / "d.csv"), "--columns", "X", "--K", "2", "--output", str(tmp_path / "out")]
    assert main(command) == 130
    assert capsys.readouterr() == ("", "validation: interrupted\n")
    assert not (tmp_path / "out" / "study.sqlite").exists()


@pytest.mark.slow
def test_a_killed_study_of_own_data_ends_with_the_same_rows(frame, quick, tmp_path):
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    arguments = ["mine", str(path), "--columns", "X", "W", "--K", "2", "--replicates", "3", "--quiet"]
    assert main([*arguments, "--output", str(tmp_path / "whole")]) in (0, 3)
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    with closing(Store.open(tmp_path / "part" / "study.sqlite")) as store, store.connection:
        store.connection.execute("DELETE FROM rows WHERE replicate = 1")
        store.connection.execute("UPDATE totals SET rows = (SELECT count(*) FROM rows)")
    path.unlink()
    assert main(["resume", str(tmp_path / "part" / "study.sqlite"), "--quiet"]) in (0, 3)
    whole, part = (rows_in(tmp_path / name / "study.sqlite") for name in ("whole", "part"))
    assert whole == part and len(whole) == 12


def rows_in(path):
    with closing(Store.open(path)) as store:
        rows = sorted(store.rows(), key=lambda row: row.key)
    return without_times(rows)
