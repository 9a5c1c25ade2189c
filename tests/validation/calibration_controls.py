"""Calibration that is right, and three ways in which it is wrong; spawned processes import them from here."""

from dataclasses import dataclass, replace

import numpy as np
import pyro.distributions as dist
import torch

from estimators import NUTS, SMC, Data, GaussianMixture
from validation.scenarios import Partly, PriorTruth, Scenario, do_each
from validation.study.contenders import Contender

SAMPLER = NUTS(num_samples=250, warmup_steps=250, progress_bar=False)
FAST = NUTS(num_samples=150, warmup_steps=150, num_chains=1, progress_bar=False)


def wide():
    return GaussianMixture(K=2, concentration=5.0, loc_scale=10.0)


def close():
    return GaussianMixture(K=2, concentration=5.0, loc_scale=1.0)


def tutorial():
    """Either class may be without rows."""
    return GaussianMixture(K=2)


def of_unknown_spread():
    return GaussianMixture(K=2, scale=dist.LogNormal(0.0, 0.5))


@dataclass(frozen=True)
class Halved:
    """NUTS under a prior of half the scale that truths are drawn from."""

    def fit(self, model, data, *, seed=None):
        narrow = GaussianMixture(K=2, concentration=5.0, loc_scale=0.5)
        return replace(FAST.fit(narrow, data, seed=seed), model=model)


@dataclass(frozen=True)
class SetAsSeen:
    """NUTS that takes rows in which Z was set for rows in which it was seen."""

    def fit(self, model, data, *, seed=None):
        return FAST.fit(model, Data(**data.columns), seed=seed)


@dataclass(frozen=True)
class InGeneratingOrder:
    """Truths of the prior in the order in which they were drawn, while draws are sorted."""

    truth = PriorTruth.truth

    def draw(self, scenario, seeds):
        drawn = PriorTruth().draw(scenario, seeds)
        if np.random.default_rng(seeds.truth).random() < 0.5:
            return drawn
        return replace(drawn, greeks={name: value[::-1].copy() for name, value in drawn.greeks.items()})


def scenario(name, make_model, num_rows, source=None, sort_by="mu_X"):
    return Scenario(
        name=name,
        sentence="A control.",
        make_model=make_model,
        source=source or PriorTruth(),
        num_rows=num_rows,
        interventions=do_each(2),
        sort_by=sort_by,
    )


@dataclass(frozen=True)
class WithRowsInEveryClass:
    """NUTS whose chains never leave the part where every class has some of the rows."""

    def fit(self, model, data, *, seed=None):
        fit = SAMPLER.fit(model, data, seed=seed)
        kept = (fit.draws["theta"].min(1).values > 0.5 / data.num_rows).nonzero()[:, 0]
        if not len(kept):
            return fit
        places = kept[torch.linspace(0, len(kept) - 1, fit.num_draws).round().long()]
        return replace(fit, draws={name: value[places] for name, value in fit.draws.items()})


RIGHT = Contender("NUTS", FAST, posterior=True)
MOSTLY_SET = PriorTruth(Partly(set=0.8))
CASES = {
    "wide": (scenario("wide", wide, 100), RIGHT),
    "close": (scenario("close", close, 20), RIGHT),
    "mostly_set": (scenario("mostly_set", wide, 60, MOSTLY_SET, None), RIGHT),
    "halved": (scenario("halved", close, 20), Contender("NUTS", Halved(), posterior=True)),
    "order": (scenario("order", wide, 60, InGeneratingOrder()), RIGHT),
    "set_as_seen": (
        scenario("set_as_seen", wide, 60, MOSTLY_SET, None),
        Contender("NUTS", SetAsSeen(), posterior=True),
    ),
}
UNDER_THE_TUTORIALS_PRIOR = {
    f"{name}, {num_rows} rows": scenario(f"{name}_{num_rows}", make_model, num_rows)
    for name, make_model in (("tutorial", tutorial), ("unknown_spread", of_unknown_spread))
    for num_rows in (5, 20, 100)
}
SAMPLERS = {
    "NUTS": Contender("NUTS", SAMPLER, posterior=True),
    "SMC": Contender("SMC", SMC(num_particles=800, progress_bar=False), posterior=True),
    "in every class": Contender("NUTS", WithRowsInEveryClass(), posterior=True),
}
