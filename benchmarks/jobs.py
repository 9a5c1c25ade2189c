"""The jobs that are measured beside their peers, each with what was asked of ours.

Fits of a point are timed without the search for modes, which no peer makes; the note says what they take with it.
"""

import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.ops.indexing import Vindex

from benchmarks.side_by_side import Measured, seconds
from estimators import EM, MAP, NUTS, CausalMixture, Data, GaussianMixture, PyroModel
from estimators.mechanisms import Bernoulli, FullGaussian, Gaussian, LinearGaussian
from estimators.modes.best_starts import best_starts
from estimators.optimise.objective import Objective, log_likelihood, log_posterior

QUIET = {"progress_bar": False}
READ, SOFTMAX = "a column of 1,000,000 read once", "softmax of 1,000,000 rows, K = {}"


def tutorial_rows(num_rows: int) -> np.ndarray:
    rng = np.random.default_rng(num_rows)
    return np.where(rng.random(num_rows) < 0.4, 4.0, 0.0) + rng.normal(size=num_rows)


def confounded_rows(num_rows: int) -> dict[str, np.ndarray]:
    """Z drives T and Y, and T drives Y."""
    rng = np.random.default_rng(num_rows)
    z = rng.random(num_rows) < 0.4
    t = (rng.random(num_rows) < np.where(z, 0.8, 0.2)) * 1.0
    return {"T": t, "Y": np.where(z, 3.0, 0.0) - t + rng.normal(size=num_rows)}


def confounder() -> CausalMixture:
    return CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=1.0)


def clusters(num_rows: int, D: int, K: int, apart: float) -> np.ndarray:
    """K clusters of full covariance whose centres are `apart` times a normal draw."""
    rng = np.random.default_rng([num_rows, D, K, round(10 * apart)])
    centres, label = apart * rng.normal(size=(K, D)), rng.integers(0, K, num_rows)
    factors = np.tril(rng.normal(size=(K, D, D)) * 0.3) + np.eye(D)
    return np.asarray(centres[label] + np.einsum("nij,nj->ni", factors[label], rng.normal(size=(num_rows, D))))


def compiling() -> Iterator[Measured]:
    """What the first fits of all do before any: a machine's cache may be empty."""
    rows = np.random.default_rng(0).normal(size=(40, 2))
    models = {"X": (GaussianMixture(K=2), rows[:, 0]), "V": (CausalMixture(2, {"V": FullGaussian(2)}), rows)}

    def first() -> None:
        for name, (model, column) in models.items():
            _quietly(lambda m=model, n=name, c=column: EM(**QUIET).fit(m, Data(**{n: c}), seed=0))
        _quietly(lambda: MAP(**QUIET).fit(confounder(), Data(**confounded_rows(40)), seed=0))
        sampler = NUTS(num_samples=10, warmup_steps=10, **QUIET)
        _quietly(lambda: sampler.fit(GaussianMixture(K=2), Data(X=rows[:, 0]), seed=0))

    yield Measured("compiling, or reading what is compiled", "s", seconds(first)[0], None, "", 40.0)


# ---------------------------------------------------------------- NUTS


def nuts_tutorial() -> Iterator[Measured]:
    """Milliseconds of the whole fit, starts included, for each effective draw of the least known Greek."""
    for num_rows, asked in ((10, 0.035), (100, 0.03), (1_000, 0.06), (10_000, 0.35), (100_000, 4.0)):
        rows = tutorial_rows(num_rows)
        draws = 1000 if num_rows < 100_000 else 250
        sampler = NUTS(num_samples=draws, warmup_steps=draws, **QUIET)
        time, fit = seconds(lambda s=sampler, r=rows: _quietly(lambda: s.fit(GaussianMixture(K=2), Data(X=r), seed=0)))
        ours = 1e3 * time / float(fit.summary()["ess"].min())
        peer, note = _pymc(_pymc_tutorial, rows, draws if num_rows < 10_000 else 250)
        yield Measured(f"NUTS, tutorial, N = {num_rows:,}", "ms per effective draw", ours, peer, "PyMC", asked, note)


def nuts_confounder() -> Iterator[Measured]:
    for num_rows, asked in ((300, 0.6), (4_000, 2.0)):
        rows, sampler = confounded_rows(num_rows), NUTS(**QUIET)
        time, fit = seconds(lambda s=sampler, r=rows: _quietly(lambda: s.fit(confounder(), Data(**r), seed=0)))
        ess = f"{float(fit.summary()['ess'].min()):.0f} effective draws"
        yield Measured(f"NUTS, confounder, N = {num_rows:,}", "s", time, None, "", asked, ess)


