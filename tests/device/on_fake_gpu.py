"""Run one part of the program on the fake device and on the CPU, and print what came out; see test_fake_gpu."""

import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fake_gpu  # before anything else that knows devices
import numpy as np
import torch
from fake_gpu import ACCOUNT, DEVICE, OnDevice

from napari_genrecon import deblur, denoise, inpaint, load_model, upscale, upscale_z
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.zarr.write import write_zarr_steps
from napari_genrecon.models import find_model, fourier, load_network, precision
from napari_genrecon.models.runtime import ONE_AT_A_TIME, Model
from napari_genrecon.tasks.deblur import DeblurOptions, deblur_steps
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps

HERE = str(DEVICE)
SIDE = 200  # one tile that can be halved: the halo of the denoiser is 96


def scene(*shape, seed=0):
    y, x = np.indices(shape[-2:])
    smooth = 100 + 40 * np.sin(x / 9) * np.cos(y / 14)
    return np.random.default_rng(seed).normal(smooth, 5, shape).astype("f4")


def mask(shape):
    where = np.zeros(shape, bool)
    where[20:23, 10:40] = True
    return where


TASKS = {
    "denoise": lambda device: denoise(scene(96, 88), device=device),
    "upscale 2": lambda device: upscale(scene(48, 56), factor=2, noise=5.0, device=device),
    "upscale 3": lambda device: upscale(scene(40, 44), factor=3, noise=0, device=device),
    "upscale denoised": lambda device: upscale(scene(48, 56), model="auto", device=device),
    "upscale z": lambda device: upscale_z(scene(10, 40, 40), factor=2, train_steps=2, noise=5.0, device=device),
    "deblur": lambda device: deblur(scene(64, 64), 2.0, device=device),
    "inpaint": lambda device: inpaint(scene(72, 64), mask((72, 64)), device=device),
}


def compare_tasks(names):
    for name in names.split(","):
        ACCOUNT.reset()
        there = TASKS[name](HERE)
        used = ACCOUNT.allocations
        yield {"name": name, "apart": float(np.abs(there - TASKS[name]("cpu")).max()), "used": used}


def compare_generative(names):
    """Every face of a generative model: what it makes here and there."""
    for name in names.split(","):
        here, there = (_faces(load_model(name, device)) for device in (HERE, "cpu"))
        for face, made in here.items():
            apart = float(np.abs(made - there[face]).max() / np.abs(there[face]).max())
            yield {"name": f"{name} {face}", "apart": apart, "used": 1}


def _faces(model):
    found = {"sample": model.sample(3, seed=1)}
    if model.card.about.encodes:
        pictures = np.random.default_rng(0).uniform(model.card.low[0], model.card.high[0], (3, 32, 32))
        found |= {"encode": model.encode(pictures), "bound": model.bound(pictures, k=2)}
        found["posterior"] = model.posterior_samples(pictures[0], 2, seed=0)
    return found


def train(kinds):
    """A few turns of every recipe, with its own optimisers: here and there the same losses."""
    from napari_genrecon.models.card import step_of
    from napari_genrecon.models.runtime import on_device
    from napari_genrecon.training import find_recipe
    from napari_genrecon.training.data.batches import Batches
    from napari_genrecon.training.data.cut import cut_crops
    from napari_genrecon.training.data.dataset import CropOptions
    from napari_genrecon.training.session import _card

    image = np.random.default_rng(0).integers(0, 200, (160, 160)).astype("u1")
    data = cut_crops(image, CropOptions(size=32, mode="grid"))
    for kind in kinds.split(","):
        recipe, found = find_recipe(kind), []
        options = recipe.options(batch=4, width=8, latent=4)
        for device in (DEVICE, torch.device("cpu")):
            torch.manual_seed(0)
            card = _card(recipe, data, options, "model")
            net = on_device(recipe.network(card, options), "model", device)
            state = recipe.state(net, options)
            turns = recipe.losses(Batches(data, options, step_of(card), device), card, options, torch.enable_grad)
            losses = []
            for step in range(3):
                for optimiser, loss_at in zip(state.optimisers, turns, strict=True):
                    optimiser.param_groups[0]["lr"] = 1e-3
                    loss = next(iter(loss_at(state.net, step, 0).values()))
                    loss.backward()
                    optimiser.step()
                    state.net.zero_grad(set_to_none=True)
                    losses.append(float(loss.detach()))
            found.append(np.array(losses))
        yield {"name": kind, "apart": float(np.abs(found[0] - found[1]).max()), "used": len(found[0])}


