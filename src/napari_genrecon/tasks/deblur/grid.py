"""Cut an image into the tiles that `deblur` computes one by one."""

from __future__ import annotations

from napari_genrecon.axes import Axes
from napari_genrecon.engine.memory import available_memory, check_tile, fit_tile
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.models import ModelCard, free_memory, resolve_device
from napari_genrecon.numerics.blur import FILTER_REACH
from napari_genrecon.tasks.plan import MEMORY_SHARE

__all__ = ["deblur_grid"]

_MAX_PIXELS = 800_000  # of a plane of a tile, halo included: a step takes at most two seconds
_MAX_VOXELS = 4_000_000  # of a tile over a stack, halo included: a step takes at most two seconds
_BYTES_PER_VOXEL = 100  # bytes of the domain: about a dozen images and spectra as 32- and 64-bit floats


def deblur_grid(
    shape: tuple[int, ...],
    axes: Axes,
    psf: tuple[int, ...],
    spec: ModelCard,
    *,
    tile: int | tuple[int, int] | None,
    device: str,
) -> TileGrid:
    """Return tiles over whole stacks for a PSF of three dimensions, over planes for one of two.

    Parameters
    ----------
    shape, axes
        Shape and axes of the image.
    psf : tuple of int
        Shape of the PSF.
    spec : ModelCard
        Card of the denoiser: its stride and memory.
    tile : int, (int, int) or None
        Side of a tile in pixels, or (Y, X), or None to choose it.
    device : str
        Device of the denoiser and, on CUDA, of the Fourier transforms.
    """
    in_3d = len(psf) == 3
    depth = shape[axes.letters.index("Z")] if in_3d else 1
    # Planes of the domain, which reaches beyond the stack by the PSF; see `Blur.lit`.
    computed_depth = depth + psf[0] - 1 if in_3d else 1
    # Rounded up to whole strides of the denoiser: every tile then starts on its grid.
    halo, _ = check_tile(FILTER_REACH + max(psf[-2:]) // 2, spec.stride.x)
    if tile is None:
        height, width = fit_tile(
            (shape[axes.y], shape[axes.x]),
            halo=halo,
            stride=spec.stride.x,
            bytes_per_pixel=spec.bytes_per_pixel + _BYTES_PER_VOXEL * computed_depth,
            # Images lie in the memory of the CPU, transforms and network in that of the device: the scarcer one counts.
            budget=min(available_memory(), free_memory(resolve_device(device))) // MEMORY_SHARE,
            # The halo is so wide on either side, at least: narrower tiles would compute little but their halo.
            max_pixels=max(min(_MAX_PIXELS, _MAX_VOXELS // computed_depth), (FILTER_REACH + 2 * halo) ** 2),
        )
    else:
        height, width = check_tile(tile, spec.stride.x)
    return TileGrid(
        shape=tuple(shape),
        tile=_along(axes, height, width, depth if in_3d else 1),
        halo=_along(axes, halo, halo, 0),
        scale=(1,) * len(shape),
        stride=_along(axes, spec.stride.y, spec.stride.x, depth if in_3d else 1),
    )


def _along(axes: Axes, y: int, x: int, z: int) -> tuple[int, ...]:
    """Return one integer per dimension: `y`, `x`, `z` for Y, X, Z; elsewhere 1, or 0 if `z` is 0 (as in a halo)."""
    return tuple({"Z": z, "Y": y, "X": x}.get(letter, min(z, 1)) for letter in axes.letters)
