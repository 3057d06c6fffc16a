"""Cache of the noise that was measured from layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.layers import Image

from napari_genrecon.arrays import ImageArray
from napari_genrecon.noise import NoiseModel
from napari_genrecon.widgets.layers.snapshot import layer_data

__all__ = ["KnownNoise"]


class KnownNoise:
    """Cache of noise models by the pixels they were measured from, and by the letters of their axes."""

    def __init__(self) -> None:
        # By the id of the pixels, which are kept so that no other array gets it.
        self._models: dict[int, tuple[Any, dict[str, Any]]] = {}

    def of(self, data: ImageArray, axes: str) -> Any:
        """Return the noise model, or one per channel; None if it is not known."""
        return self._models.get(id(data), (None, {}))[1].get(axes)

    def put(self, data: ImageArray, axes: str, noise: Any) -> None:
        """Store what was measured."""
        self._models.setdefault(id(data), (data, {}))[1][axes] = noise

    def put_recorded(self, data: ImageArray, record: dict[str, Any]) -> bool:
        """Store the noise in the record of a run, which measures anew, as pixels may have been changed in place.

        If the run did not measure, the stored noise stays. So it does if the run measured the mean of the colours, or
        the image without the pixels of a mask: without the hot pixels that it filled, there would be none in the image.

        Returns
        -------
        bool
            Whether the run had measured.
        """
        noise = tuple(map(NoiseModel.from_dict, record.get("noise") or ()))
        if not noise or record.get("mask") or any(model.method == "given" for model in noise):
            return False
        axes = record["axes"]["letters"][-data.ndim :]  # without the axis of several fillings
        before = self.of(data, axes)
        if isinstance(before, tuple) and len(before) != len(noise):
            return False
        self._models.pop(id(data), None)  # what other axes gave may be of pixels that were changed
        self.put(data, axes, noise)
        return True

    def forget_removed(self, layers: Iterable[Any]) -> None:
        """Release the pixels of layers that were removed, which would stay in memory."""
        present = {id(layer_data(layer)) for layer in layers if isinstance(layer, Image)}
        for key in self._models.keys() - present:
            del self._models[key]
