"""The recipe image to image: learn any image from others of the same place, from pairs.

Sharp images from blurred ones, one stain from others, fluorescence from transmitted light: several channels in, several
out, in the grey values of the targets; plane by plane, or in three dimensions from blocks of stacks. After Weigert et
al., "Content-aware image restoration" (Nature Methods 15, 2018), and Ounkomol et al., "Label-free prediction of
three-dimensional fluorescence images" (Nature Methods 15, 2018). The network begins as the best mixture of the
channels, pixel by pixel, and is judged beside it on held-out pairs.

torch is imported inside the functions, so that reading the options does not load it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.models import ModelCard, find_model
from napari_genrecon.options import hints_of
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.training.recipe import Curves, Recipe, Score, one_loss
from napari_genrecon.training.recipes.restoration import (
    RestorationOptions,
    held_out_gain,
    judged_crops,
    lively_crops,
    plain_model,
    plain_state,
    squared_error,
    squares,
    tiled_like,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_genrecon.models.runtime import Model
    from napari_genrecon.training.data.pairs import PairBatches

__all__ = ["RECIPE", "Image2ImageOptions"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Image2ImageOptions(RestorationOptions):
    """Options of image to image; see `TrainOptions`."""

    recipe = "image2image"

    minutes: Annotated[
        float, {"min": 0.1, "max": 100_000.0, "tooltip": "How long to train: more is better, less and less so"}
    ] = 10.0


# --- before and while it trains ---


def _card(card: ModelCard, dataset: Dataset) -> ModelCard:
    """Complete the card with what the engine needs to know, and with the mixture of the channels."""
    start = find_model("auto", "denoise")
    card = tiled_like(card, start)
    if dataset.depth:
        from napari_genrecon.models.networks.volume_unet import VolumeUNet

        card = replace(card, halo=card.halo._replace(z=VolumeUNet.REACH), work=VolumeUNet.COST * card.work)
    return replace(
        card,
        calibration={"start": start.name, "start_sha256": start.sha256, "mixture": _mixture(dataset).tolist()},
    )


def _network(card: ModelCard, options: Image2ImageOptions) -> nn.Module:
    import torch

    from napari_genrecon.models.runtime import build_network, read_weights

    network: Any = build_network(card)
    # From the card, because a recipe's `network` does not get the dataset.
    network.start_from(read_weights(find_model("auto", "denoise")), torch.tensor(card.calibration["mixture"]))
    return network


def _batches(dataset: Dataset, options: Image2ImageOptions, card: ModelCard, device: torch.device) -> PairBatches:
    from napari_genrecon.training.data.pairs import PairBatches, untold

    x, targets = _scaled(dataset, np.arange(len(dataset)))
    if dataset.depth:  # as many pixels in a step as of planes, or few more: steps are what it learns by
        least = hints_of(type(options))["batch"].__metadata__[0]["min"]
        options = replace(options, batch=max(least, options.batch // dataset.depth))
    return PairBatches(replace(untold(dataset), x=x, targets=targets), options, card, device)


def _scaled(dataset: Dataset, chosen: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return images and targets (N, C, ...) of which the range over the training is -1 to 1; nothing is cut off."""
    assert dataset.targets is not None
    wanted = dataset.measured["targets"]
    return (
        _on_range(dataset.x[chosen], dataset.low, dataset.high),
        _on_range(dataset.targets[chosen], wanted["low"], wanted["high"]),
    )


def _on_range(x: NDArray[Any], low: Any, high: Any) -> NDArray[np.float32]:
    # One value per channel, (C, 1, ...), in float64: grey values of 32 bits would lose digits.
    a, b = (np.asarray(ends, np.float64).reshape(-1, *(1,) * (x.ndim - 2)) for ends in (low, high))
    return np.asarray((2 * (x - a) / (b - a) - 1).astype(np.float32))


def _mixture(dataset: Dataset) -> NDArray[np.float64]:
    """Return the weights (outputs, C + 1) of the channels and of 1 that are nearest to the targets of the training."""
    # The normal equations, summed crop by crop: those of all pixels at once would not fit into the memory.
    squares: NDArray[np.float64] | float = 0.0
    products: NDArray[np.float64] | float = 0.0
    for index in np.flatnonzero(~dataset.held_out):
        # (channels, pixels): every pixel is one equation.
        a, b = (each[0].reshape(each.shape[1], -1).astype(np.float64) for each in _scaled(dataset, np.array([index])))
        a = np.vstack([a, np.ones(a.shape[1])])
        squares, products = squares + a @ a.T, products + a @ b.T
    return np.asarray(np.linalg.lstsq(squares, products, rcond=None)[0].T)


# --- judge it ---


