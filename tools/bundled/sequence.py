"""The recipe of the gate that fuses the frames of a movie: its data, loss and phases.

The movies are simulated once and kept in a cache, as every frame of them has to be denoised by itself first. The loss
is that of the result: the fused frames go through the bundled denoiser, which stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundled.degrade import correlated_noise, noise_kernel
from bundled.movies import MARGIN, draw_movie
from bundled.patches import Sources, draw_clean
from bundled.phases import Loss, Settings, best_device, faster_in_bfloat16, fresh_state
from napari_genrecon.io.publish import publishing
from napari_genrecon.models import find_model, load_network
from napari_genrecon.models.networks.frame_gate import FrameGate
from napari_genrecon.models.runtime import trained_network
from napari_genrecon.numerics.two_way import average, information, variance_left
from napari_genrecon.training.loop.state import State

__all__ = ["Movies", "SequenceRecipe", "load_movies", "loss_of", "new_state", "run_gate"]

_CONTRAST = (3.0, 40.0)  # range of the grey values of a movie, in noise s.d.
_VERSION = 2  # raise it when the simulation changes, so that cached movies of older code are not used
_STATE = 9  # planes
_FLOOR = 0.01  # squared noise s.d.: an error below it is hidden by that of the denoiser
_LEAST = 0.003  # squared noise s.d. of a result; frames that are better weigh no more
_PAST = 0.1  # weight of the error of frames that were fused from the past alone


@dataclass(frozen=True, kw_only=True)
class SequenceRecipe(Settings):
    """Settings of the gate's training; see `Settings`.

    Parameters
    ----------
    frames, movies : int
        Frames of a movie, and movies that are simulated.
    cut : (int, int)
        Frames and px a side of the parts of movies that a step trains on.
    pool : int
        Simulated images of each kind, from which scenes are cut.
    """

    size: int = 4
    patch: int = 64
    rate: float = 2e-3
    warmup: int = 20
    ema: float = 0.99
    frames: int = 12
    movies: int = 480
    cut: tuple[int, int] = (10, 48)
    pool: int = 32


class Movies(NamedTuple):
    """Movies for training, (N, T, Y, X), in noise s.d.; and the correlation of their noise, (N, 2)."""

    clean: Tensor
    noisy: Tensor
    denoised: Tensor
    rho: Tensor


def new_state(recipe: SequenceRecipe, init: Path | None = None) -> State:
    """Return a network with fresh moments on the best device, with the weights `init` or random ones."""
    torch.manual_seed(recipe.seed)
    return fresh_state(FrameGate(), recipe, init)


# --- data ---


def load_movies(recipe: SequenceRecipe, sources: Sources, folder: Path) -> Movies:
    """Simulate the movies and denoise their frames one by one, or read them back from the folder."""
    path = folder / f"movies-v{_VERSION}-{recipe.seed}-{recipe.movies}-{recipe.frames}-{recipe.patch}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        drawn = [_movie(np.random.default_rng([recipe.seed, 7, i]), recipe, sources) for i in range(recipe.movies)]
        arrays = {name: np.stack([one[name] for one in drawn]).astype(np.float32) for name in Movies._fields}
        with publishing(path, overwrite=True) as part, part.open("wb") as file:
            np.savez(file, **arrays)
    with np.load(path) as archive:
        return Movies(*(torch.from_numpy(archive[name]).to(best_device()) for name in Movies._fields))


def _movie(rng: np.random.Generator, recipe: SequenceRecipe, sources: Sources) -> dict[str, np.ndarray]:
    draw = partial(draw_clean, rng, sources, recipe.patch + MARGIN)
    clean = draw_movie(rng, draw, recipe.frames, recipe.patch)
    clean *= np.exp(rng.uniform(*np.log(_CONTRAST)))
    clean -= clean.mean()
    noise, rho = rng.standard_normal(clean.shape), (0.0, 0.0)
    if rng.random() < 0.35:
        kernel = noise_kernel(rng)
        noise = np.stack([correlated_noise(rng, clean.shape[1:], 1.0, kernel) for _ in clean])
        rho = (kernel.rho_x, kernel.rho_y)
    noisy = (clean + noise).astype(np.float32)
    run = load_network(find_model("denoise-2d"), "auto")
    denoised = np.stack([run(frame, 1.0, rho) for frame in noisy])
    return {"clean": clean, "noisy": noisy, "denoised": denoised, "rho": np.array(rho)}


# --- loss ---


def loss_of(recipe: SequenceRecipe, sources: Sources, folder: Path) -> Loss:
    """Return the logarithm of the error of the result, and a little of that of frames fused from the past alone.

    The logarithm is what PSNR measures: a frame of much noise weighs as much as one of little.
    """
    device, movies = best_device(), load_movies(recipe, sources, folder)
    denoiser = trained_network(find_model("auto", "denoise")).to(device).to(memory_format=torch.channels_last).eval()
    denoiser.requires_grad_(False)

    def denoised_error(fused: Tensor, variance: Tensor, clean: Tensor, rho: Tensor) -> Tensor:
        frames, told = fused.shape[1], rho.repeat_interleave(fused.shape[1], dim=0)
        planes = fused.flatten(0, 1)[:, None]  # (B T, 1, Y, X)
        with torch.autocast(device.type, torch.bfloat16, enabled=faster_in_bfloat16(device)):
            result = denoiser(planes, variance.flatten(0, 1)[:, None].sqrt(), told)
        squared = (result.float()[:, 0] - clean.flatten(0, 1)).square().mean(dim=(1, 2))
        return torch.log(squared + _LEAST).view(-1, frames).mean()

    def loss_at(net: nn.Module, step: int, skipped: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([recipe.seed + 1000 * skipped, 8, step])
        clean, noisy, denoised, rho = _draw(rng, movies, recipe.size, *recipe.cut)
        past, both, variance = run_gate(net, noisy, denoised, rho)
        result, fused = denoised_error(both, variance, clean, rho), _error(past - clean)
        return {"loss": result + _PAST * fused, "result": result, "past": fused}

    return loss_at


def _draw(rng: np.random.Generator, movies: Movies, size: int, frames: int, side: int) -> tuple[Tensor, ...]:
    """Draw parts of movies, all turned and mirrored alike; time may run backwards."""
    index = torch.from_numpy(rng.integers(0, len(movies.clean), size))
    turns, mirrored, back = int(rng.integers(4)), rng.random() < 0.5, rng.random() < 0.5
    starts = [int(rng.integers(n - m + 1)) for n, m in zip(movies.clean.shape[1:], (frames, side, side), strict=True)]
    t, y, x = (slice(a, a + n) for a, n in zip(starts, (frames, side, side), strict=True))
    found = [part[index][:, t, y, x] for part in movies[:3]]
    axes = [axis for axis, wanted in ((3, mirrored), (1, back)) if wanted]
    found = [torch.rot90(part.flip(axes) if axes else part, turns, (2, 3)) for part in found]
    rho = movies.rho[index]
    return (*found, rho.flip(1) if turns % 2 else rho)


def run_gate(net: nn.Module, noisy: Tensor, denoised: Tensor, rho: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fuse movies (B, T, Y, X): from the past alone, and from both sides, with the variance of that."""
    ahead, back = (_one_way(net, noisy, denoised, rho, backwards=way) for way in (False, True))
    past, both, variance = [], [], []
    for t, (state, *earlier) in enumerate(ahead):
        past.append(state[:, :1])
        sides = [(side, information(share)) for side, share in (earlier, back[t][1:]) if share is not None]
        known = [weight for _, weight in sides]
        both.append(average(noisy[:, t : t + 1], [side[:, :1] for side, _ in sides], known))
        variance.append(torch.ones_like(both[-1]) * variance_left([side[:, 1:2] for side, _ in sides], known))
    return torch.cat(past, dim=1), torch.cat(both, dim=1), torch.cat(variance, dim=1)


