"""The recipe CARE: learn from pairs of a noisy and a clean image of the same field.

After Weigert et al., "Content-aware image restoration: pushing the limits of fluorescence microscopy" (Nature Methods
15, 2018). Unlike there, the network is not trained from nothing: it starts from the bundled weights, in planes whose
noise was made uniform, and keeps to them where held-out pairs do not confirm what was learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_genrecon.training.recipes.restoration import RestorationOptions, restoration

__all__ = ["RECIPE", "CareOptions"]


@dataclass(frozen=True, kw_only=True)
class CareOptions(RestorationOptions):
    """Options of CARE; see `RestorationOptions`."""

    recipe = "care"


RECIPE = restoration(
    "care",
    label="CARE",
    title="CARE: denoiser from pairs of images",
    paper="Weigert et al. 2018, doi:10.1038/s41592-018-0216-7",
    needs=("images", "targets"),
    about_data="Noisy images, and clean ones of the same fields in the same order: longer exposed, or averaged. Pairs "
    "must match pixel by pixel; their brightness may differ.",
    options=CareOptions,
)
