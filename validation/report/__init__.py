"""The report: one self-contained HTML page made from a study's stored results alone."""
