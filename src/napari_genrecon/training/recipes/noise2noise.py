"""The recipe Noise2Noise: learn from repeats of a noisy image, or from neighbouring frames of a movie.

After Lehtinen et al., "Noise2Noise: learning image restoration without clean data" (ICML 2018). The target of a frame
is another frame, or the mean of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_genrecon.training.recipes.restoration import RestorationOptions, restoration

__all__ = ["RECIPE", "Noise2NoiseOptions"]


@dataclass(frozen=True, kw_only=True)
class Noise2NoiseOptions(RestorationOptions):
    """Options of Noise2Noise; see `RestorationOptions`."""

    recipe = "noise2noise"


RECIPE = restoration(
    "noise2noise",
    label="Noise2Noise",
    title="Noise2Noise: denoiser from repeats",
    paper="Lehtinen et al. 2018, doi:10.48550/arXiv.1803.04189",
    needs=("frames",),
    about_data="Two or more images of one field, recorded one after another; or one movie that is sampled so densely "
    "that little changes from frame to frame.",
    options=Noise2NoiseOptions,
)
