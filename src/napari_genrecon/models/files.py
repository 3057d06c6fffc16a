"""Model files: one safetensors file each, with the card as JSON in its ``__metadata__``.

Nothing in such a file can be executed, and nothing in it names code: ``network`` is a key of `NETWORKS`.
Importing this loads no torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import WeightsError
from napari_genrecon.io.publish import publishing
from napari_genrecon.models.card import ModelCard

__all__ = ["ENDING", "LARGEST_FILE", "holds_card", "read_card", "save_model"]

ENDING = ".safetensors"
LARGEST_FILE = 256 << 20  # bytes; the largest network that a card can describe has less

_KEY = "napari-genrecon"
_LARGEST_HEADER = 4 << 20  # bytes; it holds the card and the names and shapes of the tensors, not the numbers


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read the card of a model file, without reading its numbers.

    Raises
    ------
    WeightsError
        If the file cannot be read, is no safetensors file, is too large or cut short, or holds no usable card.
    """
    path = Path(path)
    size, length, header = _read_header(path)
    if size > LARGEST_FILE:
        raise WeightsError(f"{path} has {size / 1e6:.0f} MB: a model has at most {LARGEST_FILE / 1e6:.0f} MB")
    # A header that is too long was not read, and fails here as one that was cut short.
    if header[:1] != b"{" or len(header) < length:
        raise WeightsError(f"{path} is not a safetensors file, or was cut short: it is not read")
    return _card_in(header, path)


def holds_card(path: Path) -> bool:
    """Return whether a file names a card in its header, be it usable or not.

    Raises
    ------
    WeightsError
        If the file cannot be read.
    """
    # Only looked for and not parsed: a damaged card must be refused as ours, and not be read as weights of others.
    return f'"{_KEY}"'.encode() in _read_header(path)[2]


def save_model(card: ModelCard, tensors: Mapping[str, NDArray[np.float32]], path: Path, *, overwrite: bool) -> None:
    """Write a model as one file, whole or not at all.

    Parameters
    ----------
    card : ModelCard
        Card of the model.
    tensors : mapping of str to ndarray of float32
        The weights of its network.
    path : Path
        File to write.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        If the file cannot be written; an existing file is then unchanged.
    """
    from safetensors.numpy import save

    # safetensors keeps text only beside the tensors, so that the card is one text of JSON.
    content = save(dict(tensors), metadata={_KEY: json.dumps(card.to_dict())})
    with publishing(path, overwrite=overwrite, expected_bytes=len(content)) as part:
        part.write_bytes(content)


def _read_header(path: Path) -> tuple[int, int, bytes]:
    """Return the size of a safetensors file, the length of its header, and as much of that as there is."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            # safetensors: 8 bytes with the length of the header, the header as JSON, then the numbers.
            length = int.from_bytes(file.read(8), "little")
            # The length may be any number in a hostile file: nothing is read where it is larger than any header.
            return size, length, file.read(length) if length <= _LARGEST_HEADER else b""
    except OSError as error:
        raise WeightsError(f"the model {path} cannot be read: {error.strerror}") from error


def _card_in(header: bytes, path: Path) -> ModelCard:
    try:
        table = json.loads(header)
        text = table.get("__metadata__", {}).get(_KEY) if isinstance(table, dict) else None
    # RecursionError: JSON that is nested thousands of times.
    except (ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file") from error
    if not isinstance(text, str):
        raise WeightsError(f"{path} holds no model card: it is not a model of napari-genrecon")
    try:
        return ModelCard.from_dict(_json(text))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise WeightsError("the model card cannot be used: it is not JSON") from None
