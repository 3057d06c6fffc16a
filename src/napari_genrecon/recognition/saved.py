"""Classifiers as model files: the weights, and a card with the classes and what the features were made from."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.errors import ImageError, WeightsError
from napari_genrecon.models import ModelCard, find_model, read_arrays
from napari_genrecon.models.registry import classifier_card, save_own
from napari_genrecon.recognition.features import BLOCKS
from napari_genrecon.recognition.pictures import FEATURES, PICTURES, Network
from napari_genrecon.recognition.scores import Scores
from napari_genrecon.recognition.stack import StackedClassifier

__all__ = ["ObjectClassifier", "Setting", "load_classifier", "save_classifier", "scores_of"]

_NAMES = {"labels": "a labels image", "points": "points", "images": "whole images"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the features of objects are made from.

    Attributes
    ----------
    kind : {"labels", "points", "images"}
        Where the objects come from.
    side : int
        Side of the crops in pixels.
    channels : int
        Number of channels of the image.
    channel_names : tuple of str
        Their names, if known.
    pixel_size, units : tuple
        Pixel size and its units, along Y and X.
    """

    kind: str
    side: int
    channels: int
    channel_names: tuple[str, ...] = ()
    pixel_size: tuple[float, float] = (1.0, 1.0)
    units: tuple[str, str] = ("pixel", "pixel")

    def zoom_to(self, other: Setting) -> float:
        """Return the pixel size of another image in pixels of this one; 1 where one of them is not known."""
        if other.units != self.units or self.units[0] == "pixel":
            return 1.0
        # Pixels are taken as square.
        return other.pixel_size[0] / self.pixel_size[0]

    def require(self, other: Setting, name: str) -> None:
        """Refuse an image that is unlike those a model was trained on.

        Raises
        ------
        ImageError
            If it has other channels or another kind of objects.
        """
        if other.kind != self.kind:
            raise ImageError(
                f"the model {name!r} classifies {_NAMES[self.kind]}, and {_NAMES[other.kind]} were given: give it what "
                "it was trained on"
            )
        if other.channels != self.channels:
            raise ImageError(
                f"the model {name!r} was trained on {self._channels()}, and the image has {other._channels()}: choose "
                "the same channels"
            )
        # Arrays have no names of channels: names count only where both sides have some.
        if any(self.channel_names) and any(other.channel_names) and self.channel_names != other.channel_names:
            raise ImageError(
                f"the model {name!r} was trained on {self._channels()}, and the image has {other._channels()}: give "
                "the same channels in the same order, or rename them"
            )

    def _channels(self) -> str:
        names = f" ({', '.join(self.channel_names)})" if any(self.channel_names) else ""
        return f"{self.channels} channel{'s' if self.channels > 1 else ''}{names}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObjectClassifier:
    """A trained classifier with what it needs to be used on other images.

    Attributes
    ----------
    classifier : StackedClassifier
        The classes and weights.
    setting : Setting
        What its features are made from.
    encoder : ModelCard
        Model whose feature maps it reads.
    scores : dict
        What cross-validation said, as JSON values.
    n_labels : int
        Number of labelled objects.
    card : ModelCard or None
        Card of its file, if it was saved.
    network : Network or None
        A network for pictures of the objects, whose probabilities are pooled with those of the classifier.
    """

    classifier: StackedClassifier
    setting: Setting
    encoder: ModelCard
    scores: dict[str, Any]
    n_labels: int
    card: ModelCard | None = None
    network: Network | None = None


def scores_of(scores: Scores) -> dict[str, Any]:
    """Return scores as JSON values."""
    return {
        "balanced_accuracy": scores.balanced_accuracy,
        "interval": list(scores.interval),
        "calibration_error": scores.calibration_error,
        "confusion": scores.confusion.tolist(),
        "by_image": scores.by_image,
        "rough": scores.rough,
    }


