"""Measure speed: the whole call against the bare network, the first preview, cancelling, and other methods."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from bundled import scenes
from skimage.metrics import peak_signal_noise_ratio
from skimage.restoration import denoise_nl_means

from bench.table import header, row
from napari_genrecon import NoiseModel, denoise, measure_noise
from napari_genrecon.axes import infer_axes
from napari_genrecon.models import find_model, resolve_precision, runtime
from napari_genrecon.models.precision import Format, bfloat16_is_native, mixed
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps
from napari_genrecon.tasks.plan import plan_grid

CAMERA = NoiseModel(gain=2.0, offset=100.0, read_noise=3.0)
PEAK_ELECTRONS = 60.0


def noisy_scene(side: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return simulated filaments and a camera image of them: (clean, noisy), in DN."""
    rng = np.random.default_rng(seed)
    electrons = PEAK_ELECTRONS * scenes.filaments(rng, (side, side))
    clean = CAMERA.offset + CAMERA.gain * electrons
    noise = CAMERA.gain * (rng.poisson(electrons) - electrons) + rng.normal(0, CAMERA.read_noise, clean.shape)
    return clean, (clean + noise).astype(np.float32)


def timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def run(side: int, rounds: int) -> None:
    clean, noisy = noisy_scene(side)
    _against_the_network(noisy, rounds)
    _preview()
    _cancel()
    _others(*(image[:512, :512] for image in (clean, noisy)))


def _against_the_network(noisy: np.ndarray, rounds: int) -> None:
    spec = find_model("auto", "denoise")
    grid = plan_grid(noisy.shape, infer_axes(noisy.shape), spec, tile=None, device="cpu")
    network = runtime.load_network(spec, "cpu")._network
    auto = resolve_precision("auto", spec, "cpu")
    sigma, rho = torch.ones(1), torch.zeros(1, 2)
    tensors = [torch.from_numpy(np.ascontiguousarray(noisy[tile.src]))[None, None] for tile in grid.tiles()]
    whole = torch.from_numpy(noisy)[None, None]

    @torch.inference_mode()
    def forward(batch: list[torch.Tensor], numbers: Format = "float32") -> None:
        with mixed("cpu", lower=numbers != "float32"):
            for tensor in batch:
                network(tensor, sigma, rho, coarse=numbers == "coarse")

    jobs: dict[str, Callable[[], object]] = {
        "network alone, whole plane": lambda: forward([whole]),
        "network alone, same tiles": lambda: forward(tensors),
        "denoise, noise model given": lambda: denoise(noisy, noise=CAMERA, device="cpu", precision="float32"),
        f"denoise, precision 'auto' ({auto})": lambda: denoise(noisy, noise=CAMERA, device="cpu"),
        "measure_noise": lambda: measure_noise(noisy),
    }
    if bfloat16_is_native("cpu"):
        jobs |= {
            "network alone, same tiles, bfloat16": lambda: forward(tensors, "bfloat16"),
            "network alone, same tiles, bfloat16 in coarse layers": lambda: forward(tensors, "coarse"),
        }
    for job in jobs.values():
        job()
    # In turn, round after round, so that a slow moment of the machine hits all alike.
    times = [{name: timed(job) for name, job in jobs.items()} for _ in range(rounds)]
    header(f"{noisy.shape[0]}x{noisy.shape[1]} float32", "seconds (median)", "ratio to the network on the same tiles")
    for name in jobs:
        seconds = statistics.median(t[name] for t in times)
        ratio = statistics.median(t[name] / t["network alone, same tiles"] for t in times)
        row(name, f"{seconds:.2f}", f"{ratio:.2f}")
    print(f"\nTiles of {grid.tile}, halo {spec.halo}: {grid.read_share:.2f} pixels computed per pixel kept.\n")


_PREVIEW = """
import time, torch
import numpy as np
from skimage import data
from napari_genrecon import measure_noise, denoise
plane = data.camera() + np.random.default_rng(0).normal(0, 15, (512, 512))
for name in ("first", "warm"):
    started = time.perf_counter()
    denoise(plane, noise=measure_noise(plane))
    print(name, time.perf_counter() - started)
"""


def _preview() -> None:
    runs = [
        dict(line.split() for line in subprocess.check_output([sys.executable, "-c", _PREVIEW], text=True).splitlines())
        for _ in range(3)
    ]
    header("preview of a 512x512 plane, noise measured", "seconds (median of 3)")
    row("first, after `import torch`", f"{statistics.median(float(r['first']) for r in runs):.2f}")
    row("warm", f"{statistics.median(float(r['warm']) for r in runs):.2f}")
    print()


def _cancel() -> None:
    """Print the longest step: a run can be cancelled between two steps only."""
    steps = denoise_steps(noisy_scene(2048)[1], DenoiseOptions(noise=CAMERA, device="cpu"))
    waits, last = [], time.perf_counter()
    for _ in steps:
        now = time.perf_counter()
        waits.append(now - last)
        last = now
    header("cancel", "seconds")
    row("longest wait", f"{max(waits):.2f}")
    row("mean wait", f"{sum(w * w for w in waits) / sum(waits) / 2:.2f}")
    print()


def _others(clean: np.ndarray, noisy: np.ndarray) -> None:
    # The peers need noise of one strength: all get the same variance-stabilised image and the same inverse.
    from napari_genrecon.noise import stabiliser

    transform = stabiliser(CAMERA)
    flat = transform.forward(noisy)

    def nl_means() -> np.ndarray:
        return transform.inverse(
            denoise_nl_means(flat, sigma=1.0, h=0.8, patch_size=5, patch_distance=6, fast_mode=True)
        )

    def bm3d_filter() -> np.ndarray:
        import bm3d

        return transform.inverse(bm3d.bm3d(flat, sigma_psd=1.0))

    header("512x512, same noise model given", "seconds", "PSNR (dB)")
    row("noisy", "", f"{psnr(clean, noisy):.2f}")
    for name, function in {
        "`denoise`": lambda: denoise(noisy, noise=CAMERA, device="cpu"),
        "NL-means (scikit-image)": nl_means,
        "BM3D": bm3d_filter,
    }.items():
        started = time.perf_counter()
        result = function()
        row(name, f"{time.perf_counter() - started:.2f}", f"{psnr(clean, result):.2f}")


def psnr(clean: np.ndarray, result: np.ndarray) -> float:
    """Return the PSNR in dB, against the range of the clean image."""
    return float(peak_signal_noise_ratio(clean, result, data_range=clean.max() - clean.min()))
