"""Devices, weights, and the one adapter from arrays into a network and back."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import nullcontext
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from napari_genrecon.errors import InferenceError, OutOfMemoryError, WeightsError
from napari_genrecon.io.record.provenance import note_device
from napari_genrecon.models.card import ModelCard
from napari_genrecon.models.devices import conv_layout, device_words, to_cpu, to_device
from napari_genrecon.models.failures import plain_errors
from napari_genrecon.models.networks import NETWORKS, Network
from napari_genrecon.models.networks import __name__ as _NETWORKS
from napari_genrecon.models.precision import Format, contrast_of, format_of, full_float32, mixed, resolve_precision
from napari_genrecon.models.queue import Asked, Queue
from napari_genrecon.models.registry import weights_path
from napari_genrecon.models.tensors import parse_tensors

__all__ = [
    "ONE_AT_A_TIME",
    "Model",
    "build_network",
    "load_network",
    "on_device",
    "read_weights",
    "recognise",
    "trained_network",
]

# One forward pass at a time: torch already uses every core, and two at once would need twice the memory.
ONE_AT_A_TIME = threading.Lock()
_PROBE_SIDE = 256  # pixels: 14 GFLOP for the denoiser, so that the probe takes tenths of seconds on a CPU
_PROBES: dict[str, Any] = {"sigma": 1.0, "rho": (0.0, 0.0), "factor": 2}


class Model:
    """A network on one device, as a plain function on arrays.

    Parameters
    ----------
    card : ModelCard
        The model.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    weights : bytes, optional
        Content of a safetensors file to use instead of the model's file.
    precision : {"float32", "auto", "bfloat16"}
        See `precision.resolve_precision`. In bfloat16, images of larger contrast than the card allows still run in
        float32, or but for the coarse layers.
    network : Module, optional
        Network of `build_network` to use as it is, instead of one with the weights of a file.
    """

    def __init__(
        self,
        card: ModelCard,
        device: str,
        weights: bytes | None = None,
        precision: str = "float32",
        network: nn.Module | None = None,
    ) -> None:
        self.card, self.device = card, device
        self.precision = resolve_precision(precision, card, device)
        self._queue = Queue()
        self._network = on_device((network or trained_network(card, weights)).eval(), card.name, device)

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the weights of the network by name, for `save_model`."""
        state = self._network.state_dict()
        return {name: weight.detach().cpu().contiguous().numpy().copy() for name, weight in state.items()}

    def __call__(
        self, image: ArrayLike, *told: Any, noise: float = 0.0, contrast: float | None = None
    ) -> NDArray[np.float32]:
        """Run the network.

        Parameters
        ----------
        image : (Y, X), (C, Y, X), (N, C, Y, X) or (N, C, Z, Y, X) array_like
            A plane, one of several channels, or a batch of planes or volumes; a global centre subtracted.
        *told
            The inputs that `ModelCard.told` names, in that order: the noise s.d. (a number or an image like `image`),
            its correlation along x and y, the factor.
        noise : float
            The noise s.d. for the choice of the number format, if it is not the least that the network is told.
        contrast : float, optional
            That of `precision.contrast_of`, where the image has more channels than those of grey values.

        Returns
        -------
        (Y, X), (C, Y, X), (N, C, Y, X) or (N, C, Z, Y, X) ndarray of float32
            A plane if image and result have one channel; a batch if a batch was given.

        Raises
        ------
        OutOfMemoryError
            If it does not fit into the device's memory; a `MemoryError`.
        InferenceError
            If the network fails for any other reason.
        """
        note_device(device_words(self.device, self.precision))
        # Arrays become tensors before the lock, while another thread may be computing.
        asked = self._asked(image, told, noise, contrast)
        stackable = self.device != "cpu" and np.ndim(image) < 4  # on the CPU bits must not depend on what else waits
        # Registered before the lock, so that the thread that has it can answer this call, too. `full_float32` comes
        # after it, as its settings belong to the process.
        with (
            self._queue.waiting(asked) if stackable else nullcontext(),
            ONE_AT_A_TIME,
            plain_errors(self.card.name, self.device),
            torch.inference_mode(),
            full_float32(),
        ):
            if asked.made is None:  # not computed together with another plane, while this thread waited
                self._queue.answer(asked, self._run)
        assert asked.made is not None
        result: NDArray[np.float32] = asked.made.numpy()  # (N, C, Y, X)
        # A batch comes back as a batch, a plane as a plane.
        if np.ndim(image) >= 4:
            return result
        return result[0, 0] if result.shape[1] == 1 else result[0]

    def in_parts(self, volumes: ArrayLike) -> Generator[None, None, NDArray[np.float32]]:
        """Run a network that takes volumes, and is told nothing, as a call does; yield between its parts on the CPU.

        Parameters
        ----------
        volumes : (N, C, Z, Y, X) array_like
            Grey values as the network takes them.

        Returns
        -------
        (N, outputs, Z, Y, X) ndarray of float32
        """
        if self.device != "cpu":  # fast, and the parts of several tiles would not fit into memory together
            return self(volumes)
        parts = self._network.parts(_tensor(volumes))  # type: ignore[operator]
        while True:
            # Entered anew for every part: other networks get the lock between parts, and a generator runs in the
            # contexts of whoever calls `next`.
            with ONE_AT_A_TIME, plain_errors(self.card.name, self.device), torch.inference_mode(), full_float32():
                try:
                    next(parts)
                except StopIteration as stop:
                    made: NDArray[np.float32] = stop.value.numpy()
                    return made
            yield

    def _asked(self, image: ArrayLike, told: Sequence[Any], noise: float = 0.0, contrast: float | None = None) -> Asked:
        keywords = dict(zip(self.card.told, told, strict=True))
        numbers: Format = "float32"
        if self.precision == "bfloat16":
            contrast = contrast_of(image, noise or keywords.get("sigma", 0.0)) if contrast is None else contrast
            numbers = format_of(self.card, contrast)
        # The factor chooses layers of the network and is no tensor.
        inputs = {key: _tensor(value) for key, value in keywords.items() if key != "factor"}
        return Asked(_tensor(image), inputs, keywords.get("factor"), numbers)

    def _run(self, asked: Asked) -> Tensor:
        inputs = {key: to_device(value, self.device) for key, value in asked.inputs.items()}
        # Only those that have a factor, or coarse layers, take these keywords.
        keywords: dict[str, Any] = {} if asked.factor is None else {"factor": asked.factor}
        keywords |= {"coarse": True} if asked.numbers == "coarse" else {}
        with mixed(self.device, lower=asked.numbers != "float32"):
            made: Tensor = self._network(to_device(asked.image, self.device), **inputs, **keywords)
        # NumPy has no bfloat16.
        return to_cpu(made.float())

    @cached_property
    def _seconds(self) -> float:
        probe = np.zeros((self.card.channels, _PROBE_SIDE, _PROBE_SIDE), np.float32)
        if self.card.about.volumes:
            # One plane is enough: beyond its ends, convolutions along Z multiply zeros, which takes as long.
            probe = probe[None, :, None]  # (1, C, 1, Y, X)
        told = [_PROBES[what] for what in self.card.told]
        # The first run also allocates and chooses algorithms; it is not timed.
        self(probe, *told)
        started = time.perf_counter()
        self(probe, *told)
        return (time.perf_counter() - started) / _PROBE_SIDE**2

    def seconds_per_pixel(self) -> float:
        """Return the time per input pixel here, from a small image (the second of two runs); measured once."""
        return self._seconds


