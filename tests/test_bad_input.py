"""Bad data, models, settings and seeds: refused before any work, naming the argument, what was expected, what came."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, NUTS, CausalMixture, Data, Exact, Fit, GaussianMixture, Ratio, identifiability
from estimators.algorithms.protocol import Estimator
from estimators.data.data import as_data
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, LinearGaussian, OrderedLogistic
from estimators.modes import Search
from tests.models import TUTORIAL_ROWS
from tests.refusals import case, refused

NAN, INF = float("nan"), float("inf")
MODEL = GaussianMixture(K=2)
ESTIMATORS: dict[str, Estimator] = {
    "EM": EM(num_starts=2),
    "MAP": MAP(num_starts=2, num_steps=5),
    "NUTS": NUTS(num_samples=5, warmup_steps=5, num_chains=1),
    "NUTS by Pyro": NUTS(num_samples=2, warmup_steps=2, num_chains=1, engine="pyro"),
    "Exact": Exact(num_draws=10),
}

COLUMNS = [
    case("no column", lambda: Data(), ValueError, "at least one column", "none"),
    case("no row", lambda: Data(X=[]), ValueError, "at least one row", "empty"),
    case("lengths", lambda: Data(X=[0, 1], Z=[0, 1, 1]), ValueError, "one length", "'X': 2", "'Z': 3"),
    case("NaN", lambda: Data(X=[0.0, NAN, 1.0, NAN]), ValueError, "column X", "NaN", "row(s) 1, 3"),
    case("many NaN", lambda: Data(X=[NAN] * 9), ValueError, "row(s) 0, 1, 2, 3, 4 and 4 more"),
    case("infinite", lambda: Data(X=[0.0, -INF]), ValueError, "column X", "infinite", "row(s) 1"),
    case("too large", lambda: Data(X=[0.0, -2e100]), ValueError, "column X", "1e+100", "row(s) 1", "rescale"),
    case("text", lambda: MODEL.check(Data(X=["a", "b"])), TypeError, "column X", "expected numbers", "'a', 'b'"),
    case("text among numbers", lambda: Data(X=[1.0, "b"]), TypeError, "column X", "expected"),
    case(
        "text in a frame", lambda: EM().fit(MODEL, pd.DataFrame({"X": ["a", "b"]})), TypeError, "column X", "expected"
    ),
    case("complex", lambda: Data(X=[1j, 2.0]), TypeError, "column X", "complex"),
    case("dates", lambda: Data(X=np.array(["2020-01-01"], dtype="M8[D]")), TypeError, "column X", "datetime"),
    case(
        "two dimensions",
        lambda: EM().fit(MODEL, Data(X=[[0.0, 1.0]])),
        ValueError,
        "column X",
        "one dimension",
        "(1, 2)",
    ),
    case("four dimensions", lambda: Data(X=np.zeros((1, 2, 2, 2))), ValueError, "column X", "up to 3", "(1, 2, 2, 2)"),
    case("a number for a column", lambda: EM().fit(MODEL, Data(X=3.0, Z=[0])), ValueError, "'X'", "column [N]"),
    case("no dimension", lambda: Data(X=3.0), ValueError, "Data", "one dimension", "['X']"),
    case("ragged", lambda: Data(X=[[0.0], [1.0, 2.0]]), TypeError, "column X", "sequence of numbers", "list"),
    case("a set", lambda: Data(X={0.0, 1.0}), TypeError, "column X", "sequence of numbers", "set"),
    case("None", lambda: Data(X=[0.0, None]), ValueError, "column X", "missing", "row(s) 1"),
    case("masked", lambda: Data(X=np.ma.array([0, 1], mask=[True, False])), ValueError, "column X", "row(s) 0"),
    case("pandas NA", lambda: Data(X=pd.Series([1, None], dtype="Int64")), ValueError, "column X", "row(s) 1"),
    case("beyond int64", lambda: Data(X=np.array([2**64 - 1], dtype=np.uint64)), ValueError, "column X", "row(s) 0"),
    case("half a label", lambda: Data(X=[0.0], Z=[0.5]), ValueError, "column Z", "whole numbers", "row(s) 0"),
    case("infinite label", lambda: Data(X=[0.0], Z=[INF]), ValueError, "column Z", "whole numbers"),
    case("label of text", lambda: Data(X=[0.0], Z=["a"]), TypeError, "column Z", "expected numbers"),
]
MARKS = [
    case("negative weight", lambda: Data(X=[0, 1], weights=[1, -1]), ValueError, "weights", ">= 0", "row(s) 1"),
    case("NaN weight", lambda: Data(X=[0, 1], weights=[NAN, 1]), ValueError, "weights", "finite", "row(s) 0"),
    case("infinite weight", lambda: Data(X=[0, 1], weights=[INF, 1]), ValueError, "weights", "finite"),
    case("zero weights", lambda: Data(X=[0, 1], weights=[0, 0]), ValueError, "weights", "zero"),
    case("two weights for one row", lambda: Data(X=[0], weights=[1, 1]), ValueError, "weights", "(1,)", "(2,)"),
    case("one weight for all", lambda: Data(X=[0, 1], weights=2.0), ValueError, "weights", "(2,)", "()"),
    case("weights of text", lambda: Data(X=[0], weights=["a"]), TypeError, "weights", "expected numbers"),
    case("set, unknown", lambda: Data(X=[0], intervened={"T": True}), ValueError, "intervened", "'T'", "['X']"),
    case("set, length", lambda: Data(X=[0], intervened={"X": [True] * 2}), ValueError, "intervened X", "(1,)", "(2,)"),
    case("set to 2", lambda: Data(X=[0, 1], intervened={"X": [0, 2]}), TypeError, "intervened X", "booleans"),
    case("set, perhaps", lambda: Data(X=[0, 1], intervened={"X": [True, None]}), ValueError, "intervened X", "row"),
    case(
        "set, no value", lambda: Data(X=[0, 1], Z=[1, -1], intervened={"Z": True}), ValueError, "intervened Z", "(s) 1"
    ),
    case("set, no Z", lambda: Data(X=[0], intervened={"Z": True}), ValueError, "intervened", "'Z'"),
    case("set, a name", lambda: Data(X=[0], intervened="X"), TypeError, "intervened", "mapping", "str"),
    case("set, names", lambda: Data(X=[0], intervened=["X"]), TypeError, "intervened", "mapping", "list"),
    case("concat nothing", lambda: Data.concat([]), ValueError, "Data.concat", "at least one"),
    case("concat, no X", lambda: Data.concat([Data(X=[0]), Data(Z=[0])]), ValueError, "part 1", "['X']", "['Z']"),
    case("concat a dict", lambda: Data.concat([Data(X=[0]), {"X": [0]}]), TypeError, "Data.concat", "dict"),
    case("concat one", lambda: Data.concat(Data(X=[0])), TypeError, "Data.concat", "Data"),
    case("a list", lambda: as_data([1.0, 2.0]), TypeError, "data", "list", "Data(X=...)"),
    case("an array", lambda: as_data(np.zeros(3)), TypeError, "data", "ndarray"),
    case("None as data", lambda: as_data(None), TypeError, "data", "NoneType"),
]
MODELS = [
    case("K=0", lambda: GaussianMixture(K=0), ValueError, "K", "at least one", "0"),
    case("K=-1", lambda: CausalMixture(-1, {"X": Gaussian()}), ValueError, "K", "-1"),
    *[
        case(f"K={K!r}", lambda K=K: GaussianMixture(K=K), TypeError, "K", "whole number", repr(K))
        for K in (2.0, "2", True, None)
    ],
    *[
        case(f"concentration={c}", lambda c=c: GaussianMixture(2, concentration=c), ValueError, "concentration", "> 0")
        for c in (0, -1.0, NAN, INF, [1.0, 0.0])
    ],
    *[
        case(f"concentration={c!r}", lambda c=c: GaussianMixture(2, concentration=c), TypeError, "concentration", "> 0")
        for c in ("1", None, True, ["a", "b"])
    ],
    case("3 for K=2", lambda: GaussianMixture(2, concentration=[1, 1, 1]), ValueError, "concentration", "2", "(3,)"),
    *[
        case(f"scale={s}", lambda s=s: GaussianMixture(2, scale=s), ValueError, "scale", "expected")
        for s in (0, -1.0, NAN, INF, [1.0, -1.0], [1.0, 1.0, 1.0])
    ],
    *[
        case(f"scale={s!r}", lambda s=s: GaussianMixture(2, scale=s), TypeError, "scale", "expected", repr(s))
        for s in ("1", None, True)
    ],
    *[
        case(f"loc_scale={s}", lambda s=s: GaussianMixture(2, loc_scale=s), ValueError, "loc_scale", "> 0", str(s))
        for s in (0, -1.0, NAN, INF)
    ],
    case("loc_scale of text", lambda: GaussianMixture(2, loc_scale="1"), TypeError, "loc_scale", "'1'"),
    *[
        case(f"scale={p}", lambda p=p: Gaussian(scale=p), ValueError, "scale", "positive numbers", type(p).__name__)
        for p in (dist.Normal(0.0, 1.0), dist.Uniform(-1.0, 1.0), dist.Cauchy(0.0, 1.0), dist.Poisson(3.0))
    ],
    *[
        case(f"loc={p}", lambda p=p: Gaussian(loc=p), ValueError, "loc", "real line", type(p).__name__)
        for p in (dist.Poisson(1.0), dist.Dirichlet(torch.ones(2)))
    ],
    *[
        case(f"torch {p}", lambda p=p: Gaussian(scale=p), TypeError, "scale", f"pyro.distributions.{type(p).__name__}")
        for p in (torch.distributions.HalfNormal(1.0), torch.distributions.Gamma(1.0, 1.0))
    ],
    case("torch loc", lambda: Gaussian(loc=torch.distributions.Normal(0.0, 1.0)), TypeError, "loc", "pyro.dist"),
    case("loc=NaN", lambda: Gaussian(loc=NAN), ValueError, "loc", "finite"),
    case(
        "3 priors for K=2",
        lambda: CausalMixture(2, {"X": Gaussian(loc=dist.Normal(torch.zeros(3), 1.0))}),
        *(ValueError, "loc", "(2,)", "(3,)"),
    ),
    case(
        "2 priors for one shared scale",
        lambda: CausalMixture(2, {"X": Gaussian(scale=dist.HalfNormal(torch.ones(2)), shared=["scale"])}),
        *(ValueError, "scale", "(2,)"),
    ),
    case("shared", lambda: Gaussian(shared="yes"), TypeError, "shared", "list of variable names", "'yes'"),
    case("shared of what is not there", lambda: Gaussian(shared=["T"]), ValueError, "shared", "'T'", "['scale']"),
    case("nothing to share", lambda: Bernoulli(shared=True), ValueError, "shared", "caused_by_latent=False"),
    case(
        "shared twice", lambda: Gaussian(shared=True, caused_by_latent=False), ValueError, "shared", "caused_by_latent"
    ),
    case(
        "shared slopes with priors by class",
        lambda: CausalMixture(
            2, {"T": Bernoulli(), "Y": LinearGaussian(["T"], dist.Normal(torch.zeros(2, 2), 1.0), shared=["T"])}
        ),
        ValueError,
        "coefficients",
        "shape (2,)",
        "(2, 2)",
    ),
    case("no mechanism", lambda: CausalMixture(2, {}), TypeError, "mechanisms", "mapping"),
    case("mechanisms", lambda: CausalMixture(2, [Gaussian()]), TypeError, "mechanisms", "mapping"),
    case("a prior", lambda: CausalMixture(2, {"X": dist.Normal(0, 1)}), TypeError, "mechanisms['X']", "Gaussian()"),
    *[
        case(f"variable {v}", lambda v=v: CausalMixture(2, {v: Gaussian()}), ValueError, "mechanisms", v, "Data")
        for v in ("weights", "intervened")
    ],
    case("variable Z", lambda: CausalMixture(2, {"Z": Gaussian()}), ValueError, "mechanisms", "'Z'", "hidden"),
    case("variable 1", lambda: CausalMixture(2, {1: Gaussian()}), TypeError, "mechanisms", "names", "1"),
    case("no rows", lambda: MODEL.simulate(0), ValueError, "num_rows", "0"),
    case("Greeks", lambda: MODEL.simulate(3, {"theta": [1, 0]}), ValueError, "greeks", "mu_X", "['theta']"),
    case("shape", lambda: MODEL.simulate(3, {"theta": [1.0], "mu_X": [0, 1]}), ValueError, "theta", "(2,)", "(1,)"),
    case("support", lambda: MODEL.simulate(3, {"theta": [0.9, 0.9], "mu_X": [0, 1]}), ValueError, "theta", "0.9"),
]
SETTINGS = [
    *[
        case(f"{of.__name__} {name}={value!r}", lambda of=of, n=name, v=value: of(**{n: v}), error, name, "expected")
        for of, name, values, error in [
            (EM, "num_starts", (0, -1), ValueError),
            (EM, "num_starts", (1.5, "9", True, None), TypeError),
            (EM, "max_iterations", (0,), ValueError),
            (EM, "tolerance", (0.0, -1.0, NAN, INF), ValueError),
            (EM, "tolerance", ("small", None, True), TypeError),
            (EM, "accelerate", ("yes", 1, None), TypeError),
            (MAP, "num_starts", (0,), ValueError),
            (MAP, "num_steps", (0,), ValueError),
            (MAP, "learning_rate", (0.0, -0.1, NAN, INF), ValueError),
            (MAP, "tolerance", (0.0, NAN), ValueError),
            (NUTS, "num_samples", (0, -5), ValueError),
            (NUTS, "num_samples", (10.0, "10"), TypeError),
            (NUTS, "warmup_steps", (0, -1), ValueError),
            (NUTS, "num_chains", (0,), ValueError),
            (NUTS, "num_chains", (2.5, True), TypeError),
            (NUTS, "target_accept_prob", (0.0, 1.0, 1.5, NAN), ValueError),
            (NUTS, "target_accept_prob", ("high",), TypeError),
            (NUTS, "engine", ("stan", None, 1), ValueError),
            (Exact, "num_draws", (1, 0), ValueError),
            (Exact, "num_draws", ("many", 10.0), TypeError),
            (EM, "progress_bar", ("on", 1), TypeError),
        ]
        for value in values
    ],
]


@pytest.mark.parametrize(("call", "error", "parts"), COLUMNS + MARKS + MODELS + SETTINGS)
def test_refused(call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


ARGUMENTS: dict[str, tuple[dict[str, Any], type[Exception], tuple[str, ...]]] = {
    "unknown column": ({"data": Data(X=[0.0, 1.0], W=[0, 1])}, ValueError, ("data", "'W'", "['X', 'Z']")),
    "missing column": ({"data": Data(Z=[0, 1])}, ValueError, ("data", "'X'", "missing", "got 'Z'")),
    "Z too large": ({"data": Data(X=[0.0, 1.0], Z=[0, 2])}, ValueError, ("Z", "-1", "to 1", "2 in row 1")),
    "Z too small": ({"data": Data(X=[0.0, 1.0], Z=[-2, 0])}, ValueError, ("Z", "-1", "-2 in row 0")),
    "a list as data": ({"data": TUTORIAL_ROWS}, TypeError, ("data", "list", "Data(X=...)")),
    "a number as model": ({"model": 2}, TypeError, ("model", "GaussianMixture", "2")),
    "a class as model": ({"model": GaussianMixture}, TypeError, ("model", "GaussianMixture")),
    "data and model swapped": ({"model": Data(X=[0.0]), "data": MODEL}, TypeError, ("model", "Data(1 rows")),
    "a mechanism as model": ({"model": Gaussian()}, TypeError, ("model", "Gaussian")),
    "seed of text": ({"seed": "0"}, TypeError, ("seed", "integer", "'0'")),
    "seed of a half": ({"seed": 0.5}, TypeError, ("seed", "integer", "0.5")),
    "seed True": ({"seed": True}, TypeError, ("seed", "integer", "True")),
    "seed -1": ({"seed": -1}, ValueError, ("seed", "-1")),
    "seed 2^63": ({"seed": 2**63}, ValueError, ("seed", str(2**63))),
}


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.parametrize(("arguments", "error", "parts"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_every_estimator_refuses(
    estimator: Estimator, arguments: dict[str, Any], error: type[Exception], parts: tuple[str, ...]
) -> None:
    given = {"model": MODEL, "data": Data(X=TUTORIAL_ROWS), "seed": 0, **arguments}
    with refused(error, *parts):
        estimator.fit(given.pop("model"), given.pop("data"), **given)


OWN = [
    case("few rows", lambda: EM().fit(MODEL, {"X": [3.0, 3.0]}), ValueError, "K=2", "distinct", "got 1"),
    case("2 values", lambda: EM().fit(GaussianMixture(K=3), {"X": [0, 1, 1]}), ValueError, "K=3", "distinct", "got 2"),
    case("2^21", lambda: Exact().fit(MODEL, {"X": range(21)}), ValueError, "21 rows", "2^20", "at most 20"),
    case("3^13", lambda: Exact().fit(GaussianMixture(K=3), {"X": range(13)}), ValueError, "3^13", "at most 12"),
    case(
        "unknown scale",
        lambda: Exact().fit(GaussianMixture(K=2, scale=dist.HalfNormal(1.0)), {"X": TUTORIAL_ROWS}),
        *(ValueError, "conjugate", "X", "scale is unknown"),
    ),
    case(
        "not Normal",
        lambda: Exact().fit(CausalMixture(2, {"X": Gaussian(loc=dist.Cauchy(0.0, 1.0), scale=1.0)}), {"X": [0.0]}),
        *(ValueError, "conjugate", "X", "not Normal"),
    ),
    case("weights", lambda: Exact().fit(MODEL, Data(X=[0, 1], weights=[1, 2])), ValueError, "weights", "Exact"),
    case(
        "fractions",
        lambda: ESTIMATORS["NUTS by Pyro"].fit(MODEL, Data(X=[0, 1], weights=[1, 0.5])),
        *(ValueError, "weights", "whole numbers", "nutpie"),
    ),
]


@pytest.mark.parametrize(("call", "error", "parts"), OWN)
def test_an_estimator_says_what_it_cannot_do(
    call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]
) -> None:
    with refused(error, *parts):
        call()


def test_what_a_newcomer_mistypes_is_told_what_to_write() -> None:
    with pytest.raises(
        TypeError, match=r"mechanisms\['X'\]: expected a mechanism .* got the class Gaussian; write Gaussian\("
    ):
        CausalMixture(2, {"X": Gaussian})  # type: ignore[dict-item]
    model = GaussianMixture(2)
    with pytest.raises(ValueError, match=r"column 'X' is missing; got 'x'; .* called alike; did you mean 'x'\?"):
        EM().fit(model, {"x": [0.0, 1.0, 2.0]})
    with pytest.raises(ValueError, match=r"no variable 'id'.*frame\[\[\"X\"\]\]"):
        EM().fit(model, {"X": [0.0, 1.0, 2.0], "id": [1, 2, 3]})
    truth = Fit.from_greeks(model, {"theta": [0.5, 0.5], "mu_X": [0.0, 9.0]})
    with pytest.raises(TypeError, match=r"fit.identifiability\(\); got GaussianMixture and Fit"):
        identifiability(model, truth)  # type: ignore[arg-type]
    assert repr(truth.plot).startswith("pictures of Fit(Greeks as given") and len(repr(truth.plot)) < 300


ROWS = {"smoker": ["no", "yes", "no", "yes"], "days": [1.0, 2.0, 8.0, 9.0]}
STAY = CausalMixture(2, {"smoker": Bernoulli(), "days": LinearGaussian(parents=["smoker"])})
GREEKS = {"theta": [0.4, 0.6], "p_smoker": [0.2, 0.8], "beta_days": [[1.0, 0.0], [8.0, 1.0]], "sigma_days": [1.0, 1.0]}
KNOWN = Fit.from_greeks(STAY, GREEKS)


@pytest.mark.parametrize(
    "call, error, parts",
    [
        case("no levels", lambda: Categorical(), TypeError, "num_levels", "as in Categorical(3)"),  # type: ignore[call-arg]
        case("levels of a logit", lambda: OrderedLogistic(), TypeError, "as in OrderedLogistic(3)"),  # type: ignore[call-arg]
        case("K last", lambda: CausalMixture({"X": Gaussian()}, 2), TypeError, "K: ", "CausalMixture(2, {...})"),  # type: ignore[arg-type]
        case("a name for a mechanism", lambda: CausalMixture(2, {"X": "normal"}), TypeError, "'normal'", "mechanisms"),  # type: ignore[dict-item]
        case("parent as text", lambda: LinearGaussian("age"), TypeError, 'such as ["age"]'),
        case("rows first", lambda: EM().fit(ROWS, STAY), TypeError, "got {", "fit(model, data)"),
        case("class of a model", lambda: EM().fit(CausalMixture, ROWS), TypeError, "write CausalMixture(...)"),
        case("model as settings", lambda: EM(STAY), TypeError, "num_starts", "got CausalMixture"),  # type: ignore[arg-type]
        case("path", lambda: EM().fit(STAY, "stay.csv"), TypeError, "pandas.read_csv"),
        case("no name", lambda: EM().fit(GaussianMixture(2), [0.0, 1.0]), TypeError, "got list", "Data(X=...)"),
        case(
            "misspelt",
            lambda: EM().fit(STAY, {"smokes": ROWS["smoker"], "days": ROWS["days"]}),
            *(ValueError, "'smoker' is missing", "got 'smokes', 'days'", "did you mean 'smokes'?"),
        ),
        case("text", lambda: EM().fit(GaussianMixture(2), {"X": ["a", "b"]}), TypeError, "got text", "Bernoulli()"),
        case(
            "text for a covariate",
            lambda: EM().fit(CausalMixture(2, {"X": Gaussian()}, covariates=["S"]), {"X": [0.0, 1.0], "S": ["a", "b"]}),
            *(TypeError, "column S", "covariates={'S': 2}"),
        ),
        case(
            "misspelt parent",
            lambda: CausalMixture(2, {"age": Gaussian(), "Y": LinearGaussian(["ages"])}),
            *(ValueError, "among the covariates", "did you mean 'age'?"),
        ),
        case("weights", lambda: Data(ROWS, weights="days"), TypeError, "a number for each row", "frame['days']"),
        case("set", lambda: Data(ROWS, intervened={"smokes": True}), ValueError, "did you mean 'smoker'?"),
        case("unit", lambda: Data(ROWS, unit="day"), ValueError, "did you mean 'days'?"),
        case("search", lambda: EM().fit(STAY, ROWS, search=Search), TypeError, "write Search(...)"),  # type: ignore[arg-type]
        case(
            "a file of rows",
            lambda: KNOWN.responsibilities({"smoker": [0, 1], "days": [1.0, 2.0], "id": ["a", "b"]}),
            *(ValueError, "no variable 'id'", 'frame[["smoker", "days"]]'),
        ),
        case("on itself", lambda: KNOWN.effect("smoker", of="smoker"), ValueError, "expected two variables"),
        case("effect", lambda: KNOWN.effect("day", of="smoker"), ValueError, "'day'", "did you mean 'days'?"),
        case("do", lambda: KNOWN.do(Smoker=1), ValueError, "'Smoker'", "did you mean 'smoker'?"),
        case("mean", lambda: KNOWN.do(smoker=1).mean("day"), ValueError, "did you mean 'days'?"),
        case("Greek", lambda: KNOWN["beta_day"], KeyError, "did you mean 'beta_days'?"),
        case(
            "level without a name",
            lambda: KNOWN.do(smoker="yes"),
            TypeError,
            "'yes'",
            "no level of that name",
            "number",
        ),
        case("scale", lambda: KNOWN.effect("days", of="smoker", scale=Ratio), TypeError, "write Ratio(...)"),  # type: ignore[arg-type]
        case("given", lambda: KNOWN.effect("days", of="smoker", given="Z"), TypeError, "given", "by name", "got 'Z'"),  # type: ignore[arg-type]
        case("versus", lambda: KNOWN.contrast("days", do={"Z": 1}, versus=0), TypeError, "versus", "got 0"),  # type: ignore[arg-type]
        case("what if", lambda: KNOWN.counterfactual(ROWS, do="yes"), TypeError, "do: expected values by name"),  # type: ignore[arg-type]
    ],
)
def test_a_slip_is_told_the_way_out(call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


def test_what_is_long_is_not_quoted() -> None:
    with pytest.raises(TypeError) as caught:
        EM().fit(pd.DataFrame({"X": range(1000)}), GaussianMixture(2))  # type: ignore[arg-type]
    assert "got DataFrame" in str(caught.value) and len(str(caught.value)) < 150
