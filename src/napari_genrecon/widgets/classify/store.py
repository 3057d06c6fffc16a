"""Classes that the user gave, and results, in the features and the colours of the layers of the objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Labels, Points
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from napari_genrecon.tasks.classify.result import Classification
from napari_genrecon.widgets.classify.classes import COLOURS
from napari_genrecon.widgets.classify.objects import OwnColours, given_names, paint
from napari_genrecon.widgets.layers.features import read_features, write_features

__all__ = ["COLOUR_BY", "GIVEN", "Store"]

GIVEN = "given class"
"""Column of the classes that the user gave."""

COLOUR_BY = ("class", "probability", "margin", "nothing")
"""What objects can be coloured by; with the last they have their own colours."""

_OURS = "genrecon_classify"  # key in the metadata of a layer: the columns that hold our results
_SURE, _GUESSED = 1.0, 0.45  # opacity of classes that were given, and of those that are predicted

Key = tuple[int, int]  # which layer of those chosen, and number of the object


class Store:
    """Given classes by layer and object, kept in the layers' features.

    Parameters
    ----------
    layers : list of Labels or Points
        Layers of the objects, one for each image.

    Attributes
    ----------
    classes : dict
        Number of the class by (number of the layer, number of the object).
    names : list of str
        Names of the classes.
    before : list of (tuple of int, int or None)
        What `undo` takes back, the last one last: objects, and the classes that they had.
    """

    def __init__(self, layers: list[Labels | Points]) -> None:
        self.layers = layers
        self.classes: dict[Key, int] = {}
        self.names: list[str] = []
        self.before: list[tuple[Key, int | None]] = []
        self._own = [OwnColours(layer) for layer in layers]
        self._painted = False

    def read(self, names: list[str]) -> None:
        """Take over the classes in the features; `names` are kept where one of them is used, or none is there."""
        found = [given_names(layer, GIVEN) for layer in self.layers]
        there = {name for table in found for name in table.values()}
        # Names that were typed before a layer was chosen stay where they fit its classes.
        known = names if not there or there & set(names) else []
        self.names = [*known, *sorted(there - set(known))]
        for index, table in enumerate(found):
            self.classes |= {(index, number): self.names.index(name) for number, name in table.items()}

    def read_again(self, layer: Points, added: Sequence[int] = ()) -> Store:
        """Return the store after points were added, removed or moved: their classes are in the features of the layer.

        The features go with their points, while the numbers of points change. napari gives points that are added the
        features of another point.
        """
        table = layer.features.copy()
        ours = [name for name in (GIVEN, *layer.metadata.get(_OURS, ())) if name in table]
        if ours and added:
            table.loc[table.index[list(added)], ours] = np.nan
            layer.features = table
        again = Store(self.layers)
        again._own, again._painted = self._own, self._painted
        again.read(self.names)
        return again

    def rename(self, names: list[str]) -> None:
        """Change the names of the classes, in their order; labels of classes that are gone are dropped."""
        if len(names) < len(self.names):
            self.before.clear()  # may name a class that is gone
        self.names = names
        self.classes = {key: c for key, c in self.classes.items() if c < len(names)}
        self.write_given()

    def set(self, key: Key, choice: int | None) -> None:
        """Give an object a class, or take it away (None)."""
        self.before.append((key, self.classes.get(key)))
        self._put(key, choice)

    def undo(self) -> str:
        """Take back what was set last, and say so."""
        key, choice = self.before.pop()
        self._put(key, choice)
        now = "has no class" if choice is None else f"is '{self.names[choice]}'"
        return f"Undone: object {key[1]} of '{self.layers[key[0]].name}' {now} again."

    def _put(self, key: Key, choice: int | None) -> None:
        if choice is None:
            self.classes.pop(key, None)
        else:
            self.classes[key] = choice

    def counts(self) -> list[int]:
        """Return the number of labels of each class."""
        return np.bincount(list(self.classes.values()), minlength=len(self.names)).tolist()

    def write_given(self) -> None:
        """Write the given classes into the features."""
        for index, layer in enumerate(self.layers):
            mine = {number: self.names[c] for (i, number), c in self.classes.items() if i == index}
            before = given_names(layer, GIVEN)
            # Setting the features calls their listeners, also where nothing has changed.
            if mine != before:
                # Those that had a class before, too, so that it is emptied.
                numbers = sorted({*mine, *before})
                write_features(layer, numbers, {GIVEN: [mine.get(number, "") for number in numbers]})

    def write_result(self, found: Classification) -> None:
        """Write class, probability and margin of each object into the features."""
        names = np.array(found.classes, object)
        for index, layer in enumerate(self.layers):
            rows = _rows(found, index)
            columns = dict(zip(_columns(layer), (names[found.predicted], found.probability, found.margin), strict=True))
            write_features(layer, found.objects.label[rows], {name: values[rows] for name, values in columns.items()})

    # --- colours ---

    def colour(self, by: str, found: Classification | None) -> None:
        """Colour the objects by one of `COLOUR_BY`."""
        if by == COLOUR_BY[-1]:
            self.restore()
            return
        self._painted = True
        for index, layer in enumerate(self.layers):
            colours: dict[int, Any] = {} if found is None else self._result_colours(found, index, by)
            if by == "class":
                colours |= {n: _class_colour(c, _SURE) for (i, n), c in self.classes.items() if i == index}
            paint(layer, colours)

    def _result_colours(self, found: Classification, index: int, by: str) -> dict[int, Any]:
        rows = _rows(found, index)
        numbers = found.objects.label[rows].tolist()
        if by == "class":
            # A model that was kept may have classes that the list lacks; they share the next colour.
            place = [self.names.index(name) if name in self.names else len(self.names) for name in found.classes]
            return {n: _class_colour(place[c], _GUESSED) for n, c in zip(numbers, found.predicted[rows], strict=True)}
        values = found.probability[rows] if by == "probability" else found.margin[rows]
        return dict(zip(numbers, ensure_colormap("viridis").map(values), strict=True))

    def restore(self) -> None:
        """Give the layers their own colours back."""
        # Only colours that were changed here are given back.
        if self._painted:
            for own in self._own:
                own.restore()
        self._painted = False


def _columns(layer: Labels | Points) -> tuple[str, str, str]:
    """Return the names of the columns of results; others than usual where the user has columns of these names."""
    # Decided once and kept with the layer: the next result must replace our columns, not avoid them.
    if _OURS not in layer.metadata:
        taken = set(read_features(layer))
        plain = ("class", "probability", "margin")
        layer.metadata[_OURS] = [name if name not in taken else f"{name} (predicted)" for name in plain]
    first, second, third = layer.metadata[_OURS]
    return first, second, third


def _rows(found: Classification, index: int) -> NDArray[np.int64]:
    """Return one row for each object of an image: of several frames, the one that is classified most surely."""
    (rows,) = np.nonzero(found.objects.image == index)
    # Sorted by certainty; `np.unique` then returns the first row of each object.
    rows = rows[np.argsort(-found.probability[rows], kind="stable")]
    _, first = np.unique(found.objects.label[rows], return_index=True)
    return rows[first]


def _class_colour(index: int, opacity: float) -> tuple[float, ...]:
    plain = COLOURS[index % len(COLOURS)]
    return (*(int(plain[i : i + 2], 16) / 255 for i in (1, 3, 5)), opacity)  # of "#rrggbb"
