"""Classify pictures of objects by a network that was trained on such pictures."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from napari_genrecon.engine.run import Progress
from napari_genrecon.models import ModelCard, load_network
from napari_genrecon.numerics.symmetries import WAYS, turned
from napari_genrecon.recognition.logistic import log_softmax
from napari_genrecon.recognition.objects import AT_ONCE, Pictures

__all__ = ["FEATURES", "NEEDED", "PICTURES", "Network", "Planes", "in_parts", "logarithms", "planes_of", "pooled"]

Planes = NDArray[np.float32]
"""Pictures (N, C + 1, S, S) of objects; the last plane says where the object is."""

FEATURES, PICTURES = "features.", "pictures."
"""How the names of the weights of either begin in a model that holds both."""

NEEDED = 10
"""Labels of each class from which a network is worth a trial (`tools/benchmark.py classify`)."""

_RANGE = (-0.5, 2.0)  # of grey values on the scale of their image; beyond are hot pixels and dirt

Floats = NDArray[np.float64]


def planes_of(pictures: Pictures) -> Planes:
    """Return pictures and where the object is as a network takes them."""
    return np.concatenate([pictures.relative.clip(*_RANGE), pictures.inside[:, None]], axis=1)


def in_parts(planes: Planes) -> Iterator[Planes]:
    """Yield some pictures at a time."""
    for start in range(0, len(planes), AT_ONCE):
        yield planes[start : start + AT_ONCE]


def pooled(one: Floats, other: Floats) -> Floats:
    """Return the (N, K) geometric means of probabilities from two sources, which are then scaled to a sum of 1.

    The logarithmic opinion pool (Genest & Zidek, Stat. Sci. 1, 1986).
    """
    return np.exp(log_softmax(0.5 * (logarithms(one) + logarithms(other))))


def logarithms(probabilities: Floats) -> Floats:
    """Return the logarithms of probabilities, which may be so small that they are 0."""
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))


class Network(NamedTuple):
    """A network that classifies pictures: its card, its file, and the factor on its logits.

    The factor makes probabilities of them, and is found on objects that the network was not trained on.
    """

    card: ModelCard
    content: bytes
    sharpness: float = 1.0

    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """Return its weights by name."""
        # A file fresh from training holds this network alone, without a prefix; that of a saved classifier holds both.
        found = load(self.content)
        return {name.removeprefix(PICTURES): value for name, value in found.items() if not name.startswith(FEATURES)}

    def probability_steps(self, parts: Iterable[Planes], device: str) -> Generator[Progress, None, Floats]:
        """Return the (N, K) probabilities of the classes of all pictures, as if each class were equally frequent."""
        logits = yield from self.logit_steps(parts, device)
        return np.exp(log_softmax(self.sharpness * logits))

    def logit_steps(self, parts: Iterable[Planes], device: str) -> Generator[Progress, None, Floats]:
        """Return the (N, K) means of the logits of turned and mirrored pictures."""
        # Generators of pictures are read part by part: those of many objects would not fit into the memory at once.
        model, found = load_network(self.card, device, self.content), []
        for part in parts:
            # torch refuses the negative strides of turned views, so they are copied. The mean is (n, K, 1, 1).
            found.append(np.mean([model(np.ascontiguousarray(turned(part, way))) for way in range(WAYS)], axis=0))
            yield Progress(0, 0, "looking at the objects")
        return np.concatenate(found)[:, :, 0, 0].astype(np.float64)
