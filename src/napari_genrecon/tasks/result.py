"""What a task returns: the pixels, what their dimensions mean, and how they were made."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

from napari_genrecon.axes import Axes
from napari_genrecon.errors import GenReconWarning

__all__ = ["Result"]


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a task.

    Attributes
    ----------
    data : ndarray or dask array
        The pixels, in the grey values of the input.
    axes : Axes
        What the dimensions of `data` mean.
    record : dict
        How it was made, as JSON values; see `io.provenance`.
    companions : dict of str to ndarray
        More images of the result's place by their titles, such as which pixels were filled in.
    unrounded : dask array, optional
        Of a lazy result in an integer dtype: the same before it is rounded and clipped, for who writes it and counts
        what does not fit.
    """

    data: Any
    axes: Axes
    record: dict[str, Any]
    companions: dict[str, Any] = field(default_factory=dict)
    unrounded: Any = None

    def warn(self) -> None:
        """Emit what the user should know as Python warnings."""
        for sentence in self.record["warnings"]:
            warnings.warn(sentence, GenReconWarning, stacklevel=3)