# --- memory ---


def out_of_memory(paths):
    """Let the memory run out at several allocations of every path: right pixels, or a sentence."""
    image = scene(SIDE, SIDE)
    model = load_model("nuclei-vae-32" if "vae" in paths else "nuclei-dcgan-32", HERE) if "sample" in paths else None
    ways = {
        "eager": lambda device: finish(denoise_steps(image, DenoiseOptions(device=device, noise=5.0))).data,
        "lazy": lambda device: np.asarray(
            finish(denoise_steps(image, DenoiseOptions(device=device, noise=5.0), lazy=True)).data
        ),
        "zarr": lambda device: stored(image, device),
        "loading": lambda device: Model(find_model("auto", "denoise"), device)(image, 5.0, (0.0, 0.0)),
        "ahead": lambda device: denoise(scene(5, 64, 72), axes="ZYX", noise=5.0, device=device),
        "sample": lambda device: (model if device == HERE else load_model("nuclei-dcgan-32", "cpu")).sample(5, seed=0),
    }
    for name in paths.split(","):
        way = ways[name]
        right = way("cpu")
        way(HERE)  # loads the network
        ACCOUNT.reset()
        way(HERE)
        count = ACCOUNT.allocations
        for number in np.unique(np.linspace(1, count, 6).astype(int)).tolist():
            ACCOUNT.reset(fails_at=number)
            try:
                apart, said = float(np.abs(way(HERE) - right).max()), ""
            except GenReconError as error:
                apart, said = 0.0, str(error)
            yield {"name": f"{name} {number} of {count}", "apart": apart, "said": said}


def ahead(_):
    """Planes in flight: the copies of each, the tiles at once, and what is left of a run that was closed."""
    image, options = scene(24, 64, 72), DenoiseOptions(device=HERE, noise=5.0, axes="ZYX")
    denoise(image[0], device=HERE, noise=5.0)  # loads the network
    ACCOUNT.reset()
    result = finish(denoise_steps(image, options))
    apart = float(np.abs(result.data - denoise(image, axes="ZYX", noise=5.0, device="cpu")).max())
    yield {"name": "stack", "apart": apart, "in": ACCOUNT.copies_in, "out": ACCOUNT.copies_out, "planes": len(image)}
    threads, steps = threading.active_count(), denoise_steps(image, options)
    while next(steps).done < 3:
        pass
    most = threading.active_count() - threads
    steps.close()
    left = len(load_network(find_model("auto", "denoise"), HERE)._queue._waiting)
    yield {"name": "closed", "threads": threading.active_count() - threads, "most": most, "waiting": left}


def stacked(argument):
    """Small planes that wait for one network at the same time become one batch; of two kinds, two."""
    run, calls = Model(find_model("auto", "denoise"), HERE), []
    planes = [scene(32, 40, seed=seed) for seed in range(5)] + [scene(24, 40)]
    levels = [5.0, 4.0, 3.0, np.full((32, 40), 5.0), np.full((32, 40), 2.0), 5.0]
    right = [Model(run.card, "cpu")(*given, (0.2, 0.1)) for given in zip(planes, levels, strict=True)]
    run._network.register_forward_pre_hook(lambda _, given: calls.append(len(given[0])))
    ACCOUNT.reset(largest=100_000 if argument == "too large" else None)
    with ThreadPoolExecutor(len(planes)) as pool:
        with ONE_AT_A_TIME:
            futures = [pool.submit(run, *given, (0.2, 0.1)) for given in zip(planes, levels, strict=True)]
            while len(run._queue._waiting) < len(planes):
                time.sleep(0.01)
        made = [future.result() for future in futures]
    apart = max(float(np.abs(a - b).max()) for a, b in zip(made, right, strict=True))
    yield {"name": "stacked", "apart": apart, "calls": calls, "in": ACCOUNT.copies_in, "out": ACCOUNT.copies_out}


