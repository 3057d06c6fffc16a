"""The parts of ``tools/gpu_check.py``: each takes a device and returns what it found, as JSON values.

``"ok"`` says whether the part found what the product promises; figures without a promise never decide it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from napari_genrecon.engine.run import finish
from napari_genrecon.models import MODELS, describe_devices, find_model, list_models, resolve_device
from napari_genrecon.models.card import ModelCard
from napari_genrecon.models.generative import load_generative
from napari_genrecon.models.precision import bfloat16_is_native
from napari_genrecon.models.runtime import Model, build_network
from napari_genrecon.noise.same import SAME
from napari_genrecon.tasks.deblur import DeblurOptions, deblur_steps
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps

__all__ = [
    "cancelled",
    "correct",
    "devices",
    "memory",
    "repeatable",
    "resumed",
    "speed",
    "tiled",
    "training",
    "workers",
]

Found = dict[str, Any]

_SIGMA = 1.0  # noise s.d. of the scenes
_BFLOAT16 = (0.05, 0.01)  # noise s.d., at most and root mean square: the bound on the cards


def scene(side: int, contrast: float = 10.0, seed: int = 0) -> np.ndarray:
    """Return waves and steps of this contrast in noise s.d., with white noise."""
    y, x = np.indices((side, side))
    clean = np.sin(x / 9) * np.cos(y / 14) + ((x // 24 + y // 32) % 2) - 0.5
    return (contrast * clean + np.random.default_rng(seed).normal(0, _SIGMA, clean.shape)).astype(np.float32)


def devices(device: str, *, small: bool) -> Found:
    """List the devices, and what torch was built with."""
    reports, hints = describe_devices()
    listed = [{"name": r.name, "title": r.title, "free": r.free, "problem": r.problem} for r in reports]
    there = resolve_device(device)
    return {"device": there, "torch": torch.__version__, "found": listed, "hints": hints,
            "bfloat16 is native": bfloat16_is_native(there)}  # fmt: skip


# --- right numbers ---


def _told(card: Any) -> list[Any]:
    left = 0.1 if card.denoiser else 1.0  # what the denoiser leaves of the noise, as `upscale` says
    known = {"sigma": left * _SIGMA, "rho": (0.3, 0.2), "factor": 2}
    return [known[what] for what in card.told]


def _image(card: Any, side: int, contrast: float) -> np.ndarray:
    image = scene(side, contrast)
    return image if card.channels == 1 else np.stack([image, *[np.ones_like(image)] * (card.channels - 1)])


def _apart(a: np.ndarray, b: np.ndarray) -> Found:
    error = np.abs(a.astype(np.float64) - b)
    return {"most": float(error.max()), "rms": float(np.sqrt(np.square(error).mean()))}


def correct(device: str, *, small: bool) -> Found:
    """Compare every model with the CPU, at several sizes and contrasts, and the same with TF32 and bfloat16."""
    there, rows, ok = resolve_device(device), [], True
    sides, contrasts = ((40,), (10.0,)) if small else ((1, 63, 256, 777), (1.0, 10.0, 300.0))
    for card in [*(card for card in MODELS if card.task != "sample"), _image_to_image()]:
        runs = {p: _model(card, there, p) for p in ("float32", "bfloat16")}
        here = _model(card, "cpu", "float32")
        for side in sides:
            for contrast in contrasts:
                image, told = _image(card, side, contrast), _told(card)
                right = here(image, *told)
                row = {"model": card.name, "side": side, "contrast": contrast}
                row["float32"] = _apart(runs["float32"](image, *told), right)
                row["TF32"] = _apart(_with_tf32(runs["float32"], image, told), right)
                # float32 keeps 24 bits of the largest value, whatever the noise
                ok &= row["float32"]["most"] <= SAME * max(1.0, contrast / 10)
                if card.bfloat16:
                    # Of what fuses frames, the frame, its variance and the mean: the rest is memory, and no noise s.d.
                    grey = slice(3 if card.task == "fuse" else None)
                    row["bfloat16"] = _apart(runs["bfloat16"](image, *told, noise=_SIGMA)[grey], right[grey])
                    ok &= row["bfloat16"]["most"] <= _BFLOAT16[0]
                    ok &= row["bfloat16"]["rms"] <= _BFLOAT16[1]
                rows.append(row)
    for card in list_models("sample"):
        made = [load_generative(card, where).sample(4, seed=0) for where in (there, "cpu")]
        share = float(np.abs(made[0] - made[1]).max() / np.abs(made[1]).max())
        rows.append({"model": card.name, "float32": {"share of the largest": share}})
        ok &= share <= SAME
    blurred = scene(64 if small else 500, 10.0)
    rows.append({"task": "deblur", **_apart(_deblurred(blurred, device), _deblurred(blurred, "cpu"))})
    # Eight iterations amplify the last digits.
    return {"ok": bool(ok and rows[-1]["most"] <= 10 * SAME), "unit": "noise s.d.", "rows": rows}


def _image_to_image() -> ModelCard:
    """Return the card of a model as users train them, of which none ships."""
    return ModelCard(
        name="image2image-random", task="predict", network="image-unet", shape={"outputs": 2}, channels=2,
        low=(0.0,) * 2, high=(1.0,) * 2, result_low=(0.0,) * 2, result_high=(1.0,) * 2, result_names=("one", "two"),
    )  # fmt: skip


def _model(card: ModelCard, device: str, precision: str) -> Model:
    """Return a model, with weights that are the same every time where it has none of its own."""
    if card.task != "predict":
        return Model(card, device, precision=precision)
    torch.manual_seed(0)
    return Model(card, device, precision=precision, network=build_network(card))


def _with_tf32(run: Model, image: np.ndarray, told: list[Any]) -> np.ndarray:
    """Run the bare network as torch would by default, with TF32 in cuDNN, to see what turning it off is worth."""
    with torch.inference_mode():
        made: np.ndarray = run._run(run._asked(image, told)).numpy()
    return made[0, 0] if made.shape[1] == 1 else made[0]


def tiled(device: str, *, small: bool) -> Found:
    """Compare a denoised image in tiles with the same in one piece."""
    image = scene(320 if small else 1500)
    whole = _denoised(image, device, tile=(image.shape[0], image.shape[0]))
    parts = _denoised(image, device, tile=(160, 128))
    found = _apart(parts, whole)
    return {"ok": found["most"] <= SAME, "unit": "noise s.d.", **found}


def _denoised(image: np.ndarray, device: str, **options: Any) -> np.ndarray:
    options = {"noise": _SIGMA, "precision": "float32", "device": device, **options}
    result: np.ndarray = finish(denoise_steps(image, DenoiseOptions(**options))).data
    return result


def repeatable(device: str, *, small: bool) -> Found:
    """Say whether two runs give the same bits, and whether torch's deterministic algorithms do."""
    image, found = scene(64 if small else 1024), {}
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        first, second = (_denoised(image, device) for _ in range(2))
        found["deterministic" if deterministic else "default"] = bool(np.array_equal(first, second))
    return {"same bits": found}


