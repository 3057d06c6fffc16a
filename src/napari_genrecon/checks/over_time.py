"""Test what was removed from all frames of a movie together: what every frame loses a little of stands out in the mean.

In a single frame a faint structure is below its noise; in the mean of what was removed from many it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.checks.residual import normalised_residual
from napari_genrecon.checks.trust import PlaneCheck, check_plane, strongest
from napari_genrecon.checks.verdict import Together
from napari_genrecon.noise import NoiseModel
from napari_genrecon.normal import robust_sigma

__all__ = ["OverTime", "together"]

Plane = NDArray[np.floating]


@dataclass(slots=True)
class OverTime:
    """Sums over the frames of one channel, and of one position along Z."""

    frames: int = 0
    noisy: Plane | float = 0.0
    restored: Plane | float = 0.0

    def add(self, noisy: Plane, restored: Plane) -> None:
        """Count a frame (Y, X); a dropped one, of one value or without a finite pixel, says nothing."""
        known = noisy[np.isfinite(noisy)]
        if known.size and np.ptp(known):
            self.frames, self.noisy, self.restored = self.frames + 1, self.noisy + noisy, self.restored + restored

    def test(self, noise: NoiseModel, *, step: float, plane: tuple[int, ...], pixels: int) -> PlaneCheck | None:
        """Compare the means of the frames, as `check_plane` compares one; None for fewer than two.

        Noise that is the same in every frame does not average out, and is no structure: the noise is taken as strong as
        what was removed is nearly everywhere.
        """
        if self.frames < 2:
            return None
        noisy, restored = np.asarray(self.noisy / self.frames), np.asarray(self.restored / self.frames)
        # Rounded results of a still scene are off by the same in every frame.
        restored = restored + np.clip(noisy - restored, -step / 2, step / 2)
        known = np.isfinite(noisy) & np.isfinite(restored)
        residual, _ = normalised_residual(noisy, restored, noise.averaged(self.frames))
        repeated = max(robust_sigma(residual[known]), 1.0) if known.any() else 1.0
        averaged = noise.averaged(self.frames / repeated**2)
        return check_plane(noisy, restored, averaged, step=0.0, plane=plane, pixels=pixels)[0]


def together(frames: int, found: Sequence[PlaneCheck]) -> Together | None:
    """Return the verdict on the means of so many frames, of all channels and positions; None if there are none."""
    if not found:
        return None
    return Together(frames, max(each.worst for each in found), max(each.limit for each in found), strongest(found))
