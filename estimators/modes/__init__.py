"""Every answer that the data allow: the modes of a density, told apart by their Greeks and by the law of the rows.

Read `mode_search` first: random starts (`starts`), climbs in batches (`climb`), their ends told apart (`mode`), jumps
from a mode to others (`jumps`), and when it stops. `found` is what it gives, and `table` what a fit keeps of it;
`best_starts` serves those that do not search.
`equivalents` looks for Greeks with one law of the rows (`row_law`), whatever rows there are (`law_rows`).
"""

from estimators.modes.finder import Finder
from estimators.modes.found import untold
from estimators.modes.mode_search import Search
from estimators.modes.searched import search

__all__ = ["Finder", "Search", "search", "untold"]
