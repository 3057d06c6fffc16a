"""Measure what training a denoiser on one's own images brings, beside what held-out crops said of it.

Simulated repeats of one field, of scenes that the bundled weights never saw: the left half is trained on, the right
half is judged against the truth. Each training takes about 30 s of processor time from the bundled weights. A training
that was measured once is kept (`--keep FOLDER`), so that a run that was stopped continues.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bundled import scenes
from scipy.ndimage import gaussian_filter

from bench import train_stacks
from bench.bare_loop import steps_per_second
from bench.table import header, row
from napari_genrecon import denoise, train
from napari_genrecon.errors import ImageError
from napari_genrecon.io.reader import open_image
from napari_genrecon.tasks.train.data import training_data
from napari_genrecon.training import find_recipe, read_options

SIDE = 512
SECONDS = 30.0  # half of the time in which a gain is promised: there are some 70 trainings
SEEDS = 3
PEDESTAL = 400  # grey values of a dark pixel
FULL = 255.0  # range of the scenes in grey values
WORSE = 0.05  # dB that an accepted model may be below the bundled one

Images = list[np.ndarray]
Found = dict[str, Any]


def run(quick: bool, only: str = "", keep: Path | None = None, movie: Path | None = None) -> None:
    """Print the tables.

    `only` keeps the rows whose name contains it, or is "stacks"; `movie` is a folder with the frames of one.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"GENRECON_RUNS": f"{folder}/runs", "GENRECON_MODELS": f"{folder}/models"}
        kept = _Kept(keep)
        if only == "stacks":
            train_stacks.run(quick, kept.get)
            return
        steps = kept.get("steps", lambda: {"steps": _steps_in(SECONDS)})["steps"]
        found: list[Found] = []
        try:
            for one in _all(kept, steps, 1 if quick else SEEDS, only):
                found.append(one)  # what was done before Ctrl-C is reported
        except KeyboardInterrupt:
            print("Stopped: this is of the trainings that were done.\n")
        _report(found)
        print(f"\n{steps} steps each, {SECONDS:g} s of one core; means over n scenes, the least gain in brackets.\n")
        _bars(found)
        if not only:
            _speeds(20 if quick else 60)
        if not only:
            print()
            train_stacks.run(quick, kept.get)
        if movie is not None and not only:
            print(f"\nThe 30 frames of the real movie, with Noise2Noise: {_train_on_movie(movie, steps)}.")
    print(f"\n{time.perf_counter() - started:.0f} s in all.")


def _all(kept: _Kept, steps: int, seeds: int, only: str) -> Iterator[Found]:
    for noise, electrons, recipe, seed in _cases(seeds):
        images = f"{noise}, {electrons:g} e-"
        if only in f"{images}, {recipe}":
            measure = partial(_train, noise, electrons, recipe, seed, steps)
            yield {"images": images, "recipe": recipe, **kept.get(f"{images}, {recipe}, {seed}", measure)}


