"""Hide pixels of noisy planes, so that a network learns to predict them from their neighbours.

A blind spot, as in Krull et al., "Noise2Void: learning denoising from single noisy images" (CVPR 2019), is filled with
the median of the pixels around it, its centre left out, as in Höck et al., "N2V2: fixing Noise2Void checkerboard
artifacts" (ECCV workshops 2022). Where the noise is correlated, it is as wide as that, as in Broaddus et al., "Removing
structured noise with self-supervised blind-spot networks" (ISBI 2020). Importing this loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.model import FAINT, FAR
from napari_genrecon.noise.report import CORRELATED

__all__ = ["blind_reach", "distance", "hide", "least_size"]

_RING = 2  # pixels around a blind spot whose median fills it: 24 for a single pixel
_APART = 8  # pixels from one blind spot to the next at least: most of what a network sees is as recorded
_LAGS = np.arange(FAR[-1] + 1)


def blind_reach(noise: Sequence[NoiseModel]) -> tuple[int, int]:
    """Return how many pixels along y and x a blind spot must reach from its centre to hide what the noise shares.

    Parameters
    ----------
    noise : sequence of NoiseModel
        Noise of all channels; the widest decides. Correlation is measured up to 5 pixels, and so is the reach.

    Examples
    --------
    >>> blind_reach([NoiseModel.white(3.0)]), blind_reach([NoiseModel(read_noise=3.0, rho_x=0.78)])
    ((0, 0), (0, 3))
    """
    y = max(_reach(model.rho_y, model.far_y) for model in noise)
    return y, max(_reach(model.rho_x, model.far_x) for model in noise)


def _reach(rho: float, far: tuple[float, ...]) -> int:
    """Return the largest distance with a correlation; where none was measured, that of a Gaussian is taken."""
    # Such noise is called white, as in the report of the noise.
    if abs(rho) < CORRELATED:
        return 0
    # A Gaussian correlation with the value rho at lag 1 has rho^(k^2) at lag k.
    lags = np.abs(rho) ** (_LAGS[1:].astype(float) ** 2)
    if far:
        # Measured at 1, 2, 3 and 5 pixels, interpolated at 4. The larger counts: to hide too much is the safer error.
        lags = np.maximum(lags, np.interp(_LAGS[1:], (1, *FAR), np.abs((rho, *far))))
    # A pixel tells as much of the noise of another as their correlation is: what is left counts as none.
    # The last lag above the limit, and not the first below it: correlations may change their sign and come back.
    return int(np.max(_LAGS[1:][lags > FAINT], initial=0))


def least_size(reach: Sequence[int]) -> int:
    """Return the side in pixels of the smallest crop in which there is a blind spot wherever the first one lies."""
    # The grid may begin at any offset below `distance`, and a spot needs its ring on both sides.
    return max(distance(each) + 2 * (each + _RING) for each in reach)


def distance(reach: int) -> int:
    """Return how many pixels lie from one blind spot to the next: none is filled with what another hides."""
    return max(_APART, 2 * (reach + _RING) + 1)


def hide(
    planes: NDArray[np.float32], reach: Sequence[int], first: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fill blind spots on a grid.

    Parameters
    ----------
    planes : (N, 1, Y, X) ndarray
        Planes.
    reach : (int, int)
        Pixels along y and x that a blind spot reaches from its centre.
    first : (int, int)
        Row and column of the first blind spot, from 0 to less than `distance`.

    Returns
    -------
    hidden : (N, 1, Y, X) ndarray
        The planes with filled blind spots.
    centres : (N, 1, Y, X) ndarray of float32
        1 at the centres of the blind spots, of which `hidden` tells nothing; else 0.
    """
    around = [each + _RING for each in reach]
    steps = [distance(each) for each in reach]
    # Views, no copies: only those at the spots are read below.
    windows = np.lib.stride_tricks.sliding_window_view(planes, [2 * each + 1 for each in around], axis=(-2, -1))
    windows = windows[..., first[0] :: steps[0], first[1] :: steps[1], :, :]  # (N, 1, A, B, rows, columns)
    # (N, 1, A, B): one value for each spot, which fills all of it.
    median = np.median(windows[..., _outside(reach, around)], axis=-1)
    hidden, centres = planes.copy(), np.zeros_like(planes, np.float32)
    for dy, dx in np.ndindex(2 * reach[0] + 1, 2 * reach[1] + 1):
        starts = first[0] + _RING + dy, first[1] + _RING + dx
        _grid(hidden, starts, steps, median.shape)[...] = median
    # Only the centre is trained on: what lies beside it is hidden because its noise tells of the noise at the centre.
    _grid(centres, (first[0] + around[0], first[1] + around[1]), steps, median.shape)[...] = 1
    return hidden, centres


def _outside(reach: Sequence[int], around: Sequence[int]) -> NDArray[np.bool_]:
    """Return which pixels of a window are not hidden."""
    found = np.ones([2 * each + 1 for each in around], bool)
    found[_RING : _RING + 2 * reach[0] + 1, _RING : _RING + 2 * reach[1] + 1] = False
    return found


def _grid(planes: NDArray[Any], starts: Sequence[int], steps: Sequence[int], shape: Sequence[int]) -> NDArray[Any]:
    """Return a view of every so many-th pixel, as many as `shape` (..., A, B) tells."""
    rows, columns = (
        slice(start, start + step * (n - 1) + 1, step) for start, step, n in zip(starts, steps, shape[-2:], strict=True)
    )
    return planes[..., rows, columns]
