"""Worlds outside the model's family: where do predictions break when the noise is not normal?"""

from scipy import stats

from validation.scenarios.mixtures import unknown_scales
from validation.scenarios.scenario import Scenario, do_each
from validation.scenarios.sources import Noise, OtherNoise

WEIGHTS, MEANS, SCALES = (0.4, 0.6), (-3.0, 3.0), (1.0, 1.0)


def _scenario(noise: Noise, name: str, words: str) -> Scenario:
    return Scenario(
        name=name,
        sentence=(
            f"The noise is {words}, and the model takes it for normal. Two components six standard deviations apart, "
            "500 rows. There are no true Greeks; the interventional distributions are true, and predictions of them "
            "are shown, and nothing is claimed of them."
        ),
        make_model=unknown_scales,
        source=OtherNoise(WEIGHTS, MEANS, SCALES, noise),
        num_rows=500,
        interventions=do_each(2),
    )


MISSPECIFIED = (
    _scenario(stats.t(3, scale=3**-0.5), "student_noise", "Student-t with three degrees of freedom (heavy tails)"),
    _scenario(stats.gamma(2, loc=-(2**0.5), scale=2**-0.5), "skewed_noise", "gamma of shape two (skewed)"),
)