def _tensor(value: ArrayLike) -> Tensor:
    """Return a batch of images (N, C, Y, X) or (N, C, Z, Y, X), or of one further input, (1,) or (1, 2)."""
    # "W": torch warns of arrays that cannot be written, although nothing is written.
    tensor = torch.from_numpy(np.require(value, np.float32, ["C", "W"]))
    if tensor.ndim >= 4:
        return tensor
    return tensor[None, None] if tensor.ndim == 2 else tensor[None]


@lru_cache(maxsize=16)
def load_network(card: ModelCard, device: str, weights: bytes | None = None, precision: str = "float32") -> Model:
    """Return a model on a device; the last sixteen are cached, of either precision."""
    return Model(card, device, weights, precision)


def on_device(network: nn.Module, name: str, device: str | torch.device) -> nn.Module:
    """Move a network to a device, in the order of memory that suits it.

    Raises
    ------
    InferenceError
        If it does not fit there, or the device fails.
    """
    try:
        with plain_errors(name, str(device)):
            return network.to(device).to(memory_format=conv_layout(device))
    except OutOfMemoryError as error:
        raise InferenceError(str(error)) from None  # smaller tiles would not help


def trained_network(card: ModelCard, weights: bytes | None = None) -> nn.Module:
    """Return a new network with the weights of a model, or others as safetensors, on the CPU."""
    if card.about.from_weights:
        return _network_of(card, parse_tensors(_content(card) if weights is None else weights, weights_path(card)))
    network = build_network(card)
    # The checks need the network, which is built once for both.
    network.load_state_dict(read_weights(card, weights, network))
    return network