def _pymc_tutorial(rows: np.ndarray) -> Any:
    import pymc as pm

    with pm.Model() as model:
        weights = pm.Dirichlet("theta", a=np.full(2, 0.5))
        centres = pm.Normal("mu", 0.0, 10.0, shape=2, initval=np.array([0.0, 4.0]))
        pm.NormalMixture("X", w=weights, mu=centres, sigma=1.0, observed=rows)
    return model


def _pymc(make: Callable[[Any], Any], rows: Any, draws: int) -> tuple[float | None, str]:
    """Milliseconds for each effective draw by PyMC's model in nutpie, compiling aside."""
    if find_spec("pymc") is None:
        return None, "PyMC is not installed"
    import arviz
    import nutpie

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile_time, compiled = seconds(lambda: nutpie.compile_pymc_model(make(rows)))
        sampling, trace = seconds(
            lambda: nutpie.sample(compiled, draws=draws, tune=draws, chains=4, seed=0, progress_bar=False)
        )
        ess = float(min(value.min() for value in arviz.ess(trace).data_vars.values()))
    return 1e3 * sampling / ess, f"compiling PyMC's model took {compile_time:.0f} s"


# ---------------------------------------------------------------- EM and MAP


def em_iterations() -> Iterator[Measured]:
    """One iteration on a million rows of one column: the E-step over all rows, and the M-step."""
    for K, asked in ((2, 8.0), (8, 24.0)):
        rng = np.random.default_rng(K)
        rows = 4.0 * rng.integers(0, K, 1_000_000) + rng.normal(size=1_000_000)
        model = CausalMixture(K, {"X": Gaussian()})
        density = model.density(Data(X=rows)).beyond_priors()
        point = next(best_starts(model, density, log_likelihood, 1, rng, refinements=1))

        def iteration(density: Any = density, point: np.ndarray = point) -> Any:
            return density.m_step(point, density.e_step(point)[2])

        ours, _ = seconds(iteration, 7)
        peer = _sklearn_iteration(rows[:, None], K)
        yield Measured(f"EM, N = 1,000,000, K = {K}", "ms an iteration", 1e3 * ours, peer, "scikit-learn", asked)


