"""Train the generative models that are shipped with the package, on nuclei (CC0), 32 pixels a side.

Start, in the background; nothing is lost if it is killed, and the same command continues it::

    python tools/train_generative.py vae --minutes 60 --out runs/vae --data DATA
    python tools/train_generative.py dcgan --minutes 60 --out runs/dcgan --data DATA

``DATA/nuclei/nuclei32.npz`` holds the crops. About a tenth is held out, by the image it comes from (seed 0): the best
weights are chosen on one half of these images, and the other half is for reports alone. The model is
``runs/vae/best.safetensors``; it is shipped as ``models/weights/nuclei-vae-32.safetensors``. ``runs/vae/log.csv`` can
be plotted.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.models.card import ModelCard
from napari_genrecon.training.data.cut import cut_crops
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.training.recipes.dcgan import DCGANOptions
from napari_genrecon.training.recipes.vae import VAEOptions
from napari_genrecon.training.session import train_steps

OPTIONS = {
    "vae": VAEOptions(latent=64, batch=32, licence="CC0-1.0"),
    "dcgan": DCGANOptions(batch=16, augment=False, licence="CC0-1.0"),
}


def nuclei(data: Path, *, reports: bool = False) -> Dataset:
    """Return the crops, split by the image they come from; held out are those that choose the best weights.

    With `reports`, the others are held out, which neither train nor choose.
    """
    with np.load(data / "nuclei" / "nuclei32.npz", allow_pickle=False) as stored:
        crops = cut_crops(stored["x"], CropOptions(size=32, mode="whole"), groups=stored["image_index"])
        index = stored["image_index"]
    for_reports = np.isin(index, np.unique(index[crops.held_out])[1::2])
    left_out = crops.held_out & (for_reports != reports)
    return _without(crops, left_out)


def _without(crops: Dataset, left_out: NDArray[np.bool_]) -> Dataset:
    kept = {name: getattr(crops, name)[~left_out] for name in ("x", "source", "place", "held_out", "label")}
    return dataclasses.replace(crops, **kept)


def main() -> None:
    """Run the command line."""
    args = _arguments()
    given = {name: getattr(args, name) for name in ("rate", "r1", "batch", "seed") if getattr(args, name) is not None}
    options = dataclasses.replace(OPTIONS[args.kind], minutes=args.minutes, **given)
    steps = train_steps(nuclei(args.data), options, args.out, name=f"nuclei-{args.kind}-32")
    card, printed = None, 0.0
    while card is None:
        try:
            progress = next(steps)
        except StopIteration as end:
            card = end.value
        else:
            if time.monotonic() - printed > 60:
                printed = time.monotonic()
                print(progress.step, f"{progress.seconds:.0f} s", progress.losses, progress.note, flush=True)
    _tell(card)


def _tell(card: ModelCard) -> None:
    print(f"{card.name}: {card.steps} steps, {card.seconds:.0f} s, {card.losses}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(OPTIONS))
    parser.add_argument("--minutes", type=float, required=True, help="training time in all")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with nuclei/nuclei32.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; continued if it holds one")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--r1", type=float)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seed", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