def build_network(card: ModelCard) -> nn.Module:
    """Return the network that a card describes, with random weights."""
    channels = {"channels": card.channels} if "channels" in card.about.shape else {}
    network: nn.Module = _class_of(card.about)(**card.shape, **channels)
    return network


def recognise(weights: dict[str, Tensor]) -> tuple[str, Any]:
    """Return the key of the network that weights belong to, and the network with them.

    Raises
    ------
    WeightsError
        If they belong to none, or do not fit the one that they look like.
    """
    # In the order of the table: the last one says that it knows all weights.
    for key, entry in NETWORKS.items():
        if entry.from_weights and _class_of(entry).knows(weights):
            return key, _class_of(entry)(weights)
    raise WeightsError("its weights belong to no network that is known here")


def _network_of(card: ModelCard, weights: dict[str, Tensor]) -> nn.Module:
    """Return a network whose architecture its weights tell."""
    try:
        network: nn.Module = _class_of(card.about)(weights)
    except WeightsError as error:
        raise WeightsError(f"{weights_path(card)}: {error}") from None
    return network


def _class_of(entry: Network) -> Any:
    module, _, name = entry.target.partition(":")
    # A card only holds the key; module and class are those of our table, relative to `networks`.
    return getattr(import_module(module, _NETWORKS), name)


def read_weights(card: ModelCard, content: bytes | None = None, network: nn.Module | None = None) -> dict[str, Tensor]:
    """Read the weights of a model, and check the name, shape and dtype of each against its network.

    Parameters
    ----------
    card : ModelCard
        The model.
    content : bytes, optional
        Content of a safetensors file to read instead of the model's file.
    network : Module, optional
        The network of the card, if it was built already.

    Raises
    ------
    WeightsError
        If the file cannot be read or was changed, or any weight is missing, superfluous, of another shape or dtype,
        or not finite.
    """
    path = weights_path(card)
    found = parse_tensors(_content(card) if content is None else content, path)
    # There is no other network to compare with: that it can be built is the check.
    if card.about.from_weights:
        _network_of(card, found)
        return found
    # Not on torch's "meta" device: some initialisations load a compiler there, which takes seconds and has crashed in
    # the thread of a window. What a card can ask for is limited, so that building the network is safe.
    wanted = (network or build_network(card)).state_dict()
    if set(found) != set(wanted):
        # The first name that only one of them has.
        odd = sorted(set(found) ^ set(wanted))[0]
        raise WeightsError(
            f"{path} does not hold the weights of the {card.about.label} on its card: {odd[:80]!r} differs"
        )
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise WeightsError(f"{path}: {name!r} is {_words(tensor)}, its network needs {_words(wanted[name])}")
    return found


def _words(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def _content(card: ModelCard) -> bytes:
    """Read a model's file and check its sha256, if the card has one."""
    path = weights_path(card)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"the weights of {card.name!r} cannot be read from {path} ({error.strerror}): {_remedy(card)}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if card.sha256 and found != card.sha256:
        raise WeightsError(
            f"the weights of {card.name!r} are damaged: {path} has sha256 {found[:12]}…, expected {card.sha256[:12]}…; "
            f"{_remedy(card)}"
        )
    return content


def _remedy(card: ModelCard) -> str:
    return "import the model again" if card.path else "reinstall napari-genrecon"
