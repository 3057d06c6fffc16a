"""Define a task and its result. Importing this loads no torch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol

import numpy as np

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconWarning, OptionError, UnknownModelError
from napari_genrecon.models import ModelCard, find_model, list_models
from napari_genrecon.models.registry import BUNDLED

__all__ = ["Result", "Task"]


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a task.

    Attributes
    ----------
    data : ndarray, dask array or Points
        The pixels, in the grey values of the input; of a task that makes points, these.
    axes : Axes
        What the dimensions of `data` mean.
    record : dict
        How it was made, as JSON values; see `io.record.provenance`.
    companions : dict of str to ndarray or dask array
        Further images of the same region by title, such as the mask of the filled pixels or the expected error.
    unrounded : dask array, optional
        For a lazy result in an integer dtype: its values before rounding and clipping. They are written to a file, and
        the clipped pixels are counted then.
    tiles : tuple, optional
        For a lazy result: (function, source, grid), from which `engine.run.region_steps` computes a part of it; for
        several plausible fillings those of the first.
    limits : (float, float)
        Grey values below and above which only replaced pixels of the source lie. Contrast limits of the source beyond
        them are not applied to the result.
    region : tuple of slice, optional
        Part of the source, in its pixels, that `data` is of; None is all of it.
    """

    data: Any
    axes: Axes
    record: dict[str, Any]
    companions: dict[str, Any] = field(default_factory=dict)
    unrounded: Any = None
    tiles: tuple[Any, Any, Any] | None = None
    limits: tuple[float, float] = (-math.inf, math.inf)
    region: tuple[slice, ...] | None = None

    def warn(self) -> None:
        """Emit the record's notes for the user as Python warnings."""
        # The third frame is the caller of the public function: the warning points at the user's line.
        for sentence in self.record["warnings"]:
            warnings.warn(sentence, GenReconWarning, stacklevel=3)


class Steps(Protocol):
    """Generator function of a task."""

    def __call__(
        self, image: ImageArray, options: Any, *, lazy: bool | None = None
    ) -> Generator[Progress, None, Result]:
        """Return the steps of the task; see `Task.steps`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Description of a task, shared by the window, the command line and Python.

    Attributes
    ----------
    name : str
        A verb; also the name of the module, the function, the sub-command and the suffix of result layers.
    title : str
        Text of buttons and menus.
    summary : str
        One sentence.
    models : str
        Name of the task whose models it uses: deblurring uses denoisers.
    makes : {"image", "points"}
        Kind of its results: pixels of the same place, or `io.points.Points` in it.
    alike : bool
        Whether its results have the channels and grey values of the image, so that both can be seen side by side.
    adds : tuple of (str, str)
        Options, true or false, that add a companion which is written into a file of its own; and its title.
    several : str
        Option that is the number of results: if it is more than 1, they get a first dimension that counts them.
    exact : bool
        Whether pixels that it does not change come back exactly, so that 64-bit numbers stay what they are.
    """

    name: str
    title: str
    summary: str
    models: str
    makes: Literal["image", "points"] = "image"
    alike: bool = True
    adds: tuple[tuple[str, str], ...] = ()
    several: str = ""
    exact: bool = False

    def added(self, options: Any) -> tuple[str, ...]:
        """Return the titles of the companions that these options add."""
        return tuple(title for name, title in self.adds if getattr(options, name))

    def made_of(self, axes: Axes, dtype: np.dtype[Any], options: Any) -> tuple[Axes, np.dtype[Any]]:
        """Return the axes and dtype of the result of an image, as far as they follow from its own and these options.

        float32 stands for the floats that the task chooses.
        """
        if not self.alike:  # the model decides on the channels
            axes = axes.with_channels(len(self.card(options.model).result_low))
        if self.several:
            axes = axes.numbered(getattr(options, self.several))
        kept = options.keep_dtype or (self.exact and dtype.itemsize > 4)
        return axes, dtype if kept else np.dtype(np.float32)

    def cards(self) -> list[ModelCard]:
        """Return the cards of the models that it can use; those of others serve the task on their card only."""
        # Deblurring borrows denoisers, but those of others take no noise level, which it has to set.
        return [card for card in list_models(self.models) if not card.scaling or self.name == self.models]

    def card(self, name: str) -> ModelCard:
        """Return the card of a model by name; ``"auto"`` takes the bundled one, or the only one where none is.

        Raises
        ------
        UnknownModelError, OptionError
            If there is none, or several and none is bundled.
        """
        found = list_models(self.models)
        # With a bundled model "auto" is that one, whatever the user has trained since.
        if name != "auto" or any(card.name in BUNDLED for card in found):
            return find_model(name, self.models)
        if not found:
            raise UnknownModelError(f"there is no model for {self.name!r} yet: train one, or import one")
        if len(found) > 1:
            names = ", ".join(card.name for card in found)
            raise OptionError(f"there are several models for {self.name!r} ({names}): choose one (model)")
        return find_model(found[0].name, self.models)  # with its checksum

    @property
    def options(self) -> type:
        """Frozen dataclass of its options."""
        # By name and late: a task loads its module, and with it torch, only when it is used.
        found: type = self._get(f"{self.name.title().replace('_', '')}Options")
        return found

    @property
    def steps(self) -> Steps:
        """Generator function ``steps(image, options, lazy=None)`` that yields `Progress` and returns a `Result`."""
        found: Steps = self._get(f"{self.name}_steps")
        return found

    @property
    def expected_seconds(self) -> Callable[[Any, Any], float]:
        """Function ``expected_seconds(image, options)`` that returns the expected time on this machine."""
        found: Callable[[Any, Any], float] = self._get("expected_seconds")
        return found

    def _get(self, name: str) -> Any:
        return getattr(import_module(f"napari_genrecon.tasks.{self.name}"), name)
