"""The result of `classify`: class, probability and margin of each object, and what cross-validation said."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import OptionError
from napari_genrecon.io.publish import publishing
from napari_genrecon.models import ModelCard, resolve_device
from napari_genrecon.recognition.pictures import Network, pooled
from napari_genrecon.recognition.saved import ObjectClassifier, save_classifier, scores_of
from napari_genrecon.recognition.scores import Scores, score
from napari_genrecon.recognition.stack import Fit, fit_classifier
from napari_genrecon.recognition.suggest import map_of, rank_to_label, representatives
from napari_genrecon.tasks.classify.describe import Described
from napari_genrecon.tasks.classify.network import check_counts, is_better, train_steps
from napari_genrecon.tasks.classify.options import ClassifyOptions
from napari_genrecon.tasks.plan import borrowed

__all__ = ["Classification", "learn_steps", "predict_steps"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Classification:
    """Classes of objects.

    Attributes
    ----------
    objects : Described
        The objects and their features.
    classes : tuple of str
        Names of the K classes.
    given : (N,) ndarray of int
        Class that the user gave, as an index into `classes`; -1 for objects without.
    probabilities : (N, K) ndarray of float
        Probability of each class, as if all classes were equally frequent.
    model : ObjectClassifier
        The classifier; `save` keeps it.
    scores : Scores or None
        Out-of-fold confusion matrix and balanced accuracy; None where a saved model was used.
    image_names : tuple of str
        Names of the images; empty where there are none.
    about_network : str
        Whether the network that was trained was kept, in words; empty where none was.
    """

    objects: Described
    classes: tuple[str, ...]
    given: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    model: ObjectClassifier
    scores: Scores | None
    image_names: tuple[str, ...] = ()
    about_network: str = ""

    def __len__(self) -> int:
        return len(self.objects)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the most probable class of each object."""
        return self.probabilities.argmax(axis=1)

    @property
    def probability(self) -> NDArray[np.float64]:
        """Probability of that class."""
        found: NDArray[np.float64] = self.probabilities.max(axis=1)
        return found

    @property
    def margin(self) -> NDArray[np.float64]:
        """Difference between the two largest probabilities: 0 where two classes are equally likely."""
        ordered = np.sort(self.probabilities, axis=1)
        found: NDArray[np.float64] = ordered[:, -1] - ordered[:, -2]
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about the objects and the network."""
        return (*self.objects.notes, *filter(None, [self.about_network]))

    def to_label_next(self, n: int = 10) -> list[tuple[int, int]]:
        """Return (image, label) of the objects that are most useful to label next."""
        # Made anew from the features: a result that is only read as a table does not pay for it.
        places = map_of(self.objects.blocks)
        ranked = rank_to_label(representatives(places), places, self.given, self.margin)[:n]
        return [(int(self.objects.image[row]), int(self.objects.label[row])) for row in ranked]

    def table(self) -> dict[str, list[Any]]:
        """Return the columns of the result, one row for each object."""
        plane, y, x = self.objects.place.T.tolist()
        given = [self.classes[c] if c >= 0 else "" for c in self.given]
        images = [self.image_names[i] if self.image_names else i for i in self.objects.image.tolist()]
        columns: dict[str, list[Any]] = {"image": images, "label": self.objects.label.tolist()}
        columns |= {"plane": plane, "y": y, "x": x, "given": given}
        columns |= {"class": [self.classes[c] for c in self.predicted]}
        # Digits beyond the sixth only make the table longer.
        columns |= {"probability": np.round(self.probability, 6).tolist(), "margin": np.round(self.margin, 6).tolist()}
        for name, values in zip(self.classes, self.probabilities.T, strict=True):
            columns[f"p {name}"] = np.round(values, 6).tolist()
        return columns

    def to_csv(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the table as CSV, whole or not at all.

        Raises
        ------
        OutputError
            If the file exists or cannot be written.
        """
        # The csv module would end lines as on Windows everywhere.
        columns, text = self.table(), io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        with publishing(Path(path), overwrite=overwrite) as part:
            part.write_text(text.getvalue(), encoding="utf-8")

    def save(self, name: str, *, overwrite: bool = False) -> ModelCard:
        """Keep the model: ``classify(image, labels, model=name)`` uses it on other images.

        Raises
        ------
        WeightsError, OutputError
            If the name is not allowed or taken.
        """
        return save_classifier(self.model, name, overwrite=overwrite)


