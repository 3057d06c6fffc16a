"""Number formats in which networks compute.

On NVIDIA GPUs since Ampere, cuDNN multiplies float32 numbers rounded to 10 bits (TF32) unless it is told not to: a
constant image then moves by a grey value, and an upscaled one by several. Restoring never uses that.

bfloat16 has 8 bits, and where a device has instructions for it, networks are several times faster. It errs in
proportion to the contrast of the image, so that it is used where that is small compared with the noise: the card of
a model says how small.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from napari_genrecon.models.card import ModelCard

__all__ = ["Format", "bfloat16_is_native", "contrast_of", "format_of", "full_float32", "mixed", "resolve_precision"]

Format = Literal["float32", "coarse", "bfloat16"]
"""Of all layers, or bfloat16 in those of coarse resolution only."""

# Limits of oneDNN's instructions that leave it those for bfloat16.
_WITH_BFLOAT16 = ("ALL", "DEFAULT", "AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10_1_512_AMX")


def resolve_precision(asked: str, card: ModelCard, device: str) -> str:
    """Return ``"bfloat16"`` or ``"float32"``.

    Parameters
    ----------
    asked : {"auto", "float32", "bfloat16"}
        ``"auto"`` takes bfloat16 where the device has instructions for it and the card allows it.
    card : ModelCard
        The model.
    device : str
        Where it runs.
    """
    if asked != "auto":
        return asked
    return "bfloat16" if card.bfloat16 and bfloat16_is_native(device) else "float32"


def contrast_of(image: ArrayLike, sigma: ArrayLike) -> float:
    """Return the largest value of an image in s.d. of its noise, a number or an image like it: what format it can have.

    The worst pixel decides: the largest contrast with the least noise.
    """
    # Not the maximum of absolute values: these would be an array of their own.
    largest, least = max(float(np.max(image)), -float(np.min(image))), float(np.min(sigma))
    return largest / least if least else np.inf


def format_of(card: ModelCard, contrast: float) -> Format:
    """Return the fastest format that the card allows for an image of this contrast."""
    if contrast <= card.bfloat16:
        return "bfloat16"
    return "coarse" if contrast <= card.bfloat16_coarse else "float32"


def mixed(device: str, *, lower: bool) -> AbstractContextManager[object]:
    """Return the context in which a network runs, as it is or, but for its first layer, in `lower` precision."""
    return torch.autocast(torch.device(device).type, torch.bfloat16) if lower else nullcontext()


def bfloat16_is_native(device: str | torch.device) -> bool:
    """Return whether a device has instructions for bfloat16; without, torch emulates it, which is slower than float32.

    NVIDIA GPUs have them since compute capability 8, Apple's since macOS 14, processors with AMX or AVX512-BF16.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        # Under ROCm the numbers are AMD's, and no compute capabilities.
        return torch.version.hip is not None or torch.cuda.get_device_properties(device).major >= 8
    if kind == "mps":
        return bool(torch.backends.mps.is_macos_or_newer(14, 0))
    # oneDNN obeys this variable, so that a processor may have instructions that it does not use.
    if kind != "cpu" or os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper() not in _WITH_BFLOAT16:
        return False
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute float32 convolutions and products with all 24 bits, whatever the process has set; restore that after.

    Training is left alone: there, rounding is only one more noise in the gradients.
    """
    # cuDNN, cuBLAS and oneDNN: each has a setting of its own.
    backends: list[Any] = [torch.backends.cudnn.conv, torch.backends.cuda.matmul, torch.backends.mkldnn.conv]  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend, setting in zip(backends, before, strict=True):
            backend.fp32_precision = setting
