"""Run one part of the program on the fake device and on the CPU, and print what came out; see test_fake_gpu."""

import json
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[2] / "tools"))

import fake_gpu  # before anything else that knows devices
import numpy as np
import torch
from fake_gpu import ACCOUNT, DEVICE, OnDevice

from napari_genrecon import classify, deblur, denoise, detect, inpaint, load_model, predict, upscale, upscale_z
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.zarr.write import write_zarr_steps
from napari_genrecon.models import MODELS, find_model, load_network, precision
from napari_genrecon.models.filters import fourier
from napari_genrecon.models.runtime import ONE_AT_A_TIME, Model
from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.deblur import DeblurOptions, deblur_steps
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps
from napari_genrecon.tasks.files import file_steps
from napari_genrecon.tasks.replay import replay_steps
from napari_genrecon.training import session
from napari_genrecon.widgets.task.compute import LayerSnapshot, preview_steps

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


def spots(side=96):
    """An image with crowded spots, which the network of `detect` finds and filters do not."""
    rng, (y, x) = np.random.default_rng(0), np.indices((side, side))
    image = rng.normal(0, 1, (side, side))
    for row, column in rng.uniform(4, side - 5, (70, 2)):
        image += 4 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4.5)
    return image


def features(device):
    """What `classify` sees of objects: half of it are feature maps of the denoiser."""
    labels = np.zeros((60, 80), np.int32)
    for i in range(12):
        labels[20 * (i // 4) + 3 :, 20 * (i % 4) + 3 :][: 6 + 6 * (i % 2), :10] = i + 1
    image, given = scene(60, 80) + 40 * (labels > 0), {1: "small", 3: "small", 2: "large", 4: "large"}
    return classify(image, labels, given, device=device).objects.blocks["network"]


def stain(name="stain", network="image-unet", reach=0):
    """A model that makes two channels of one, with random weights, saved among those of the user."""
    from napari_genrecon.models import PerAxis
    from napari_genrecon.models.card import ModelCard
    from napari_genrecon.models.registry import save_own
    from napari_genrecon.models.runtime import build_network

    torch.manual_seed(0)
    card = ModelCard(
        name=name, task="predict", network=network, shape={"outputs": 2}, channels=1,
        halo=PerAxis(0, reach, 96, 96), stride=PerAxis.planes(8, 1), low=(0.0,), high=(200.0,), dtype="uint16",
        pixel_size=(0.1, 0.1), units=("micrometer",) * 2, result_low=(0.0, 100.0), result_high=(200.0, 300.0),
        result_names=("one", "two"),
    )  # fmt: skip
    weights = {key: 0.3 * weight for key, weight in build_network(card).state_dict().items()}
    save_own(card, {key: weight.numpy() for key, weight in weights.items()})
    return card.name


TASKS = {
    "denoise": lambda device: denoise(scene(96, 88), device=device),
    "upscale 2": lambda device: upscale(scene(48, 56), factor=2, noise=5.0, device=device),
    "upscale 3": lambda device: upscale(scene(40, 44), factor=3, noise=0, device=device),
    "upscale denoised": lambda device: upscale(scene(48, 56), model="auto", device=device),
    "upscale z": lambda device: upscale_z(scene(10, 40, 40), factor=2, train_steps=2, noise=5.0, device=device),
    "deblur": lambda device: deblur(scene(64, 64), 2.0, device=device),
    "inpaint": lambda device: inpaint(scene(72, 64), mask((72, 64)), device=device),
    "movie": lambda device: denoise(scene(4, 48, 56), axes="TYX", noise=5.0, frames="T", device=device),
    "predict": lambda device: predict(scene(96, 88), model="stain", device=device),
    "predict stacks": lambda device: predict(scene(6, 48, 56), model="stacks", device=device),
    "detect": lambda device: detect(spots(), method="net", noise=1.0, device=device).pixels,
    "classify": features,
}


def compare_tasks(names):
    if "predict" in names:
        stain(), stain("stacks", "volume-unet", reach=5)
    for name in names.split(","):
        ACCOUNT.reset()
        there = TASKS[name](HERE)
        used, released = ACCOUNT.allocations, ACCOUNT.released
        apart = float(np.abs(there - TASKS[name]("cpu")).max())
        yield {"name": name, "apart": apart, "used": used, "released": released}


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


class Followed(session.RunFolder):
    """Notes the loss of every step; progress gives the mean since the log's last line, which the clock decides."""

    losses: ClassVar[list[float]] = []

    def follow(self, state, losses):
        self.losses.append(next(iter(losses.values())))
        return super().follow(state, losses)


def trained(kinds):
    """Train with every recipe, from the first weights to the finished model: here and there the same."""
    from bench.gpu_parts import crops_for

    from napari_genrecon.training import find_recipe
    from napari_genrecon.training.session import train_steps

    for kind in kinds.split(","):
        data, found = crops_for(kind, 60), []
        for device in (HERE, "cpu"):
            options = find_recipe(kind).options(steps=3, batch=4, device=device)
            ACCOUNT.reset()
            Followed.losses.clear()
            with tempfile.TemporaryDirectory() as folder:
                finish(train_steps(data, options, Path(folder), name="model"))
                used, preview = ACCOUNT.allocations, np.load(Path(folder) / "samples.npy")
            found.append((np.array(Followed.losses), preview, used))
        (losses, preview, used), (right, shown, _) = found
        apart = [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in ((losses, right), (preview, shown))]
        yield {"name": kind, "losses": apart[0], "preview": apart[1], "used": used}


def training_fails(kind):
    """A training whose memory runs out, or whose device fails, ends in a sentence."""
    from bench.gpu_parts import crops_for

    from napari_genrecon.training import find_recipe
    from napari_genrecon.training.runs.store import create_run
    from napari_genrecon.training.runs.worker import work_steps

    options = find_recipe(kind).options(steps=2, batch=4, device=HERE)
    run = create_run(crops_for(kind, 60), options, name="model")
    ACCOUNT.reset()
    finish(work_steps(run.folder))
    count = ACCOUNT.allocations
    # Not at every one: where torch begins a thread of its own, it cannot take an exception of Python, and aborts.
    for number in np.unique(np.linspace(1, count, 5)[:4].astype(int)).tolist():
        run = create_run(crops_for(kind, 60), options, name=f"model-{number}")
        ACCOUNT.reset(fails_at=number)
        with suppress(GenReconError):
            finish(work_steps(run.folder))
        yield {"name": f"{kind} {number} of {count}", "said": run.error(), "state": run.state()}
    run = create_run(crops_for(kind, 60), options, name="lost")
    ACCOUNT.reset(fails_at=count // 2, error="CUDA error: an illegal memory access was encountered")
    with suppress(GenReconError):
        finish(work_steps(run.folder))
    yield {"name": "lost", "said": run.error(), "state": run.state()}


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
        "sample, loading": lambda device: load_model("nuclei-vae-32", device).sample(2, seed=0),
        "movie": lambda device: denoise(scene(3, SIDE, 40), axes="TYX", noise=5.0, frames="T", device=device),
        "predict": lambda device: predict(scene(SIDE, 88), model="stain", device=device),
        "detect": lambda device: detect(spots(200), method="net", noise=1.0, device=device).pixels,
        "classify": features,
    }
    if "predict" in paths:
        stain()
    for name in paths.split(";"):
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
    """How many copies one tile takes, for every network that ships and one that makes other images."""
    told = {"sigma": 5.0, "rho": (0.0, 0.0), "factor": 2}
    for card in [*(card for card in MODELS if card.task != "sample"), find_model(stain(), "predict")]:
        run = Model(card, HERE)
        image = scene(32, 32) if card.channels == 1 else scene(card.channels, 32, 32)
        ACCOUNT.reset()
        run(image, *[told[what] for what in card.told])
        yield {"name": card.name, "in": ACCOUNT.copies_in, "out": ACCOUNT.copies_out}


def released(_):
    """How often memory is given back where tiles are computed later than the result is made."""
    image, options = scene(64, 64), DenoiseOptions(device=HERE, noise=5.0)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.ome.zarr", Path(folder) / "out.ome.zarr"
        finish(write_zarr_steps(source, image, ImageMeta(axes=Axes("YX"))))
        works = {
            "file": lambda: finish(file_steps(find_task("denoise"), source, target, options)),
            "replay": lambda: finish(replay_steps(target)),
            "preview": lambda: finish(
                preview_steps(
                    find_task("denoise"), LayerSnapshot(None, image, {}, "", True), options, (slice(0, 9),) * 2
                )
            ),
        }
        for name, work in works.items():
            ACCOUNT.reset()
            work()
            yield {"name": name, "used": ACCOUNT.allocations, "released": ACCOUNT.released}


def auto(_):
    """The device is found, probed and taken."""
    result = finish(denoise_steps(scene(32, 32), DenoiseOptions()))
    yield {"name": "auto", "device": result.record["device"], "allocations": ACCOUNT.allocations}


if __name__ == "__main__":
    assert issubclass(OnDevice, torch.Tensor)
    fake_gpu.list_it()
    precision.bfloat16_is_native = lambda device: False  # both devices in float32
    session.RunFolder = Followed
    session.fabric_for = lambda options: SimpleNamespace(  # Lightning knows no such device
        device=torch.device(options.device), autocast=nullcontext, backward=torch.Tensor.backward
    )
    part, argument = sys.argv[1:]
    for found in globals()[part](argument):
        sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)  # torch's threads for this device are at times still there when Python ends, and abort the process
