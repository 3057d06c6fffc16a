"""Give networks of others grey values as they were trained on, and say what is to be known of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import OptionError
from napari_genrecon.models import ModelCard

__all__ = ["check_views", "grey_scale", "notes_on_others"]

_ENDS = (0.1, 99.9)  # percentiles: hot pixels must not decide; what lies beyond is not cut off


def grey_scale(spec: ModelCard, crops: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Return the grey value that a network takes as 0, and how many grey values it takes as 1.

    Parameters
    ----------
    spec : ModelCard
        The model; its `scaling` says how.
    crops : sequence of (Y, X) ndarray
        Crops of one channel; NaN and infinite pixels count for nothing.
    """
    # Grey values from `low` to `high` become -1 to 1.
    if spec.scaling == "trained":
        return (spec.low[0] + spec.high[0]) / 2, (spec.high[0] - spec.low[0]) / 2
    values = np.concatenate([crop[np.isfinite(crop)].astype(np.float64) for crop in crops])
    if spec.scaling == "moments":
        # A constant image would be divided by 0; so would one below whose ends are equal.
        return float(values.mean()), float(values.std()) or 1.0
    low, high = (float(end) for end in np.percentile(values, _ENDS))
    return low, high - low or 1.0


def notes_on_others(spec: ModelCard) -> tuple[str, ...]:
    """Return what the user should know of a model of others; nothing of one of ours."""
    return tuple(f"the model {spec.name!r} was {warning}" for warning in spec.warnings) if spec.scaling else ()


def check_views(spec: ModelCard, self_ensemble: bool) -> None:
    """Refuse the mean over turned views for networks that cut an image into windows.

    Raises
    ------
    OptionError
        If the model of others has a stride.
    """
    if spec.scaling and self_ensemble and spec.stride.x > 1:
        raise OptionError(
            f"self_ensemble cannot be used with the model {spec.name!r}: turned views do not fit its windows of "
            f"{spec.stride.x} pixels"
        )