def _one_way(
    net: nn.Module, noisy: Tensor, denoised: Tensor, rho: Tensor, *, backwards: bool
) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    """Return for every frame the state after it, the state before it, and the share of that; None at the first."""
    order = range(noisy.shape[1])
    found: list[tuple[Tensor, Tensor, Tensor | None]] = []
    for t in reversed(order) if backwards else order:
        frame, clean = noisy[:, t : t + 1], denoised[:, t : t + 1]
        if not found:
            blank = torch.zeros_like(frame).expand(-1, _STATE - 3, -1, -1)
            state = torch.cat([frame, torch.ones_like(frame), clean, blank], dim=1)
            found.append((state, state, None))
            continue
        before = found[-1][0]
        after = net(torch.cat([frame, clean, before], dim=1), rho)
        found.append((after[:, :_STATE], before, after[:, _STATE : _STATE + 1]))
    return found[::-1] if backwards else found


def _error(error: Tensor) -> Tensor:
    """Return the mean root of the frames' squared errors: in between their sum, and a decibel counting the same."""
    profile = torch.exp(-0.5 * (torch.arange(-3, 4, device=error.device) / 1.1) ** 2)
    kernel = (profile[:, None] * profile / profile.sum() ** 2)[None, None]
    flat = error.reshape(-1, 1, *error.shape[2:])
    smooth = F.conv2d(F.pad(flat, (3,) * 4, mode="replicate"), kernel)
    return torch.sqrt(_FLOOR + smooth.square().mean(dim=(1, 2, 3)) + 0.15 * flat.square().mean(dim=(1, 2, 3))).mean()
