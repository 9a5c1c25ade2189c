"""A clinic where the sicker are treated more often: what the treatment does to the number of attacks, truth known.

A patient's type (Z: mild or severe) was never written down. Older patients are more often severe, the severe are
treated more often, and have more attacks: among rows as they are, the treated have more attacks, though the treatment
prevents four in ten. Every patient comes several times, which is what gives the types away.

    python examples/clinic.py
"""

import numpy as np
import pandas as pd

from estimators import EM, NUTS, CausalMixture, Data, Ratio
from estimators.mechanisms import Gate, Logistic, NegativeBinomial

RATIO = 0.6  # attacks under treatment, as a share of those without


def visits(num_patients: int, seed: int) -> pd.DataFrame:
    """One row a visit: patient, age and sex, whether the patient was treated since the last visit, and attacks."""
    rng = np.random.default_rng(seed)
    age, is_female = rng.normal(50.0, 12.0, num_patients).round(), rng.random(num_patients) < 0.5
    is_severe = rng.random(num_patients) < 1.0 / (1.0 + np.exp(-(age - 52.0) / 10.0))
    patient = np.repeat(np.arange(num_patients), rng.integers(2, 6, num_patients))
    log_odds = np.where(is_severe, 1.2, -1.2)[patient] + 0.02 * (age[patient] - 50.0)
    treated = rng.random(len(patient)) < 1.0 / (1.0 + np.exp(-log_odds))
    log_mean = np.where(is_severe, 1.9, 0.3)[patient] + np.log(RATIO) * treated + 0.25 * is_female[patient]
    attacks = rng.poisson(np.exp(log_mean) * rng.gamma(4.0, 0.25, len(patient)))
    return pd.DataFrame(
        {
            "patient": [f"P{number:03d}" for number in patient],
            "age": age[patient],
            "sex": np.where(is_female, "female", "male")[patient],
            "treated": np.where(treated, "yes", "no"),
            "attacks": attacks,
        }
    )


def model(num_types: int) -> CausalMixture:
    """Age → type → (treated, attacks), treated → attacks; age and sex are conditioned on, and have no law.

    What types share is said: the effects of age, sex and treatment. Each has its own level of both variables.
    """
    return CausalMixture(
        num_types,
        {
            "treated": Logistic(parents=["age"], shared=["age"]),
            "attacks": NegativeBinomial(
                parents=["treated", "age", "sex"], shared=["treated", "age", "sex", "dispersion"]
            ),
        },
        latent=Gate(["age"]),
        covariates={"age": None, "sex": 2},
    )


def naive(frame: pd.DataFrame) -> float:
    """The ratio by a negative binomial regression on treatment, age and sex, which knows of no types."""
    regression = CausalMixture(
        1,
        {"attacks": NegativeBinomial(parents=["treated", "age", "sex"])},
        covariates={"treated": 2, "age": None, "sex": 2},
    )
    fit = EM().fit(regression, frame.drop(columns="patient"), seed=0)
    return float(fit["beta_attacks"][0, 1].exp())


def main() -> dict[str, tuple[float, float, float]]:
    """Print what each says of the ratio, and return it with its interval."""
    frame = visits(300, seed=1)
    rows = Data(frame, unit="patient")
    types = model(2)
    fit = EM().fit(types, rows, seed=0)
    ratio = fit.effect("attacks", of="treated", levels=("no", "yes"), scale=Ratio())
    likely = [(float(low), float(high)) for low, high in ratio.profile(0.9)]
    posterior = NUTS(num_samples=300, warmup_steps=300, num_chains=2).fit(types.scaled_to(rows), rows, seed=0)
    drawn = posterior.effect("attacks", of="treated", levels=("no", "yes"), scale=Ratio())
    said = {
        "truth": (RATIO, RATIO, RATIO),
        "regression without types": (naive(frame), np.nan, np.nan),
        "EM, likelihood interval": (float(ratio.value), *likely[0]),
        "NUTS": (float(drawn.value), *map(float, drawn.interval(0.9))),
    }
    print(f"{len(frame)} visits of {rows.num_units} patients; attacks under treatment, as a share of those without:")
    for name, (value, low, high) in said.items():
        print(f"  {name:<26}{value:.2f}" + ("" if np.isnan(low) or low == high else f"   90 % {low:.2f} to {high:.2f}"))
    older, younger = (float(fit.do(age=age).mean("Z").value) for age in (70, 30))
    print(f"{fit.status.name}; of the severe type are {older:.0%} at 70 and {younger:.0%} at 30.")
    return said


if __name__ == "__main__":
    main()