def transforms(_):
    """Deblurring with its Fourier transforms on the device, as on CUDA."""
    fourier._WITH_TRANSFORMS = {"fakegpu"}
    for method in ("rl", "pnp"):
        options = [DeblurOptions(psf=2.0, method=method, noise=5.0, device=device) for device in (HERE, "cpu")]
        ACCOUNT.reset()
        there, here = (finish(deblur_steps(scene(64, 64), o)) for o in options)
        apart = float(np.abs(there.data - here.data).max())
        used = "_fft_r2c" in ACCOUNT.operations and "_fft_c2r" in ACCOUNT.operations
        yield {"name": method, "apart": apart, "used": used, "device": there.record["device"]}
        ACCOUNT.reset(largest=100_000)
        try:
            finish(deblur_steps(scene(64, 64), options[0]))
        except GenReconError as error:
            yield {"name": f"{method}, too small", "said": str(error)}


def too_small(paths):
    """A card on which no tile fits ends in one sentence."""
    image = scene(SIDE, SIDE)
    denoise(image, device=HERE, noise=5.0)
    ACCOUNT.reset(largest=100_000)
    try:
        denoise(image, device=HERE, noise=5.0)
    except GenReconError as error:
        yield {"name": "too small", "said": str(error)}


def half_fits(paths):
    """A card on which only a smaller tile fits gives the right pixels on every path."""
    image, right = scene(408, 200), denoise(scene(408, 200), device="cpu", noise=5.0)
    options = DenoiseOptions(device=HERE, noise=5.0, tile=(408, 200))
    for lazy in (False, True):
        result = finish(denoise_steps(image, options, lazy=lazy))
        ACCOUNT.reset(largest=310 * 200 * 48)  # bytes of the widest features: 48 maps of float32 at half the side
        yield {"name": f"lazy {lazy}", "apart": float(np.abs(np.asarray(result.data) - right).max()), "used": 1}
        ACCOUNT.reset()


def stored(image, device):
    result = finish(denoise_steps(image, DenoiseOptions(device=device, noise=5.0), lazy=True))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.ome.zarr"
        about = ImageMeta(axes=Axes("YX"), record=result.record)
        finish(write_zarr_steps(path, result.data, about))
        return np.asarray(open_image(path).data)


# --- the device itself ---


def rules(_):
    """What the device refuses."""
    here = torch.ones(3).to(DEVICE)
    for name, action in {
        "mixed": lambda: here + torch.ones(3),
        "float64": lambda: torch.ones(3, dtype=torch.float64).to(DEVICE),
    }.items():
        try:
            action()
        except (RuntimeError, TypeError) as error:
            yield {"name": name, "said": str(error)}


def copies(_):
    """How many copies one tile takes."""
    run = Model(find_model("auto", "denoise"), HERE)
    ACCOUNT.reset()
    run(scene(32, 32), 5.0, (0.0, 0.0))
    yield {"name": "denoise", "in": ACCOUNT.copies_in, "out": ACCOUNT.copies_out}


def auto(_):
    """The device is found, probed and taken."""
    result = finish(denoise_steps(scene(32, 32), DenoiseOptions()))
    yield {"name": "auto", "device": result.record["device"], "allocations": ACCOUNT.allocations}


if __name__ == "__main__":
    assert issubclass(OnDevice, torch.Tensor)
    fake_gpu.list_it()
    precision.bfloat16_is_native = lambda device: False  # both devices in float32
    part, argument = sys.argv[1:]
    for found in globals()[part](argument):
        sys.stdout.write(json.dumps(found) + "\n")