# --- speed and memory ---


def speed(device: str, *, small: bool) -> Found:
    """Measure megapixels a second of the network alone and of the whole call, in both number formats."""
    there, card = resolve_device(device), find_model("auto", "denoise")
    image, rows = scene(128 if small else 2048, contrast=2.0), {}
    megapixels = image.size / 1e6
    for precision in ("float32", "auto"):
        run = Model(card, there, precision=precision)
        bare = _seconds(lambda run=run: run(image, _SIGMA, (0.0, 0.0)))
        whole = _seconds(lambda p=precision: _denoised(image, device, precision=p))
        rows[precision] = {
            "computes in": run.precision,
            "network": round(megapixels / bare, 2),
            "whole call": round(megapixels / whole, 2),
            "share of the network": round(bare / whole, 2),
        }
    stack = np.stack([scene(64 if small else 256, contrast=2.0, seed=seed) for seed in range(4 if small else 64)])
    seconds = {
        "stack of small planes": _seconds(lambda: _denoised(stack, device, axes="ZYX")) / stack.size,
        "deblur": _seconds(lambda: _deblurred(stack[0], device)) / stack[0].size,
    }
    rows |= {name: round(1e-6 / each, 3) for name, each in seconds.items()}
    return {"unit": "megapixels a second", "rows": rows}


