"""Posteriors that are wrong around one's own data, and right; spawned processes import them from here."""

from dataclasses import dataclass, replace

from estimators import NUTS
from validation.study.contenders import Contender, Estimator

FAST = NUTS(num_samples=150, warmup_steps=150, num_chains=1, progress_bar=False)


@dataclass(frozen=True)
class Distorted:
    """Draws moved by so many of their standard deviations, and drawn together or apart about their mean."""

    estimator: Estimator
    shift: float = 0.0
    width: float = 1.0

    def fit(self, model, data, *, seed=None):
        fit = self.estimator.fit(model, data, seed=seed)
        draws = {}
        for name, value in fit.draws.items():
            mean, sd = value.mean(0), value.std(0)
            is_location = name.startswith(("mu", "beta"))
            draws[name] = mean + self.shift * sd + self.width * (value - mean) if is_location else value
        return replace(fit, draws=draws)


def contenders(estimator):
    """The right posterior, one that is too narrow, and one that is beside the point."""
    return {
        "right": Contender("NUTS", estimator, posterior=True),
        "narrow": Contender("NUTS", Distorted(estimator, width=0.75), posterior=True),
        "beside": Contender("NUTS", Distorted(estimator, shift=0.3), posterior=True),
    }
