"""When squares lose digits, and the smallest scale that a Gaussian has."""

import numpy as np

# x² features are used while eps * (range / sigma)² stays below 1e-10; beyond, features are centred per component.
DIGITS_LOST = 1e-10
EPS = float(np.finfo(np.float64).eps)
# A scale below this fraction of the column's is a spike: the M-step holds it there and the fit says so.
SCALE_FLOOR = 1e-8
