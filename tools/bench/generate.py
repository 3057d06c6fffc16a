"""Measure the bundled generative models on crops of images that they were not trained on.

Bits per dimension of the VAE beside Gaussians; distances of GAN and VAE samples from one half of the held-out crops,
beside those of the other half (the floor), of real training crops, and of samples of a Gaussian in PCA space (the
ceiling); whether samples copy training crops; times. The distance is the kernel MMD^2 of features of small networks
that are trained here: it is not the kernel inception distance, and not to be compared with those of papers.
``--figure PATH`` writes samples beside real crops.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import solve_triangular
from torch import Tensor, nn
from train_generative import OPTIONS, nuclei

from bench.bare_loop import steps_per_second
from bench.feature_distances import coverage_and_density, kernel_distance
from bench.table import header, row
from napari_genrecon.checks.memorisation import check_memorisation
from napari_genrecon.checks.samples import sliced_wasserstein
from napari_genrecon.models import load_model
from napari_genrecon.models.generative import GenerativeModel
from napari_genrecon.training.data.dataset import Dataset

MODELS = {"GAN": "nuclei-dcgan-32", "VAE": "nuclei-vae-32"}
SETS = ("other held-out crops (floor)", "real training crops", "GAN", "VAE", "PCA-Gaussian (ceiling)")
SEEDS = (0, 1)  # of the networks whose features are compared
K = 64  # draws of the importance-weighted bound


def run(data: Path, *, quick: bool, figure: Path | None) -> None:
    """Print the tables."""
    started = time.perf_counter()
    crops = nuclei(data, reports=True)
    models = {title: load_model(name, "cpu") for title, name in MODELS.items()}
    n = 200 if quick else len(crops.testing) // 2
    print(f"{len(crops.training)} training crops, {len(crops.testing)} held out, of other images; {n} are compared.")
    print("The weights were chosen on other held-out images.\n")
    _bounds(models["VAE"], crops, 100 if quick else 800)
    sets = _sets(models, crops, n)
    _distances(sets, crops.testing[1::2, 0][:n], crops, quick)
    _copies(sets, crops)
    _times(models, crops, 20 if quick else 100)
    if figure is not None:
        draw(figure, crops, sets)
    print(f"\n{time.perf_counter() - started:.0f} s in all.")


# --- how likely are real crops ---


def _bounds(vae: GenerativeModel, crops: Dataset, n: int) -> None:
    """Print bits per dimension; for Gaussians, grey values are spread evenly over their bins."""
    held_out = _evenly(crops.testing[:, 0], n)
    bounds = {
        "Gaussian, full covariance": _gaussian(crops, held_out, None),
        f"probabilistic PCA, {vae.card.latent}": _gaussian(crops, held_out, vae.card.latent),
        "VAE, evidence lower bound": vae.bound(held_out, k=1),
        f"VAE, importance-weighted, k = {K}": vae.bound(held_out, k=K),
    }
    header(f"log likelihood of {n} held-out crops", "nats per crop", "bits per dimension", "± s.e.")
    for name, nats in bounds.items():
        bits = -nats / np.log(2) / held_out[0].size
        row(name, f"{nats.mean():.0f}", f"{bits.mean():.3f}", f"{bits.std() / np.sqrt(n):.3f}")
    print()


def _gaussian(crops: Dataset, held_out: np.ndarray, latent: int | None) -> np.ndarray:
    """Return the log likelihood under a Gaussian fitted to the training crops in eight orientations, as for the VAE."""
    mean, values, vectors = _principal(crops)
    if latent is not None:  # Tipping & Bishop 1999: the rest of the variance is spread evenly
        values = np.where(np.arange(len(values)) < latent, values, values[latent:].mean())
    x = held_out.reshape(len(held_out), -1) + np.random.default_rng(0).uniform(-0.5, 0.5, (len(held_out), len(mean)))
    root = np.linalg.cholesky((vectors * values) @ vectors.T)
    whitened = solve_triangular(root, (x - mean).T, lower=True)
    constant = len(mean) * np.log(2 * np.pi) + 2 * np.log(np.diag(root)).sum()
    return -0.5 * ((whitened**2).sum(0) + constant)


def _principal(crops: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, variances and directions, the largest first, of the training crops with 1/12 for the rounding."""
    x = crops.training[:, 0].astype(np.float64)
    side = x.shape[-1]
    turned = [np.rot90(x, k, (1, 2)) for k in range(4)]
    moments = np.zeros((side**2, side**2))
    mean = np.zeros(side**2)
    for each in [*turned, *(t[..., ::-1] for t in turned)]:
        flat = each.reshape(len(x), -1)
        mean += flat.mean(0) / 8
        moments += flat.T @ flat / len(x) / 8
    values, vectors = np.linalg.eigh(moments - np.outer(mean, mean) + np.eye(side**2) / 12)
    return mean, values[::-1], vectors[:, ::-1]


# --- how far are samples from real crops ---


def _sets(models: dict[str, GenerativeModel], crops: Dataset, n: int) -> dict[str, np.ndarray]:
    """Return (n, Y, X) whole grey values of every set."""
    mean, values, vectors = _principal(crops)
    latent = models["GAN"].card.latent
    z = np.random.default_rng(1).standard_normal((n, latent))
    gaussian = (mean + z * np.sqrt(values[:latent]) @ vectors[:, :latent].T).reshape(n, *crops.x.shape[-2:])
    real = crops.training[np.random.default_rng(2).choice(len(crops.training), n, replace=False), 0]
    made = (
        crops.testing[0::2, 0][:n],
        real,
        models["GAN"].sample(n, seed=1),
        models["VAE"].sample(n, seed=1),
        gaussian,
    )
    return {name: np.clip(np.round(x), 0, 255).astype(np.float32) for name, x in zip(SETS, made, strict=True)}


