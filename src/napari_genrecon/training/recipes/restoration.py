"""Functions that the recipes of denoisers share: start from the bundled weights, and keep what held-out data confirm.

Planes are variance-stabilised (noise of s.d. 1), as the denoiser takes them in use. The loss is the mean square error
against the targets; its minimum is the mean of the possible clean values even where targets are noisy themselves, as
long as their noise is independent of that of the input (Lehtinen et al., "Noise2Noise: learning image restoration
without clean data", ICML 2018). The learnt weights are mixed with those at the start as far as held-out planes say
(Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022), and given up if they are not better.

torch is imported inside the functions, so that reading the options does not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import OptionError
from napari_genrecon.models import ModelCard, find_model
from napari_genrecon.noise.blocks import FEWEST, SIZE
from napari_genrecon.normal import DRAWS
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.recipe import Curves, Recipe, Score, one_loss
from napari_genrecon.training.recipes.pictures import some

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from napari_genrecon.models.runtime import Model
    from napari_genrecon.training.data.pairs import PairBatches
    from napari_genrecon.training.loop.loop import State

__all__ = [
    "RestorationOptions",
    "Trial",
    "denoised",
    "held_out_gain",
    "judge",
    "judged_crops",
    "lively_crops",
    "plain_model",
    "plain_state",
    "restoration",
    "squared_error",
    "squares",
    "start_model",
    "tiled_like",
]

Floats = NDArray[np.floating[Any]]

_TASK = "denoise"
_JUDGED = 48  # held-out crops that are compared: about 2 s on one core of a laptop
_INTERVAL = (2.5, 97.5)  # percentiles: the ends of a 95 % interval


@dataclass(frozen=True, kw_only=True)
class RestorationOptions(TrainOptions):
    """Options of the training of a denoiser; see `TrainOptions`."""

    minutes: Annotated[
        float,
        {
            "min": 0.1,
            "max": 100_000.0,
            "tooltip": "How long to train: more is better, less and less so. It can be stopped and gone on with",
        },
    ] = 3.0
    batch: Annotated[
        int,
        {
            "min": 2,
            "max": 4096,
            "advanced": True,
            "tooltip": "Crops that are looked at in each step: more is steadier and takes more memory and time",
        },
    ] = 8

    def __post_init__(self) -> None:
        TrainOptions.__post_init__(self)
        # Brightness would change the strength of the noise, which is told; bending would smooth its grain.
        for name in ("intensity", "elastic"):
            if getattr(self, name):
                raise OptionError(
                    f"{name} must be 0 for a denoiser, got {getattr(self, name):g}: images and targets are trained on "
                    "as they are, else noise and structure would no longer be those of the microscope"
                )


def restoration(
    name: str, *, label: str, title: str, paper: str, needs: tuple[str, ...], about_data: str, options: type
) -> Recipe:
    """Return a recipe that fine-tunes the bundled denoiser on pairs of planes."""
    return Recipe(
        name=name,
        label=label,
        title=title,
        paper=paper,
        serves=_TASK,
        needs=needs,
        options=options,
        rate=1e-4,  # 3e-4 gains more on noise that was measured wrongly, and loses on white noise
        kept="grain-unet",
        network=_network,
        state=plain_state,
        losses=one_loss(squared_error),
        score=_score,
        preview=_preview,
        model=plain_model,
        card=_card,
        batches=_batches,
        stabilised=True,
        crops=CropOptions(size=64, n=4000, held_out=0.2),
        warm_up=10,
        about_data=about_data,
        caption="Held-out crops: as recorded, with the bundled model, with the model in training",
        columns=3,
        measures=("gain",),
        curves=(
            Curves(title="Gain over the bundled model, held-out (dB)", lines={"gain": "gain"}),
            Curves(title="Squared error in training (noise s.d. 1)", lines={"error": "error"}),
        ),
    )


# --- before and while it trains ---


def _card(card: ModelCard, dataset: Dataset) -> ModelCard:
    """Complete the card with what the engine needs to know, which is that of the model at the start."""
    start = find_model("auto", _TASK)
    return replace(
        tiled_like(card, start),
        told=start.told,
        tile_pixels=start.tile_pixels,
        calibration={"start": start.name, "start_sha256": start.sha256, "data": dict(dataset.measured)},
    )


def tiled_like(card: ModelCard, start: ModelCard) -> ModelCard:
    """Return the card of a network that is tiled, and costs, as another."""
    return replace(card, halo=start.halo, stride=start.stride, bytes_per_pixel=start.bytes_per_pixel, work=start.work)


def _network(card: ModelCard, options: TrainOptions) -> nn.Module:
    from napari_genrecon.models.runtime import trained_network

    # The bundled weights, not those of `build_network`: a training of minutes only adapts them.
    return trained_network(find_model("auto", _TASK))


def plain_state(network: nn.Module, options: TrainOptions) -> State:
    """Return a network with fresh moments."""
    from napari_genrecon.training.loop.muon import Muon
    from napari_genrecon.training.loop.state import State

    return State(network, Muon(network.parameters()))


def _batches(dataset: Dataset, options: TrainOptions, card: ModelCard, device: torch.device) -> PairBatches:
    from napari_genrecon.training.data.pairs import PairBatches

    return PairBatches(dataset, options, card, device)


def squared_error(made: Callable[..., Tensor], x: Tensor, targets: Tensor, told: Tensor) -> Tensor:
    """Return the mean square error against the targets, as they are scaled."""
    # Strength and correlations of the noise; a network of `untold` crops takes its input alone.
    estimate = made(x, told[:, 0], told[:, 1:]) if told.shape[1] else made(x)
    return (estimate - targets).square().mean()


def plain_model(card: ModelCard, network: nn.Module, device: str) -> Model:
    from napari_genrecon.models.runtime import Model

    return Model(card, device, network=network)


# --- judge it ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What models are compared by on held-out crops.

    Attributes
    ----------
    results : callable
        ``results(model)``: what a model makes of them.
    start, targets : (N, 1, Y, X) ndarray
        What the bundled model makes of them, and what is right; as `results` returns it.
    noise : (N,) ndarray or float
        Variance of the noise of the targets in all `squares`; 0 leaves it in both errors.
    judged : int
        Number of the crops.
    where : str
        On what the gain was measured, in words.
    caution : str
        What a user of the model must know of this comparison, if anything.
    """

    results: Callable[[Model], Floats]
    start: Floats
    targets: Floats
    noise: Floats | float
    judged: int
    where: str = "on held-out crops"
    caution: str = ""


