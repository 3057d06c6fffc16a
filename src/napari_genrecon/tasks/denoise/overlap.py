"""Keep what two windows of a movie both need, so that it is computed once."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.tasks.denoise.planes import Channel

__all__ = ["Overlap"]

_MOST = 256_000_000  # bytes; of larger movies the oldest planes are computed again


class Overlap:
    """Frames denoised one by one, by what they were denoised from: each is given back once.

    Found by their pixels and not by their place: the movie may change between two windows that are computed when they
    are looked at.
    """

    def __init__(self) -> None:
        self._kept: dict[bytes, NDArray[np.float32]] = {}

    def __reduce__(self) -> tuple[type[Overlap], tuple[()]]:
        return Overlap, ()  # other processes begin with nothing

    def keep(self, stabilised: NDArray[np.float32], channel: Channel, clean: NDArray[np.float32]) -> None:
        """Keep a denoised frame (Y, X)."""
        self._kept[_key(stabilised, channel)] = clean
        for oldest in list(self._kept):
            if sum(plane.nbytes for plane in list(self._kept.values())) <= _MOST:
                break
            self._kept.pop(oldest, None)  # another thread may have taken it

    def take(self, stabilised: NDArray[np.float32], channel: Channel) -> NDArray[np.float32] | None:
        """Return a frame that was kept, which is then no longer."""
        return self._kept.pop(_key(stabilised, channel), None)


def _key(stabilised: NDArray[np.float32], channel: Channel) -> bytes:
    found = hashlib.blake2b(np.ascontiguousarray(stabilised).data, digest_size=16)
    found.update(np.asarray(channel.noise.correlations, np.float64).data)
    return found.digest()
