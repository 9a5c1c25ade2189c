"""Every answer that the data allow: the modes of a density, told apart by their Greeks and by the law of the rows.

Read `search` first: random starts (`starts`), climbs in batches (`climb`), their ends told apart (`mode`), jumps from a
mode to others (`jumps`), and when it stops.
"""
