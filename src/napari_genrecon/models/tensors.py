"""Weight files: read as data, never executed.

A safetensors file holds numbers only. A file of ``torch.save`` holds a program for a small machine (pickle), which
PyTorch restricts with ``weights_only=True``; that has been broken before (CVE-2025-32434, CVE-2026-24747), and says
nothing about archives that unpack to more than they are. So such a file is inspected first, as an archive.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from napari_genrecon.errors import WeightsError

__all__ = ["MOST_MEMBERS", "parse_tensors", "read_content", "read_tensors"]

_LARGEST = 4 << 30  # bytes; larger files would fill the memory of a laptop
MOST_MEMBERS = 65_536  # files in an archive: one per tensor, so thousands at most in an honest one
_LARGEST_PICKLE = 16 << 20  # bytes; it holds the names and shapes, not the numbers
_NESTED = ("state_dict", "params_ema", "params", "model")  # where training programs put the weights


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a weight file, without running anything that it holds.

    Parameters
    ----------
    path : path-like
        A safetensors file, or one that ``torch.save`` wrote with nothing but tensors in it.

    Returns
    -------
    dict of str to Tensor
        Tensors by name, on the CPU.

    Raises
    ------
    WeightsError
        If it cannot be read, is of another kind (TorchScript, an old or compressed archive, any other pickle), or is
        damaged.
    """
    return parse_tensors(read_content(Path(path)), Path(path))


def read_content(path: Path) -> bytes:
    """Return the bytes of a weight file.

    Raises
    ------
    WeightsError
        If it cannot be read, or is too large.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise WeightsError(f"{path} has {size / 1e9:.1f} GB: weights of more than 4 GB are not read")
        return path.read_bytes()
    # It is an OSError itself, and would be caught below.
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"the weights {path} cannot be read: {error.strerror}") from error


def parse_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors in the content of a weight file, as `read_tensors`; `path` is for the messages."""
    # A zip, as `torch.save` writes since PyTorch 1.6; older files are bare pickles and refused below.
    if content[:2] == b"PK":
        return _from_archive(content, path)
    # safetensors begins with 8 bytes of length, then the JSON of its header.
    if content[8:9] != b"{":
        raise WeightsError(
            f"{path} is neither a safetensors file nor one that torch.save wrote: it is not read, as it may run code; "
            "convert it where you trust it"
        )
    try:
        tensors: dict[str, Tensor] = load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    return _checked(tensors, len(content), path)


def _from_archive(content: bytes, path: Path) -> dict[str, Tensor]:
    _inspect(content, path)
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # the restricted unpickler raises nearly anything for what it does not allow
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path} holds more than tensors, or is damaged, and is not read: {reason}") from None
    # Not a search: each is taken once, in this order, also one inside another.
    for name in _NESTED:
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, not tensors by name")
    # Other values, such as the number of an epoch, are left out.
    return _checked({str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}, len(content), path)


def _inspect(content: bytes, path: Path) -> None:
    """Refuse an archive unlike those of torch.save: members uncompressed, each name once, no code."""
    try:
        # Only the directory at its end is read here: nothing is unpacked.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise WeightsError(f"{path} is a damaged archive: {error}") from error
    problem = _problem(members, len(content))
    if problem:
        raise WeightsError(f"{path} is not read: {problem}")


def _problem(members: list[zipfile.ZipInfo], size: int) -> str:
    names = [member.filename.casefold() for member in members]
    if len(names) > MOST_MEMBERS or len(set(names)) < len(names):
        return "its archive names members twice, or has more than weights need"
    if any(name.endswith("constants.pkl") or "/code/" in f"/{name}" for name in names):
        return "it is a TorchScript program, which would be run; save its state_dict as safetensors instead"
    # Bit 0 of the flags: encrypted.
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        return "its archive is compressed or encrypted, which torch.save never does: it may unpack to any size"
    # Members that are stored as they are cannot be larger together than the file.
    if sum(member.file_size for member in members) > size:
        return "the sizes in its archive do not add up"
    # More than one, or none: PyTorch and this check could look at different ones.
    pickles = [member for member in members if member.filename.casefold().endswith(".pkl")]
    if len(pickles) != 1 or pickles[0].file_size > _LARGEST_PICKLE:
        return "it does not hold one list of tensors"
    return ""


def _checked(tensors: dict[str, Tensor], size: int, path: Path) -> dict[str, Tensor]:
    """Return the tensors if each is finite and no larger than what the file stores."""
    if not tensors:
        raise WeightsError(f"{path} holds no tensor")
    for name, tensor in tensors.items():
        if _claims_too_much(tensor, size):
            raise WeightsError(f"{path} says that {name[:80]!r} has shape {tuple(tensor.shape)}, more than it stores")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{path} holds NaN or infinite weights in {name[:80]!r}: it is damaged")
    return tensors


def _claims_too_much(tensor: Any, size: int) -> bool:
    # A stride of 0 lets four bytes pass for a tensor of any size.
    return bool(tensor.layout != torch.strided or tensor.numel() * tensor.element_size() > size)
