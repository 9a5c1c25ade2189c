"""How a statistical check that did not pass makes itself known."""


class StatisticalFailure(AssertionError):  # noqa: N818 - an outcome of a test, not an error in it
    """What was seen would come by chance less often than the check may raise a false alarm."""


class Underpowered(AssertionError):  # noqa: N818
    """Nothing was seen, but an effect of `min_effect` need not have been seen either: not a pass."""
