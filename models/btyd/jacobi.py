"""Expectations over many beta distributions at once, by Gauss-Jacobi sums (Golub and Welsch 1969)."""

import numpy as np

from models.spec import FloatArray

N_NODES = 32


def beta_rules(a: float, b: FloatArray, n_nodes: int = N_NODES) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights whose weighted sum is the expectation of a smooth function of a beta variable.

    Parameters
    ----------
    a
        First parameter of all distributions.
    b
        Second parameter of each.
    n_nodes
        Length of the sums: exact for polynomials of up to twice that degree.

    Returns
    -------
    tuple of numpy.ndarray
        Nodes within 0 and 1, and weights that sum to 1: distributions x nodes.

    Examples
    --------
    >>> nodes, weights = beta_rules(2.0, np.array([3.0]))
    >>> round(float((nodes * weights).sum()), 12)  # the mean, a / (a + b)
    0.4
    """
    order = np.arange(1, n_nodes, dtype=np.float64)
    total = (a + b - 2)[:, None]
    inner = (2 * order + total) ** 2
    diagonal = 0.5 + 0.5 * (a - b)[:, None] * total / ((2 * order + total) * (2 * order + total + 2))
    # The quotient of the last two factors is 1 at the first order, where a + b = 1 would make it 0 / 0.
    ratio = np.ones_like(inner)
    ratio[:, 1:] = (order[1:] + total) / (2 * order[1:] + total - 1)
    product = order * (order + b[:, None] - 1) * (order + a - 1) * ratio / (inner * (2 * order + total + 1))
    matrices = np.zeros((len(b), n_nodes, n_nodes))
    rows = np.arange(n_nodes - 1)
    matrices[:, 0, 0] = a / (a + b)
    matrices[:, rows + 1, rows + 1] = diagonal
    matrices[:, rows + 1, rows] = np.sqrt(product)
    nodes, vectors = np.linalg.eigh(matrices)
    return np.clip(nodes, np.finfo(np.float64).tiny, 1.0), vectors[:, 0, :] ** 2
