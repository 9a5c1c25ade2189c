"""Simulation-based calibration side by side with simuk over NumPyro: seconds per replicate, in the same run.

``pip install numpyro simuk`` and then ``python benchmarks/calibration.py [--replicates 1000] [--peer-replicates 8]``

Both calibrate NUTS (250 + 250 iterations, one chain) on the tutorial's mixture with concentration 5 and means of scale
10, 100 rows a replicate. Ours is a study as `python -m validation run` does it: a process for each core, whose start is
counted, rows written to a file, and far more measured than ranks. simuk runs one replicate after the other, each by an
`MCMC` of its own, as it does; its first, in which JAX wakes up and compiles, is not counted. Ratios are what to read:
absolute speeds depend on the machine and its load.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

from estimators import NUTS
from validation import Study, assess, run
from validation.scenarios import STANDARD_SCENARIOS
from validation.study.contenders import Contender
from validation.study.pool import available_cores
from validation.study.store import Store

ROWS, WARMUP, SAMPLES = 100, 250, 250


def ours(replicates: int, workers: int) -> tuple[float, list[str]]:
    """Return seconds per replicate, start of the processes included, and what became of the claims."""
    scenario = next(each for each in STANDARD_SCENARIOS if each.name == "prior_truths")
    sampler = NUTS(num_samples=SAMPLES, warmup_steps=WARMUP, num_chains=1, progress_bar=False)
    study = Study((scenario,), (Contender("NUTS", sampler, posterior=True),), preset="standard", replicates=replicates)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        store = Store.create(Path(folder) / "study.sqlite", study.plan())
        rows = run(study, store=store, workers=workers)
        seconds = time.perf_counter() - started
        results = assess(store.plan, rows)
        store.close()
    found = [f"{f.kind} {f.verdict.name} (statistic {f.statistic:.3g} at {f.worst or '-'})" for f in results.findings]
    return seconds / replicates, found


def simuk(replicates: int) -> float:
    """Return simuk's seconds per replicate."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import NUTS as PeerNUTS
    from simuk import SBC

    def mixture(X: object = None) -> None:
        theta = numpyro.sample("theta", dist.Dirichlet(jnp.full(2, 5.0)))
        mu = numpyro.sample("mu", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
        with numpyro.plate("rows", ROWS):
            numpyro.sample("X", dist.MixtureSameFamily(dist.Categorical(theta), dist.Normal(mu, 1.0)), obs=X)

    def run_peer(simulations: int) -> float:
        sampling = {"num_warmup": WARMUP, "num_samples": SAMPLES}
        peer = SBC(PeerNUTS(mixture), simulations, sampling, seed=0, data_dir={"X": jnp.zeros(ROWS)})
        started = time.perf_counter()
        peer.run_simulations()
        return (time.perf_counter() - started) / simulations

    run_peer(1)
    return run_peer(replicates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--peer-replicates", type=int, default=8)
    parser.add_argument("--workers", type=int, default=available_cores())
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    theirs = simuk(arguments.peer_replicates)
    mine, verdicts = ours(arguments.replicates, arguments.workers)
    print(f"N = {ROWS}, {WARMUP} + {SAMPLES} iterations, {arguments.workers} processes of ours")
    total = f"{arguments.replicates} replicates in {mine * arguments.replicates:.0f} s"
    print(f"seconds per replicate: ours {mine:.3f} ({total})")
    print(f"simuk over NumPyro {theirs:.2f}; ratio 1/{theirs / mine:.1f}")
    for line in verdicts:
        print(line)


if __name__ == "__main__":
    main()