def _deblurred(image: np.ndarray, device: str) -> np.ndarray:
    options = DeblurOptions(psf=3.0, noise=_SIGMA, precision="float32", device=device)
    result: np.ndarray = finish(deblur_steps(image, options)).data
    return result


def _seconds(action: Callable[[], object]) -> float:
    """Return the shorter time of two runs, after one that loads."""
    action()
    times = []
    for _ in range(2):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return min(times)


def memory(device: str, *, small: bool) -> Found:
    """Measure the bytes per pixel against the card's, and let the memory run out: the pixels must be the same."""
    there, card = resolve_device(device), find_model("auto", "denoise")
    image = scene(300 if small else 2048)
    found: Found = {"bytes per pixel on the card": card.bytes_per_pixel}
    if there.startswith("cuda"):
        run = Model(card, there)
        torch.cuda.reset_peak_memory_stats(there)
        before = torch.cuda.memory_allocated(there)
        run(image, _SIGMA, (0.0, 0.0))
        found["bytes per pixel"] = round((torch.cuda.max_memory_allocated(there) - before) / image.size)
    right = _denoised(image, device)
    with _little_memory(there, image):
        notes, rows = [], {}
        options = DenoiseOptions(noise=_SIGMA, precision="float32", device=device, tile=image.shape)
        eager = finish(denoise_steps(image, options), lambda progress: notes.append(progress.note))
        lazy = finish(denoise_steps(image, options, lazy=True)).data
        rows = {"eager": _apart(eager.data, right), "lazy": _apart(np.asarray(lazy), right)}
    reduced = any("tiles reduced" in note for note in notes)
    return {"ok": all(row["most"] <= SAME for row in rows.values()) and reduced, "ladder": rows, **found}


@contextmanager
def _little_memory(device: str, image: np.ndarray) -> Iterator[None]:
    """Leave memory for half of the image: of the allocator on CUDA, elsewhere by an error of larger tiles."""
    if device.startswith("cuda"):
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, 300 * image.size / total), device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
        return
    real = Model.__call__

    def small_only(self: Model, plane: np.ndarray, *told: Any, **more: float) -> np.ndarray:
        if plane.size > 0.9 * image.size:
            raise MemoryError("as if there were less")
        return real(self, plane, *told, **more)

    Model.__call__ = small_only  # type: ignore[method-assign]
    try:
        yield
    finally:
        Model.__call__ = real  # type: ignore[method-assign]


# --- training ---


def crops_for(kind: str, count: int = 120) -> Any:
    """Return a dataset of a few small crops that a recipe can train on."""
    from napari_genrecon.tasks.train.data import training_data
    from napari_genrecon.training import find_recipe
    from napari_genrecon.training.data.dataset import CropOptions

    recipe, rng = find_recipe(kind), np.random.default_rng(0)
    clean = 400 + 30 * scene(192, 10.0)
    noisy = rng.poisson(clean.clip(1), (2, 192, 192)).astype(np.uint16)  # two frames
    images, where = (noisy, {"axes": "TYX"}) if "frames" in recipe.needs else (noisy[0], {"axes": "YX"})
    where |= {"targets": clean.astype(np.float32)} if "targets" in recipe.needs else {}
    crops = training_data(recipe, images, CropOptions(size=32, n=count, held_out=0.2), where)
    if not recipe.by_task:
        return crops
    x = ((crops.x - crops.x.mean()) / crops.x.std()).astype(np.float32)
    if crops.targets is None:  # classes, of crops with a plane that says where the object is
        bright = x.mean(axis=(1, 2, 3))
        labels = (bright > np.median(bright)).astype(np.int64)
        seen = np.concatenate([x, np.ones_like(x)], axis=1)
        return replace(crops, x=seen, labels=labels, low=(), high=(), channel_names=())
    heat = (crops.targets > np.median(crops.targets)).astype(np.float32)
    everywhere = np.concatenate([heat, np.ones_like(heat)], axis=1)  # where the heat is known
    return replace(crops, x=x, targets=everywhere)


