"""The recipe Noise2Void: learn from single noisy images, by predicting hidden pixels from their neighbours.

Pixels are hidden as in `training.data.blind`. How well a network predicts them does not tell how well it denoises in
use, where it sees every pixel: it learns to pass over the pixel itself, so that its error in use can rise while that of
the prediction falls. Models are therefore judged in use, on recorrupted crops: inputs with noise added, and targets
with noise taken away, so that for Gaussian noise of the measured strength and correlation the two are independent (Pang
et al., "Recorrupted-to-Recorrupted: unsupervised deep learning for image denoising", CVPR 2021).

torch is imported inside the functions, so that reading the options does not load it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.models import ModelCard
from napari_genrecon.noise.model import ERROR
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.recipe import Score, one_loss
from napari_genrecon.training.recipes.restoration import (
    RestorationOptions,
    Trial,
    denoised,
    judge,
    judged_crops,
    restoration,
    start_model,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from napari_genrecon.models.runtime import Model
    from napari_genrecon.training.data.pairs import BlindBatches

__all__ = ["RECIPE", "Noise2VoidOptions"]

Floats = NDArray[np.floating[Any]]

CAUTION = (
    "no truth is known: the score rests on the noise as it was measured in the same images; compare with the bundled "
    "model on your image"
)
_MORE = 0.5  # s.d. of the noise that is added for judging, in that of the image's: the noise rises by 1 dB
_LEVELS = (1 - 2 * ERROR, 1 + 2 * ERROR)  # of the noise as measured, within which it is almost always


@dataclass(frozen=True, kw_only=True)
class Noise2VoidOptions(RestorationOptions):
    """Options of Noise2Void; see `RestorationOptions`."""

    recipe = "noise2void"


def _batches(dataset: Dataset, options: TrainOptions, card: ModelCard, device: torch.device) -> BlindBatches:
    from napari_genrecon.training.data.pairs import BlindBatches

    return BlindBatches(dataset, options, card, device)


def _error(made: Callable[..., Tensor], hidden: Tensor, x: Tensor, centres: Tensor, told: Tensor) -> Tensor:
    """Return the mean square error of the hidden centres in units of the noise variance."""
    # Only hidden centres count: everywhere else the network sees the noisy pixel that it would have to predict.
    return ((made(hidden, told[:, 0], told[:, 1:]) - x).square() * centres).sum() / centres.sum()


def _score(model: Model, dataset: Dataset) -> Score:
    """Compare both models in use on held-out crops, as if their noise were weaker and stronger; the worse counts."""
    found = [judge(model, _trial(dataset, model.device, level)) for level in _LEVELS]
    # First by the share: a model that one of the two levels refuses is refused.
    worse = min(found, key=lambda one: (one.card["calibration"]["share"], one.shown["gain"]))
    kept = worse.card["calibration"]["share"] > 0
    # The gain ranks, as errors at two levels of noise do not compare. The bundled weights have a gain of 0.
    return replace(worse, value=-worse.shown["gain"] if kept else 0.0)


def _trial(dataset: Dataset, device: str, level: float) -> Trial:
    held = judged_crops(dataset)
    return Trial(
        results=lambda one: _results(one, dataset, level),
        start=_at_start(dataset, device, level),
        targets=_recorrupted(dataset, level)[1],
        # The target is x - z / a with z like the noise of x: its own noise and 1/a^2 of it.
        noise=level**2 * (1 + 1 / _MORE**2),
        judged=len(held),
        where="on held-out crops, by the measured noise",
        caution=CAUTION,
    )


@lru_cache(maxsize=len(_LEVELS))
def _recorrupted(dataset: Dataset, level: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return inputs and targets (N, 1, Y, X) of the judged crops, independent if the noise has this s.d."""
    assert dataset.told is not None
    # The same added noise at every score, so that scores compare.
    held, rng = judged_crops(dataset), np.random.default_rng(0)
    x, told = dataset.x[held], dataset.told[held, 1:]
    # (N, 2): of all told lags, the first one along x and along y.
    rho = told.reshape(len(told), 2, -1)[:, :, 0]
    noise = [_coloured(level * rng.normal(size=plane.shape), *each) for plane, each in zip(x, rho, strict=True)]
    # Pang et al., D = a I: the noise of y + a z and of y - z / a is uncorrelated if z is like that of y.
    return (x + _MORE * np.stack(noise)).astype(np.float32), (x - np.stack(noise) / _MORE).astype(np.float32)


def _results(model: Model, dataset: Dataset, level: float) -> Floats:
    assert dataset.told is not None
    told = dataset.told[judged_crops(dataset)].copy()
    # The input has the noise of the image and the added one: the network is told their sum.
    told[:, 0] *= np.hypot(1, _MORE * level)
    return denoised(model, _recorrupted(dataset, level)[0], told)


@lru_cache(maxsize=len(_LEVELS))
def _at_start(dataset: Dataset, device: str, level: float) -> Floats:
    return _results(start_model(device), dataset, level)


def _coloured(white: Floats, rho_x: float, rho_y: float) -> Floats:
    """Return noise with a Gaussian correlation of these lag-1 values, of s.d. 1."""
    for axis, rho in ((-1, rho_x), (-2, rho_y)):
        n = white.shape[axis]
        # Distances on a circle, as the Fourier transform takes the plane for one period.
        lags = np.minimum(np.arange(n), n - np.arange(n))
        # rho at lag 1 and rho^(k^2) at lag k, a Gaussian; a negative rho alternates in sign.
        covariance = np.sign(rho) ** lags * np.abs(rho) ** (lags.astype(float) ** 2)
        # The transform of a covariance is its power spectrum; rounding, and alternating signs, can make it negative.
        power = np.maximum(np.fft.fft(covariance).real, 0)
        shape = [n if one == axis else 1 for one in (-2, -1)]
        # Divided by its mean, so that the s.d. stays 1.
        white = np.fft.ifft(np.fft.fft(white, axis=axis) * np.sqrt(power / power.mean()).reshape(shape), axis=axis).real
    return white


RECIPE = replace(
    restoration(
        "noise2void",
        label="Noise2Void",
        title="Noise2Void: from noisy images alone, no truth is known",
        paper="Krull et al. 2019, doi:10.1109/CVPR.2019.00223",
        needs=("images",),
        about_data="Noisy images, one of each field, or a movie. Take this only where there are neither repeats nor "
        f"pairs: {CAUTION}.",
        options=Noise2VoidOptions,
    ),
    batches=_batches,
    losses=one_loss(_error),
    score=_score,
)
