"""Give classes to objects one by one: where each stands, and which to label next."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.run import Progress
from napari_genrecon.recognition.saved import ObjectClassifier
from napari_genrecon.recognition.suggest import map_of, rank_to_label, representatives
from napari_genrecon.tasks.classify.describe import Described, describe_images_steps

__all__ = ["Labelling", "labelling_steps"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelling:
    """Described objects, ready to be labelled.

    Attributes
    ----------
    objects : Described
        The objects.
    places : (N, D) ndarray
        The objects on a map on which like lies beside like.
    first : (R,) ndarray of int
        Rows of the objects that stand for all kinds.
    """

    objects: Described
    places: NDArray[np.float64]
    first: NDArray[np.int64]

    def given(self, classes: Mapping[tuple[int, int], int]) -> NDArray[np.int64]:
        """Return the class of each object from those given by (image, label); -1 for all others."""
        # Labels are unique within an image only.
        keys = zip(self.objects.image.tolist(), self.objects.label.tolist(), strict=True)
        return np.array([classes.get(key, -1) for key in keys], np.int64)

    def next(self, classes: Mapping[tuple[int, int], int], margin: NDArray[np.float64] | None) -> int | None:
        """Return the row of the object that is most useful to label next; None if all are labelled."""
        ranked = rank_to_label(self.first, self.places, self.given(classes), margin)
        return int(ranked[0]) if len(ranked) else None


def labelling_steps(
    images: Sequence[Any], *, model: ObjectClassifier | None = None, **where: Any
) -> Generator[Progress, None, Labelling]:
    """Describe the objects of images, see `describe_images_steps`, and find those that stand for all kinds."""
    objects = yield from describe_images_steps(images, model=model, **where)
    yield Progress(len(objects), len(objects), "comparing the objects")
    # The map does not depend on classes: it is made once, and every new label only ranks anew.
    places = map_of(objects.blocks)
    return Labelling(objects=objects, places=places, first=representatives(places))