def _distances(sets: dict[str, np.ndarray], held_out: np.ndarray, crops: Dataset, quick: bool) -> None:
    columns: dict[str, list[float]] = {}
    for seed in SEEDS:
        features = feature_network(crops, seed, 60 if quick else 500)
        reference = features(held_out)
        measured = [features(x) for x in sets.values()]
        columns[f"kernel MMD² x 1000, own features {seed}"] = [1000 * kernel_distance(m, reference) for m in measured]
        both = [coverage_and_density(m, reference) for m in measured]
        columns[f"coverage, own features {seed}"] = [coverage for coverage, _ in both]
        columns[f"density, own features {seed}"] = [density for _, density in both]
    wasserstein = [sliced_wasserstein(x, held_out) for x in sets.values()]
    for level, side in enumerate((32, 16)):
        columns[f"sliced Wasserstein, {side} px"] = [each[level] for each in wasserstein]
    header("to one half of the held-out crops", *sets, "GAN's place (0 floor, 1 ceiling)", "VAE's")
    for name, values in columns.items():
        floor, _, gan, vae, ceiling = values
        places = [(value - floor) / (ceiling - floor) for value in (gan, vae)]
        row(name, *(f"{value:.3f}" for value in values), *(f"{place:.2f}" for place in places))
    print()


def feature_network(crops: Dataset, seed: int, steps: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return features of a small network that was trained to recognise the image of a training crop.

    To tell that it must see sharpness, texture, noise, contrast and shape. Features are scaled to unit variance over
    the training crops and then to one length, so that no picture outweighs the others in the cubic kernel.
    """
    torch.manual_seed(seed)
    labels = _images_of(crops)
    body = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(1024, 64)),
    )
    head = nn.Sequential(nn.ReLU(), nn.Linear(64, int(labels.max()) + 1))
    optimiser = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=2e-3)
    x = torch.from_numpy(crops.training.astype(np.float32) / 127.5 - 1)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        chosen = rng.integers(0, len(x), 64)
        loss = nn.functional.cross_entropy(head(body(x[chosen])), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    @torch.no_grad()
    def raw(pictures: np.ndarray) -> np.ndarray:
        scaled = torch.from_numpy(pictures.astype(np.float32))[:, None] / 127.5 - 1
        return body(scaled).numpy()

    usual = raw(_evenly(crops.training[:, 0], 2000))

    def features(pictures: np.ndarray) -> np.ndarray:
        even = (raw(pictures) - usual.mean(0)) / usual.std(0)
        return even * np.sqrt(even.shape[1]) / np.linalg.norm(even, axis=1, keepdims=True)

    return features


def _images_of(crops: Dataset) -> Tensor:
    return torch.from_numpy(np.unique(crops.source[~crops.held_out], return_inverse=True)[1])


def _copies(sets: dict[str, np.ndarray], crops: Dataset) -> None:
    header("nearest training crop", "median ratio to held-out", "share of copies", "warned")
    held_out = _evenly(crops.testing[:, 0], 400)
    others = {**{name: sets[name][:400] for name in ("GAN", "VAE")}, "training crops": sets[SETS[1]][:400]}
    for name, samples in others.items():
        found = check_memorisation(samples, crops.training[:, 0], held_out)
        row(name, f"{np.median(found.ratio):.2f}", f"{100 * found.copies:.1f} %", "yes" if found.warning else "no")
    print()


# --- how long does it take ---


def _times(models: dict[str, GenerativeModel], crops: Dataset, steps: int) -> None:
    header("time", "1000 samples", "steps/s", "bare PyTorch loop", "ratio of CPU time")
    for title, model in models.items():
        began = time.perf_counter()
        model.sample(1000, seed=0)
        sampling = time.perf_counter() - began
        ours, bare, ratio = steps_per_second(OPTIONS[model.card.recipe], crops, model.card, steps)
        row(f"{title} ({MODELS[title]})", f"{sampling:.2f} s", f"{ours:.2f}", f"{bare:.2f}", f"{ratio:.2f}")


# --- the figure ---


def draw(path: Path, crops: Dataset, sets: dict[str, np.ndarray], columns: int = 16, rows: int = 3) -> None:
    """Draw real held-out crops above samples, twice their size."""
    from PIL import Image, ImageDraw

    shown = {"real nuclei of images that were held out": _evenly(crops.testing[:, 0], rows * columns)}
    shown |= {f"{MODELS[name]}: synthetic": sets[name][: rows * columns] for name in MODELS}
    side, title, zoom = crops.size, 9, 2
    sheet = np.full((len(shown) * (rows * side + title), columns * side), 255, np.uint8)
    for index, pictures in enumerate(shown.values()):
        grid = pictures.reshape(rows, columns, side, side).transpose(0, 2, 1, 3).reshape(rows * side, -1)
        top = index * (rows * side + title) + title
        sheet[top : top + rows * side] = grid
    image = Image.fromarray(sheet).resize((sheet.shape[1] * zoom, sheet.shape[0] * zoom), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(image)
    for index, text in enumerate(shown):
        pen.text((4, index * (rows * side + title) * zoom + 3), text, fill=0)
    image.save(path, optimize=True)
    print(f"\nwrote {path}, {path.stat().st_size / 1000:.0f} kB")


def _evenly(x: np.ndarray, n: int) -> np.ndarray:
    return x[np.linspace(0, len(x) - 1, min(n, len(x))).astype(int)]
