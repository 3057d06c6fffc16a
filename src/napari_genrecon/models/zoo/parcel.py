"""Read a package of bioimage.io as data: its description and its tensors; nothing in it is run or imported.

What a package names (a class, a library, a file of Python) is compared with names that are known here, and never used.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from napari_genrecon.errors import WeightsError
from napari_genrecon.models.tensors import parse_tensors

__all__ = ["Parcel", "is_package", "read_package"]

_DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml")
_LARGEST_DESCRIPTION = 1 << 20  # bytes
_LARGEST_WEIGHTS = 512 << 20  # bytes, unpacked
_MOST_MEMBERS = 1000
_KNOWN = ("careamics.models.unet", "UNet")  # the one architecture that is written here
_REFUSED = {
    "torchscript": "TorchScript, a program that would be run without anyone being able to read it",
    "onnx": "an ONNX graph, which is not read",
    "keras_hdf5": "a Keras file, which may hold code",
    "keras_v3": "a Keras file, which may hold code",
    "tensorflow_saved_model_bundle": "a TensorFlow bundle, a program that would be run",
    "tensorflow_js": "a TensorFlow.js model, which is not read",
}


class Parcel(NamedTuple):
    """What a package holds: its weights, its licence, and (mean, s.d.) of the grey values that it was trained on."""

    weights: dict[str, Tensor]
    licence: str
    moments: tuple[float, float] | None


def is_package(content: bytes) -> bool:
    """Return whether these are the bytes of a zip with a description of bioimage.io."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
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
    names = [name.casefold() for name in archive.namelist()]
    if len(names) > _MOST_MEMBERS or len(set(names)) < len(names):
        raise WeightsError(f"{path} is not read: its archive names members twice, or has more than a model needs")
    described = _description(archive, path)
    entry = _state_dict(described, path)
    content = _member(archive, str(entry.get("source")), _LARGEST_WEIGHTS, path)
    wanted = str(entry.get("sha256") or "")
    if wanted and hashlib.sha256(content).hexdigest() != wanted:
        raise WeightsError(f"{path} is damaged: its weights are not those that its description says")
    licence = described.get("license")
    weights = parse_tensors(content, path)
    return Parcel(weights, licence if isinstance(licence, str) else "", _moments(described, path))


def _description(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    import yaml

    name = next(each for each in _DESCRIPTIONS if each in archive.namelist())
    text = _member(archive, name, _LARGEST_DESCRIPTION, path)
    try:
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
        raise WeightsError(f"{path} holds {held}: only tensors of a known network are read (pytorch_state_dict)")
    network = entry.get("architecture")
    network = network if isinstance(network, dict) else {}
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


def _moments(described: dict[str, Any], path: Path) -> tuple[float, float] | None:
    """Return mean and s.d. that the description subtracts and divides by; None for those of every image."""
    inputs = described.get("inputs")
    first = inputs[0] if isinstance(inputs, list) and inputs and isinstance(inputs[0], dict) else {}
    steps = first.get("preprocessing")
    steps = steps if isinstance(steps, list) else []
    steps = [each for each in steps if isinstance(each, dict) and each.get("id") != "ensure_dtype"]
    kinds = [str(each.get("id")) for each in steps]
    if kinds in ([], ["zero_mean_unit_variance"]):
        return None
    if kinds != ["fixed_zero_mean_unit_variance"]:
        raise WeightsError(f"{path}: it prepares images by {', '.join(kinds)[:80]}, which is not known here")
    options = steps[0].get("kwargs")
    options = options if isinstance(options, dict) else {}
    return _number(options.get("mean"), "mean", path), _number(options.get("std"), "std", path)


def _number(value: object, name: str, path: Path) -> float:
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        raise WeightsError(f"{path}: the {name} of its grey values must be one number, got {str(value)[:40]!r}")
    if name == "std" and value <= 0:
        raise WeightsError(f"{path}: the std of its grey values must be positive, got {value}")
    return float(value)
