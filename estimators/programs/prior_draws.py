"""Greeks drawn by a program from its priors, as an estimator's first starts."""

import numpy as np
import torch
from torch import Tensor

from estimators.isolation import program_mode
from estimators.optimise.arrays import Array
from estimators.programs.handlers import Observing
from estimators.programs.marginal import ProgramMarginal
from estimators.programs.structure import run
from estimators.status import EstimationError, in_words


def prior_draws(marginal: ProgramMarginal, count: int, generator: np.random.Generator) -> Array:
    """Coordinates [count, D] of Greeks drawn by the program; a parameter begins at its initial value, later around it.

    Raises EstimationError where the program draws nothing finite.
    """
    coordinates, draws = marginal.coordinates, list[Array]()
    is_parameter = torch.from_numpy(
        coordinates.mask([greek.initial is not None for greek in coordinates.greeks]).astype(np.float64)
    )
    program = Observing(marginal.evidence)(marginal.fn)

    def draw() -> tuple[Tensor, ...]:
        nodes = run(program, marginal.fn, marginal.data, marginal.structure.names).nodes
        return tuple(nodes[greek.name]["value"].double() for greek in coordinates.greeks)

    captured = marginal.graph(draw)
    with in_words("PyroModel"), program_mode(int(generator.integers(2**32))):
        for _ in range(count):
            # A graph that was not captured would run the program from one seed at every call.
            values = captured() if captured.is_captured else draw()
            names = [greek.name for greek in coordinates.greeks]
            drawn = coordinates.unconstrain(dict(zip(names, values, strict=True)))
            jitter = is_parameter * (len(draws) > 0) * torch.randn(coordinates.size, dtype=torch.float64)
            if bool(torch.isfinite(drawn).all()):
                draws.append((drawn + jitter).detach().numpy())
    if not draws:
        raise EstimationError("PyroModel: no draw of the Greeks from their priors is finite; use tighter priors")
    return np.array(draws)
