"""Planes that wait for one network: those of a kind are computed as one batch, which keeps a GPU busier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_genrecon.models.failures import ran_out_of_memory
from napari_genrecon.models.precision import Format

__all__ = ["Asked", "Queue"]

_PIXELS = 1 << 20  # of a batch: a single plane of that size keeps a GPU busy, too, and more only take memory


# Compared by identity: `list.remove` would otherwise ask tensors for one truth value, which they do not have.
@dataclass(slots=True, eq=False)
class Asked:
    """What one call of a network asks for; all tensors on the CPU.

    Attributes
    ----------
    image : (N, C, Y, X) Tensor
        The planes.
    inputs : dict of str to Tensor
        Further inputs, whose first dimension is N or 1.
    factor : int or None
        Factor of an enlargement.
    numbers : str
        Their format, see `precision.Format`.
    made : (N, C, Y, X) Tensor or None
        The result.
    """

    image: Tensor
    inputs: Mapping[str, Tensor]
    factor: int | None
    numbers: Format
    made: Tensor | None = None

    @property
    def kind(self) -> tuple[object, ...]:
        """What planes of one batch have in common."""
        shapes = [self.image.shape, *(value.shape for value in self.inputs.values())]
        return (self.factor, self.numbers, *(tuple(shape[1:]) for shape in shapes))

    @property
    def pixels(self) -> int:
        """Number of pixels of the planes."""
        return self.image.shape[0] * self.image.shape[-2] * self.image.shape[-1]


class Queue:
    """The calls of one network that wait for their turn; but for `waiting`, used by one thread at a time."""

    def __init__(self) -> None:
        self._waiting: list[Asked] = []
        self._most = _PIXELS

    @contextmanager
    def waiting(self, asked: Asked) -> Iterator[None]:
        """Let others answer this call while its thread waits."""
        # Runs beside other threads: appending and removing are single steps under the lock of Python.
        self._waiting.append(asked)
        try:
            yield
        finally:
            with suppress(ValueError):  # another thread has answered it
                self._waiting.remove(asked)

    def answer(self, asked: Asked, run: Callable[[Asked], Tensor]) -> None:
        """Compute a call, and with it those of its kind that wait for the same; alone if memory runs out."""
        batch = self._batch(asked)
        if len(batch) > 1:
            try:
                _share(run(_stacked(batch)), batch)
            except (RuntimeError, MemoryError) as error:
                if not ran_out_of_memory(error):
                    raise
                self._most = 0  # from now on, planes are computed one by one
        # Also after a batch that was too large: its own plane is computed now, the others by their threads.
        if asked.made is None:
            asked.made = run(asked)

    def _batch(self, asked: Asked) -> list[Asked]:
        # Volumes, and planes on the CPU, never wait, and are never put together with others.
        if asked not in self._waiting:
            return [asked]
        self._waiting.remove(asked)
        batch, pixels = [asked], asked.pixels
        # A copy, as other threads append meanwhile and this one removes.
        for other in list(self._waiting):
            if other.kind == asked.kind and pixels + other.pixels <= self._most:
                self._waiting.remove(other)
                batch.append(other)
                pixels += other.pixels
        return batch


def _stacked(batch: list[Asked]) -> Asked:
    first = batch[0]
    # Single planes only wait, so that further inputs of first dimension 1 fall to the right plane.
    inputs = {key: torch.cat([asked.inputs[key] for asked in batch]) for key in first.inputs}
    return Asked(torch.cat([asked.image for asked in batch]), inputs, first.factor, first.numbers)


def _share(made: Tensor, batch: list[Asked]) -> None:
    parts = torch.split(made, [len(asked.image) for asked in batch])
    for asked, part in zip(batch, parts, strict=True):
        asked.made = part
