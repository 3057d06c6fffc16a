"""How often a network takes noise for a spot, as it was measured when the network was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SpotNoise"]


@dataclass(frozen=True, slots=True)
class SpotNoise:
    """Maxima that a network has in noise.

    Attributes
    ----------
    evidence : tuple of float
        How sure the network is, ascending.
    logarithm : tuple of float
        Logarithm of the number of maxima per pixel with at least this evidence.
    among : (float, float)
        How many times more of them there are among 0.001 and among 0.006 spots per pixel than in noise alone.
    """

    evidence: tuple[float, ...]
    logarithm: tuple[float, ...]
    # Among spots the network takes noise for one more often than in noise alone. So much more often that about 4 % are
    # false where 5 % are asked for, over several sizes and heights (spots as in `tools/benchmark.py detect --only
    # spots`, of other seeds).
    among: tuple[float, float] = (2.5, 2.1)

    @classmethod
    def of(cls, calibration: Mapping[str, Any], rho: Sequence[float]) -> SpotNoise:
        """Return what was measured (`ModelCard.calibration`), between the nearest correlations."""
        # Measured for equal correlation along y and x; below 0 the nearest is 0.
        mean = float(np.clip(np.mean(rho), 0, calibration["rho"][-1]))
        rows = np.array(calibration["log_maxima"])  # (correlations, evidence)
        between = [float(np.interp(mean, calibration["rho"], column)) for column in rows.T]
        return cls(tuple(calibration["evidence"]), tuple(between))

    def density(self, evidence: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return how many maxima per pixel noise has with at least this evidence; infinite below what was measured.

        Above what was measured, the logarithm goes on as a straight line: it falls faster, so that this is no less.
        """
        (x0, x1), (y0, y1) = self.evidence[-2:], self.logarithm[-2:]
        beyond = np.maximum(evidence - x1, 0) * (y1 - y0) / (x1 - x0)
        return np.asarray(np.exp(np.interp(evidence, self.evidence, self.logarithm, left=np.inf) + beyond))
