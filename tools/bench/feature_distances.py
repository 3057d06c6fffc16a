"""Compare features of two sets of pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist


def kernel_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the unbiased MMD^2 of features with a cubic kernel, as that of the kernel inception distance.

    k(x, y) = (x.y / D + 1)^3 (Binkowski et al.: Demystifying MMD GANs, ICLR 2018).

    Parameters
    ----------
    a, b : (N, D) ndarray
        Features of two sets of pictures.

    Returns
    -------
    float
        0 on average for two sets of one distribution; may be negative.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    # Without the pairs of a picture with itself the estimate has no bias.
    within = sum((_kernel(s, s).sum() - np.trace(_kernel(s, s))) / (len(s) * (len(s) - 1)) for s in (x, y))
    return float(within - 2 * _kernel(x, y).mean())


def coverage_and_density(samples: NDArray[np.floating], data: NDArray[np.floating], k: int = 5) -> tuple[float, float]:
    """Return the share of data near samples (coverage), and how densely samples lie where data lies (density).

    Naeem et al.: Reliable fidelity and diversity metrics for generative models, ICML 2020.

    Parameters
    ----------
    samples, data : (N, D) ndarray, (M, D) ndarray
        Features of the samples and of the data.
    k : int
        Neighbour among the data whose distance is the radius of the ball around each datum.

    Returns
    -------
    float, float
        Coverage in [0, 1]; density, about 1 for data.
    """
    within = cdist(data, data)
    radius = np.sort(within, axis=1)[:, k]  # index 0 is the distance of a datum to itself
    inside = cdist(data, samples) < radius[:, None]  # (M, N)
    return float(inside.any(1).mean()), float(inside.sum() / (k * len(samples)))


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x @ y.T / x.shape[1] + 1) ** 3
