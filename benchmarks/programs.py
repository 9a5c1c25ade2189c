"""The cost of one log density and gradient of a Pyro program, side by side with Pyro's own potential.

``python benchmarks/programs.py [--rows 5] [--repeats 3]``

The tutorial's program, written with Pyro: its log joint in unconstrained coordinates with Z summed out, and the
gradient, as NUTS asks for them; against `initialize_model`'s potential with its gradient, evaluated in turn in the same
run.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import config_enumerate
from pyro.infer.mcmc.util import initialize_model
from pyro.ops.integrator import potential_grad

from estimators import Data, PyroModel
from estimators.contract import Objective, log_posterior

TUTORIAL_ROWS = torch.tensor([0.0, 1.0, 10.0, 11.0, 12.0], dtype=torch.float64)


def program(N: int) -> None:
    θ = pyro.sample("θ", dist.Dirichlet(0.5 * torch.ones(2)))
    with pyro.plate("components", 2):
        μ = pyro.sample("μ", dist.Normal(0.0, 10.0))
    with pyro.plate("data", N):
        Z = pyro.sample("Z", dist.Categorical(θ))
        pyro.sample("X", dist.Normal(μ[Z], 1.0))


def milliseconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=300)
    arguments = parser.parse_args()
    x = TUTORIAL_ROWS.repeat(-(-arguments.rows // 5))[: arguments.rows]
    density = PyroModel(program).density(Data(X=x))
    objective = Objective(density, log_posterior)
    torch.set_default_dtype(torch.float64)
    model = config_enumerate(poutine.condition(program, data={"X": x}))
    initial, potential, _, _ = initialize_model(model, (len(x),), max_plate_nesting=1)
    point = density.unconstrain({"θ": [0.4, 0.6], "μ": [0.5, 11.0]})
    objective.value_and_gradient(point)
    print(f"N = {len(x)}, torch threads: {torch.get_num_threads()}")
    for _ in range(arguments.repeats):
        ours, theirs = [], []
        for _ in range(arguments.evaluations):
            ours.append(milliseconds(lambda: objective.value_and_gradient(point)))
            theirs.append(milliseconds(lambda: potential_grad(potential, initial)))
        one, other = statistics.median(ours), statistics.median(theirs)
        print(f"ms per value and gradient: ours {one:.3f}, Pyro's potential {other:.3f}; ratio {one / other:.2f}")


if __name__ == "__main__":
    main()
