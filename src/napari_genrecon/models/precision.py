"""Number formats in which networks compute.

On NVIDIA GPUs since Ampere, cuDNN multiplies float32 numbers rounded to 10 bits (TF32) unless it is told not to: a
constant image then moves by a grey value, and an upscaled one by several. Restoring never uses that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["bfloat16_is_native", "full_float32"]


def bfloat16_is_native(device: str | torch.device) -> bool:
    """Return whether a device has instructions for bfloat16; without, torch emulates it, which is slower than float32.

    NVIDIA GPUs have them since compute capability 8, Apple's since macOS 14, processors with AMX or AVX512-BF16.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_properties(device).major >= 8
    if kind == "mps":
        return bool(torch.backends.mps.is_macos_or_newer(14, 0))
    return kind == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute float32 convolutions and products with all 24 bits, whatever the process has set; restore that after.

    Training is left alone: there, rounding is only one more noise in the gradients.
    """
    backends: list[Any] = [torch.backends.cudnn.conv, torch.backends.cuda.matmul, torch.backends.mkldnn.conv]  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend, setting in zip(backends, before, strict=True):
            backend.fp32_precision = setting
