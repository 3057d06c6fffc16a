"""Classify the objects of images, or whole images, from few examples or with a saved model.

Classifying gives a table and not an image, so it is not one of `TASKS` but a public function and a command of its own.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.arrays import ImageLayer, ImageLike
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.plural import number_of
from napari_genrecon.recognition.saved import load_classifier
from napari_genrecon.tasks.classify.describe import Described, describe_images_steps
from napari_genrecon.tasks.classify.options import ClassifyOptions
from napari_genrecon.tasks.classify.result import Classification, learn_steps, predict_steps
from napari_genrecon.tasks.given import given_image, given_mask, given_points

__all__ = ["Classes", "ClassifyOptions", "classify", "classify_steps"]

Classes = Mapping[int, str] | str
"""Class of some objects of an image by their labels, or one for all its objects."""

Objects = ImageLike | Sequence[ImageLike]
Points = ArrayLike | ImageLayer | Sequence[ArrayLike | ImageLayer]


def classify(
    images: ImageLike | Sequence[ImageLike],
    labels: Objects | None = None,
    classes: Classes | Sequence[Classes | None] | None = None,
    *,
    points: Points | None = None,
    model: str | os.PathLike[str] | None = None,
    size: int | None = None,
    axes: str | Sequence[str] | None = None,
    pixel_size: tuple[float, float] | None = None,
    units: tuple[str, str] | None = None,
    channel_names: Sequence[str] = (),
    network: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> Classification:
    """Sort objects into classes, from a few examples of each or with a saved model.

    Each object is described by the feature maps of the bundled denoiser over 8 turned and mirrored views, its outline,
    its texture and its grey values. A logistic regression learns from each of these, and cross-validation decides how
    much each counts. Nothing is downloaded, and no GPU is needed.

    Parameters
    ----------
    images : (..., Y, X) array_like, an image layer of napari, or a list of them
        Images with the same channels.
    labels : (..., Y, X) array_like of int, a Labels layer, or one per image
        Objects, numbered from 1, in the image's dimensions but for the channels. Of an object on several planes (Z),
        the plane counts on which it is largest.
    classes : mapping of int to str, or one per image
        Class of some objects by their labels, such as ``{3: "single", 8: "clump"}``; a text is the class of all objects
        of its image. At least two of each class. Points are numbered from 1, in order.
    points : (N, D) array_like, a Points layer, or one per image
        Centres of the objects in pixels, instead of labels. Without labels and points, each plane is an object.
        Points found in one channel, as `detect` writes them, are places in all channels.
    model : str or path-like, optional
        A model that `Classification.save` kept, instead of `classes`.
    size : int, optional
        Side in pixels of the crop around each object; by default a third more than 19 of 20 labelled objects need, and
        64 around points.
    axes : str, or one per image
        One letter per dimension, such as ``"CYX"``; inferred from the shape if not given.
    pixel_size, units : (float, float), (str, str)
        Pixel size and its units along Y and X, by default those of the image layer. A model that is used on another
        pixel size cuts its crops accordingly.
    channel_names : sequence of str
        Names of the channels, by which a model tells that they are others.
    network : bool
        Also train a small network on pictures of the labelled objects, which takes a minute or more. It is kept only
        where, pooled with the features, it tells objects of other folds more surely. Needs 10 labels of each class.
    seed : int
        Seed of the split for cross-validation.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Returns
    -------
    Classification
        Class, probability and margin of every object; with `classes`, also the out-of-fold confusion matrix and the
        balanced accuracy. ``to_csv`` writes the table, ``save`` keeps the model.

    Raises
    ------
    ImageError
        If labels or points do not fit the image, there is no object, a class is given to a label that does not exist,
        or the model was trained on other channels.
    OptionError
        If fewer than two classes have labels, one has a single one, or an option cannot work.
    UnknownModelError, WeightsError
        If there is no such model, or it cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_genrecon import classify
    >>> labels = np.zeros((64, 64), int)
    >>> for i in range(16):  # bright squares and dim ones
    ...     labels[16 * (i // 4) + 4 :, 16 * (i % 4) + 4 :][:8, :8] = i + 1
    >>> image = np.where(labels % 2, 200, 80) * (labels > 0) + 10
    >>> found = classify(image, labels, {1: "bright", 3: "bright", 2: "dim", 4: "dim"})
    >>> [found.classes[c] for c in found.predicted[4:8]]
    ['bright', 'dim', 'bright', 'dim']
    """
    # An array is one image, whatever its dimensions; only a list or a tuple means several.
    several: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
    letters: list[Any] = list(axes) if isinstance(axes, list | tuple) else [axes] * len(several)
    if len(letters) != len(several):
        raise OptionError(f"{len(letters)} axes were given for {len(several)} images: give one for each, in order")
    given = [given_image(image, wanted) for image, wanted in zip(several, letters, strict=True)]
    size_here, units_here = _scale_of(given[0].layer if given else None)
    options = ClassifyOptions(size=size, network=network, seed=seed, device=device)
    facts = {
        "axes": [image.axes for image in given],
        "labels": _listed(given_mask(labels, ("labels",))), "points": _listed(given_points(points, images)),
        # What is said explicitly counts more than what the layer says.
        "pixel_size": pixel_size or size_here, "units": units or units_here, "channel_names": channel_names,
    }  # fmt: skip
    return finish(classify_steps([image.pixels for image in given], options, classes=classes, model=model, where=facts))


def classify_steps(
    images: Sequence[Any],
    options: ClassifyOptions,
    *,
    classes: Classes | Sequence[Classes | None] | None = None,
    model: str | os.PathLike[str] | None = None,
    where: dict[str, Any] | None = None,
    image_names: Sequence[str] = (),
) -> Generator[Progress, None, Classification]:
    """Run `classify` step by step.

    Parameters
    ----------
    images, options, classes, model
        See `classify`.
    where : dict
        Further keywords of `describe_images_steps`.
    image_names : sequence of str
        Names of the images for the table.

    Yields
    ------
    Progress

    Returns
    -------
    Classification
    """
    if (classes is None) == (model is None):
        raise OptionError("give either classes of some objects to learn from, or a model that was saved")
    known = load_classifier(model) if model is not None else None
    # None infers the axes from the shape.
    where = {"axes": [None] * len(images), **(where or {})}
    objects = yield from describe_images_steps(images, **where, size=options.size, model=known, device=options.device)
    if known is not None:
        return (yield from predict_steps(objects, known, device=options.device, image_names=image_names))
    assert classes is not None
    given, names = given_classes(objects, classes, image_names)
    return (yield from learn_steps(objects, given, names, options, image_names=image_names))


def given_classes(
    objects: Described, classes: Classes | Sequence[Classes | None], image_names: Sequence[str] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the class of each object, -1 for those without, and the names of the classes, sorted.

    Raises
    ------
    ImageError
        If a label does not exist.
    OptionError
        If there is not one entry for each image.
    """
    n = int(objects.image.max()) + 1
    per_image = [classes] if isinstance(classes, Mapping | str) else list(classes)
    if len(per_image) != n:
        raise OptionError(f"classes were given for {len(per_image)} images, and there are {n}: give an entry for each")
    # "" is an object without a class.
    said = [""] * len(objects)
    for index, entry in enumerate(per_image):
        (rows,) = np.nonzero(objects.image == index)
        if isinstance(entry, Mapping):
            _require_labels(entry, objects.label[rows], image_names[index] if image_names else f"image {index + 1}")
        # A table may hold numbers for classes, and blanks around names.
        for row in rows.tolist():
            if entry is not None:
                said[row] = entry if isinstance(entry, str) else str(entry.get(int(objects.label[row]), "")).strip()
    # Sorted, so that the order of the labels does not change the order of the classes.
    names = tuple(sorted(set(said) - {""}))
    return np.array([names.index(name) if name else -1 for name in said], np.int64), names


def _require_labels(entry: Mapping[int, str], labels: NDArray[np.int64], image: str) -> None:
    unknown = sorted(set(map(int, entry)) - set(labels.tolist()))
    if unknown:
        # Of the wrong labels image nearly all labels are unknown: a few show what is meant.
        shown = ", ".join(map(str, unknown[:5])) + (", …" if len(unknown) > 5 else "")
        raise ImageError(
            f"{number_of(len(unknown), 'label that has a class is', 'labels that have a class are')} not in {image} "
            f"({shown}), of {len(entry)}: its labels go from "
            f"{labels.min()} to {labels.max()}; give the labels image that the classes were made with"
        )


def _listed(value: Any) -> list[Any] | None:
    """Return arrays as a list; a single one may itself be written as nested lists."""
    if value is None or (isinstance(value, list | tuple) and value and np.ndim(value[0]) >= 2):
        # A list of arrays is one per image; a list of rows of numbers is a single array.
        return None if value is None else list(value)
    return [value]


def _scale_of(layer: dict[str, Any] | None) -> tuple[tuple[float, float], tuple[str, str]]:
    if layer is None:
        return (1.0, 1.0), ("pixel", "pixel")
    # Layers that are mirrored in napari have negative scales.
    y, x = (abs(float(side)) for side in layer["scale"][-2:])
    units = [str(unit) for unit in layer.get("units", ("pixel", "pixel"))][-2:]
    return (y, x), (units[0], units[1])