def learn_steps(
    objects: Described,
    given: NDArray[np.int64],
    classes: Sequence[str],
    options: ClassifyOptions,
    *,
    image_names: Sequence[str] = (),
) -> Generator[Progress, None, Classification]:
    """Train on the labelled objects, and classify all.

    Parameters
    ----------
    objects : Described
        The objects.
    given : (N,) ndarray of int
        Class of each labelled object as an index into `classes`; -1 for all others.
    classes : sequence of str
        Names of the classes.
    options : ClassifyOptions
        Whether to train a network as well, which is kept where it helps; seed of the folds; device.
    image_names : sequence of str
        Names of the images.

    Yields
    ------
    Progress

    Raises
    ------
    OptionError
        If fewer than two classes have labels, one has a single one, or too few for a network.
    """
    yield Progress(len(objects), len(objects), "learning")
    labelled = given >= 0
    y = given[labelled]
    fit = fit_classifier(objects.blocks, given, objects.image, classes, seed=options.seed)
    kept, out_of_fold, about = None, fit.out_of_fold, ""
    if options.network:
        # After the features, which are ready in a moment, and before the training, which takes a minute or more.
        check_counts(y, classes)
        kept, out_of_fold, about = yield from _network_steps(objects, labelled, y, fit, options.device)
    # Of what is kept: with the network pooled in, if it is.
    scores = score(out_of_fold, y, classes, by_image=fit.folds.by_image)
    said = scores_of(scores) | {"shares": fit.shares, "log_loss_alone": fit.alone}
    model = ObjectClassifier(
        classifier=fit.classifier, setting=objects.setting, encoder=objects.encoder, scores=said, n_labels=len(y),
        network=kept,
    )  # fmt: skip
    # Labelled objects are classified as well, by a classifier that has seen them; the scores come from the folds.
    found = yield from predict_steps(objects, model, device=options.device, image_names=image_names)
    return replace(found, given=given, scores=scores, about_network=about)


def _network_steps(
    objects: Described, labelled: NDArray[np.bool_], y: NDArray[np.int64], fit: Fit, device: str
) -> Generator[Progress, None, tuple[Network | None, NDArray[np.float64], str]]:
    """Return a network if it helps, the out-of-fold probabilities with it or without, and what to say of it."""
    # (n, C + 1, S, S), in the order of `y`: pictures come image after image, as the objects do.
    planes = np.concatenate(list(objects.pictures(labelled)))
    # The device is taken for the training only, and given back when it ends or is cancelled.
    with borrowed(resolve_device(device)):
        trained = yield from train_steps(planes, y, len(fit.classifier.classes), fit.folds, device)
    # The network is judged as it would be used: beside the features, and not alone.
    both = pooled(fit.out_of_fold, trained.out_of_fold)
    if is_better(both, fit.out_of_fold, y):
        return trained.network, both, "a network was trained and kept: with it, held-out objects are told more surely"
    about = "a network was trained and not kept: held-out objects are told as surely without it"
    return None, fit.out_of_fold, about


def predict_steps(
    objects: Described, model: ObjectClassifier, *, device: str = "auto", image_names: Sequence[str] = ()
) -> Generator[Progress, None, Classification]:
    """Classify objects with a trained model."""
    # Images are numbered without gaps, as one without an object is refused.
    if image_names and len(image_names) != objects.image.max() + 1:
        raise OptionError(f"{len(image_names)} names were given for {objects.image.max() + 1} images")
    probabilities = model.classifier.probabilities(objects.blocks)
    if model.network is not None:
        with borrowed(resolve_device(device)):
            seen = yield from model.network.probability_steps(objects.pictures(), device)
        probabilities = pooled(probabilities, seen)
    return Classification(
        objects=objects, classes=model.classifier.classes, given=np.full(len(objects), -1),
        probabilities=probabilities, model=model, scores=None, image_names=tuple(image_names),
    )  # fmt: skip
