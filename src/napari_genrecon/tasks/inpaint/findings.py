"""Cache the constants and the damage that were found in an image, so that a run after a preview does not repeat it.

They depend on the pixels and the options alone, never on the region that a preview shows. The key is a digest of the
pixels, so that an image that was changed in place is analysed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray
from napari_genrecon.engine.memory import keep_newest
from napari_genrecon.engine.run import Progress
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.inpaint.planes import Channel

__all__ = ["Findings", "damage_once", "digest", "findings_once"]


@dataclass(frozen=True, slots=True)
class Findings:
    """Constants for filling, per channel.

    Attributes
    ----------
    noise : tuple of NoiseModel
        Noise of the known pixels.
    channels : tuple of Channel
        Constants of every channel.
    notes : tuple of str
        Notes for the user.
    """

    noise: tuple[NoiseModel, ...]
    channels: tuple[Channel, ...]
    notes: tuple[str, ...]


_findings: dict[str, Findings] = {}  # the newest last
_damage: dict[str, NDArray[np.uint8]] = {}  # a bit per pixel


def digest(facts: object, arrays: Iterable[NDArray[Any]]) -> str:
    """Return a digest of the pixels and the facts."""
    found = hashlib.blake2b(repr(facts).encode(), digest_size=16)
    for array in arrays:
        # Dtype and shape, too: the same bytes in another shape are another image.
        found.update(f"{array.dtype.str} {array.shape}".encode())
        # A view of bytes: tobytes would copy the pixels.
        found.update(np.ascontiguousarray(array).view(np.uint8).data)
    return found.hexdigest()


def findings_once(key: str, anew: Generator[Progress, None, Findings]) -> Generator[Progress, None, Findings]:
    """Return the cached findings of this key, or find them."""
    found = _findings.get(key)
    if found is None:
        found = yield from anew
    else:
        anew.close()
    keep_newest(_findings, key, found)
    return found


def damage_once(source: ImageArray, facts: object, find: Callable[[], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return the cached damage of these pixels, or find it; only that of NumPy arrays is cached."""
    if not isinstance(source, np.ndarray):
        return find()
    # Plane by plane along the first dimension, as a contiguous copy of all may not fit into memory.
    key = digest(facts, source if source.ndim > 2 else [source])
    packed = _damage.get(key)
    found = find() if packed is None else np.unpackbits(packed, count=source.size).astype(bool).reshape(source.shape)
    keep_newest(_damage, key, np.packbits(found) if packed is None else packed)
    return found
