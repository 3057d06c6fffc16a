"""Options of `detect`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from napari_genrecon.errors import OptionError
from napari_genrecon.noise import NoiseModel
from napari_genrecon.options import check_options
from napari_genrecon.tasks.shared_options import AxesOption, DeviceOption, NoiseOption

__all__ = ["NETWORK_SIZES", "DetectOptions", "Method", "Objects"]

Objects = Literal["bright", "dark"]
Method = Literal["auto", "log", "net", "adapted", "features", "heatmap"]

NETWORK_SIZES = (1.5, 8.25)
"""Sizes in pixels of the spots that the bundled network was trained on (`tools/bundled/spot_scenes.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectOptions:
    """Options of `detect`.

    Attributes
    ----------
    clicks : (N, D) array_like
        Places in pixels; see `detect`.
    complete : array_like
        Pixels where everything is clicked on; see `detect`.
    fdr, min_size, max_size, objects, volume, boxes, spacing, method, noise, device, axes
        See `detect`.
    """

    fdr: Annotated[
        float,
        {
            "min": 0.0001,
            "max": 0.5,
            "step": 0.01,
            # With clicks, the objects under them decide.
            "unless": "clicks",
            "tooltip": "How many of the points may be made by noise alone, as a share: 0.05 is one in twenty. "
            "Less finds fewer and surer objects",
        },
    ] = 0.05
    min_size: Annotated[
        float,
        {
            "min": 1.5,  # pixels: a narrower spot is a single pixel, and that is a hot one
            "max": 500.0,
            "step": 0.5,
            "unless": "clicks",
            "tooltip": "Size of the smallest objects in pixels (of a spot: full width at half maximum). Smaller "
            "ones are left out",
        },
    ] = 2.0
    max_size: Annotated[
        float,
        {
            "min": 1.5,
            "max": 500.0,
            "step": 0.5,
            "unless": "clicks",
            "tooltip": "Size of the largest objects in pixels. Larger ones are left out; a wide range takes longer",
        },
    ] = 8.0
    objects: Annotated[
        Objects,
        {
            "choices": get_args(Objects),
            "unless": "clicks",
            "tooltip": "Whether the objects are brighter or darker than what is around them; the others are not found",
        },
    ] = "bright"
    volume: Annotated[
        bool,
        {
            "needs_axis": "Z",
            "tooltip": "One point for each object of a z-stack; else every plane is searched by itself, and an "
            "object gets a point in each",
        },
    ] = False
    boxes: Annotated[
        bool,
        {
            "advanced": True,
            "tooltip": "Draw boxes around the objects, not rings, and write their corners into the table of features",
        },
    ] = False
    clicks: Annotated[
        Any,
        {
            "array": "points",
            "tooltip": "Find objects like those under these points; sizes and brightness are then those of the points",
            "flag": "CSV file",
        },
    ] = field(default=None, compare=False)
    complete: Annotated[
        Any,
        {
            "array": "mask",
            "needs": "clicks",
            "tooltip": "A region in which every object is clicked on: it tells what is no object",
            "flag": "image file, not 0 in the region",
        },
    ] = field(default=None, compare=False)
    method: Annotated[
        Method,
        {
            "choices": get_args(Method),
            "advanced": True,
            "tooltip": "'net' is the bundled network, for small spots; 'adapted' first trains it on simulated images "
            "like this one, about a minute: it finds more of dim and crowded spots. 'log' finds blobs of all sizes "
            "that are asked for. With points to go by, 'log' compares brightness, 'features' also what is in "
            "and around the objects, 'heatmap' trains a small network on them (seconds). 'auto' asks 'net', too, "
            "and keeps 'log' where that finds clearly more",
        },
    ] = "auto"
    device: DeviceOption = "auto"
    spacing: Annotated[
        float | None,
        {
            "form": False,
            "min": 0.1,
            "max": 100.0,
            "tooltip": "Distance of two planes in pixels, for 'volume'; that of the image if not given, else 1",
        },
    ] = None
    noise: NoiseOption = None
    axes: AxesOption = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.min_size > self.max_size:
            raise OptionError(
                f"min_size is {self.min_size:g} and max_size {self.max_size:g}: the smallest size must not be larger "
                "than the largest"
            )
        if self.method in ("net", "adapted"):
            self._check_network()
        if self.complete is not None and self.clicks is None:
            raise OptionError("complete says where everything is clicked on, and there are no clicks: give them, too")
        if self.clicks is not None and self.volume:
            raise OptionError("clicks are looked for plane by plane: leave 'volume' off, or detect without clicks")
        if isinstance(self.noise, int | float):
            # Refuses what is no s.d., before anything is read.
            NoiseModel.white(float(self.noise))

    @property
    def methods(self) -> tuple[Literal["log", "net"], ...]:
        """The methods to search with, without clicks; of two, one is taken."""
        if self.method in ("net", "adapted"):
            return ("net",)
        # "auto" asks the network only where it was trained to answer; the search with filters is always there.
        fits = not self.volume and NETWORK_SIZES[0] <= self.min_size and self.max_size <= NETWORK_SIZES[1]
        return ("log", "net") if self.method == "auto" and fits else ("log",)

    def require(self) -> None:
        """Refuse a method that learns from clicks without any; files and layers are read after the options are made.

        Raises
        ------
        OptionError
            If there are none.
        """
        if self.method in ("features", "heatmap") and self.clicks is None:
            raise OptionError(
                f"method {self.method!r} learns from clicks, and there are none: give them, or take 'auto'"
            )

    def _check_network(self) -> None:
        least, most = NETWORK_SIZES
        if self.clicks is not None:
            raise OptionError(
                f"method {self.method!r} looks for spots as it was trained to, not for what is clicked on: take 'auto'"
            )
        if self.volume:
            raise OptionError(
                f"method {self.method!r} searches plane by plane: leave 'volume' off, or take method 'log'"
            )
        if self.min_size < least or self.max_size > most:
            raise OptionError(
                f"sizes from {self.min_size:g} to {self.max_size:g} pixels were asked for, and method {self.method!r} "
                f"knows spots of {least:g} to {most:g}: ask for these, or take method 'log'"
            )
