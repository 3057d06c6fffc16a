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

    n: Annotated[int, {"min": 1, "tooltip": "How many changed copies to make of each image"}] = 8
    flips: Annotated[
        bool, {"tooltip": "Also mirror, and turn by right angles; leave it off where direction matters"}
    ] = True
    rotate: Annotated[
        float,
        {
            "min": 0.0,
            "max": 180.0,
            "step": 1.0,
            "tooltip": "Turn each copy at random by up to so many degrees; 0 does not turn",
        },
    ] = 15.0
    scale: Annotated[
        float,
        {
            "min": 0.0,
            "max": 0.5,
            "step": 0.01,
            "tooltip": "Make each copy larger or smaller by up to this share: 0.1 is a tenth",
        },
    ] = 0.1
    elastic: Annotated[
        float,
        {
            "min": 0.0,
            "max": 50.0,
            "step": 0.5,
            "tooltip": "Bend each copy smoothly by about so many pixels; too much makes shapes that there are not",
        },
    ] = 2.0
    gamma: Annotated[
        float,
        {
            "min": 0.0,
            "max": 1.0,
            "step": 0.05,
            "tooltip": "Change the contrast by up to this much: dark parts become brighter or darker, the "
            "brightest stay (gamma)",
        },
    ] = 0.2
    blur: Annotated[
        float,
        {
            "min": 0.0,
            "max": 5.0,
            "step": 0.1,
            "tooltip": "Blur each copy by up to this much, as if out of focus (s.d. of a Gaussian in pixels); 0 "
            "does not blur",
        },
    ] = 0.0
    cutout: Annotated[
        int,
        {
            "min": 0,
            "tooltip": "Cover so many squares of each copy, so that a model learns not to need every part; "
            "labels and points stay",
        },
    ] = 0
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
    seed: Annotated[
        int,
        {
            "min": 0,
            "tooltip": "The same number gives the same images again; another one gives others",
        },
    ] = 0
    axes: AxesOption = None

    def __post_init__(self) -> None:
        check_options(self)
