"""Devices: which ones exist, which of them can compute, how much memory they have, and what suits them.

torch lists a GPU also where it was built without code for it ("no kernel image is available"). So every GPU computes a
small convolution once before it is used.
"""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from napari_genrecon.engine.memory import available_memory
from napari_genrecon.errors import OptionError
from napari_genrecon.models.precision import bfloat16_is_native

__all__ = [
    "DeviceReport",
    "available_devices",
    "conv_layout",
    "describe_devices",
    "device_note",
    "device_words",
    "free_memory",
    "release_memory",
    "resolve_device",
    "to_cpu",
    "to_device",
]


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """What is known about a device.

    Attributes
    ----------
    name, title : str
        Name for the option ``device``, and name of the product.
    free : int
        Bytes of memory that can still be used; 0 where that could not be measured.
    problem : str
        Why it is not used; empty if it works.
    bfloat16 : bool
        Whether it has instructions for bfloat16, which ``precision="auto"`` then uses where it is safe.
    """

    name: str
    title: str
    free: int
    problem: str = ""
    bfloat16: bool = False


def available_devices() -> tuple[str, ...]:
    """Return the devices that torch lists here, GPUs first."""
    return (*_gpus(), "cpu")


def resolve_device(device: str) -> str:
    """Return the device that ``"auto"`` stands for here, or the one asked for if it exists and computes.

    ``"auto"`` takes the GPU with the most free memory among those that compute, else the CPU. The choice is made once
    per process, so that all parts of a job agree.

    Raises
    ------
    OptionError
        If a device was asked for that does not exist here or cannot compute; it is never exchanged for another.
    """
    if device == "auto":
        return _best()
    devices = available_devices()
    # torch takes both spellings; with one of them, caches and messages know one device by one name.
    wanted = {"cuda": "cuda:0", "mps:0": "mps"}.get(device, device)
    if wanted not in devices:
        raise OptionError(f"device {device!r} is not available here; choose 'auto' or one of: {', '.join(devices)}")
    problem = _problem(wanted)
    if problem:
        raise OptionError(f"device {device!r} cannot compute here ({problem}): choose 'auto' or 'cpu'")
    return wanted


def device_note(asked: str) -> list[str]:
    """Return a sentence for the record if ``"auto"`` passed over a GPU that cannot compute; else nothing."""
    if asked != "auto" or _best() != "cpu":
        return []
    return [f"{name} ({_title(name)}) was not used: {_passed_over(name)}; computed on the CPU" for name in _gpus()]


def describe_devices() -> tuple[list[DeviceReport], list[str]]:
    """Return what was found, best first, and sentences about what was not."""
    reports = [_report(name) for name in available_devices()]
    best = _best()
    return sorted(reports, key=lambda report: (report.name != best, bool(report.problem))), _hints()


def _report(name: str) -> DeviceReport:
    problem = _problem(name)
    return DeviceReport(name, _title(name), free_memory(name), problem, not problem and bfloat16_is_native(name))


def free_memory(device: str) -> int:
    """Return the bytes of memory that can still be used on a device; 0 where it cannot be measured."""
    kind = torch.device(device).type
    try:
        if kind == "cuda":
            # The driver counts what torch keeps for later as used, but torch takes that first.
            kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            return int(torch.cuda.mem_get_info(device)[0]) + kept
        if kind == "mps":  # shares the memory of the CPU
            own = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
            return max(0, min(own, available_memory()))
    except RuntimeError:  # a GPU that cannot compute may not tell its memory either
        return 0
    return available_memory()


def device_words(device: str, precision: str = "float32") -> str:
    """Name a device for the record, such as ``"NVIDIA A100 (cuda:0), bfloat16"``; empty for the CPU in float32."""
    named = "" if device == "cpu" else f"{_title(device)} ({device})"
    return ", ".join(filter(None, [named, "" if precision == "float32" else precision]))


def release_memory(device: str) -> None:
    """Give memory that torch keeps for later back to the device, for other programs; nothing on the CPU."""
    kind = torch.device(device).type
    if kind == "cpu":
        return
    # Tensors in reference cycles are still alive, and `empty_cache` gives back only what no tensor holds.
    gc.collect()
    backend = getattr(torch, kind, None)
    if backend is not None and hasattr(backend, "empty_cache"):
        with suppress(RuntimeError):  # a GPU that was lost; the error that says so is on its way
            backend.empty_cache()


