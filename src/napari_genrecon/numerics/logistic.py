"""Logistic regression with a ridge penalty, by Newton steps in a trust region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["Logistic", "fit_logistic"]

Floats = NDArray[np.floating]


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
        found: NDArray[np.float64] = expit(_design(features, self.mean, self.scale) @ self.weights)
        return found


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
    from scipy.optimize import minimize  # loaded when it is needed, as that takes a fifth of a second

    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(np.isclose(spread, 0), 1.0, spread)  # a constant feature becomes 0, not the noise of its rounding
    design = _design(features, mean, scale)
    penalty = np.full(design.shape[1], ridge)
    # The constant is hardly held back. Without any penalty the matrix below would be singular where all probabilities
    # are 0 or 1.
    penalty[-1] = 1e-9
    sign = np.where(is_one, -1.0, 1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = design @ weights
        value = float(np.logaddexp(0, sign * logits).sum() + 0.5 * (penalty * weights**2).sum())
        return value, design.T @ (expit(logits) - is_one) + penalty * weights

    def bend(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        chance = expit(design @ weights)
        return np.asarray((design * (chance * (1 - chance))[:, None]).T @ design + np.diag(penalty))

    start = np.zeros(design.shape[1])
    weights = minimize(loss, start, jac=True, hess=bend, method="trust-exact").x
    return Logistic(mean, scale, weights)


def _design(features: Floats, mean: Floats, scale: Floats) -> NDArray[np.float64]:
    return np.c_[(features - mean) / scale, np.ones(len(features))]  # (N, F + 1)
