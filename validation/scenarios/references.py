"""Posteriors of fixed rows that another program has sampled: posteriordb's, with the moments of Stan's 10,000 draws.

Rows, published means with their Monte Carlo errors, and standard deviations of the published draws are in the folder
``posteriordb``, under posteriordb's licence. Source: Magnusson, Torgander, Bürkner, Zhang, Carpenter & Vehtari (2024),
posteriordb: Testing, Benchmarking and Developing Bayesian Inference Algorithms. Its other mixtures and hidden Markov
chains have no reference draws, or chains of 416 steps.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch

from estimators import CausalMixture, PyroModel
from estimators.mechanisms import Gaussian
from validation.measures.recovery import columns
from validation.scenarios.base import Moments
from validation.scenarios.intervention import Intervention
from validation.scenarios.quantities import shown
from validation.scenarios.scenario import Scenario, do_each
from validation.scenarios.sources import SampledPosterior

FOLDER = Path(__file__).parent / "posteriordb"
STEPS = 100


class Published(NamedTuple):
    """The rows of a posterior with the means of its Greeks, and the moments of each entry by its name."""

    source: SampledPosterior
    moments: dict[str, Moments]


def published(name: str) -> Published:
    """Return what is stored of a posterior of posteriordb."""
    stored = json.loads((FOLDER / f"{name}.json").read_text())
    greeks: Mapping[str, Mapping[str, Any]] = stored["greeks"]
    by_field = {
        field: columns({greek: np.asarray(values[field])[None] for greek, values in greeks.items()})
        for field in Moments._fields
    }
    moments = {
        entry: Moments(*(float(by_field[field][entry][0]) for field in Moments._fields))
        for entry in shown(by_field["mean"])
    }
    means = {greek: values["mean"] for greek, values in greeks.items()}
    return Published(SampledPosterior(stored["columns"], means), moments)


def gauss_mix() -> CausalMixture:
    """Return ``low_dim_gauss_mix``: two normals, θ ~ Beta(5, 5), means ~ Normal(0, 2), scales ~ HalfNormal(2).

    Stan's means are ordered and ours are sorted, which is the same where the prior is that of both.
    """
    normal = Gaussian(loc=dist.Normal(0.0, 2.0), scale=dist.HalfNormal(2.0))
    return CausalMixture(2, {"X": normal}, concentration=5.0)


def chain(N: int) -> None:
    """Sample ``hmm_example``: a chain of two states with normal emissions of scale 1, a row the whole sequence.

    Stan's means are positive and ordered; without that they would be otherwise with a probability below 1e-15, since
    their priors lie 7 apart. Each state is as likely to be the first, as where Stan has no term for it.
    """
    mu = pyro.sample("mu", dist.Normal(torch.tensor([3.0, 10.0]), 1.0).to_event(1))
    with pyro.plate("states", 2):
        move = pyro.sample("move", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("sequences", N):
        z = None
        for t in pyro.markov(range(STEPS)):
            z = pyro.sample(f"z_{t}", dist.Categorical(torch.full((2,), 0.5) if z is None else move[z]))
            pyro.sample(f"y_{t}", dist.Normal(mu[z], 1.0))


def markov_chain() -> PyroModel:
    """Return ``hmm_example``."""
    return PyroModel(chain, order_by="mu")


GAUSS_MIX, HMM = published("low_dim_gauss_mix"), published("hmm_example")

REFERENCES = (
    Scenario(
        name="posteriordb_mixture",
        sentence=(
            "posteriordb's low_dim_gauss_mix: 1000 rows of two normals with weights, means and scales unknown, of "
            "whose posterior Stan's draws are published."
        ),
        make_model=gauss_mix,
        source=GAUSS_MIX.source,
        num_rows=1000,
        interventions=do_each(2),
        replicates=30,
        reference=GAUSS_MIX.moments,
    ),
    Scenario(
        name="posteriordb_chain",
        sentence=(
            "posteriordb's hmm_example: a hidden Markov chain of 100 steps and two states as a Pyro program, of whose "
            "posterior Stan's draws are published."
        ),
        make_model=markov_chain,
        source=HMM.source,
        num_rows=1,
        interventions=tuple(Intervention("y_0", {"z_0": z}) for z in range(2)),
        sort_by=None,
        replicates=3,
        reference=HMM.moments,
    ),
)
