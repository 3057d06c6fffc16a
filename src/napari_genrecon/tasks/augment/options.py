"""Options of `augment`, with the texts of the form and of the flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from napari_genrecon.options import check_options
from napari_genrecon.tasks.shared_options import AxesOption

__all__ = ["AugmentOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """Options of `augment`; see there."""

    n: Annotated[int, {"min": 1, "tooltip": "New images from each image"}] = 8
    flips: Annotated[bool, {"tooltip": "Mirror, and turn by right angles"}] = True
    rotate: Annotated[
        float, {"min": 0.0, "max": 180.0, "step": 1.0, "tooltip": "Largest turn in the plane, in degrees"}
    ] = 15.0
    scale: Annotated[
        float, {"min": 0.0, "max": 0.5, "step": 0.01, "tooltip": "Largest change of size: 0.1 is a tenth up or down"}
    ] = 0.1
    elastic: Annotated[
        float,
        {"min": 0.0, "max": 50.0, "step": 0.5, "tooltip": "How far places move in a smooth deformation, in pixels"},
    ] = 2.0
    gamma: Annotated[
        float,
        {"min": 0.0, "max": 1.0, "step": 0.05, "tooltip": "Largest change of contrast by a power of the grey values"},
    ] = 0.2
    blur: Annotated[
        float, {"min": 0.0, "max": 5.0, "step": 0.1, "tooltip": "Strongest blur: s.d. of a Gaussian, in pixels"}
    ] = 0.0
    cutout: Annotated[int, {"min": 0, "tooltip": "Squares that hide a part of each image; labels and points stay"}] = 0
    exposure: Annotated[
        float,
        {
            "min": 0.0,
            "max": 10.0,
            "step": 0.05,
            "tooltip": "Denoise, then draw new noise as measured: 1 at the exposure of the image, 0.25 with a quarter "
            "of the light; 0 keeps the noise that is there",
        },
    ] = 0.0
    seed: Annotated[int, {"min": 0, "tooltip": "The same seed gives the same images"}] = 0
    axes: AxesOption = None

    def __post_init__(self) -> None:
        check_options(self)
