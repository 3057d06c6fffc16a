"""Make the images in sample_data again: ``make_sample_data.py --stardist WHEEL --bbbc038 IMAGES``.

The real noisy images come out of the wheel of stardist (BSD-3-Clause), the nuclei to train on are of BBBC038 (CC0), the
simulated ones come from our own simulators with fixed seeds. SOURCES.md names origin, licence and sha256 of each.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import tifffile
from bundled import scenes
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.morphology import remove_small_objects
from skimage.segmentation import clear_border, relabel_sequential, watershed

FOLDER = Path(__file__).parents[1] / "sample_data"
RHO = 0.6  # lag-1 correlation of the noise of the simulated stack
GAIN, OFFSET, READ_NOISE = 4.0, 100.0, 2.0  # DN per electron, DN, electrons
FIELDS = (("n046", "n057", "n065"), ("n303", "n341", "n343"))  # of BBBC038; none of them is held out by the benchmark
MARGIN = 16  # pixels: half a crop, so that no crop of a nucleus crosses the seam between two fields


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stardist", type=Path, required=True, help="the wheel of stardist 0.9")
    parser.add_argument("--bbbc038", type=Path, required=True, help="its images, half size, by number in one .npz")
    given = parser.parse_args()
    wheel = zipfile.ZipFile(given.stardist)
    for name, member, scale in (
        ("nuclei_2d.tif", "img2d.tif", {"axes": "YX"}),
        ("nuclei_3d.tif", "img3d.tif", {"axes": "ZYX"}),
    ):
        _write(name, tifffile.imread(io.BytesIO(wheel.read(f"stardist/data/images/{member}"))), **scale)
    truth, noisy = _correlated_stack()
    _write("correlated_truth.tif", truth, axes="ZYX")
    _write("correlated_noisy.tif", noisy, axes="ZYX")
    fields = np.load(given.bbbc038)
    rows = [[fields[name] for name in row] for row in FIELDS]
    _write("nuclei_many.tif", np.block(rows), axes="YX")
    _write("nuclei_many_labels.tif", _numbered([[_objects(field) for field in row] for row in rows]), axes="YX")
    for path in sorted(FOLDER.glob("*.tif")):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {path.stat().st_size} bytes")


def _write(name: str, image: np.ndarray, axes: str) -> None:
    tifffile.imwrite(FOLDER / name, image, metadata={"axes": axes}, compression="zlib", predictor=True)


def _objects(field: np.ndarray) -> np.ndarray:
    """Label the nuclei of a field from 1: bright enough, not at its border, touching ones separated."""
    smooth = gaussian_filter(field.astype(float), 1)
    mask = remove_small_objects(smooth > 0.7 * threshold_otsu(smooth), max_size=40)
    depth = gaussian_filter(distance_transform_edt(mask), 1)
    peaks = peak_local_max(depth, min_distance=6, labels=label(mask))
    seeds = np.zeros(field.shape, int)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return relabel_sequential(clear_border(watershed(-depth, seeds, mask=mask), buffer_size=MARGIN // 2))[0]


def _numbered(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Put the fields side by side, and number their objects consecutively."""
    first, out = 0, []
    for row in rows:
        out.append([])
        for field in row:
            out[-1].append(np.where(field > 0, field + first, 0))
            first += int(field.max())
    return np.block(out).astype(np.uint16)


def _correlated_stack() -> tuple[np.ndarray, np.ndarray]:
    """Simulate filaments that blur out of focus plane by plane, with noise of an interpolating detector."""
    rng = np.random.default_rng(20260)
    sharp = scenes.filaments(rng, (192, 192))
    electrons = np.stack([8 + 110 * gaussian_filter(sharp, 0.6 * abs(z - 2)) for z in range(5)])
    width = np.sqrt(-1 / (4 * np.log(RHO)))  # of the Gaussian that gives white noise this correlation
    noise = gaussian_filter(rng.normal(size=electrons.shape), (0, width, width), mode="wrap")
    noise *= np.sqrt(electrons + READ_NOISE**2) / noise.std()
    truth = OFFSET + GAIN * electrons
    noisy = truth + GAIN * noise
    return truth.round().astype(np.uint16), noisy.clip(0, 65535).round().astype(np.uint16)


if __name__ == "__main__":
    main()