def save_classifier(model: ObjectClassifier, name: str, *, overwrite: bool = False) -> ModelCard:
    """Write a classifier into the models folder.

    Raises
    ------
    WeightsError
        If the name is not allowed.
    OutputError
        If there is a model of this name already, or it cannot be written.
    """
    found, setting = model.classifier, model.setting
    accuracy = 100 * model.scores["balanced_accuracy"]
    card = classifier_card(
        name, len(found.mean), len(found.classes), pictures=model.network is not None,
        summary=f"{len(found.classes)} classes ({', '.join(found.classes)}) from {model.n_labels} labels; balanced "
        f"accuracy {accuracy:.0f} %",
        channels=setting.channels, channel_names=setting.channel_names if any(setting.channel_names) else (),
        pixel_size=setting.pixel_size, units=setting.units, n_train=model.n_labels,
        created=datetime.now(UTC).isoformat(timespec="seconds"), calibration=model.scores,
        options={
            "classes": list(found.classes), "kind": setting.kind, "side": setting.side, "blocks": found.sizes,
            # The same encoder in another version would give other features: loading compares the sum.
            "encoder": model.encoder.name, "encoder_sha256": model.encoder.sha256,
            "sharpness": model.network.sharpness if model.network else 1.0,
        },
    )  # fmt: skip
    tensors = {"mean": found.mean, "scale": found.scale, "weights": found.weights, "bias": found.bias}
    if model.network is not None:
        # Both parts lie in one file: the prefixes keep names that both use apart.
        tensors = {FEATURES + key: value for key, value in tensors.items()}
        tensors |= {PICTURES + key: value for key, value in model.network.weights().items()}
    # safetensors writes the memory of an array as it lies, whatever its strides.
    return save_own(card, {key: np.ascontiguousarray(value) for key, value in tensors.items()}, overwrite=overwrite)


def load_classifier(name: str | os.PathLike[str]) -> ObjectClassifier:
    """Read a classifier that was saved.

    Raises
    ------
    UnknownModelError
        If there is none of this name.
    WeightsError
        If its file is damaged, or was made with another version of the encoder.
    """
    card = find_model(name, "classify")
    options = card.options
    try:
        # The card is text in a file that may come from anywhere: nothing on it is taken for granted.
        classes, sizes = tuple(map(str, options["classes"])), {str(k): int(v) for k, v in options["blocks"].items()}
        setting = Setting(
            kind=str(options["kind"]), side=int(options["side"]), channels=card.channels,
            channel_names=card.channel_names, pixel_size=_pair(card.pixel_size), units=_pair(card.units),
        )  # fmt: skip
        encoder, sha256 = str(options["encoder"]), options["encoder_sha256"]
        # Models saved before there were networks have no such entry.
        sharpness = float(options.get("sharpness", 1.0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{card.path} lacks what a classifier needs on its card ({error}): train it again") from None
    # Checked before use, as numpy would broadcast some wrong shapes without a word.
    fits = len(classes) == card.shape["classes"] and sum(sizes.values()) == card.shape["features"]
    if not fits or not set(sizes) <= set(BLOCKS) or setting.kind not in _NAMES:
        raise WeightsError(f"{card.path}: the classes and features on its card do not fit its weights")
    found = find_model(encoder)
    if found.sha256 != sha256:
        raise WeightsError(
            f"{card.name!r} was trained on features of another version of {encoder!r} than is installed: train it again"
        )
    # The weights of the network stay out: `Network` reads them from the file itself.
    arrays = {key.removeprefix(FEATURES): value for key, value in read_arrays(card).items() if PICTURES not in key}
    # Features are divided by the scales. NaN is not positive either.
    if not (arrays["scale"] > 0).all() or not 0 < sharpness < math.inf:
        raise WeightsError(f"{card.path} holds scales that are not positive: it is damaged")
    classifier = StackedClassifier(classes=classes, sizes={n: sizes[n] for n in BLOCKS if n in sizes}, **arrays)
    return ObjectClassifier(
        classifier=classifier, setting=setting, encoder=found, scores=card.calibration, n_labels=card.n_train,
        card=card,
        # Of the two networks of classifiers only the one with pictures has channels in its shape.
        network=Network(card, Path(card.path).read_bytes(), sharpness) if "channels" in card.about.shape else None,
    )  # fmt: skip


def _pair(values: tuple[Any, ...]) -> tuple[Any, Any]:
    return values[0], values[1]
