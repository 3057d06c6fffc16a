"""Options of `deblur`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, get_args

from napari_genrecon.noise import NoiseModel
from napari_genrecon.optics import MeasuredPSF, Optics, as_psf
from napari_genrecon.options import check_number
from napari_genrecon.tasks.deblur.tiles import Method
from napari_genrecon.tasks.shared_options import (
    AxesOption,
    DeviceOption,
    KeepDtypeOption,
    NoiseOption,
    PrecisionOption,
    RegionOption,
    TileOption,
    WholeOption,
    check_common,
)

__all__ = ["DeblurOptions"]

_LEAST_STRENGTH = 0.1  # of plug-and-play: without a prior, deconvolution amplifies the noise without limit


@dataclass(frozen=True, slots=True, kw_only=True)
class DeblurOptions:
    """Options of `deblur`.

    Attributes
    ----------
    psf : (Y, X) or (Z, Y, X) array_like, float, Optics or MeasuredPSF
        The point spread function; needed. See `deblur` for its centre. A number is the full width at half
        maximum of a Gaussian, in pixels; from `Optics` it is computed, a `MeasuredPSF` is resampled.
    noise : NoiseModel, tuple of NoiseModel, float or None
        One model, one per channel, or the s.d. of white noise in grey values; None measures it from the image.
    method, iterations, strength, model, axes, tile, device, precision, keep_dtype, region, whole
        See `deblur`.
    """

    psf: Annotated[
        Any,
        {
            "array": "psf",
            "tooltip": "What a point becomes through the microscope: an image of a bead, a Gaussian with a full "
            "width at half maximum in pixels, or computed from the optics. A wider one removes more "
            "blur; wider than the blur makes rings",
            "flag": "FILE, pixels, or optics:na=1.4,wavelength=520 (in nm; also refractive_index=1.515, "
            "kind=widefield|confocal|two-photon, pinhole=1 in Airy units and excitation=488 of a confocal, and "
            "pixel_size and z_step in micrometres, else those of the image)",
        },
    ] = field(default=None, compare=False)
    method: Annotated[
        Method,
        {
            "choices": get_args(Method),
            "advanced": True,
            "tooltip": "'pnp' lets the denoiser tell detail from noise in every round; 'rl' is Richardson-Lucy, "
            "the classical way, which takes noise for detail in the end",
        },
    ] = "pnp"
    iterations: Annotated[
        int | None,
        {
            "min": 1,
            "advanced": True,
            "tooltip": "Rounds of deblurring: more are sharper and slower, and noisier with 'rl'. Empty takes 8 "
            "for 'pnp', 10 for 'rl'",
        },
    ] = None
    strength: Annotated[
        float,
        {
            "min": 0.0,
            "max": 2.0,  # beyond, Richardson-Lucy with total variation loses light
            "step": 0.05,
            "tooltip": "More gives a smoother, less a sharper and noisier result. 'pnp' takes the noise for this"
            " many times what it is; with 'rl' it weighs total variation, and 0 does not smooth",
        },
    ] = 1.0
    noise: NoiseOption = None
    model: Annotated[
        str,
        {
            "choices": "models",
            "tooltip": "What tells detail from noise: 'auto' is the bundled denoiser, others were trained or imported",
        },
    ] = "auto"
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    precision: PrecisionOption = "auto"
    keep_dtype: KeepDtypeOption = False
    region: RegionOption = None
    whole: WholeOption = False

    def __post_init__(self) -> None:
        check_common(self)
        if self.method == "pnp":
            check_number("strength for method 'pnp'", self.strength, _LEAST_STRENGTH)
        if isinstance(self.noise, int | float):
            # Built only to be refused now if it cannot be, and not after the image was read.
            NoiseModel.white(float(self.noise))
        if self.psf is not None and not isinstance(self.psf, Optics | MeasuredPSF):  # these check themselves
            as_psf(self.psf)
