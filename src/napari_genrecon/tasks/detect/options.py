"""Options of `detect`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from napari_genrecon.errors import OptionError
from napari_genrecon.noise import NoiseModel
from napari_genrecon.options import check_types
from napari_genrecon.tasks.measure import Noise
from napari_genrecon.tasks.shared_options import AxesOption, check_number

__all__ = ["DetectOptions", "Objects"]

Objects = Literal["bright", "dark"]

_SIZES = (1.5, 500.0)  # pixels: a narrower spot is a single pixel, and that is a hot one
_SHARES = (0.0001, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectOptions:
    """Options of `detect`.

    Attributes
    ----------
    fdr, min_size, max_size, objects, volume, spacing, noise, axes
        See `detect`.
    """

    fdr: Annotated[
        float,
        {
            "min": _SHARES[0],
            "max": _SHARES[1],
            "step": 0.01,
            "tooltip": "Share of false points among all that is acceptable, as far as noise makes them",
        },
    ] = 0.05
    min_size: Annotated[
        float,
        {
            "min": _SIZES[0],
            "max": _SIZES[1],
            "step": 0.5,
            "tooltip": "Size of the smallest objects in pixels (full width at half maximum of a spot)",
        },
    ] = 2.0
    max_size: Annotated[
        float,
        {"min": _SIZES[0], "max": _SIZES[1], "step": 0.5, "tooltip": "Size of the largest objects in pixels"},
    ] = 8.0
    objects: Annotated[
        Objects, {"choices": get_args(Objects), "tooltip": "Brighter or darker than what is around them"}
    ] = "bright"
    volume: Annotated[
        bool, {"tooltip": "Find objects in z-stacks as a whole; else every plane is searched by itself"}
    ] = False
    spacing: Annotated[
        float | None,
        {
            "form": False,
            "min": 0.1,
            "tooltip": "Distance of two planes in pixels, for 'volume'; that of the image if not given, else 1",
        },
    ] = None
    noise: Annotated[
        Noise | float | None,
        {
            "form": False,
            "tooltip": "Noise s.d. in grey values, or a noise report "
            "saved as JSON; measured from the image if not given",
        },
    ] = None
    axes: AxesOption = None

    def __post_init__(self) -> None:
        check_types(self)
        check_number("fdr", self.fdr, *_SHARES)
        check_number("min_size", self.min_size, *_SIZES)
        check_number("max_size", self.max_size, *_SIZES)
        if self.min_size > self.max_size:
            raise OptionError(
                f"min_size is {self.min_size:g} and max_size {self.max_size:g}: the smallest size must not be larger "
                "than the largest"
            )
        if self.objects not in get_args(Objects):
            raise OptionError(f"objects must be 'bright' or 'dark', got {self.objects!r}")
        if self.spacing is not None:
            check_number("spacing", self.spacing, 0.1, 100.0)
        if isinstance(self.noise, int | float):
            NoiseModel.white(float(self.noise))
