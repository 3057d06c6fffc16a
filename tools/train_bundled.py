"""Train the weights that are shipped with the package.

Start, in the background; nothing is lost if it is killed::

    python tools/train_bundled.py denoise --minutes 600 --out runs/a --data DATA --init known.safetensors
    python tools/train_bundled.py upscale --minutes 90 --out runs/b --data DATA

The last quarter of the minutes lets the learning rate fall and writes ``runs/a/final.safetensors``; what the constant
rate had reached stays in ``runs/a`` and is continued with ``--resume runs/a``. ``--no-decay`` leaves the last quarter
out, ``--decay-only`` does nothing else. ``runs/a/log.csv`` can be plotted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from bundled import denoiser, inpainter, sequence, spots, upscaler
from bundled.patches import load_sources
from bundled.phases import constant_rate, falling_rate

from napari_genrecon.training.loop.checkpoint import load_latest
from napari_genrecon.training.loop.loop import Step

LOG_EVERY = 50  # steps
RECIPES: dict[str, tuple[Any, Any]] = {
    "denoise": (denoiser, denoiser.DenoiserRecipe),
    "inpaint": (inpainter, inpainter.InpainterRecipe),
    "sequence": (sequence, sequence.SequenceRecipe),
    "spots": (spots, spots.SpotRecipe),
    "upscale": (upscaler, upscaler.UpscalerRecipe),
    "upscale-microscope": (upscaler, upscaler.MicroscopeRecipe),
}
OPTIONS = ("seed", "rate", "patch", "size", "optimiser", "loss", "factor")  # of a recipe; its defaults if not given


def main() -> None:
    """Run the command line."""
    args = _arguments()
    folder: Path = args.resume or args.out
    module, kind = RECIPES[args.model]
    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    foreign = sorted(given.keys() - {field.name for field in fields(kind)})
    if foreign:
        raise SystemExit(f"--{foreign[0]} is not an option of {args.model}")
    recipe = kind(**given)
    pool = getattr(recipe, "pool", 256)
    sources = load_sources(args.data, args.cache or folder / "pool", recipe.seed, pool=pool) if pool else None
    state = module.new_state(recipe, args.init)
    if args.resume and not load_latest(state, folder):
        raise SystemExit(f"no checkpoint in {folder}: start a run there with --out")
    loss = module.loss_of(recipe, sources, folder)
    stable = 0.0 if args.decay_only else args.minutes * (1.0 if args.no_decay else 0.75)
    if stable:
        _log(constant_rate(state, recipe, loss, folder, stable), folder / "log.csv", "stable")
    if not args.no_decay:
        _log(falling_rate(state, recipe, loss, folder, args.minutes - stable), folder / "log.csv", "decay")


def _log(steps: Iterator[Step], path: Path, phase: str) -> None:
    """Append the mean loss of every `LOG_EVERY` steps to a table."""
    losses: list[float] = []
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text("phase,step,seconds,loss,rate,time\n")
    for step in steps:
        losses.append(step.loss)
        if step.step % LOG_EVERY == 0:
            clock = time.strftime("%Y-%m-%dT%H:%M:%S")
            mean = sum(losses) / len(losses)
            with path.open("a") as log:
                log.write(f"{phase},{step.step},{step.seconds:.0f},{mean:.6f},{step.rate:.3g},{clock}\n")
            losses.clear()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(RECIPES))
    parser.add_argument("--minutes", type=float, required=True, help="wall time of this call")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with photos/ and nuclei/")
    parser.add_argument("--cache", type=Path, help="folder of the simulated images; default: pool/ in the run's folder")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, help="folder of a new run")
    where.add_argument("--resume", type=Path, help="folder of the run to continue")
    parser.add_argument("--init", type=Path, help="start from these weights, with fresh moments and a warm-up")
    parser.add_argument("--no-decay", action="store_true", help="constant rate only")
    parser.add_argument("--decay-only", action="store_true", help="only let the rate fall, from the saved state")
    parser.add_argument("--optimiser", choices=["adamw", "muon"])
    parser.add_argument("--loss", choices=["l1", "l2"], help="of the denoiser")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--patch", type=int)
    parser.add_argument("--size", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--factor", type=int, choices=[2, 3, 4], help="of an upscaler: train for this one only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
