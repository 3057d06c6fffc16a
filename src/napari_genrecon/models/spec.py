"""What the program knows about a model without loading it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ModelSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model: where its code and weights are, and what the engine must know to run it in tiles.

    Attributes
    ----------
    name : str
        Lower-case, stable, never reused for another model.
    task : str
        The task it serves, such as ``"denoise"``.
    target : str
        Module (relative to this package) and class, ``".unet:DenoiseUNet"``.
    weights : str
        File name in the package's ``weights`` folder.
    sha256 : str
        Of the weight file; checked before loading.
    halo : int
        Pixels around a tile beyond which the influence on the tile is below 1e-4 noise s.d.
    stride : int
        Tiles must start at multiples of this many pixels.
    scale : int
        Output pixels per input pixel along Y and X. For a network that knows several factors, the task sets it.
    bytes_per_pixel : int
        Peak memory per pixel of a tile while it runs in float32.
    work : float
        MFLOP per pixel of the input; tells how large a tile may be for a run to be cancelled in time.
    tile_pixels : int, optional
        The most pixels of a tile on a CPU, halo included, where more of them fall out of its caches and take longer
        than the halos of smaller tiles.
    denoiser : str
        Name of the model that denoises before this one runs; empty for none. Of an upscaler: if there is one, it
        serves noisy images.
    summary : str
        One sentence for people who choose a model.
    licence : str
        Of the weights.
    """

    name: str
    task: str
    target: str
    weights: str
    sha256: str
    halo: int
    stride: int
    scale: int = 1
    bytes_per_pixel: int
    work: float = 0.21
    tile_pixels: int | None = None
    denoiser: str = ""
    summary: str
    licence: str

    def facts(self) -> dict[str, str]:
        """What a record says about the model that was used."""
        return {"name": self.name, "sha256": self.sha256, "licence": self.licence}