class _Kept:
    """Results by name; those of an earlier run are read from a file of JSON lines, and new ones are added to it."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / "train.jsonl"
        self._known: dict[str, Found] = {}
        if self._path is not None and self._path.exists():
            lines = map(json.loads, self._path.read_text().splitlines())
            self._known = {line["name"]: line for line in lines}

    def get(self, name: str, measure: Callable[[], Found]) -> Found:
        if name not in self._known:
            self._known[name] = measure()
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a") as file:
                    file.write(json.dumps({"name": name, **self._known[name]}) + "\n")
        return self._known[name]


def _cases(seeds: int) -> Iterator[tuple[str, float, str, int]]:
    """Return noise, electrons, recipe and seed; the seed changes last, so that a part of a run has all rows."""
    for seed in range(seeds):
        for noise in NOISE:
            for electrons in (10.0, 30.0):
                for recipe in RECIPES:
                    yield noise, electrons, recipe, seed


# --- what is printed ---


def _report(found: list[Found]) -> None:
    header("images", "recipe", "n", "gain (truth)", "held-out score", "share learnt", "kept", "PSNR of bundled")
    for images, recipe in dict.fromkeys((one["images"], one["recipe"]) for one in found):
        mine = [one for one in found if (one["images"], one["recipe"]) == (images, recipe)]
        truth, held, share, base = (np.array([one[key] for one in mine]) for key in ("truth", "held", "share", "base"))
        row(
            images, recipe, len(mine), f"{truth.mean():+.2f} ({truth.min():+.2f})", f"{held.mean():+.2f}",
            f"{share.mean():.2f}", f"{np.count_nonzero(share)} of {len(mine)}",
            f"{base.mean():.2f}" if np.isfinite(base).all() else "-",
        )  # fmt: skip


def _bars(found: list[Found]) -> None:
    """Print what is promised beside what was found."""
    header("promised", "found")
    accepted = [one for one in found if one["share"] > 0]
    worst = min(accepted, key=lambda one: one["truth"], default=None)
    where = "" if worst is None else f", worst {worst['truth']:+.2f} dB ({worst['images']}; {worst['recipe']})"
    below = sum(one["truth"] < -WORSE for one in accepted)
    row(
        f"no accepted model more than {WORSE:g} dB below the bundled one",
        f"{below} of {len(accepted)} accepted, {len(found)} trained{where}",
    )
    better = sum(one["truth"] > 0 for one in accepted)
    row("accepted models are better than the bundled one", f"{better} of {len(accepted)}")
    for start, least in (("confocal-like, white", 0.1), ("mis-measured", 1.0)):
        gains = [one["truth"] for one in found if one["images"].startswith(start) and "4 frames" in one["recipe"]]
        if gains:
            row(
                f"Noise2Noise on 4 frames gains {least:g} dB: {start}",
                f"{np.mean(gains):+.2f} ({min(gains):+.2f} to {max(gains):+.2f})",
            )


def _speeds(steps: int) -> None:
    print()
    header("steps per second of CPU time, over those of a bare loop", "ratio")
    field = FULL * scenes.fluorescence(np.random.default_rng(0), (SIDE // 2, SIDE // 2))
    for name in ("noise2noise", "care", "noise2void"):
        rng, recipe = np.random.default_rng(0), find_recipe(name)
        repeats = [_confocal(field, 30, rng) for _ in range(2)]
        where = {"targets": [field]} if name == "care" else {}
        dataset = training_data(recipe, repeats if name == "noise2noise" else repeats[:1], recipe.crops, where)
        options = read_options({"kind": name, "steps": steps + 20, "device": "cpu"})
        card = train(name, repeats if name == "noise2noise" else repeats[0], *_clean(name, field), steps=2).card
        row(recipe.label, f"{steps_per_second(options, dataset, card, steps, turn=5)[2]:.2f}")


# --- one training ---


def _train(noise: str, electrons: float, recipe: str, seed: int, steps: int) -> Found:
    """Return gain and held-out score in dB, share of the learnt weights (0 if they are not kept), and PSNR before."""
    scene = FULL * scenes.fluorescence(np.random.default_rng([2027, seed]), (SIDE, SIDE))
    left, right = scene[:, : SIDE // 2], scene[:, SIDE // 2 :]
    rng = np.random.default_rng([seed, int(electrons)])
    kind, frames = RECIPES[recipe]
    repeats = [NOISE[noise](left, electrons, rng) for _ in range(frames)]
    test = NOISE[noise](right, electrons, rng)
    options = read_options({"kind": kind, "steps": steps, "seed": seed, "device": "cpu"})
    clean = _clean(kind, NOISE[noise](left, 100 * electrons, rng))
    model = train(kind, repeats if frames > 1 else repeats[0], *clean, options=options)
    before, after = (_psnr(denoise(test, model=name, device="cpu"), right) for name in ("auto", model.card.name))
    return {"truth": after - before, **_said(model), "base": before}


def _clean(kind: str, image: np.ndarray) -> tuple[np.ndarray, ...]:
    return (image,) if kind == "care" else ()


def _said(model: Any) -> Found:
    found = model.card.calibration
    return {"held": found["gain_db"], "share": found["share"]}


def _train_on_movie(folder: Path, steps: int) -> str:
    """Train on the real movie; return what the recipe says of it."""
    movie = np.stack([np.asarray(open_image(path).data) for path in sorted(folder.iterdir())])
    options = read_options({"kind": "noise2noise", "steps": steps, "device": "cpu"})
    try:
        model = train("noise2noise", movie, axes="TYX", options=options)
    except ImageError as error:
        return f"refused: {error}"
    return model.card.summary


def _psnr(result: np.ndarray, clean: np.ndarray) -> float:
    return float(10 * np.log10(FULL**2 / np.mean((result - PEDESTAL - clean) ** 2)))


def _steps_in(seconds: float) -> int:
    """Return how many steps of the default batch take this much processor time here."""
    rng = np.random.default_rng(0)
    field = FULL * scenes.fluorescence(rng, (SIDE // 2, SIDE // 2))
    repeats = [_confocal(field, 30, rng) for _ in range(2)]
    times = []
    for steps in (2, 2, 22):  # the first one loads torch
        began = time.process_time()
        train("noise2noise", repeats, options=read_options({"kind": "noise2noise", "steps": steps, "device": "cpu"}))
        times.append(time.process_time() - began)
    return max(2, round(seconds * 20 / (times[2] - times[1])))


# --- noise ---


def _confocal(clean: np.ndarray, electrons: float, rng: np.random.Generator) -> np.ndarray:
    """Add shot noise of `electrons` at the full range and 2 electrons of read noise: white."""
    return _grey(clean + _white(clean, electrons, rng))


def _widefield(clean: np.ndarray, electrons: float, rng: np.random.Generator) -> np.ndarray:
    """Add such noise, smoothed as by a camera whose images were resampled: correlated over 2 pixels."""
    return _grey(clean + gaussian_filter(_white(clean, electrons, rng), 1.0))


def _mixed(clean: np.ndarray, electrons: float, rng: np.random.Generator) -> np.ndarray:
    """Add as much white as coarse noise: the coarse half passes for structure when the noise is measured."""
    fine, coarse = (_white(clean, electrons, rng) for _ in range(2))
    coarse = gaussian_filter(coarse, 2.0) * 2 * 2.0 * np.sqrt(np.pi)  # as strong as before the blur
    return _grey(clean + np.sqrt(0.5) * (fine + coarse))


def _white(clean: np.ndarray, electrons: float, rng: np.random.Generator) -> np.ndarray:
    gain = FULL / electrons
    return gain * (rng.poisson(np.maximum(clean, 0) / gain) + rng.normal(0, 2.0, clean.shape)) - clean


def _grey(image: np.ndarray) -> np.ndarray:
    return (image + PEDESTAL).round().clip(0).astype(np.uint16)


NOISE: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "confocal-like, white": _confocal,
    "widefield-like, correlated": _widefield,
    "mis-measured, half white, half coarse": _mixed,
}
RECIPES = {
    "Noise2Noise, 2 frames": ("noise2noise", 2),
    "Noise2Noise, 4 frames": ("noise2noise", 4),
    "CARE, one pair": ("care", 1),
    "Noise2Void, one image": ("noise2void", 1),
}
