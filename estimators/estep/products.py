"""Features that are products t_i t_j, i <= j, of a design t [..., 1 + D, n], made when they are needed and not kept."""

import numpy as np

from estimators.parameters.parameter import Array


def add_products(joint: Array, coefficients: Array, design: Array) -> None:
    """Add ``C_k Φ = t' Q_k t`` to L [..., K, n], for C [K, F] and the symmetric Q_k that it is the half of."""
    first, second = np.triu_indices(design.shape[-2])
    matrices = np.zeros((len(coefficients), design.shape[-2], design.shape[-2]))
    matrices[:, first, second] = coefficients
    for k, matrix in enumerate(0.5 * (matrices + np.swapaxes(matrices, 1, 2))):
        joint[..., k, :] += np.einsum("...dn,...dn->...n", matrix @ design, design)


def sums_of_products(shares: Array, design: Array) -> Array:
    """R Φᵀ [K, F], from R [..., K, n]."""
    first, second = np.triu_indices(design.shape[-2])
    transposed = np.swapaxes(design, -1, -2)
    by_class = ((design * shares[..., k : k + 1, :]) @ transposed for k in range(shares.shape[-2]))
    return np.stack([over_blocks(products)[first, second] for products in by_class])


def over_blocks(products: Array) -> Array:
    """Summed over blocks, where there are several."""
    return products if products.ndim == 2 else np.add.reduce(products, axis=0)
