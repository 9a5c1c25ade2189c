"""The models that every estimator takes, and the density that estimators climb and sample."""

from estimators.data.data import Data
from estimators.mixture.density import Density
from estimators.mixture.model import CausalMixture
from estimators.programs.density import ProgramDensity
from estimators.programs.model import PyroModel

Model = CausalMixture | PyroModel
AnyDensity = Density | ProgramDensity


def density_of(
    model: Model, data: Data, *, prior: bool = True, jacobian: bool = False, within_priors: bool | None = None
) -> AnyDensity:
    """log p(data | φ) [+ log prior] [+ log Jacobian] in unconstrained coordinates, Z summed out.

    These are of what the priors allow, by default where the prior is in, or else of all that the likelihood does.
    """
    if isinstance(model, PyroModel):
        return ProgramDensity(model.marginal(data), prior=prior, jacobian=jacobian)
    marginal = model.marginal(data)
    return Density(model, marginal, prior=prior, jacobian=jacobian, within_priors=within_priors)
