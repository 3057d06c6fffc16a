"""Limit what building a network of others may take, and measure the memory that it needs while it runs.

Its size follows from the weights, whose names and shapes may lie: a file of a kilobyte can describe a network of
terabytes. So every allocation is counted before its memory is touched.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from napari_genrecon.errors import WeightsError
from napari_genrecon.models.first_import import without_triton

__all__ = ["BuildLimit", "PeakMemory"]

with without_triton():
    import torch._dynamo  # noqa: F401  # which torch loads at the first dispatch under a mode

_SPARE = 256 << 20  # bytes beside the weights: tables of windowed attention, which are made anew
_TIMES = 8  # times the memory of the weights: initial values, which the weights replace, and copies on the way
_SECONDS = 60.0  # seconds; the largest networks of 200 MB take 5
_FACTORIES = {"empty", "zeros", "ones", "full", "rand", "randn", "new_empty", "new_zeros", "new_ones", "new_full"}


class BuildLimit(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context in which tensors may take some times the memory of the weights, and a minute.

    Parameters
    ----------
    weights : mapping of str to Tensor
        The weights.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._left = _SPARE + _TIMES * sum(_bytes(tensor) for tensor in weights.values())
        self._until = time.monotonic() + _SECONDS

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation of torch if its result is small enough."""
        name = func.overloadpacket.__name__  # type: ignore[attr-defined]
        if name in _FACTORIES:
            sizes = next((each for each in args if isinstance(each, list | tuple)), ())
            self._take(math.prod(int(side) for side in sizes))
        result = func(*args, **(kwargs or {}))
        if name not in _FACTORIES and isinstance(result, Tensor) and result.numel() > _SPARE:
            self._take(_bytes(result))
        return result

    def _take(self, count: int) -> None:
        self._left -= count * 4
        if self._left < 0:
            raise WeightsError("the network that its weights describe is far larger than the weights: it is not built")
        if time.monotonic() > self._until:
            raise WeightsError(f"the network that its weights describe takes more than {_SECONDS:.0f} s to build")


class PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context that measures the largest number of bytes of tensors that live at one time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation of torch and count its result until that is freed."""
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        count = _bytes(tensor)
        self.now += count
        self.peak = max(self.peak, self.now)
        weakref.finalize(tensor, self._free, count)

    def _free(self, count: int) -> None:
        self.now -= count


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
