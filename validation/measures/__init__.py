"""Pure functions from arrays to measures of recovery, interventional accuracy, exactness and information.

One kind a file: `recovery`, `interventional`, `calibration` (ranks), `exactness`, `information` (the Cramér-Rao bound).
"""