def _score(model: Model, dataset: Dataset) -> Score:
    """Compare the network with the mixture of the channels, on held-out pairs."""
    x, targets, mixed = _judged(dataset)
    made = model(x)
    errors = [_errors(each - targets) for each in (mixed, made)]
    # The noise of the targets is not known here, and stays in both errors: a gain is told too small.
    gain, (low, high) = held_out_gain(errors[0], errors[1], np.zeros(len(errors[0])))
    alike = [_correlation(made[:, channel], targets[:, channel]) for channel in range(targets.shape[1])]
    said = f"{gain:+.2f} dB ({low:+.2f} to {high:+.2f}) over the best mixture of the channels on held-out crops"
    each = ", ".join(f"{value:.2f}" for value in alike)
    card: dict[str, Any] = {
        "calibration": {**model.card.calibration, "gain_db": gain, "gain_95": [low, high], "correlation": alike},
        "summary": f"Trained on {model.card.n_train} pairs of crops of your images: {said}; correlation with the "
        f"targets {each}",
        "warnings": [f"no better than a mixture of the channels: {said}. Train longer, or on more pairs"]
        if low <= 0
        else [],
    }
    # Ranked by the error and not by the gain: the mixture is the same at every score.
    return Score(value=float(errors[1].mean()), shown={"gain": gain, "correlation": float(np.mean(alike))}, card=card)


def _errors(difference: Floats) -> Floats:
    """Return the mean squares of all squares of (N, C, ...) differences; those of blocks reach through all planes."""
    planes = difference.shape[2] if difference.ndim == 5 else 1
    # Channels and planes become items, (N * C * Z, 1, Y, X), as `squares` takes one channel.
    flat = squares(difference.reshape(-1, 1, *difference.shape[-2:]))
    # (N, C, Z, squares): planes of a block show the same structures, and count as one observation together.
    return np.asarray(flat.reshape(*difference.shape[:2], planes, -1).mean(axis=2).ravel())


@lru_cache(maxsize=1)
def _judged(dataset: Dataset) -> tuple[Floats, Floats, Floats]:
    """Return held-out images, their targets, and what the mixture makes of them."""
    x, targets = _scaled(dataset, judged_crops(dataset))
    mix = _mixture(dataset)
    mixed = np.einsum("oc,nc...->no...", mix[:, :-1], x) + mix[:, -1].reshape(-1, *(1,) * (x.ndim - 2))
    return x, targets, mixed


def _correlation(made: Floats, targets: Floats) -> float:
    # The correlation of a constant is not defined: NumPy would warn and give NaN.
    if not made.std() or not targets.std():
        return 0.0
    return float(np.corrcoef(made.ravel(), targets.ravel())[0, 1])


def _preview(model: Model, dataset: Dataset) -> NDArray[np.float32]:
    """Return rows of the first channels of a held-out image, of its target and of what is made of it.

    For blocks, these are the middle planes.
    """
    x, targets, _ = _judged(dataset)
    lively = lively_crops(targets[:, :1])
    made = model(np.ascontiguousarray(x[lively]))
    first = [each[:, 0] for each in (x[lively], targets[lively], made)]
    planes = [each[:, each.shape[1] // 2] if each.ndim == 4 else each for each in first]
    rows = np.stack(planes, axis=1)  # (N, 3, Y, X)
    return rows.reshape(-1, 1, *rows.shape[-2:]).astype(np.float32)


RECIPE = Recipe(
    name="image2image",
    label="Image to image",
    title="Image to image: make another stain, or sharper images, from pairs",
    paper="Ounkomol et al. 2018, doi:10.1038/s41592-018-0111-2",
    serves="predict",
    needs=("images", "targets"),
    options=Image2ImageOptions,
    rate=2e-3,
    kept="image-unet",
    kept_3d="volume-unet",
    shape=lambda dataset, options: {"outputs": len(dataset.measured["targets"]["low"])},
    network=_network,
    state=plain_state,
    losses=one_loss(squared_error),
    score=_score,
    preview=_preview,
    model=plain_model,
    card=_card,
    batches=_batches,
    crops=CropOptions(size=64, n=4000, held_out=0.2),
    warm_up=10,
    about_data="Images, and the images that are to be made of them, of the same fields in the same order, pixel by "
    "pixel: sharper ones, or another stain. Each may have up to 4 channels. With a depth, stacks are learnt in 3D.",
    caption="Held-out crops: as recorded, as they should become, as the model in training makes them",
    columns=3,
    measures=("gain", "correlation"),
    curves=(
        Curves(title="Gain over a mixture of channels, held-out (dB)", lines={"gain": "gain"}),
        Curves(title="Correlation with held-out targets", lines={"correlation": "correlation"}),
        Curves(title="Squared error in training (targets -1 to 1)", lines={"error": "error"}),
    ),
)