def to_device(tensor: Tensor, device: str) -> Tensor:
    """Copy a tensor from the CPU to a device.

    To CUDA it goes by page-locked memory, which is several times faster and lets this thread go on meanwhile.
    """
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    # No need to wait: the device runs its queue in order, so that nothing computes with a tensor half copied.
    return tensor.pin_memory().to(device, non_blocking=True)


def to_cpu(tensor: Tensor) -> Tensor:
    """Copy a tensor from a device to the CPU, from CUDA into page-locked memory."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    # This copy waits until it is done, as the caller reads the numbers next.
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor)


def conv_layout(device: str | torch.device, ndim: int = 4) -> torch.memory_format:
    """Return the order in memory of images and kernels that suits convolutions on a device.

    Channels-last is 1.4 to 1.9 times faster in oneDNN's float32 convolutions (``tools/benchmark.py speed``), and what
    the tensor cores of a GPU want. On MPS, the backward pass of batch normalisation fails with it.

    Parameters
    ----------
    device : str or torch.device
        Where the network runs.
    ndim : {4, 5}
        Dimensions of a batch: 4 for (N, C, Y, X), 5 for (N, C, Z, Y, X).
    """
    if torch.device(device).type == "mps":
        return torch.contiguous_format
    return torch.channels_last if ndim == 4 else torch.channels_last_3d


# --- what torch lists ---


def _gpus() -> tuple[str, ...]:
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return (*cuda, *(["mps"] if torch.backends.mps.is_available() else []))


def _title(device: str) -> str:
    kind = torch.device(device).type
    if kind == "cuda":
        with suppress(RuntimeError, AssertionError):  # a broken driver does not tell it
            return torch.cuda.get_device_name(device)
    return {"cuda": "graphics card", "mps": "Apple GPU", "cpu": "processor"}.get(kind, kind)


def _hints() -> list[str]:
    """Say why there is no GPU, where that can be told."""
    if _gpus():
        return []
    version = torch.__version__
    if torch.version.cuda is None and torch.version.hip is None and sys.platform != "darwin":
        return [
            f"PyTorch {version} was built without GPU support; with an NVIDIA card, install a CUDA build as "
            "https://pytorch.org/get-started/locally says"
        ]
    if sys.platform == "darwin":
        return ["no Apple GPU was found: it needs Apple silicon and macOS 14 or newer"]
    return [f"PyTorch {version} supports GPUs, but the driver shows none: look at nvidia-smi"]


# --- which of them to use ---


_WORKING = {"cpu"}  # devices that have computed; others are tried again, as memory may be free by then


def _problem(device: str) -> str:
    """Return why a device cannot compute, or nothing if a small convolution gave the right numbers."""
    if device not in _WORKING and not (problem := _probe(device)):
        _WORKING.add(device)
    return "" if device in _WORKING else problem


def _probe(device: str) -> str:
    try:
        image, kernel = torch.arange(64.0).reshape(1, 1, 8, 8), torch.ones(1, 1, 3, 3)
        found = torch.nn.functional.conv2d(image.to(device), kernel.to(device)).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:  # no kernel image, no memory, a broken driver
        return str(error).splitlines()[0][:160] if str(error) else type(error).__name__
    # The tolerance leaves room for TF32, which is no fault of a device.
    right = torch.nn.functional.conv2d(image, kernel)
    return "" if torch.allclose(found, right, rtol=1e-2) else "a small convolution gave wrong numbers"


def _passed_over(device: str) -> str:
    return _problem(device) or "it could not compute when this program tried it first"


@lru_cache
def _best() -> str:
    working = [name for name in _gpus() if not _problem(name)]
    turn = _turn()
    # Workers that all took the card with most free memory would all take the same one.
    if turn is not None and working:
        return working[turn % len(working)]
    return max(working, key=free_memory, default="cpu")


def _turn() -> int | None:
    """Return the number of this process among the local workers of a cluster, which share the GPUs out; else None."""
    if "distributed" not in sys.modules:
        return None
    # Cheap: only where it was loaded already, as it is in every worker.
    from distributed import get_worker

    try:
        name = get_worker().name
    except ValueError:  # not a worker
        return None
    # Only local workers have numbers as names.
    return name if isinstance(name, int) else None
