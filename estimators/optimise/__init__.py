"""Climbing an exact density and the curvature where the climb ends; nothing here knows what a model is.

Read `objective` (what is climbed), `ascent` (to a stationary point; `adam` is SVI's way), then `curvature` (observed
information).
"""
