"""Multinomial logistic regression with a quadratic penalty, for few labels and many features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["coordinates", "fit_logistic", "log_softmax"]

Floats = NDArray[np.float64]


def log_softmax(logits: Floats) -> Floats:
    """Return the logarithms of the (N, K) probabilities of logits.

    Examples
    --------
    >>> np.exp(log_softmax(np.zeros((1, 4))))
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    # With the largest logit at 0, exp cannot overflow, and the sum is at least 1.
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def coordinates(x: Floats) -> tuple[Floats, Floats]:
    """Return (N, D) coordinates of N examples in the space that they span, and the (F, D) basis of that space.

    A quadratic penalty keeps the weights in this space, so that fitting them there gives the same classifier, with D
    up to N instead of F unknowns per class.
    """
    u, s, v = np.linalg.svd(x, full_matrices=False)
    # Directions with singular values as small as rounding errors are none: the examples do not differ along them.
    kept = s > s[0] * 1e-10 if len(s) else s > 0
    return u[:, kept] * s[kept], v[kept].T


def fit_logistic(
    x: Floats, y: NDArray[np.int64], n_classes: int, strength: float, start: Floats | None = None
) -> Floats:
    """Fit the weights of a multinomial logistic regression in which every class counts the same.

    Minimise the mean over classes of the mean cross entropy of their examples, plus the squared weights over
    ``2 * strength * N``; the bias is not penalised (Hastie, Tibshirani & Friedman, "The Elements of Statistical
    Learning", 2009, section 18.3.2). The minimum is unique; it is found by L-BFGS.

    Parameters
    ----------
    x : (N, D) ndarray
        Examples.
    y : (N,) ndarray of int
        Their classes, in [0, n_classes). A class without an example gets a probability near 0.
    n_classes : int
        Number of classes.
    strength : float
        Larger values follow the examples more closely.
    start : (D + 1, K) ndarray, optional
        Weights to start from.

    Returns
    -------
    (D + 1, K) ndarray
        Weights; the last row is the bias.
    """
    from scipy.optimize import minimize

    n, size = len(x), (x.shape[1] + 1, n_classes)
    # The column of ones carries the bias, as the last row of the weights.
    wide = np.concatenate([x, np.ones((n, 1))], axis=1)
    target = np.eye(n_classes)[y]
    counts = target.sum(axis=0)
    share = 1 / (counts[y] * np.count_nonzero(counts))[:, None]  # of each example in the loss
    penalty = np.full((size[0], 1), 1 / (strength * n))
    penalty[-1] = 1e-6  # leaves the bias free, but finite where a class has no example

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(size)
        logs = log_softmax(wide @ weights)
        # The derivative of a cross entropy by its logits is the probability less the target.
        gradient = wide.T @ (share * (np.exp(logs) - target)) + penalty * weights
        value = -float((share * target * logs).sum()) + 0.5 * float((penalty * weights**2).sum())
        return value, gradient.ravel()

    first = np.zeros(size) if start is None else start
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B")
    weights: Floats = found.x.reshape(size)
    # Logits that all shift together give the same probabilities: of all such weights take those with a mean of 0.
    return weights - weights.mean(axis=1, keepdims=True)
