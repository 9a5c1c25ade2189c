"""What mathematics here is written in: arrays of double precision, and of truth values."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
