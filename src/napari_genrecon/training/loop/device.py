"""Device and precision of a training: Lightning Fabric, on one device.

Fabric (Falcon et al., Lightning AI) places networks, gives the context in which they run in bfloat16, and does the
backward pass. Its cost, measured with ``tools/benchmark.py generate``: 2 s of CPU time to import,
nothing per step. It is imported when a training starts, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_genrecon.errors import OptionError
from napari_genrecon.models import resolve_device
from napari_genrecon.models.precision import bfloat16_is_native
from napari_genrecon.training.loop.triton import load_triton
from napari_genrecon.training.options import TrainOptions

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["fabric_for"]

_PRECISIONS: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}


def fabric_for(options: TrainOptions) -> Fabric:
    """Return Fabric on the device and in the precision of the options.

    Raises
    ------
    OptionError
        If the device does not exist here, or is a GPU that only emulates the precision.
    """
    # Before Fabric, which imports Triton as well.
    load_triton()
    from lightning_fabric import Fabric

    device = resolve_device(options.device)
    # A CPU may emulate it. On a GPU that does, the choice would cost time instead of saving it.
    if options.precision == "bfloat16" and device != "cpu" and not bfloat16_is_native(device):
        raise OptionError(f"device {device!r} has no instructions for bfloat16: choose precision 'float32'")
    # Fabric wants a list of numbers for CUDA, where one number alone means how many, and a count for all others.
    kind, _, index = device.partition(":")
    devices: Any = [int(index)] if kind == "cuda" else 1
    return Fabric(accelerator=kind, devices=devices, precision=_PRECISIONS[options.precision])
