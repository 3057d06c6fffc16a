"""Logistic regression with a ridge penalty, by Newton steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Logistic", "fit_logistic"]

Floats = NDArray[np.floating]

_ROUNDS = 50  # Newton steps at most


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """A fitted regression.

    Attributes
    ----------
    mean, scale : (F,) ndarray
        Mean and s.d. of every feature; by these features are brought to mean 0 and s.d. 1.
    weights : (F + 1,) ndarray
        Weights of the features so brought, and the constant.
    """

    mean: Floats
    scale: Floats
    weights: Floats

    def probability(self, features: Floats) -> NDArray[np.float64]:
        """Return the probability that each of (N, F) is one."""
        return _sigmoid(_design(features, self.mean, self.scale) @ self.weights)


def fit_logistic(features: Floats, is_one: NDArray[np.bool_], *, ridge: float = 1.0) -> Logistic:
    """Fit the probability of being one.

    Parameters
    ----------
    features : (N, F) ndarray
        Finite.
    is_one : (N,) ndarray of bool
        Both kinds must occur.
    ridge : float
        Penalty on the square of the weights of features of s.d. 1, positive; the constant is free.

    Notes
    -----
    Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning*, 2009, section 4.4.1.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(np.isclose(spread, 0), 1.0, spread)  # a constant feature becomes 0, not the noise of its rounding
    design = _design(features, mean, scale)
    penalty = np.full(design.shape[1], ridge)
    # The constant is hardly held back. Without any penalty the matrix below would be singular where all probabilities
    # are 0 or 1.
    penalty[-1] = 1e-9
    weights = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        chance = _sigmoid(design @ weights)
        # Gradient and Hessian of the penalised likelihood (equations 4.21 and 4.22 of the book, with the penalty).
        slope = design.T @ (is_one - chance) - penalty * weights
        bend = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        step /= max(1.0, float(np.abs(step).max()))  # far from the solution a full step may overshoot
        weights = weights + step
        if np.allclose(step, 0):
            break
    return Logistic(mean, scale, weights)


def _design(features: Floats, mean: Floats, scale: Floats) -> NDArray[np.float64]:
    return np.c_[(features - mean) / scale, np.ones(len(features))]  # (N, F + 1)


def _sigmoid(value: Floats) -> NDArray[np.float64]:
    # Beyond 35 the result would round to 0 or 1, whose logarithm or weight is lost, and far beyond `exp` overflows.
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -35, 35))))
