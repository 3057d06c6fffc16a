"""Where tensors are: devices, precision, and the way from an array into a network and back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load

from napari_genrecon.errors import InferenceError, OptionError
from napari_genrecon.models._weights import load_weights
from napari_genrecon.models.spec import ModelSpec
from napari_genrecon.models.srnet import RowsNet

__all__ = [
    "Denoiser",
    "Filler",
    "RowsUpscaler",
    "Upscaler",
    "available_devices",
    "load_denoiser",
    "load_filler",
    "load_rows_upscaler",
    "load_upscaler",
    "network_with_weights",
    "plain_errors",
    "resolve_device",
]

# One forward pass at a time: torch already uses every core, and two at once would need twice the memory.
_ONE_AT_A_TIME = threading.Lock()
_PROBE_SIDE = 256


class Denoiser:
    """A denoising network on one device, as a plain function on arrays.

    Parameters
    ----------
    spec : ModelSpec
        Which model.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    """

    def __init__(self, spec: ModelSpec, device: str) -> None:
        self.spec, self.device = spec, device
        self._network = _ready(spec, device)

    def __call__(self, y: NDArray[Any], sigma: float, rho: tuple[float, float]) -> NDArray[np.float32]:
        """Denoise one plane.

        Parameters
        ----------
        y : (Y, X) ndarray
            A noisy plane, a global centre subtracted.
        sigma : float
            Standard deviation of the noise, in the units of `y`.
        rho : tuple of float
            Lag-1 correlation of the noise along x and along y.

        Returns
        -------
        (Y, X) ndarray of float32

        Raises
        ------
        MemoryError
            If the plane does not fit into the device's memory.
        InferenceError
            If the network fails for any other reason.
        """
        with _ONE_AT_A_TIME, plain_errors(self.spec.name), torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(y, dtype=np.float32)).to(self.device)
            level = torch.tensor([sigma], dtype=torch.float32, device=self.device)
            correlation = torch.tensor([rho], dtype=torch.float32, device=self.device)
            result = self._network(tensor[None, None], level, correlation)
            array: NDArray[np.float32] = result[0, 0].cpu().numpy()
            return array

    @cached_property
    def _seconds(self) -> float:
        return _seconds_per_pixel(lambda probe: self(probe, 1.0, (0.0, 0.0)))

    def seconds_per_pixel(self) -> float:
        """Time the network takes per pixel here, from one small plane (the second of two runs); measured once."""
        return self._seconds


class Filler:
    """A network that corrects a first fill of missing pixels, on one device, as a plain function on arrays.

    Parameters
    ----------
    spec : ModelSpec
        Which model.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    """

    def __init__(self, spec: ModelSpec, device: str) -> None:
        self.spec, self.device = spec, device
        self._network = _ready(spec, device)

    def __call__(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Correct one plane.

        Parameters
        ----------
        planes : (4, Y, X) ndarray
            As `numerics.inpaint_inputs.fill_planes` makes them.

        Returns
        -------
        (Y, X) ndarray of float32

        Raises
        ------
        MemoryError
            If the plane does not fit into the device's memory.
        InferenceError
            If the network fails for any other reason.
        """
        with _ONE_AT_A_TIME, plain_errors(self.spec.name), torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32)).to(self.device)
            array: NDArray[np.float32] = self._network(tensor[None])[0, 0].cpu().numpy()
            return array

    @cached_property
    def _seconds(self) -> float:
        return _seconds_per_pixel(lambda probe: self(np.stack([probe] * 4)))

    def seconds_per_pixel(self) -> float:
        """Time the network takes per pixel here, as `Denoiser.seconds_per_pixel`."""
        return self._seconds


class Upscaler:
    """A network that enlarges planes, on one device, as a plain function on arrays.

    Parameters
    ----------
    spec : ModelSpec
        Which model.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    weights : bytes, optional
        As safetensors, instead of the packaged ones.
    """

    def __init__(self, spec: ModelSpec, device: str, weights: bytes | None = None) -> None:
        self.spec, self.device = spec, device
        self._network = _ready(spec, device, weights)

    def __call__(self, y: NDArray[Any], sigma: NDArray[Any] | float, factor: int) -> NDArray[np.float32]:
        """Enlarge one plane.

        Parameters
        ----------
        y : (Y, X) ndarray
            A plane, a global centre subtracted.
        sigma : (Y, X) ndarray or float
            Standard deviation of the noise, in the units of `y`.
        factor : int
            How many times more pixels along either side.

        Returns
        -------
        (Y * factor, X * factor) ndarray of float32

        Raises
        ------
        MemoryError
            If the plane does not fit into the device's memory.
        InferenceError
            If the network fails for any other reason.
        """
        with _ONE_AT_A_TIME, plain_errors(self.spec.name), torch.inference_mode():
            planes = np.stack(np.broadcast_arrays(y, sigma)).astype(np.float32, copy=False)  # (2, Y, X)
            image, noise = torch.from_numpy(planes).to(self.device)[:, None, None]  # (1, 1, Y, X) each
            result = self._network(image, noise, factor)
            array: NDArray[np.float32] = result[0, 0].cpu().numpy()
            return array

    @cached_property
    def _seconds(self) -> float:
        return _seconds_per_pixel(lambda probe: self(probe, 1.0, 2))

    def seconds_per_pixel(self) -> float:
        """Time the network takes per pixel of the input here, as `Denoiser.seconds_per_pixel`."""
        return self._seconds


