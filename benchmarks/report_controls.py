"""Wrong estimators through a study at the size of a preset: none may pass all of its claims. ``make report-controls``.

Each is a right estimator that is spoilt in a known way. What the table prints is how many of its claims passed, and
which did not; the exit status is 1 if a wrong estimator passed them all, or a right one did not.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from estimators import Data, Fit, Status
from estimators.contract import Model
from validation.claims.judge import Finding
from validation.claims.results import results_of
from validation.scenarios import STANDARD_SCENARIOS
from validation.statistics.check import Verdict
from validation.study.contenders import Contender, Searchable, standard_contenders
from validation.study.presets import PRESETS
from validation.study.store import Store
from validation.study.study import Study, run

Spoil = Callable[[Fit, np.random.Generator], Fit]


@dataclass(frozen=True)
class Spoilt:
    """An estimator whose every fit is changed; of `every` rows it uses one."""

    estimator: Searchable
    spoil: Spoil
    every: int = 1
    searches: bool = True

    def fit(self, model: Model, data: Data, *, seed: int | None = None) -> Fit:
        """Fit, and spoil the fit."""
        rows = data if self.every == 1 else data.rows(torch.arange(0, data.num_rows, self.every))
        settings = {} if self.searches else {"search": None}
        return self.spoil(self.estimator.fit(model, rows, seed=seed, **settings), np.random.default_rng(seed))


def as_it_is(fit: Fit, rng: np.random.Generator) -> Fit:
    """The fit."""
    return fit


def biased(fit: Fit, rng: np.random.Generator, by: float = 0.5) -> Fit:
    """Means further to the right by so many of their standard deviations."""
    draws = fit if fit.num_draws > 1 else fit.laplace(num_draws=200, seed=0)
    name = next(name for name in ("mu_X", "beta_Y") if name in fit.draws)
    return _with(fit, name, fit.draws[name] + by * draws.draws[name].std(0))


def twice_biased(fit: Fit, rng: np.random.Generator) -> Fit:
    """By a whole one."""
    return biased(fit, rng, by=1.0)


def noisy(fit: Fit, rng: np.random.Generator) -> Fit:
    """With as much noise again: twice the variance."""
    name = next(name for name in ("mu_X", "beta_Y") if name in fit.draws)
    sd = fit.laplace(num_draws=200, seed=0).draws[name].std(0)
    return _with(fit, name, fit.draws[name] + sd * torch.as_tensor(rng.normal(size=sd.shape)))


def far_off(fit: Fit, rng: np.random.Generator) -> Fit:
    """One fit in twelve is far from the truth."""
    return biased(fit, rng, by=20.0) if rng.random() < 1 / 12 else fit


def flipped(fit: Fit, rng: np.random.Generator) -> Fit:
    """Labels by coin flip."""
    return fit.relabel([1, 0]) if rng.random() < 0.5 else fit


def stopped(fit: Fit, rng: np.random.Generator) -> Fit:
    """A quarter does not converge."""
    return replace(fit, status=Status.MAX_ITERATIONS, findings={}) if rng.random() < 0.25 else fit


def beside(fit: Fit, rng: np.random.Generator) -> Fit:
    """A posterior .3 of its standard deviations off, in every Greek but the weights."""
    return _moved(fit, lambda value: value + 0.3 * value.std(0))


def narrow(fit: Fit, rng: np.random.Generator) -> Fit:
    """Three quarters of the standard deviation."""
    return _moved(fit, lambda value: value.mean(0) + 0.75 * (value - value.mean(0)))


def short(fit: Fit, rng: np.random.Generator) -> Fit:
    """Intervals a fifth too short."""
    return _moved(fit, lambda value: value.mean(0) + 0.8 * (value - value.mean(0)))


def _moved(fit: Fit, move: Callable[[torch.Tensor], torch.Tensor]) -> Fit:
    moved = {name: move(value) for name, value in fit.draws.items() if name.startswith(("mu", "beta"))}
    return replace(fit, draws={**fit.draws, **moved})


def _with(fit: Fit, name: str, value: torch.Tensor) -> Fit:
    return replace(fit, draws={**fit.draws, name: value})


RIGHT = {contender.name: replace(contender, laplace=False) for contender in standard_contenders()}
MAXIMUM, DRAWS = (cast(Searchable, RIGHT[name].estimator) for name in ("EM", "NUTS"))
SCENARIOS = ("separated_100", "few_rows", "prior_truths", "rival_effects")


def controls() -> tuple[Contender, ...]:
    """Wrong point fits and wrong posteriors, after the right ones."""
    points = {
        "bias-.5": Spoilt(MAXIMUM, biased),
        "bias-1": Spoilt(MAXIMUM, twice_biased),
        "twice-variance": Spoilt(MAXIMUM, noisy),
        "one-row-in-25": Spoilt(MAXIMUM, as_it_is, every=25),
        "far-off-in-1-of-12": Spoilt(MAXIMUM, far_off),
        "coin-flip": Spoilt(MAXIMUM, flipped),
        "quarter-stopped": Spoilt(MAXIMUM, stopped),
        "one-mode": Spoilt(MAXIMUM, as_it_is, searches=False),
    }
    posteriors = {"posterior-.3-off": beside, "posterior-.75-sd": narrow, "intervals-20%-short": short}
    return (
        RIGHT["EM"],
        RIGHT["NUTS"],
        *(Contender(name, wrong, efficient=True, candid=True) for name, wrong in points.items()),
        *(
            Contender(name, Spoilt(DRAWS, spoil), posterior=True, candid=True, share=2 / 3)
            for name, spoil in posteriors.items()
        ),
    )


def main(arguments: Sequence[str] | None = None, executor: Executor | None = None) -> int:
    """Run the study, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="quick")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replicates", type=int)
    parser.add_argument("--scenario", nargs="+", default=SCENARIOS)
    options = parser.parse_args(arguments)
    chosen = tuple(scenario for scenario in STANDARD_SCENARIOS if scenario.name in options.scenario)
    study = Study(chosen, controls(), options.seed, options.preset, options.replicates)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "controls.sqlite"
        with closing(Store.create(path, study.plan())) as store:
            run(study, store=store, executor=executor)
            findings = results_of(store).findings
    passed = [name for name in dict.fromkeys(f.estimator for f in findings) if _line(name, findings)]
    print(f"passed all their claims: {', '.join(passed) or 'none'}")
    return int(set(passed) != {"EM", "NUTS"})


def _line(name: str, findings: Sequence[Finding]) -> bool:
    """Print what came of one estimator's claims; return whether all passed."""
    own = [f for f in findings if f.estimator == name]
    missed = {
        verdict: ", ".join(f"{f.kind} ({f.scenario})" for f in own if f.verdict is verdict)
        for verdict in (Verdict.FAIL, Verdict.UNDERPOWERED)
    }
    told = "; ".join(f"{verdict.name} {text}" for verdict, text in missed.items() if text)
    print(f"{name:20} {sum(f.verdict is Verdict.PASS for f in own)} of {len(own)} PASS. {told}", flush=True)
    return not told


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
