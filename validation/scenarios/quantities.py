"""The names of what a row measures: Greeks, queries, contrasts, and the log-likelihood."""

from collections.abc import Iterable

LOG_LIKELIHOOD = "log p(data)"


def is_query(name: str) -> bool:
    """Whether a quantity is the mean of an outcome under an intervention, or a contrast."""
    return name.startswith("E[")


def is_contrast(name: str) -> bool:
    """Whether a quantity is the difference of two interventional means."""
    return is_query(name) and "] − E[" in name


def greeks(names: Iterable[str]) -> list[str]:
    """Return the Greeks' entries, each once, without a last weight that the others determine."""
    entries = [name for name in dict.fromkeys(names) if not is_query(name) and name != LOG_LIKELIHOOD]
    weights = [name for name in entries if name.startswith("theta[") and "," not in name]
    return [name for name in entries if len(weights) < 2 or name != weights[-1]]


def shown(names: Iterable[str]) -> list[str]:
    """Return the quantities worth showing: Greeks, interventional means, contrasts, each once and in this order."""
    names = list(dict.fromkeys(names))
    queries = [name for name in names if is_query(name)]
    return [*greeks(names), *sorted(queries, key=is_contrast)]
