"""How surely rows belong to classes: a column a row, in which each class has its share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from estimators.parameters.parameter import Array
from estimators.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (6.4, 2.8)
# Columns that a figure can show; of more rows, evenly spaced ones of all in their order.
MOST_COLUMNS = 800


def draw_responsibilities(shares: Array, names: Sequence[str], rows: str, given: "Axes | None") -> "Axes":
    """Shares [N, K] of rows, or units, sorted by their class and by how sure it is, stacked."""
    from matplotlib.patches import Patch

    ax = style.one_axes("responsibilities", given, SIZE)
    order = np.lexsort((-shares.max(1), shares.argmax(1)))
    chosen = np.linspace(0, len(order) - 1, min(len(order), MOST_COLUMNS)).round().astype(int)
    shown = shares[order[chosen]]
    edges = np.linspace(0.0, len(order), len(shown) + 1)
    base = np.zeros(len(shown))
    for k, share in enumerate(shown.T):
        ax.stairs(base + share, edges, baseline=base, fill=True, color=style.colour(k), linewidth=0, gid=f"class {k}")
        base = base + share
    ax.set(xlim=(0.0, len(order)), ylim=(0.0, 1.0))
    ax.set_xlabel(f"{len(order)} {rows}, sorted", fontsize=style.SMALL)
    ax.set_ylabel("p(class | row)", fontsize=style.SMALL)
    style.title(ax, f"The likeliest class has {shares.max(1).mean():.0%} on average")
    handles = [Patch(facecolor=style.colour(k)) for k in range(len(names))]
    style.legend([ax], handles, names, is_own=given is None)
    return ax