def _sklearn_iteration(rows: np.ndarray, K: int) -> float | None:
    if find_spec("sklearn") is None:
        return None
    from sklearn.mixture import GaussianMixture as Peer

    def run(iterations: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Peer(K, max_iter=iterations, tol=0.0, init_params="random_from_data", random_state=0).fit(rows)

    return 1e3 * (seconds(lambda: run(5))[0] - seconds(lambda: run(2))[0]) / 3


def em_to_the_maximum() -> Iterator[Measured]:
    """Full covariances from several starts, and from one: time, and whose likelihood is higher."""
    for num_rows, D, K, apart in (
        *((20_000, 10, 8, 5.0), (20_000, 10, 8, 1.0), (20_000, 2, 10, 5.0), (20_000, 2, 10, 1.0)),
        (200_000, 10, 8, 5.0),
    ):
        rows, is_one = clusters(num_rows, D, K, apart), num_rows > 20_000
        peer, peer_value = _sklearn_fit(rows, K, n_init=1 if is_one else 4)
        model, estimator = CausalMixture(K, {"X": FullGaussian(D)}), EM(num_starts=1 if is_one else 20, **QUIET)
        time, fit, note = _fitted(estimator, model, Data(X=rows))
        gain = "" if peer_value is None else f"log-likelihood {fit.stats['log_likelihood'] - peer_value:+.2f}; "
        starts = "one start" if is_one else "all starts"
        job = f"EM to the maximum, N = {num_rows:,}, D = {D}, K = {K}, {apart:g} sds apart, {starts}"
        yield Measured(job, "s", time, peer, "scikit-learn", peer, gain + note)


def em_overlapping() -> Iterator[Measured]:
    rng = np.random.default_rng(0)
    rows = 1.5 * rng.integers(0, 3, 200_000) + rng.normal(size=200_000)
    peer, peer_value = _sklearn_fit(rows[:, None], 3, n_init=1)
    model = CausalMixture(3, {"X": Gaussian()})
    time, fit, note = _fitted(EM(**QUIET), model, Data(X=rows))
    gain = "" if peer_value is None else f"log-likelihood {fit.stats['log_likelihood'] - peer_value:+.2f}; "
    yield Measured("EM, 200,000 overlapping rows, K = 3", "s", time, peer, "scikit-learn", 3.0, gain + note)


def _sklearn_fit(rows: np.ndarray, K: int, n_init: int) -> tuple[float | None, float | None]:
    if find_spec("sklearn") is None:
        return None, None
    from sklearn.mixture import GaussianMixture as Peer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = Peer(K, n_init=n_init, tol=1e-6, max_iter=1000, reg_covar=0.0, random_state=0)
        time, fitted = seconds(lambda: peer.fit(rows))
    return time, float(fitted.score(rows)) * len(rows)


def map_confounder() -> Iterator[Measured]:
    for num_rows in (300, 4_000):
        time, _, note = _fitted(MAP(**QUIET), confounder(), Data(**confounded_rows(num_rows)), repeats=3)
        yield Measured(f"MAP, confounder, N = {num_rows:,}", "s", time, None, "", 0.3, note)


def small_fits() -> Iterator[Measured]:
    """A fit as a whole on a hundred rows, all that surrounds it included."""
    data, sampler = Data(X=tutorial_rows(100)), NUTS(num_samples=250, warmup_steps=250, **QUIET)
    for name, estimator, asked in (("EM", EM(**QUIET), 5.0), ("MAP", MAP(**QUIET), 100.0)):
        time, _, note = _fitted(estimator, GaussianMixture(K=2), data, repeats=10)
        yield Measured(f"{name}, N = 100", "ms", 1e3 * time, None, "", asked, note)
    time, _ = seconds(lambda: _quietly(lambda: sampler.fit(GaussianMixture(K=2), data, seed=0)), 5)
    yield Measured("NUTS 4 x (250 + 250), N = 100", "ms", 1e3 * time, None, "", 80.0, "with its search for modes")


def particles() -> Iterator[Measured]:
    density = GaussianMixture(K=2).density(Data(X=tutorial_rows(100)))
    rng = np.random.default_rng(0)
    for name, spread in (("wide", 1.0), ("tight", 1e-9)):
        points = spread * rng.normal(size=(2_000, density.size))
        time, _ = seconds(lambda p=points: density.evaluate(p), 20)
        yield Measured(f"2,000 particles, {name}, N = 100", "ms", 1e3 * time, None, "", 4.0)


def gradients() -> Iterator[Measured]:
    """One value and gradient, as MAP's climb asks for it."""
    for num_rows in (10, 100, 1_000, 10_000):
        objective = Objective(GaussianMixture(K=2).density(Data(X=tutorial_rows(num_rows))), log_posterior)
        point = np.full(objective.size, 0.1)
        time, _ = seconds(lambda o=objective, p=point: [o.value_and_gradient(p) for _ in range(100)], 10)
        yield Measured(f"one gradient, N = {num_rows:,}", "us", 1e4 * time, None, "", None)


def limits() -> Iterator[Measured]:
    """What an E-step on a million rows cannot do without: to read them, and an exponential and a logarithm for each."""
    from estimators.estep.compiled.softmax import normalise
    from estimators.mechanisms.compiled.arithmetic import total

    rows = np.random.default_rng(0).normal(size=1_000_000)
    total(rows)
    yield Measured(READ, "ms", 1e3 * seconds(lambda: total(rows), 20)[0], None, "", None)
    for K in (2, 8):
        block = np.random.default_rng(K).normal(size=(K + 2, 256))
        ones = np.ones(256)

        def blocks(block: np.ndarray = block, ones: np.ndarray = ones, K: int = K) -> None:
            for _ in range(3_906):
                normalise(block[:K], 256, ones, block[K], block[K + 1])

        blocks()
        empty, _ = seconds(
            lambda b=block, o=ones, k=K: [normalise(b[:k], 0, o, b[k], b[k + 1]) for _ in range(3_906)], 5
        )
        yield Measured(SOFTMAX.format(K), "ms", 1e3 * (seconds(blocks, 5)[0] - empty), None, "", None)


# ---------------------------------------------------------------- programs


def markov_chain() -> Iterator[Measured]:
    from tests.gallery import chain_of_a_column

    rng, steps = np.random.default_rng(0), 150
    state = np.cumsum(rng.random(steps) < 0.1) % 2
    rows = torch.as_tensor(np.where(state, 3.0, -1.0) + rng.normal(size=steps))[None]
    estimator = EM(num_starts=2, **QUIET)
    time, _ = seconds(lambda: _quietly(lambda: estimator.fit(PyroModel(chain_of_a_column), Data(x=rows), seed=0)))
    peer = _hmmlearn(rows[0].numpy())
    yield Measured("PyroModel, hidden Markov chain of 150 steps, EM", "s", time, peer, "hmmlearn", 5.0, "2 starts")


def latent_class_regression(party: torch.Tensor, items: torch.Tensor) -> None:
    """Three classes whose weights depend on a covariate, and twelve items of four levels."""
    gate = pyro.sample("gate", dist.Normal(torch.zeros(2, 2), 2.0).to_event(2))
    with pyro.plate("classes", 3, dim=-2), pyro.plate("items", items.shape[1], dim=-1):
        p = pyro.sample("p", dist.Dirichlet(torch.ones(4)))
    with pyro.plate("rows", len(party), dim=-1):
        logits = torch.cat([torch.zeros(len(party), 1), gate[:, 0] + party[:, None] * gate[:, 1]], -1)
        z = pyro.sample("z", dist.Categorical(logits=logits))
        for j in range(items.shape[1]):
            pyro.sample(f"item_{j}", dist.Categorical(Vindex(p)[z, j]), obs=items[:, j])


def latent_classes() -> Iterator[Measured]:
    rng, num_rows = np.random.default_rng(0), 1_300
    party = rng.integers(-3, 5, num_rows) * 1.0
    logits = np.stack([np.zeros(num_rows), 0.2 + 0.5 * party, -0.3 - 0.6 * party], 1)
    label = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    p = rng.dirichlet(np.ones(4), (3, 12))
    items = (np.log(p)[label] + rng.gumbel(size=(num_rows, 12, 4))).argmax(2)
    data = Data(party=party, items=torch.as_tensor(items).double())
    time, fit = seconds(lambda: _quietly(lambda: EM(**QUIET).fit(PyroModel(latent_class_regression), data, seed=0)))
    note = f"{fit.stats['num_runs']} of 20 starts run to the end"
    yield Measured("PyroModel, latent class regression, 1,300 rows, K = 3, EM", "s", time, None, "", 60.0, note)


def questions() -> Iterator[Measured]:
    from tests.gallery import chain_of_a_column

    rows = torch.as_tensor(np.random.default_rng(0).normal(size=(1, 150)))
    estimator = EM(num_starts=1, max_iterations=3, **QUIET)
    fit = _quietly(lambda: estimator.fit(PyroModel(chain_of_a_column), Data(x=rows), seed=0))
    time, _ = seconds(lambda: fit.do(z_0=1).mean("x_149"))
    yield Measured("PyroModel, hidden Markov chain of 150 steps, a question", "s", time, None, "", 0.5, "the first")


def _hmmlearn(rows: np.ndarray) -> float | None:
    if find_spec("hmmlearn") is None:
        return None
    from hmmlearn.hmm import GaussianHMM

    return seconds(lambda: GaussianHMM(2, n_iter=200, tol=1e-6, random_state=0).fit(rows[:, None]))[0]


def _fitted(estimator: Any, model: CausalMixture, data: Data, repeats: int = 1) -> tuple[float, Any, str]:
    """Seconds without a search for modes, the fit, and a note of those with one."""
    time, fit = seconds(lambda: _quietly(lambda: estimator.fit(model, data, seed=0, search=None)), repeats)
    searched, _ = seconds(lambda: _quietly(lambda: estimator.fit(model, data, seed=0)), repeats)
    return time, fit, f"with a search for modes {searched:.2g} s"


def _quietly(action: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return action()


JOBS: dict[str, Callable[[], Iterator[Measured]]] = {
    "compiling": compiling,
    "nuts": nuts_tutorial,
    "confounder": nuts_confounder,
    "em": em_iterations,
    "em-maximum": em_to_the_maximum,
    "em-overlapping": em_overlapping,
    "map": map_confounder,
    "small": small_fits,
    "particles": particles,
    "gradients": gradients,
    "limits": limits,
    "markov": markov_chain,
    "questions": questions,
    "latent-classes": latent_classes,
}
