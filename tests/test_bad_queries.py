"""Bad questions to a fit: refused with the argument, what was expected and what came."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from estimators import (
    EM,
    MAP,
    NUTS,
    CausalMixture,
    Data,
    EstimationError,
    EstimationWarning,
    Exact,
    Fit,
    GaussianMixture,
    Query,
    Status,
)
from estimators.algorithms.protocol import Estimator
from estimators.mechanisms import Gaussian, LinearGaussian, Logistic
from tests.models import TUTORIAL_ROWS, fit_quietly
from tests.refusals import case, refused

NAN = float("nan")
MODEL = GaussianMixture(K=2)
DATA = Data(X=TUTORIAL_ROWS)
SPIKE = Data(X=[0.0, 0.0, 0.0, 0.0, 9.0])
OVERLAP = Data(X=[-1.3, -0.9, -0.2, 0.1, 0.2, 0.7, 1.2, 1.9])
KNOWN = Fit.from_greeks(MODEL, {"theta": [0.4, 0.6], "mu_X": [0.0, 10.0]})
POINT = EM(num_starts=3).fit(MODEL, DATA, seed=0)
EXACT = Exact(num_draws=20).fit(MODEL, DATA, seed=0)
PAIR = Fit.from_greeks(
    CausalMixture(2, {"X": Gaussian(scale=1.0), "Y": Gaussian(scale=1.0)}),
    {"theta": [0.4, 0.6], "mu_X": [0.0, 9.0], "mu_Y": [1.0, 2.0]},
)


INTERVENTIONS = [
    case("nothing", lambda: POINT.do(), ValueError, "do", "at least one"),
    case("unknown", lambda: POINT.do(T=1), ValueError, "do", "'T'", "['Z', 'X']"),
    *[
        case(f"Z={z!r}", lambda z=z: POINT.do(Z=z), ValueError, "do", "Z", "0 to 1", repr(z))
        for z in (2, -1, 0.5, NAN, True, [0, 5], [[0]], [])
    ],
    *[
        case(f"Z={z!r}", lambda z=z: POINT.do(Z=z), TypeError, "do", "Z", "0 to 1", repr(z))
        for z in ("1", None, ["a"], {0})
    ],
    *[
        case(f"X={x!r}", lambda x=x: POINT.do(X=x), ValueError, "do", "X", "finite number", repr(x))
        for x in (NAN, float("-inf"), [[1.0]], [])
    ],
    *[case(f"X={x!r}", lambda x=x: POINT.do(X=x), TypeError, "do", "X", "number", repr(x)) for x in ("a", None, ["a"])],
    case("mean", lambda: POINT.do(Z=1).mean("Y"), ValueError, "['X', 'Z']", "'Y'"),
    case("cdf", lambda: POINT.do(Z=1).cdf("Y", 0.0), ValueError, "['X', 'Z']", "'Y'"),
    case("cdf at NaN", lambda: POINT.do(Z=1).cdf("X", [0.0, NAN]), ValueError, "cdf", "finite"),
    case("density at text", lambda: POINT.do(Z=1).log_density("X", "a"), TypeError, "log_density", "'a'"),
    case("density of a set X", lambda: POINT.do(X=1.0).log_density("X", 1.0), ValueError, "log_density", "X", "set"),
    case("cdf, Z per row", lambda: POINT.do(Z=[0, 1]).cdf("X", 1.0), ValueError, "cdf", "Z", "per row"),
    *[
        case(f"level={q!r}", lambda q=q: POINT.do(Z=1).quantile("X", q), ValueError, "level", "between 0 and 1", str(q))
        for q in (0.0, 1.0, -0.1, 1.5, NAN)
    ],
    case("levels", lambda: POINT.do(Z=1).quantile("X", [0.5, 2.0]), ValueError, "level", "2.0"),
    case("level of text", lambda: POINT.do(Z=1).quantile("X", "half"), TypeError, "level", "'half'"),
    *[
        case(f"{n!r} rows", lambda n=n: POINT.do(Z=1).sample(n), ValueError, "sample", "rows", repr(n))
        for n in (0, -1, 2.5, True, "9")
    ],
    case("seed", lambda: POINT.do(Z=1).sample(3, seed="0"), TypeError, "seed", "'0'"),
    case("Z per row", lambda: POINT.do(Z=[0, 1]).sample(3), ValueError, "do(Z=...)", "2 values", "3 rows"),
    case("X per row", lambda: PAIR.do(X=[0.0, 1.0]).sample(3), ValueError, "do(X=...)", "2 values", "3 rows"),
    case("both", lambda: PAIR.do(Z=[0, 1], X=[0.0] * 3), ValueError, "as many values", "'Z': 2", "'X': 3"),
    case(
        "contrast of 2 and 3 rows",
        lambda: POINT.contrast("X", do={"Z": [0, 1]}, versus={"Z": [0, 1, 1]}),
        *(ValueError, "contrast", "2", "3"),
    ),
    case("contrast", lambda: POINT.contrast("X", do={"Z": 2}, versus={"Z": 0}), ValueError, "do: Z", "2"),
    case("versus", lambda: POINT.contrast("X", do={"Z": 1}, versus={"Z": 2}), ValueError, "versus: Z", "2"),
    case(
        "contrast given", lambda: PAIR.contrast("X", do={"Z": 1}, versus={"Z": 0}, given={"W": 1}), ValueError, "given"
    ),
]
SPREAD = [
    case("interval", lambda: POINT.do(Z=1).mean("X").interval(), ValueError, "interval", "laplace", "NUTS"),
    case("sd", lambda: KNOWN.do(Z=1).mean("X").sd, ValueError, "sd", "laplace", "NUTS"),
    case("mcse", lambda: POINT.do(Z=1).mean("X").mcse, ValueError, "mcse", "laplace", "NUTS"),
    *[
        case(f"summary({q!r})", lambda q=q: EXACT.summary(level=q), ValueError, "level", "between 0 and 1", repr(q))
        for q in (0, 1, 1.5, NAN, True, "0.9")
    ],
    *[
        case(f"interval({q!r})", lambda q=q: EXACT.do(Z=1).mean("X").interval(q), ValueError, "level", repr(q))
        for q in (0.0, 1.0, 95, "0.9")
    ],
    case("one draw to ArviZ", lambda: POINT.to_arviz(), ValueError, "to_arviz", "laplace", "NUTS"),
    case("a truth to ArviZ", lambda: KNOWN.to_arviz(), ValueError, "to_arviz"),
    case("laplace of draws", lambda: EXACT.laplace(), ValueError, "laplace", "EM or MAP", "'exact'"),
    case("laplace of a truth", lambda: KNOWN.laplace(), ValueError, "laplace", "'known'"),
    *[
        case(f"laplace of {n!r}", lambda n=n: POINT.laplace(n), ValueError, "laplace", "num_draws", repr(n))
        for n in (1, 0, 2.0, True, "9")
    ],
    case("laplace, seed", lambda: POINT.laplace(9, seed=0.5), TypeError, "seed", "0.5"),
    *[
        case(f"relabel({o!r})", lambda o=o: POINT.relabel(o), ValueError, "relabel", "permutation", "[0, 1]")
        for o in ([0, 0], [0], [0, 1, 2], [1, 2], [0.5, 0.5])
    ],
    *[
        case(f"relabel({o!r})", lambda o=o: POINT.relabel(o), TypeError, "relabel", "permutation", "[0, 1]")
        for o in (1, None, [0, "a"])
    ],
    case("an unknown Greek", lambda: POINT["mu_Y"], KeyError, "mu_Y", "['theta', 'mu_X']"),
    case("rows without X", lambda: POINT.log_density({"Z": [0]}), ValueError, "data", "'X'"),
    case("rows of another kind", lambda: POINT.responsibilities([1.0]), TypeError, "data", "list"),
    case("known, wrong name", lambda: Fit.from_greeks(MODEL, {"theta": [0.5, 0.5]}), ValueError, "greeks", "mu_X"),
    case("load, no file", lambda: Fit.load("no such file"), FileNotFoundError, "no such file"),
]


@pytest.mark.parametrize(("call", "error", "parts"), INTERVENTIONS + SPREAD)
def test_refused(call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


def test_laplace_refuses_a_boundary_and_a_collapse() -> None:
    unknown = CausalMixture(2, {"X": Gaussian()})
    collapsed = fit_quietly(EM(num_starts=3), unknown, SPIKE)
    assert collapsed.status is Status.COMPONENT_COLLAPSED
    with refused(EstimationError, "laplace", "COMPONENT_COLLAPSED", "shared=True"):
        collapsed.laplace()
    boundary = fit_quietly(MAP(num_starts=3, num_steps=5), GaussianMixture(K=2), Data(X=[3.0, 3.0, 3.0]))
    assert boundary.status is Status.BOUNDARY
    with refused(EstimationError, "laplace", "BOUNDARY", "lower K"):
        boundary.laplace()


def test_laplace_refuses_a_flat_direction() -> None:
    """Two equal components: moving weight from one to the other changes nothing, so the information is singular."""
    flat = CausalMixture(2, {"X": Gaussian(loc=[0.0, 0.0], scale=1.0)})
    with refused(EstimationError, "laplace", "not positive definite", "NUTS"):
        fit_quietly(EM(num_starts=2), flat, OVERLAP).laplace()


STRICT: dict[str, tuple[Estimator, CausalMixture, Data]] = {
    "MAX_ITERATIONS": (EM(num_starts=2, max_iterations=2, accelerate=False), MODEL, OVERLAP),
    "COMPONENT_COLLAPSED": (EM(num_starts=2), CausalMixture(2, {"X": Gaussian()}), SPIKE),
    "BOUNDARY": (MAP(num_starts=2, num_steps=5), MODEL, Data(X=[3.0, 3.0, 3.0])),
    "LOW_ESS": (NUTS(num_samples=20, warmup_steps=50, num_chains=1), MODEL, DATA),
}


def test_strict_is_a_flag() -> None:
    with pytest.raises(TypeError, match="strict: expected True or False, got 'yes'"):
        EM().fit(MODEL, DATA, strict="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("status", STRICT)
def test_strict_raises_what_is_a_warning_otherwise(status: str) -> None:
    estimator, model, data = STRICT[status]
    # EM goes on from what a search has found, which is a maximum already.
    options: dict[str, Any] = {"search": None} if status == "MAX_ITERATIONS" else {}
    with pytest.warns(EstimationWarning) as caught:
        fit = estimator.fit(model, data, seed=0, **options)
    assert fit.status is Status[status]
    words = fit.advice[0]
    assert words.startswith(f"{status}: {Status[status].happened}")
    (warning,) = caught
    said = str(warning.message)
    assert said.startswith(f"{status}: ") and said.endswith("print(fit) says what to do")
    assert warning.filename == __file__, "the warning points at the caller's line"
    with refused(EstimationError, words):
        estimator.fit(model, data, seed=0, strict=True, **options)


def test_a_variable_of_a_query_is_named() -> None:
    assert isinstance(PAIR.do(Z=1), Query)
    with refused(ValueError, "['X', 'Y', 'Z']", "'W'"):
        PAIR.do(Z=1).mean("W")


def test_what_rounding_would_decide_is_refused() -> None:
    """So far out a probability of 2.6 was an answer; which class a row is of, no rounding touches."""
    model = CausalMixture(2, {"M": Gaussian(), "N": LinearGaussian(["M"]), "Y": Logistic(["M"])}, concentration=2.0)
    rng = np.random.default_rng(0)
    m = rng.normal(0.0, 1.0, 40) + 6.0 * (rng.random(40) < 0.5)
    data = Data(M=m, N=0.5 * m + rng.normal(0.0, 1.0, 40), Y=(rng.random(40) < 0.5) * 1.0)
    fit = fit_quietly(EM(), model, data, seed=0)
    assert 0.0 <= float(fit.given(N=30.0).mean("Y")) <= 1.0
    with pytest.raises(ValueError, match=r"log probability of -.*rounding decides .* check the units"):
        float(fit.given(N=1e9).mean("Y"))
    certain = fit_quietly(EM(), GaussianMixture(2), Data(X=[0.0, 1.0, 10.0, 11.0, 12.0]), seed=0)
    assert float(certain.given(X=1e9).probability("Z", 1)) == 1.0
