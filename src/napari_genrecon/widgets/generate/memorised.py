"""Compare samples with the crops that a model was trained on, and say whether they are new."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.checks.memorisation import Memorisation, check_memorisation
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError, OptionError
from napari_genrecon.models.card import ModelCard
from napari_genrecon.tasks.sample import SampleOptions, sample_steps
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.runs.store import find_runs

__all__ = ["STRANGE", "check_steps", "pairs", "verdict", "with_channels"]

STRANGE = 1.5
"""Ratio of distances above which samples do not look like data: half as far again as held-out crops are."""


def check_steps(
    card: ModelCard, options: SampleOptions, made: NDArray[Any] | None
) -> Generator[Progress, None, tuple[NDArray[Any], Dataset, Memorisation]]:
    """Compare samples with the crops the model was trained on; make samples if none are given.

    Raises
    ------
    OptionError
        If those crops are not on this computer.
    """
    yield Progress(0, 0, "Looking for the crops it was trained on")
    crops = _training_crops(card)
    samples = made if made is not None else (yield from sample_steps(options)).data
    yield Progress(0, 0, f"Comparing {len(samples)} samples with {len(crops.training)} crops")
    return samples, crops, check_memorisation(with_channels(samples, card), crops.training, crops.testing)


def _training_crops(card: ModelCard) -> Dataset:
    """Return the crops that a model was trained on, from the run that made it.

    Raises
    ------
    OptionError
        If they are not there.
    """
    runs = find_runs()
    # The run that made the model comes first; another one may have been given the same crops.
    for run in [*(r for r in runs if r.model() == card.name), *(r for r in runs if r.model() != card.name)]:
        try:
            crops = run.crops()
        except GenReconError:  # deleted or damaged crops cannot be compared
            continue
        # A name can be used again for a model of other crops, a fingerprint not.
        if crops.fingerprint == card.data:
            return crops
    raise OptionError(
        f"the crops that '{card.name}' was trained on are not on this computer, so its samples cannot be compared with "
        "them: this check is for models that you trained here and whose run you kept"
    )


def verdict(found: Memorisation) -> str:
    """Return the result of a check in words."""
    median = float(np.median(found.ratio))
    if found.warning:
        # `capitalize` would turn all other letters into small ones.
        first = f"{found.warning[:1].upper()}{found.warning[1:]}."
    else:
        first = (
            f"No sign of copying. {100 * found.copies:.0f} % of {len(found.ratio)} samples are very near to "
            "a training crop (of real cells it would be 1 %)."
        )
    second = f"The median sample is {median:.2f} times as far from its nearest training crop as real held-out crops are"
    return f"{first} {second}{'; it may not look like a cell yet: train for longer.' if median > STRANGE else '.'}"


def pairs(samples: NDArray[Any], crops: Dataset, found: Memorisation) -> NDArray[np.float32]:
    """Return (N, C, Y, 2 X + 1) pictures: each sample, a dark line, its nearest training crop."""
    left = np.asarray(samples, np.float32).reshape(len(samples), *crops.x.shape[1:])  # (N, C, Y, X)
    right = crops.training[found.nearest].astype(np.float32)
    # (N, C, Y, 1), as dark as the lower end of each channel's range.
    floor = np.broadcast_to(np.asarray(crops.low, np.float32)[None, :, None, None], (*left.shape[:3], 1))
    return np.concatenate([left, floor, right], axis=-1)


def with_channels(pictures: NDArray[Any], card: ModelCard) -> NDArray[Any]:
    """Return the pictures of a model with a channel axis: (N, C, Y, X)."""
    return pictures if card.channels > 1 else pictures[:, None]