def _score(model: Model, dataset: Dataset) -> Score:
    held = judged_crops(dataset)
    x, targets = dataset.x[held], _targets(dataset)[held]
    # A target that is the mean of F frames has 1/F of the variance v of the noise of x. Their difference has v + v/F,
    # which is F + 1 times that of the target. Targets that are clean have no noise to count.
    frames = int(dataset.measured.get("frames", 0))
    trial = Trial(
        results=lambda one: _of_crops(one, dataset, held),
        start=_at_start(dataset, model.device),
        targets=targets,
        noise=squares(x - targets) / (frames + 1) if frames else 0.0,
        judged=len(held),
    )
    return judge(model, trial)


def judge(model: Model, trial: Trial) -> Score:
    """Mix the weights with those at the start as far as held-out crops say, and compare both on these."""
    start = find_model("auto", _TASK)
    # One number, fitted to the very crops that are judged: with so many pixels, chance has little part in it.
    share = _best_share(trial.start, trial.results(model), trial.targets)
    weights = _mixed(_start_weights(model.device), model.weights(), share)
    # Measured again with the mixed weights: that results mix as weights do is an approximation.
    kept = trial.results(_with(model, weights)) if share else trial.start
    errors = [squares(each - trial.targets) for each in (trial.start, kept)]
    gain, (low, high) = held_out_gain(errors[0], errors[1], np.broadcast_to(trial.noise, errors[0].shape))
    # The whole interval must lie above 0: a gain that chance explains is given up.
    better = bool(share) and low > 0
    found = {"gain_db": gain, "gain_95": [low, high], "share": share if better else 0.0, "judged": trial.judged}
    said = f"{gain:+.2f} dB ({low:+.2f} to {high:+.2f}) over {start.name} {trial.where}"
    # Whether weights are safe in bfloat16 was measured of those at the start only.
    card: dict[str, Any] = {
        "calibration": {**model.card.calibration, **found},
        "bfloat16": 0.0 if better else start.bfloat16,
    }
    if better:
        card["summary"] = f"Trained on {model.card.n_train} crops of your images: {said}"
        card["warnings"] = [trial.caution] if trial.caution else []
        return Score(value=float(errors[1].mean()), shown={"gain": gain}, card=card, weights=weights)
    card["summary"] = f"Not better than {start.name}, whose weights it has"
    card["warnings"] = [f"not better than the bundled model, which is kept: {said}. This model gives the same pixels"]
    # The card, the score and the weights are those of the bundled model; the gain that was refused is only shown.
    return Score(value=float(errors[0].mean()), shown={"gain": gain}, card=card, weights=_start_weights(model.device))


def squares(difference: Floats) -> Floats:
    """Return the mean squares (M,) of all squares of `noise.blocks.SIZE` pixels of (N, 1, Y, X) differences.

    Structure and noise reach less far, so that squares can be resampled.
    """
    n, _, height, width = difference.shape
    rows, columns = height // SIZE, width // SIZE
    cut = difference[..., : rows * SIZE, : columns * SIZE].astype(np.float64)
    # (N, rows, pixel, columns, pixel) to (N * rows * columns,)
    return np.asarray(np.mean(cut.reshape(n, rows, SIZE, columns, SIZE) ** 2, axis=(2, 4)).ravel())


