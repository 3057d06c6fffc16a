"""Turn what torch raises into errors that say what to do, and tell running out of memory from everything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import clear_frames

import torch

from napari_genrecon.errors import InferenceError, OutOfMemoryError
from napari_genrecon.models.devices import release_memory

__all__ = ["plain_errors", "ran_out_of_memory"]

# What the allocators and libraries say. Only accelerators have an exception class for it, and not all of their
# libraries raise it.
_OUT_OF_MEMORY = (
    "out of memory",  # CUDA, ROCm, XPU, MPS
    "can't allocate memory",  # torch on the CPU of Linux and macOS
    "not enough memory",  # torch on the CPU of Windows
    "bad_alloc",  # C++, and with it oneDNN
    "bad allocation",  # C++ of Windows
    "alloc_failed",  # cuDNN, cuBLAS, cuFFT
    "unable to find a valid cudnn algorithm",  # cuDNN, whose every algorithm needs more workspace than is left
    "insufficient memory",  # Metal
    "outofmemory",  # Metal: kIOGPUCommandBufferCallbackErrorOutOfMemory
    "invalid buffer size",  # MPS, for a tensor larger than Metal's largest buffer
    "larger than int_max",  # MPS, for a tensor of too many elements
)
# After these a process cannot use the GPU any more: every later call fails, too.
_LOST = ("illegal memory access", "launch failure", "device-side assert", "misaligned address", "device is lost")


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in text for words in _OUT_OF_MEMORY)


@contextmanager
def plain_errors(name: str, device: str = "cpu", what: str = "the model") -> Iterator[None]:
    """Turn torch's errors into sentences about a model, or whatever `what` says.

    Parameters
    ----------
    name : str
        Name of the model.
    device : str
        Where it runs.
    what : str
        What has this name.

    Raises
    ------
    OutOfMemoryError
        If memory ran out; a `MemoryError`, which the engine answers with smaller tiles.
    InferenceError
        If anything else failed.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, OutOfMemoryError):
            raise
        text = str(error) or type(error).__name__
        if ran_out_of_memory(error):
            clear_frames(error.__traceback__)  # they hold the tensors that filled the memory
            found: InferenceError = OutOfMemoryError(
                f"{what} {name!r} ran out of memory on device {device!r} ({_first_line(text)}): close other "
                f"programs{_or_the_cpu(device)}"
            )
        else:
            found = InferenceError(f"{what} {name!r} failed while running{_where(device, text)}: {text}")
            found.__cause__ = error
    else:
        return
    release_memory(device)
    raise found


def _where(device: str, text: str) -> str:
    if device == "cpu":
        return ""
    lost = any(words in text.lower() for words in _LOST)
    advice = "restart the program, or choose device 'cpu'" if lost else "choose device 'cpu', which is slower"
    return f" on device {device!r} ({advice})"


def _or_the_cpu(device: str) -> str:
    return "" if device == "cpu" else ", or choose device 'cpu'"


def _first_line(text: str) -> str:
    return text.splitlines()[0][:160]
