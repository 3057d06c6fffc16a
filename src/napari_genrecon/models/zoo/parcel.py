"""Read a package of bioimage.io as data: its description and its tensors; nothing in it is run or imported.

What a package names (a class, a library, a file of Python) is compared with names that are known here, and never used.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_genrecon.errors import WeightsError
from napari_genrecon.models.tensors import MOST_MEMBERS, parse_tensors
from napari_genrecon.models.zoo.images import grey_moments, read_images

__all__ = ["Parcel", "graph_tensors", "is_package", "read_package"]

_DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml")
_LARGEST_DESCRIPTION = 1 << 20  # bytes
_LARGEST_WEIGHTS = 512 << 20  # bytes, unpacked
_KNOWN = ("careamics.models.unet", "UNet")  # the one architecture that is written here
_REFUSED = {
    "torchscript": "TorchScript, a program that would be run without anyone being able to read it",
    "keras_hdf5": "a Keras file, which may hold code",
    "keras_v3": "a Keras file, which may hold code",
    "tensorflow_saved_model_bundle": "a TensorFlow bundle, a program that would be run",
    "tensorflow_js": "a TensorFlow.js model, which is not read",
}


class Parcel(NamedTuple):
    """What a package holds.

    Attributes
    ----------
    weights : dict of str to Tensor
        Tensors of a known network, or the bytes of a graph.
    licence : str
        Licence of the weights; empty if it is not said.
    moments : (float, float) or None
        Mean and s.d. of the grey values that it was trained on; (0, 1) takes them as they are.
    scaling : str
        How it takes grey values otherwise, see `models.card_values.SCALINGS`; empty: as its network usually does.
    """

    weights: dict[str, Tensor]
    licence: str
    moments: tuple[float, float] | None
    scaling: str = ""


def graph_tensors(content: bytes, multiple: int = 1) -> dict[str, Tensor]:
    """Return the bytes of an ONNX graph, and of what the sides of its images must be a multiple, as tensors."""
    graph = torch.from_numpy(np.frombuffer(content, np.uint8).copy())
    # Tensors, so that a graph is kept in a model file as weights are, see `networks.foreign.onnx_graph`.
    return {"onnx.graph": graph, "onnx.multiple": torch.tensor(multiple)}


def is_package(content: bytes) -> bool:
    """Return whether these are the bytes of a zip with a description of bioimage.io."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # Not every zip: `torch.save` writes zips, too.
            return any(name in _DESCRIPTIONS for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def read_package(content: bytes, path: Path) -> Parcel:
    """Read a package.

    Raises
    ------
    WeightsError
        If it is damaged, larger than it says, holds no weights that can be read without running anything, or a network
        or a preparation of the image that is not known here.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read(archive, path)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"{path} is a damaged package: {str(error)[:200]}") from None


def _read(archive: zipfile.ZipFile, path: Path) -> Parcel:
    # Of two members of one name, the checks and the reading could see different ones.
    names = [name.casefold() for name in archive.namelist()]
    if len(names) > MOST_MEMBERS or len(set(names)) < len(names):
        raise WeightsError(f"{path} is not read: its archive names members twice, or has more than a model needs")
    described = _description(archive, path)
    licence = described.get("license")
    licence = licence if isinstance(licence, str) else ""
    # Tensors of the network that is known here come before a graph: they need no further package.
    graph = _graph_entry(described)
    if graph is not None:
        content = _weights(archive, graph, path)
        about = read_images(described, path)
        return Parcel(graph_tensors(content, about.multiple), licence, about.moments, "moments")
    content = _weights(archive, _state_dict(described, path), path)
    return Parcel(parse_tensors(content, path), licence, grey_moments(described, path))


def _graph_entry(described: dict[str, Any]) -> dict[str, Any] | None:
    """Return the entry of an ONNX graph, where there are no tensors of a network that could be read."""
    weights = described.get("weights")
    weights = weights if isinstance(weights, dict) else {}
    entry, tensors = weights.get("onnx"), weights.get("pytorch_state_dict")
    network = tensors.get("architecture") if isinstance(tensors, dict) else None
    # Names are only compared: importing them would run code of the package.
    named = isinstance(network, dict) and (network.get("import_from"), network.get("callable")) == _KNOWN
    return entry if isinstance(entry, dict) and not named else None


def _weights(archive: zipfile.ZipFile, entry: dict[str, Any], path: Path) -> bytes:
    """Return the content of the weights that an entry names, if its checksum is right."""
    content = _member(archive, str(entry.get("source")), _LARGEST_WEIGHTS, path)
    wanted = str(entry.get("sha256") or "")
    if wanted and hashlib.sha256(content).hexdigest() != wanted:
        raise WeightsError(f"{path} is damaged: its weights are not those that its description says")
    return content


def _description(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    import yaml

    name = next(each for each in _DESCRIPTIONS if each in archive.namelist())
    text = _member(archive, name, _LARGEST_DESCRIPTION, path)
    try:
        # `safe_load` makes plain values only; the full loader would make any object.
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: its {name} cannot be read: {str(error).splitlines()[0][:200]}") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{path}: its {name} describes nothing")
    return found


def _member(archive: zipfile.ZipFile, name: str, most: int, path: Path) -> bytes:
    """Return the content of a member of a limited size, whatever size it is said to have."""
    if name not in archive.namelist():
        raise WeightsError(f"{path} lacks the file {name[:80]!r} that its description names")
    with archive.open(name) as file:
        # The size in the directory of an archive may be a lie, so that it is limited while unpacking.
        content = file.read(most + 1)
    if len(content) > most:
        raise WeightsError(f"{path}: {name[:80]!r} unpacks to more than {most / 1e6:.0f} MB and is not read")
    return content


def _state_dict(described: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the entry of weights that are tensors, of a network that is known."""
    weights = described.get("weights")
    weights = weights if isinstance(weights, dict) else {}
    entry = weights.get("pytorch_state_dict")
    if not isinstance(entry, dict):
        kinds = [_REFUSED[kind] for kind in weights if kind in _REFUSED]
        held = "; ".join(dict.fromkeys(kinds)) or "no weights"
        raise WeightsError(f"{path} holds {held}: only tensors of a known network and ONNX graphs are read")
    network = entry.get("architecture")
    network = network if isinstance(network, dict) else {}
    # Such packages bring the network as a file of Python.
    if "source" in network:
        raise WeightsError(
            f"{path}: its network is Python code ({str(network['source'])[:80]!r}), which would be run; it is not read"
        )
    named = (str(network.get("import_from")), str(network.get("callable")))
    if named != _KNOWN:
        raise WeightsError(
            f"{path}: its network is {'.'.join(named)[:100]!r}, which would be imported and run; only the U-Net of "
            "CAREamics is known here"
        )
    options = network.get("kwargs")
    final = options.get("final_activation", "None") if isinstance(options, dict) else "None"
    if str(final) != "None":
        raise WeightsError(f"{path}: its network ends with {str(final)[:40]!r}, which is no restoration of grey values")
    return entry
