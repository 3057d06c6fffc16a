"""Run ``genrecon demo``: denoise the samples and write results and pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.run import finish
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.samples import sample_path
from napari_genrecon.io.tiff.write import write_tiff_steps
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks import Result, find_task
from napari_genrecon.tasks.files import about_result

__all__ = ["run"]

_CROP = 128  # px, side of the crop in the second row of the picture
_ENLARGED = 4  # times, so that single pixels are visible


def run(folder: Path) -> None:
    """Denoise a real and a simulated sample, print what was measured, and write results and pictures.

    Parameters
    ----------
    folder : Path
        Folder of the results, created if needed; the files of an earlier demo are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _denoise(folder, "nuclei_2d.tif")
    result = _denoise(folder, "correlated_noisy.tif")
    # Of this sample the truth is known, as it was simulated: the gain can be measured.
    noisy, truth = (open_image(sample_path(f"correlated_{kind}.tif")).data for kind in ("noisy", "truth"))
    before, after = psnr(truth, noisy), psnr(truth, result.data)
    _say(f"against the known truth: {before:.1f} dB noisy, {after:.1f} dB denoised (+{after - before:.1f} dB)")


def _denoise(folder: Path, name: str) -> Result:
    task, image = find_task("denoise"), open_image(sample_path(name))
    result = finish(task.steps(image.data, task.options(axes=image.axes.letters)))
    _say(f"\n{name}, {image.data.shape} {image.data.dtype}, {image.axes}:")
    for entry in result.record["noise"]:
        _say(str(NoiseModel.from_dict(entry)))
    target = folder / name.replace(".tif", "_denoise.ome.tif")
    finish(write_tiff_steps(target, result.data, about_result(image.about, result, result.record), overwrite=True))
    picture = target.with_name(name.replace(".tif", "_before_after.png"))
    _picture(picture, _middle(image.data), _middle(result.data))
    _say(f"denoised in {result.record['seconds']:.1f} s: {target}\nbefore and after: {picture}")
    return result


def psnr(truth: NDArray[Any], image: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio in dB; the peak is the range of the truth."""
    span = float(np.ptp(truth))
    return float(10 * np.log10(span**2 / np.mean((image.astype(float) - truth) ** 2)))


def _middle(image: NDArray[Any]) -> NDArray[Any]:
    return image if image.ndim == 2 else image[len(image) // 2]


def _picture(path: Path, before: NDArray[Any], after: NDArray[Any]) -> None:
    """Write before and after side by side with the same contrast, and an enlarged crop of each below."""
    from skimage.io import imsave

    # The contrast of the noisy plane for both: each with its own would hide what denoising did to the brightness.
    low, high = np.percentile(before, (0.5, 99.8))
    grey = [(255 * np.clip((plane - low) / (high - low), 0, 1)).astype(np.uint8) for plane in (before, after)]
    # `kron` with ones repeats every pixel, without the smoothing of an interpolation.
    crops = [np.kron(_brightest(plane, after), np.ones((_ENLARGED, _ENLARGED), np.uint8)) for plane in grey]
    rows = [_side_by_side(grey), _side_by_side(crops)]
    width = max(row.shape[1] for row in rows)
    imsave(path, np.vstack([np.pad(row, ((0, 8), (0, width - row.shape[1]))) for row in rows]), check_contrast=False)


def _brightest(plane: NDArray[Any], guide: NDArray[Any]) -> NDArray[Any]:
    """Return the crop of a plane at the brightest part of the guide, where there is structure to see."""
    side = min(_CROP, *guide.shape)
    # Crops overlap by half, so that no bright part is always cut.
    tops = range(0, guide.shape[0] - side + 1, max(1, side // 2))
    lefts = range(0, guide.shape[1] - side + 1, max(1, side // 2))
    top, left = max(
        ((t, x) for t in tops for x in lefts), key=lambda c: guide[c[0] : c[0] + side, c[1] : c[1] + side].mean()
    )
    return plane[top : top + side, left : left + side]


def _side_by_side(planes: list[NDArray[Any]]) -> NDArray[Any]:
    gap = np.full((planes[0].shape[0], 8), 255, np.uint8)
    return np.hstack([planes[0], gap, planes[1]])


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
