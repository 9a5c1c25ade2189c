"""How surely rows belong to classes: a column a row, in which each class has its share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from estimators.optimise.arrays import Array
from estimators.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (6.4, 2.8)
# Columns that a figure can show; of more rows, evenly spaced ones of all in their order.
MOST_COLUMNS = 800


def draw_responsibilities(
    shares: Array, names: Sequence[str], rows: str, cautions: Sequence[str], given: "Axes | None"
) -> "Axes":
    """Shares [N, K] of rows, or units, sorted by their class, the next likely and how sure they are, stacked."""
    from matplotlib.patches import Patch

    ax = style.one_axes("responsibilities", given, SIZE)
    ranked = np.argsort(-shares, axis=1, kind="stable")
    order = np.lexsort((-shares.max(1), ranked[:, min(1, shares.shape[1] - 1)], ranked[:, 0]))
    chosen = np.linspace(0, len(order) - 1, min(len(order), MOST_COLUMNS)).round().astype(int)
    shown = shares[order[chosen]]
    edges = np.linspace(0.0, len(order), len(shown) + 1)
    # Each row's own class is the lowest, the others stand above it.
    is_likeliest = np.eye(shown.shape[1])[shown.argmax(1)] > 0.0
    above = np.where(is_likeliest, 0.0, shown)
    bases = np.where(is_likeliest, 0.0, shown.max(1, keepdims=True) + above.cumsum(1) - above)
    for k, (share, base) in enumerate(zip(shown.T, bases.T, strict=True)):
        ax.stairs(base + share, edges, baseline=base, fill=True, color=style.colour(k), linewidth=0, gid=f"class {k}")
    ax.set(xlim=(0.0, len(order)), ylim=(0.0, 1.0))
    ax.set_xlabel(f"{len(order)} {rows}, sorted", fontsize=style.SMALL)
    ax.set_ylabel("p(class | row)", fontsize=style.SMALL)
    style.title(ax, f"The likeliest class has {shares.max(1).mean():.0%} on average")
    style.legend([ax], [(Patch(facecolor=style.colour(k)), name) for k, name in enumerate(names)], *cautions)
    return ax
