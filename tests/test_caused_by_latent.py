"""Variables that Z does not cause: the graph, d-separation in every query by enumeration, and counterfactuals."""

import itertools

import networkx
import numpy as np
import pytest

from estimators import EM, CausalMixture, Data, Fit
from estimators.mechanisms import Bernoulli, Categorical, Gaussian
from tests.causal_models import FRONT_DOOR, FRONT_DOOR_GREEKS, known
from tests.refusals import refused

# A → T → M → Y ← Z → T.
TABLES = CausalMixture(
    3,
    {
        "A": Bernoulli(caused_by_latent=False),
        "T": Bernoulli(parents=["A"]),
        "M": Categorical(3, parents=["T"], caused_by_latent=False),
        "Y": Bernoulli(parents=["M"]),
    },
    concentration=2.0,
)
FIT = Fit.from_greeks(TABLES, TABLES.prior_greeks(seed=4))
LEVELS = {"Z": 3, "A": 2, "T": 2, "M": 3, "Y": 2}


def joint(settings: dict[str, int]) -> np.ndarray:
    """The truncated factorisation [Z, A, T, M, Y], written out."""
    theta, p_a, p_t, p_m, p_y = (FIT[name].numpy() for name in ("theta", "p_A", "p_T", "p_M", "p_Y"))
    table = np.zeros(tuple(LEVELS.values()))
    for z, a, t, m, y in np.ndindex(table.shape):
        row = {"Z": z, "A": a, "T": t, "M": m, "Y": y}
        factors = {
            "Z": theta[z],
            "A": p_a if a else 1.0 - p_a,
            "T": p_t[z, a] if t else 1.0 - p_t[z, a],
            "M": p_m[t, m],
            "Y": p_y[z, m] if y else 1.0 - p_y[z, m],
        }
        is_set = all(row[name] == value for name, value in settings.items())
        table[z, a, t, m, y] = is_set * np.prod([p for name, p in factors.items() if name not in settings])
    return table


def law(table: np.ndarray, name: str, seen: dict[str, int]) -> np.ndarray:
    """p(name | seen) out of a joint table."""
    index = tuple(seen.get(other, slice(None)) for other in LEVELS)
    left = [other for other in LEVELS if other not in seen]
    sums = table[index].sum(tuple(axis for axis, other in enumerate(left) if other != name))
    return np.asarray(sums / sums.sum())


def test_a_variable_that_z_does_not_cause_has_no_edge_from_it_and_no_axis_for_classes() -> None:
    assert set(FRONT_DOOR.graph.edges) == {("A", "T"), ("Z", "T"), ("T", "M"), ("M", "Y"), ("Z", "Y")}
    shapes = {parameter.name: parameter.shape for parameter in FRONT_DOOR.parameters}
    assert (shapes["p_A"], shapes["beta_M"], shapes["sigma_M"]) == ((), (2,), ())
    assert (shapes["p_T"], shapes["beta_Y"]) == ((2, 2), (2, 2))


@pytest.mark.parametrize("setting", [None, *LEVELS])
def test_every_law_given_one_variable_is_that_of_the_table(setting: str | None) -> None:
    settings = {} if setting is None else {setting: 1}
    table, query = joint(settings), FIT.do(**settings) if settings else FIT
    free = [name for name in LEVELS if name != setting]
    for seen, asked in itertools.permutations(free, 2):
        found = query.given(**{seen: 0}).log_density(asked, list(range(LEVELS[asked]))).exp()
        np.testing.assert_allclose(found, law(table, asked, {seen: 0}), atol=1e-12)


@pytest.mark.parametrize("given", [(), *itertools.combinations(LEVELS, 1), *itertools.combinations(LEVELS, 2)])
def test_independence_is_where_the_graph_says(given: tuple[str, ...]) -> None:
    held = dict.fromkeys(given, 1)
    for one, other in itertools.combinations([name for name in LEVELS if name not in given], 2):
        laws = [FIT.given(**held, **{one: level}).log_density(other, [0, 1]).exp() for level in (0, 1)]
        is_separated = networkx.is_d_separator(TABLES.graph, {one}, {other}, set(given))
        assert (float((laws[0] - laws[1]).abs().max()) < 1e-12) == is_separated, (one, other, given)


def test_a_counterfactual_leaves_what_is_not_below() -> None:
    fit = known("front door")
    data = Data(A=[0, 1], T=[0, 1], M=[0.2, 2.4], Y=[1.0, 4.0])
    changed = fit.counterfactual(data, do={"T": [1, 0]})
    assert changed.mean("A").value.tolist() == [0.0, 1.0]
    # The residual of M is kept, whichever class the row is of, and the slope of Y is 1 in both.
    np.testing.assert_allclose(changed.mean("M").value, [1.7, 0.9], atol=1e-12)
    np.testing.assert_allclose(changed.mean("Y").value, [2.5, 2.5], atol=1e-12)


def test_the_rows_of_what_z_does_not_cause_say_nothing_of_the_class() -> None:
    rows = FRONT_DOOR.simulate(400, FRONT_DOOR_GREEKS, seed=1)
    data = Data({name: rows[name] for name in FRONT_DOOR.mechanisms})
    fit = EM().fit(FRONT_DOOR, data, seed=0)
    # Maximum likelihood of A and of M is that of each alone.
    assert float(fit["p_A"]) == pytest.approx(float(rows["A"].mean()), abs=1e-6)
    design = np.stack([np.ones(400), rows["T"].numpy()], 1)
    line = np.linalg.lstsq(design, rows["M"].numpy(), rcond=None)[0]
    np.testing.assert_allclose(fit["beta_M"], line, atol=1e-6)


def test_an_ancestor_of_a_latent_parent_need_not_be_one() -> None:
    parts = {"U": Bernoulli(caused_by_latent=False), "W": Bernoulli(parents=["U"]), "X": Gaussian(parents=["W"])}
    model = CausalMixture(2, parts, latent_parents=["W"])
    assert model.order == ["U", "W", "Z", "X"]
    assert set(model.graph.edges) == {("U", "W"), ("W", "Z"), ("W", "X"), ("Z", "X")}
    with refused(ValueError, "cycle", "latent_parents", "caused_by_latent=False"):
        CausalMixture(2, {**parts, "U": Bernoulli()}, latent_parents=["W"])
    with refused(TypeError, "caused_by_latent", "True or False"):
        Bernoulli(caused_by_latent=1)  # type: ignore[arg-type]
