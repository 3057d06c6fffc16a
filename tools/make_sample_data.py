"""Make the images in sample_data again: ``python tools/make_sample_data.py --stardist WHEEL``.

The real images come out of the wheel of stardist (BSD-3-Clause), the simulated ones from our own simulators with fixed
seeds. SOURCES.md names origin, licence and sha256 of each.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

from napari_genrecon.training import scenes

FOLDER = Path(__file__).parents[1] / "sample_data"
RHO = 0.6  # lag-1 correlation of the noise of the simulated stack
GAIN, OFFSET, READ_NOISE = 4.0, 100.0, 2.0  # DN per electron, DN, electrons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stardist", type=Path, required=True, help="the wheel of stardist 0.9")
    wheel = zipfile.ZipFile(parser.parse_args().stardist)
    for name, member, scale in (
        ("nuclei_2d.tif", "img2d.tif", {"axes": "YX"}),
        ("nuclei_3d.tif", "img3d.tif", {"axes": "ZYX"}),
    ):
        _write(name, tifffile.imread(io.BytesIO(wheel.read(f"stardist/data/images/{member}"))), **scale)
    truth, noisy = _correlated_stack()
    _write("correlated_truth.tif", truth, axes="ZYX")
    _write("correlated_noisy.tif", noisy, axes="ZYX")
    for path in sorted(FOLDER.glob("*.tif")):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {path.stat().st_size} bytes")


def _write(name: str, image: np.ndarray, axes: str) -> None:
    tifffile.imwrite(FOLDER / name, image, metadata={"axes": axes}, compression="zlib", predictor=True)


def _correlated_stack() -> tuple[np.ndarray, np.ndarray]:
    """Filaments that blur out of focus plane by plane, shot and read noise behind an interpolating detector."""
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