def held_out_gain(start: Floats, kept: Floats, noise: Floats) -> tuple[float, tuple[float, float]]:
    """Return by how many dB an error has fallen, with the 95 % interval of a bootstrap over squares.

    Parameters
    ----------
    start, kept : (N,) ndarray
        Mean square errors of squares against their targets, before and after.
    noise : (N,) ndarray
        Variance of the noise of the targets there, which is part of both errors.

    Examples
    --------
    >>> gain, interval = held_out_gain(np.full(9, 1.1), np.full(9, 1.05), np.ones(9))
    >>> round(gain, 2), round(interval[0], 2)
    (3.01, 3.01)
    """
    # The same draws at every score: the interval changes only if the errors do.
    rng = np.random.default_rng(0)
    # Before, after and noise are drawn together: where a square is hard for one model, it is hard for the other.
    drawn = rng.integers(0, len(start), (DRAWS, len(start)))
    low, high = np.percentile(_decibels(start[drawn], kept[drawn], noise[drawn]), _INTERVAL)
    return float(_decibels(start, kept, noise)), (float(low), float(high))


def _decibels(start: Floats, kept: Floats, noise: Floats) -> Floats:
    before, after = start.mean(-1), kept.mean(-1)
    # Where the noise of the targets is overestimated, as when things move, a hundredth of the error is left at least.
    floor = np.minimum(noise.mean(-1), 0.99 * np.minimum(before, after))
    return np.asarray(10 * np.log10((before - floor) / (after - floor)))


def _best_share(start: Floats, learnt: Floats, targets: Floats) -> float:
    """Return the share of the learnt weights at which the error is least, if results mix as weights do."""
    # Least squares in one unknown: the share s at which start + s * step is nearest to the targets.
    step = (learnt - start).astype(np.float64)
    length = float(np.sum(step * step))
    share = float(np.sum(step * (targets - start))) / length if length else 0.0
    # Never beyond the learnt weights, where nothing was trained.
    return min(max(share, 0.0), 1.0)


def judged_crops(dataset: Dataset) -> NDArray[np.intp]:
    """Return the indices of held-out crops that do not overlap, at most `_JUDGED`, spread evenly.

    Blocks are fewer: twice as many pixels as of planes at most, unless that were too few to tell anything.
    """
    held = np.flatnonzero(dataset.held_out)
    most = max(2 * _JUDGED // dataset.depth, FEWEST) if dataset.depth else _JUDGED
    place = dataset.place[held]
    beside = (place[:, 1:] - place[:, 1:].min(0)) % dataset.size  # those with the same are a multiple of `size` apart
    # The largest of the sets of crops that do not overlap; crops at random positions all have sets of their own.
    _, grid, counts = np.unique(beside, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(some(held[grid.ravel() == counts.argmax()], most))


def _targets(dataset: Dataset) -> NDArray[Any]:
    assert dataset.targets is not None
    return dataset.targets


def denoised(model: Model, x: NDArray[np.float32], told: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the results (N, 1, Y, X) of a model for some crops, with what it is told of each."""
    # One call for each crop, since each is told its own noise.
    return np.stack([model(plane, each[0], each[1:]) for plane, each in zip(x[:, 0], told, strict=True)])[:, None]


def _of_crops(model: Model, dataset: Dataset, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    assert dataset.told is not None
    return denoised(model, dataset.x[chosen], dataset.told[chosen])


@lru_cache(maxsize=1)
def _at_start(dataset: Dataset, device: str) -> NDArray[np.float32]:
    """Return what the bundled model makes of the judged crops."""
    return _of_crops(start_model(device), dataset, judged_crops(dataset))


def start_model(device: str) -> Model:
    from napari_genrecon.models.runtime import load_network

    return load_network(find_model("auto", _TASK), device)


def _start_weights(device: str) -> dict[str, NDArray[Any]]:
    return start_model(device).weights()


def _mixed(
    start: Mapping[str, NDArray[Any]], learnt: Mapping[str, NDArray[Any]], share: float
) -> dict[str, NDArray[Any]]:
    return {name: ((1 - share) * weight + share * learnt[name]).astype(weight.dtype) for name, weight in start.items()}


def _with(model: Model, weights: Mapping[str, NDArray[Any]]) -> Model:
    """Return a model of the same card with other weights."""
    import torch

    from napari_genrecon.models.runtime import build_network

    # A new network: that of `model` may still be needed with its own weights.
    network = build_network(model.card)
    network.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
    return plain_model(model.card, network, model.device)


def lively_crops(targets: Floats) -> NDArray[np.intp]:
    """Return the four crops (N, C, ...) with most contrast, for a preview."""
    # Stable, so that the preview shows the same crops every time.
    return np.argsort(-targets.reshape(len(targets), -1).std(axis=1), kind="stable")[:4]


def _preview(model: Model, dataset: Dataset) -> NDArray[np.float32]:
    """Return rows of a held-out crop as it is, with the bundled model and with this one."""
    held, start = judged_crops(dataset), _at_start(dataset, model.device)
    lively = lively_crops(start)
    now = _of_crops(model, dataset, held[lively])
    rows = np.stack([dataset.x[held[lively]], start[lively], now], axis=1)  # (N, 3, 1, Y, X)
    return rows.reshape(-1, 1, *rows.shape[-2:]).astype(np.float32)
