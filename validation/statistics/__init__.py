"""Bounds and tests whose false-alarm probability is computed: for means, proportions, ranks, and samples of few rows.

Read `tolerances` first, then `uniformity` (ranks); `student` is the law of studentised means. Nothing here loads torch.
"""
