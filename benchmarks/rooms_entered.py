"""The files of this package that rows enter on their way through a fit, in the order they are first entered.

``python benchmarks/rooms_entered.py``: of each estimator, how many files have a function that is given the rows (the
data, or an array as long as they are), how many it enters in all, and how often data and E-step are built.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

import estimators
from estimators import EM, NUTS, Data, GaussianMixture
from estimators.data.data import Data as BuiltData
from estimators.estep.marginal import MixtureMarginal

HOME = Path(estimators.__file__).parent
# A number of rows that is no other length in a fit.
NUM_ROWS = 13
ROWS = {"X": [float(n) if n < 6 else 40.0 + n for n in range(NUM_ROWS)]}


def holds_rows(value: Any) -> bool:
    """Whether a value is the data, or as long as they are, or holds something that is."""
    if isinstance(value, dict):
        return any(map(holds_rows, value.values()))
    if isinstance(value, BuiltData):
        return True
    return isinstance(value, np.ndarray | torch.Tensor) and NUM_ROWS in value.shape


def entered(action: Callable[[], Any]) -> tuple[list[str], int, dict[str, int]]:
    """The files that rows enter, how many are entered in all, and how often the data and their E-step are built."""
    files: dict[str, None] = {}
    every = set[str]()
    built = {"Data": 0, "E-step": 0}
    makers = {BuiltData.__init__.__code__: "Data", MixtureMarginal.__init__.__code__: "E-step"}

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(HOME)):
            name = str(Path(frame.f_code.co_filename).relative_to(HOME))
            every.add(name)
            if any(map(holds_rows, list(frame.f_locals.values()))):
                files.setdefault(name)
            if frame.f_code in makers:
                built[makers[frame.f_code]] += 1

    sys.setprofile(watch)
    try:
        action()
    finally:
        sys.setprofile(None)
    return list(files), len(every), built


def main() -> None:
    """Print the files of EM and of NUTS."""
    warnings.simplefilter("ignore")
    model = GaussianMixture(K=2)
    data = Data(ROWS)
    for estimator in (EM(), NUTS(num_samples=20, warmup_steps=20, num_chains=2)):
        estimator.fit(model, data, seed=0)
        files, count, built = entered(lambda estimator=estimator: estimator.fit(model, data, seed=0))
        print(f"{type(estimator).__name__}: rows enter {len(files)} files of {count}; built: {built}")
        print(f"  {', '.join(files)}")


if __name__ == "__main__":
    main()
