"""Climbing an exact density and the curvature where the climb ends; nothing here knows what a model is.

Read `ascent` (to a stationary point), then `curvature` (observed information); `first_order` is autograd's view.
"""
