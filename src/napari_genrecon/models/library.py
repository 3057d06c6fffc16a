"""The trained generative models on this computer: where they are, what they are, and how they come and go.

One model is one safetensors file: numbers, and the card as JSON in the file's ``__metadata__``. Nothing in it can be
executed, and nothing in it names code: ``kind`` is a key of a table of ours. Importing this loads no torch.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import OutputError, UnknownModelError, WeightsError
from napari_genrecon.io.publish import publishing
from napari_genrecon.models.card import ModelCard, check_name

__all__ = [
    "BUNDLED",
    "LARGEST_FILE",
    "export_model",
    "find_trained",
    "import_model",
    "models_folder",
    "read_card",
    "remove_model",
    "save_model",
    "trained_models",
]

BUNDLED = ("nuclei-dcgan-32", "nuclei-vae-32")
LARGEST_FILE = 256 << 20  # bytes; the largest network that a card can describe has less

_WEIGHTS = Path(__file__).parent / "weights"
_ENDING = ".safetensors"
_KEY = "napari-genrecon"
_LARGEST_HEADER = 4 << 20  # bytes


def models_folder() -> Path:
    """Where the user's models are kept: ``GENRECON_MODELS`` if set, else the user's data directory. May not exist."""
    chosen = os.environ.get("GENRECON_MODELS")
    if chosen:
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("napari-genrecon", appauthor=False) / "models"


def trained_models() -> tuple[ModelCard, ...]:
    """The cards of the user's models by name, then of the bundled ones; files that cannot be read are left out."""
    return tuple(card for _, card in _known())


def find_trained(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a model.

    Parameters
    ----------
    name_or_path : str or path-like
        A name that `trained_models` lists, or a model file.

    Raises
    ------
    UnknownModelError
        If there is neither; names the nearest.
    """
    wanted = str(name_or_path)
    own = models_folder() / f"{wanted}{_ENDING}"
    if Path(wanted).name == wanted and own.is_file():
        return own
    if wanted in BUNDLED:
        return _WEIGHTS / f"{wanted}{_ENDING}"
    if Path(wanted).is_file():
        return Path(wanted)
    known = [card.name for card in trained_models()]
    close = get_close_matches(wanted, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UnknownModelError(f"no trained model named {wanted[:200]!r}; {hint}Known: {', '.join(known) or 'none'}")


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """The card of a model file, without reading its numbers.

    Raises
    ------
    WeightsError
        If the file cannot be read, is of another kind, too large, cut short, or its card is not one.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(length) if length <= _LARGEST_HEADER else b""
    except OSError as error:
        raise WeightsError(f"the model {path} cannot be read: {error.strerror}") from error
    if size > LARGEST_FILE:
        raise WeightsError(f"{path} has {size / 1e6:.0f} MB: a model has at most {LARGEST_FILE / 1e6:.0f} MB")
    if header[:1] != b"{" or len(header) < length:
        raise WeightsError(f"{path} is not a safetensors file, or was cut short: it is not read")
    return _card_in(header, path)


def save_model(card: ModelCard, tensors: Mapping[str, NDArray[np.float32]], path: Path, *, overwrite: bool) -> None:
    """Write a model as one file, whole or not at all.

    Parameters
    ----------
    card : ModelCard
        What it is.
    tensors : mapping of str to ndarray of float32
        The weights of its network.
    path : Path
        The file.
    overwrite : bool
        Whether it may replace another.

    Raises
    ------
    OutputError
        If it cannot be written; what was there is then still there.
    """
    from safetensors.numpy import save

    content = save(dict(tensors), metadata={_KEY: json.dumps(card.to_dict())})
    _write(path, content, overwrite)


def export_model(name: str | os.PathLike[str], path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Copy a model into one file, for another computer.

    Raises
    ------
    UnknownModelError, OutputError
        If there is no such model, or the file exists or cannot be written.
    """
    source, path = find_trained(name), Path(path)
    with publishing(path, overwrite=overwrite, sources=[source], expected_bytes=source.stat().st_size) as part:
        shutil.copyfile(source, part)


def import_model(path: str | os.PathLike[str], *, name: str | None = None) -> ModelCard:
    """Check a model file and keep it in the models folder; never over another.

    Parameters
    ----------
    path : path-like
        The file; it is checked as a whole before anything is kept.
    name : str, optional
        Another name than the one on its card.

    Returns
    -------
    ModelCard
        As it is kept.

    Raises
    ------
    WeightsError
        If the file is not a model of ours.
    OutputError
        If there is a model of this name already, or it cannot be written.
    """
    from napari_genrecon.models.generative import load_weights_of

    card = read_card(path)
    weights = load_weights_of(card, Path(path))
    card = dataclasses.replace(card, name=check_name(card.name if name is None else name))
    if card.name in BUNDLED:
        raise OutputError(f"{card.name!r} is the name of a bundled model: choose another name")
    folder = _made(models_folder())
    target = folder / f"{card.name}{_ENDING}"
    if target.exists():
        raise OutputError(
            f"there is a model named {card.name!r} already: choose another name, or remove that one first"
        )
    save_model(card, weights, target, overwrite=False)
    return card


def remove_model(name: str) -> None:
    """Delete one of the user's models; the bundled ones stay.

    Raises
    ------
    UnknownModelError
        If the user has none of this name.
    """
    path = models_folder() / f"{check_name(name)}{_ENDING}"
    if not path.is_file():
        kept = "it is bundled and cannot be removed" if name in BUNDLED else "nothing was removed"
        raise UnknownModelError(f"no model named {name!r} in {models_folder()}: {kept}")
    path.unlink()


def _known() -> Iterator[tuple[Path, ModelCard]]:
    folder = models_folder()
    own = sorted(folder.glob(f"*{_ENDING}"), key=lambda path: path.stem) if folder.is_dir() else []
    for path in [*own, *(_WEIGHTS / f"{name}{_ENDING}" for name in BUNDLED)]:
        try:
            card = read_card(path)
        except WeightsError:
            continue
        # The name is that of the file: a file that was renamed by hand is found under what the user called it.
        yield path, card if card.name == path.stem else _renamed(card, path.stem)


def _renamed(card: ModelCard, stem: str) -> ModelCard:
    try:
        return dataclasses.replace(card, name=check_name(stem))
    except WeightsError:
        return card


def _card_in(header: bytes, path: Path) -> ModelCard:
    try:
        table = json.loads(header)
        text = table.get("__metadata__", {}).get(_KEY) if isinstance(table, dict) else None
    except (ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file") from error
    if not isinstance(text, str):
        raise WeightsError(f"{path} holds no model card: it is not a generative model of napari-genrecon")
    try:
        return ModelCard.from_dict(_json(text))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise WeightsError("the model card cannot be used: it is not JSON") from None


def _write(path: Path, content: bytes, overwrite: bool) -> None:
    with publishing(path, overwrite=overwrite, expected_bytes=len(content)) as part:
        part.write_bytes(content)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the models folder {folder} cannot be made: {error.strerror}") from error
    return folder
