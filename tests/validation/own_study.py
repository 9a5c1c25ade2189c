"""A user's own scenarios and estimators, as they are given to the command line: a mixture, and a Pyro program."""

import time
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch

from estimators import EM, GaussianMixture, PyroModel
from validation.scenarios import FixedTruth, Intervention, Scenario, do_each
from validation.study.contenders import Contender


def mixture():
    return GaussianMixture(K=2, concentration=1.0, scale=1.0, loc_scale=10.0)


def two_groups(N):
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("groups", 2):
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    with pyro.plate("rows", N):
        Z = pyro.sample("Z", dist.Categorical(theta))
        pyro.sample("X", dist.Normal(mu[Z], 1.0))


def program():
    return PyroModel(two_groups, order_by="mu")


SCENARIOS = (
    Scenario(
        name="own_mixture",
        sentence="Two normals, 30 rows.",
        make_model=mixture,
        source=FixedTruth({"theta": (0.4, 0.6), "mu_X": (-3.0, 3.0)}),
        num_rows=30,
        interventions=do_each(2),
        replicates=2,
    ),
    Scenario(
        name="own_program",
        sentence="The same as a program.",
        make_model=program,
        source=FixedTruth({"theta": (0.4, 0.6), "mu": (-3.0, 3.0)}),
        num_rows=30,
        interventions=(Intervention("X", {"Z": 1}),),
        replicates=2,
    ),
)


@dataclass(frozen=True)
class Quick:
    """EM from few starts."""

    def fit(self, model, data, *, seed=None):
        return EM(num_starts=3, progress_bar=False).fit(model, data, seed=seed)


@dataclass(frozen=True)
class Slow:
    """EM that takes its time, so that a study has a middle."""

    pause: float = 0.3

    def fit(self, model, data, *, seed=None):
        time.sleep(self.pause)
        return Quick().fit(model, data, seed=seed)


slow = Contender("slow", Slow(), laplace=True)  # a task of two rows
