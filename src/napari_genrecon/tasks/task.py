"""What a task is, and what it returns. Importing this loads no torch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconWarning

__all__ = ["Result", "Task"]


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
        How it was made, as JSON values; see `io.record.provenance`.
    companions : dict of str to ndarray
        More images of the result's place by their titles, such as which pixels were filled in.
    unrounded : dask array, optional
        Of a lazy result in an integer dtype: the same before it is rounded and clipped, for who writes it and counts
        what does not fit.
    tiles : tuple, optional
        Of a lazy result: what `engine.run.region_steps` computes a part of it from, (function, source, grid); of
        several plausible fillings, the first.
    limits : (float, float)
        Grey values below and above which the source has nothing but pixels that were replaced: not to be taken over
        from how the source is shown.
    """

    data: Any
    axes: Axes
    record: dict[str, Any]
    companions: dict[str, Any] = field(default_factory=dict)
    unrounded: Any = None
    tiles: tuple[Any, Any, Any] | None = None
    limits: tuple[float, float] = (-math.inf, math.inf)

    def warn(self) -> None:
        """Emit what the user should know as Python warnings."""
        for sentence in self.record["warnings"]:
            warnings.warn(sentence, GenReconWarning, stacklevel=3)


class Steps(Protocol):
    """The generator function of a task."""

    def __call__(self, image: Any, options: Any, *, lazy: bool | None = None) -> Generator[Progress, None, Result]:
        """See `Task`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task: the same job for the window, the command line and Python.

    Attributes
    ----------
    name : str
        A verb; also the module, the function, the sub-command and the suffix of result layers.
    title : str
        On buttons and in menus.
    summary : str
        One sentence.
    models : str
        The task whose models it can be told to use.
    """

    name: str
    title: str
    summary: str
    models: str

    @property
    def options(self) -> type:
        """The frozen dataclass of its options."""
        found: type = self._get(f"{self.name.title().replace('_', '')}Options")
        return found

    @property
    def steps(self) -> Steps:
        """``steps(image, options, lazy=None)``: yields `Progress`, returns a `Result`."""
        found: Steps = self._get(f"{self.name}_steps")
        return found

    @property
    def expected_seconds(self) -> Callable[[Any, Any], float]:
        """``expected_seconds(image, options)``: how long it will take here."""
        found: Callable[[Any, Any], float] = self._get("expected_seconds")
        return found

    def _get(self, name: str) -> Any:
        return getattr(import_module(f"napari_genrecon.tasks.{self.name}"), name)