def training(device: str, *, small: bool) -> Found:
    """Measure training steps a second in float32 and, where it is native, bfloat16."""
    from napari_genrecon.training import RECIPES, find_recipe
    from napari_genrecon.training.session import train_steps

    formats = ["float32", *(["bfloat16"] if bfloat16_is_native(resolve_device(device)) else [])]
    rows = {}
    for kind in RECIPES:
        crops = crops_for(kind, 60 if small else 120)
        for precision in formats:
            options = find_recipe(kind).options(steps=2 if small else 100, device=device, precision=precision)
            with TemporaryDirectory() as folder:
                steps = train_steps(crops, options, Path(folder), name="model")
                seconds = [progress.seconds for progress in steps]
            half = len(seconds) // 2  # the first steps load and choose algorithms
            rows[f"{kind}, {precision}"] = round((len(seconds) - half) / max(seconds[-1] - seconds[half - 1], 1e-9), 1)
    return {"unit": "steps a second", "rows": rows}


def resumed(device: str, *, small: bool) -> Found:
    """Kill a training process that has saved a checkpoint, and resume it."""
    from napari_genrecon.training.runs.store import create_run
    from napari_genrecon.training.runs.worker import work_steps

    steps = 12 if small else 400
    options = {"kind": "vae", "steps": steps, "width": 8, "batch": 8, "device": device}
    run = create_run(crops_for("vae"), options, name="cells")
    child = subprocess.Popen([sys.executable, "-c", _SAVES_EVERY_STEP, str(run.folder)])
    until = time.monotonic() + (240 if small else 45)
    while not _saved(run.folder) and child.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    child.kill()
    child.wait()
    saved = _saved(run.folder)
    with closing(work_steps(run.folder)) as going:
        first = next(going).step
        last = [progress.step for progress in going][-1:] or [first]
    ok = 0 < saved < steps and first > saved and last == [steps] and run.error() == ""
    return {"ok": ok, "saved at": saved, "resumed at": first, "ended at": last[0]}


_SAVES_EVERY_STEP = """
import sys
from napari_genrecon.training import session
from napari_genrecon.training.runs.worker import main
session.SAVE_EVERY = 0.0
main(sys.argv[1:])
"""


def _saved(folder: Path) -> int:
    """Return the step of the newest whole checkpoint; 0 if there is none."""
    return max((int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.json")), default=0)


# --- jobs ---


def cancelled(device: str, *, small: bool) -> Found:
    """Measure how long a run takes to stop."""
    image = scene(256 if small else 2048)
    steps = denoise_steps(image, DenoiseOptions(noise=_SIGMA, device=device, tile=128))
    notes = []
    for progress in steps:
        notes.append(progress)
        if len(notes) > 4:
            break
    started = time.perf_counter()
    steps.close()
    return {"seconds until it has stopped": round(time.perf_counter() - started, 3)}


def workers(device: str, *, small: bool) -> Found:
    """Let two local workers write a store, and name what each computed on."""
    try:
        import distributed  # noqa: F401 - only whether it is there
    except ImportError:
        return {"skipped": "dask.distributed is not installed"}
    from napari_genrecon.axes import Axes
    from napari_genrecon.engine.cluster import connected
    from napari_genrecon.io.image_file import ImageMeta
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.io.zarr.write import write_zarr_steps

    image = np.stack([scene(64 if small else 512, seed=seed) for seed in range(4)])
    options = DenoiseOptions(noise=_SIGMA, precision="float32", device="auto" if device != "cpu" else "cpu", axes="ZYX")
    result = finish(denoise_steps(image, options, lazy=True))
    with TemporaryDirectory() as folder, connected("local", 2) as client:
        path = Path(folder) / "out.ome.zarr"
        finish(write_zarr_steps(path, result.data, ImageMeta(axes=Axes("ZYX"), record=result.record), client=client))
        stored = open_image(path)
        found = _apart(np.asarray(stored.data), _denoised(image, device, axes="ZYX"))
        machines = (stored.about.record or {}).get("machines", [])
    return {"ok": found["most"] <= SAME, "machines": machines, **found}
