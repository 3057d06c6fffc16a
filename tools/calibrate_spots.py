"""Measure how many maxima the answer of the spot network has in noise, for its card in `models/registry.py`.

python tools/calibrate_spots.py runs/spots/final.safetensors --megapixels 16
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from napari_genrecon.models import find_model
from napari_genrecon.models.networks import RARE
from napari_genrecon.models.runtime import Model
from napari_genrecon.numerics.blobs.filters import noise_field
from napari_genrecon.numerics.blobs.maxima import find_maxima
from napari_genrecon.numerics.blobs.spot_planes import spot_planes

RHO = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8)
LEAST, STEP = -8.0, 0.5  # evidence; what is less is never an object
FEWEST = 20  # maxima, for a number in the table
SIDE = 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--megapixels", type=int, default=16)
    args = parser.parse_args()
    model = Model(find_model("auto", "detect"), "cpu", args.weights.read_bytes())
    rows = [_evidence(model, rho, args.megapixels) for rho in RHO]
    columns = np.arange(LEAST, min(np.sort(row)[-FEWEST] for row in rows), STEP)
    pixels = args.megapixels * SIDE**2
    print(f'"rho": {list(RHO)},\n"evidence": {columns.tolist()},\n"log_maxima": [')
    for row in rows:
        print(f"    {[round(float(np.log((row >= least).sum() / pixels)), 2) for least in columns]},")
    print("],")


def _evidence(model: Model, rho: float, count: int) -> np.ndarray:
    rng, found = np.random.default_rng([10, int(100 * rho)]), []
    for _ in range(count):
        noise = noise_field((SIDE, SIDE), (rho, rho), rng)
        heat, _, odds = model(spot_planes(noise, (rho, rho)), (rho, rho))
        found.append((heat + odds)[tuple(find_maxima(heat, RARE).T)])
    return np.concatenate(found)


if __name__ == "__main__":
    main()