class RowsUpscaler:
    """A network that was trained for one stack, as a plain function on arrays.

    Parameters
    ----------
    weights : bytes
        Of a `RowsNet`, as safetensors.
    factor : int
        How many times more rows it makes.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    """

    def __init__(self, weights: bytes, factor: int, device: str) -> None:
        self.device = device
        network = RowsNet(factor)
        network.load_state_dict(load(weights))
        self._network = _on_device(network, device)

    def __call__(self, y: NDArray[Any], sigma: NDArray[Any]) -> NDArray[np.float32]:
        """Enlarge planes.

        Parameters
        ----------
        y, sigma : (N, Y, X) ndarray
            As for `Upscaler`.

        Returns
        -------
        (N, Y * factor, X) ndarray of float32
        """
        with _ONE_AT_A_TIME, plain_errors("trained on this stack"), torch.inference_mode():
            planes = np.stack([y, sigma]).astype(np.float32, copy=False)  # (2, N, Y, X)
            image, noise = torch.from_numpy(planes).to(self.device)[:, :, None]  # (N, 1, Y, X) each
            array: NDArray[np.float32] = self._network(image, noise)[:, 0].cpu().numpy()
            return array


def _seconds_per_pixel(run: Callable[[NDArray[np.float32]], object]) -> float:
    probe = np.zeros((_PROBE_SIDE, _PROBE_SIDE), np.float32)
    run(probe)
    started = time.perf_counter()
    run(probe)
    return (time.perf_counter() - started) / probe.size


def _ready(spec: ModelSpec, device: str, weights: bytes | None = None) -> torch.nn.Module:
    """The network with its weights, the packaged ones if not given, on its device."""
    if weights is None:
        return _on_device(network_with_weights(spec), device)
    network = _build(spec)
    network.load_state_dict(load(weights))
    return _on_device(network, device)


def network_with_weights(spec: ModelSpec) -> torch.nn.Module:
    """A new network with the packaged weights, on the CPU."""
    network = _build(spec)
    load_weights(network, spec)
    return network


def _on_device(network: torch.nn.Module, device: str) -> torch.nn.Module:
    # Channels-last is 1.4 to 1.9 times faster in oneDNN's float32 convolutions, and no slower elsewhere.
    return network.eval().to(device).to(memory_format=torch.channels_last)


def _build(spec: ModelSpec) -> torch.nn.Module:
    module, _, name = spec.target.partition(":")
    network: torch.nn.Module = getattr(import_module(module, __package__), name)()
    return network


@lru_cache(maxsize=4)
def load_denoiser(spec: ModelSpec, device: str) -> Denoiser:
    """The denoiser for a model on a device; the last few are kept."""
    return Denoiser(spec, device)


@lru_cache(maxsize=4)
def load_filler(spec: ModelSpec, device: str) -> Filler:
    """The inpainting network for a model on a device; the last few are kept."""
    return Filler(spec, device)


@lru_cache(maxsize=4)
def load_upscaler(spec: ModelSpec, device: str, weights: bytes | None = None) -> Upscaler:
    """The upscaler for a model on a device; the last few are kept."""
    return Upscaler(spec, device, weights)


@lru_cache(maxsize=4)
def load_rows_upscaler(weights: bytes, factor: int, device: str) -> RowsUpscaler:
    """The upscaler of a stack; the last few are kept."""
    return RowsUpscaler(weights, factor, device)


@contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """Turn torch's errors into MemoryError, which the engine answers with smaller tiles, or into ours."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        # The CPU allocator raises a bare RuntimeError; only accelerators have an exception class for it.
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in text or "out of memory" in text:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            raise MemoryError(text) from None
        raise InferenceError(f"the model {name!r} failed while running: {text}") from error


def available_devices() -> tuple[str, ...]:
    """The devices that can be used here, best first."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return (*cuda, *mps, "cpu")


def resolve_device(device: str) -> str:
    """Resolve ``"auto"`` and ``"cuda"``, and refuse what is not there."""
    devices = available_devices()
    if device == "auto":
        return devices[0]
    wanted = "cuda:0" if device == "cuda" else device
    if wanted not in devices:
        raise OptionError(f"device {device!r} is not available here; choose 'auto' or one of: {', '.join(devices)}")
    return wanted
