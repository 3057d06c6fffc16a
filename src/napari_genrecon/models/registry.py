"""Find, list, import, export and remove models: shipped ones, one entry each, and the user's, one file each.

All models are found, listed and loaded in the same way. Importing this loads no torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import OptionError, OutputError, UnknownModelError, WeightsError
from napari_genrecon.io.publish import publishing, remove
from napari_genrecon.models.card import ModelCard, PerAxis, check_name
from napari_genrecon.models.files import ENDING, holds_card, read_card, save_model

__all__ = [
    "BUNDLED",
    "MODELS",
    "axial_card",
    "classifier_card",
    "export_model",
    "find_model",
    "import_model",
    "import_steps",
    "list_models",
    "models_folder",
    "remove_model",
    "save_own",
    "weights_path",
]

WEIGHTS = Path(__file__).parent / "weights"

# Printed by tools/calibrate_spots.py.
# fmt: off
_SPOTS: dict[str, Any] = {
    "rho": [0.0, 0.2, 0.4, 0.6, 0.7, 0.8],
    "evidence": [n / 2 for n in range(-16, 2)],
    "log_maxima": [
        [-6.04, -6.25, -6.47, -6.71, -6.95, -7.21, -7.49, -7.76, -8.03,
         -8.33, -8.65, -8.95, -9.34, -9.71, -10.1, -10.52, -11.02, -11.48],
        [-6.11, -6.33, -6.55, -6.78, -7.02, -7.29, -7.54, -7.8, -8.09,
         -8.39, -8.7, -9.02, -9.39, -9.78, -10.23, -10.73, -11.15, -11.76],
        [-6.22, -6.44, -6.66, -6.9, -7.16, -7.41, -7.68, -7.96, -8.25,
         -8.59, -8.9, -9.24, -9.55, -9.94, -10.36, -10.76, -11.24, -11.97],
        [-6.37, -6.59, -6.83, -7.08, -7.34, -7.63, -7.93, -8.22, -8.55,
         -8.86, -9.2, -9.55, -9.95, -10.42, -10.86, -11.25, -11.97, -12.48],
        [-6.43, -6.66, -6.89, -7.14, -7.4, -7.68, -7.95, -8.24, -8.55,
         -8.88, -9.23, -9.59, -10.01, -10.47, -10.96, -11.39, -11.97, -12.44],
        [-6.36, -6.58, -6.8, -7.04, -7.29, -7.55, -7.84, -8.13, -8.46,
         -8.75, -9.05, -9.38, -9.8, -10.22, -10.68, -11.19, -11.89, -12.52],
    ],
}
# fmt: on

MODELS: tuple[ModelCard, ...] = (
    ModelCard(
        name="denoise-2d",
        task="denoise",
        network="grain-unet",
        told=("sigma", "rho"),
        sha256="7d001b7b6027ba05a539a444b229826b00889d470f0536adcc74846b09a678f4",
        halo=PerAxis.planes(96, 0),
        stride=PerAxis.planes(8, 1),  # `unet.STRIDE`, which cannot be imported here: it would load torch
        bytes_per_pixel=500,
        bfloat16=12.0,  # tests/models/test_precision.py
        bfloat16_coarse=120.0,
        summary="Gaussian noise of any strength and correlation, plane by plane; trained on photographs, simulated "
        "fluorescence and nuclei",
        licence="BSD-3-Clause",
    ),
    ModelCard(
        name="upscale-2d",
        task="upscale",
        network="srnets",
        told=("sigma", "factor"),
        sha256="84e8fb0071d6f84803b824fbfb0f270f9f679979da0653a513e8c2142eefeaf0",
        halo=PerAxis.planes(17, 0),  # `srnet.REACH`
        bytes_per_pixel=900,
        work=0.65,
        tile_pixels=100_000,
        summary="2, 3 or 4 times larger, plane by plane; for sharp images with little noise, which it leaves in; "
        "trained mostly on photographs",
        licence="BSD-3-Clause",
    ),
    ModelCard(
        name="upscale-2d-microscope",
        task="upscale",
        network="srnet",
        told=("sigma", "factor"),
        sha256="055363d7581d64025bec22c9b726ceb4c87bf56389fee596e2d122140f5a1839",
        halo=PerAxis.planes(17, 0),
        bytes_per_pixel=900,
        bfloat16=50.0,  # of a tenth of the image's noise: what the denoiser leaves
        work=0.65,
        denoiser="denoise-2d",
        summary="2, 3 or 4 times larger, plane by plane; for noisy images, which it denoises first",
        licence="BSD-3-Clause",
    ),
    ModelCard(
        name="inpaint-2d",
        task="inpaint",
        network="fillnet",
        channels=4,
        sha256="e9ddc7e1c1b5d1bdc172ee50c6095636094281b2363475a5c077c7e44af5fe7a",
        halo=PerAxis.planes(96, 0),
        stride=PerAxis.planes(8, 1),
        bytes_per_pixel=500,
        bfloat16=12.0,
        bfloat16_coarse=120.0,
        summary="Missing pixels of any pattern, plane by plane; trained on photographs, simulated fluorescence and "
        "nuclei",
        licence="BSD-3-Clause",
    ),
    ModelCard(
        name="fuse-frames",
        task="fuse",
        network="frame-gate",
        channels=11,
        told=("rho",),
        sha256="1d24583bd065bed63ca9a78cc5b878503e92dce46f441c6f7097d81dd643b674",
        halo=PerAxis.planes(16, 0),
        stride=PerAxis.planes(2, 1),
        bfloat16=30.0,
        bytes_per_pixel=500,
        work=0.02,
        summary="How much neighbouring frames of a movie still hold, pixel by pixel; 'denoise' uses it; trained on "
        "simulated movies of photographs, simulated fluorescence and nuclei",
        licence="BSD-3-Clause",
    ),
    ModelCard(
        name="spots-2d",
        task="detect",
        network="spotnet",
        channels=6,
        told=("rho",),
        sha256="21f2dda515fe19d52df6710e23b174ed52b5a2c05523f2ca5ccea7902143553f",
        halo=PerAxis.planes(64, 0),
        stride=PerAxis.planes(8, 1),
        bytes_per_pixel=300,
        work=0.02,
        calibration=_SPOTS,
        summary="Bright spots of 1.5 to 8 pixels, plane by plane, dim and crowded ones as well; trained on simulated "
        "scenes",
        licence="BSD-3-Clause",
    ),
)
"""The models that are shipped without a card in their files; the first of a task is its default."""

CARDED = {
    "nuclei-dcgan-32": "f777e4e12d5176d0ac59dd541dbce070958ee55ef22c46b0a68e000daac10f39",
    "nuclei-vae-32": "993ff2dfae1b7f55bbe45713c6b5cf4ea90c7519fe508b546776bb10b6119105",
}
"""Shipped models with a card in their files, and the sha256 of these files."""

BUNDLED = (*(card.name for card in MODELS), *CARDED)


def axial_card(factor: int) -> ModelCard:
    """Return the card of an upscaler that was fine-tuned on one stack, to add planes along z."""
    return ModelCard(
        name="trained-on-this-stack", task="upscale", network="axial", shape={"factor": factor}, told=("sigma",)
    )


def classifier_card(name: str, features: int, classes: int, *, pictures: bool, **facts: Any) -> ModelCard:
    """Return the card of a classifier of objects, of so many features, and of pictures as well or not."""
    shape = {"features": features, "classes": classes}
    network = "joint-classifier" if pictures else "feature-classifier"
    return ModelCard(name=check_name(name), task="classify", network=network, shape=shape, **facts)


def save_own(card: ModelCard, tensors: Mapping[str, NDArray[np.float32]], *, overwrite: bool = False) -> ModelCard:
    """Write a model into the models folder, and return its card there.

    Raises
    ------
    OutputError
        If there is a model of this name already, or it cannot be written.
    """
    # Bundled models are found first, so that one of the same name could never be chosen.
    if card.name in BUNDLED:
        raise OutputError(f"{card.name!r} is the name of a bundled model: choose another name")
    target = _ensured(models_folder()) / f"{card.name}{ENDING}"
    if target.exists() and not overwrite:
        raise OutputError(
            f"there is a model named {card.name!r} already: choose another name, or remove that one first"
        )
    save_model(card, tensors, target, overwrite=overwrite)
    # The path makes `weights_path` look in the models folder and not among the bundled weights.
    return dataclasses.replace(card, path=str(target))


def models_folder() -> Path:
    """Return the folder of the user's models, which may not exist: ``GENRECON_MODELS``, or in the data directory."""
    chosen = os.environ.get("GENRECON_MODELS")
    if chosen:
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("napari-genrecon", appauthor=False) / "models"


def list_models(task: str | None = None) -> tuple[ModelCard, ...]:
    """List the models: the shipped ones, the default of each task first, then the user's by name.

    Files that cannot be read are left out.

    Parameters
    ----------
    task : str, optional
        List only models for this task, such as ``"denoise"``, or ``"sample"`` for generative models.
    """
    return tuple(card for card in _known() if task in (None, card.task))


def find_model(name: str | os.PathLike[str], task: str | None = None, *, others: bool = True) -> ModelCard:
    """Return the card of a model.

    Parameters
    ----------
    name : str or path-like
        A name that `list_models` lists, ``"auto"`` for the task's default, or a model file.
    task : str, optional
        The task that the model must serve.
    others : bool
        Whether a model of others will do, which takes nothing beside the image: no noise level and no factor.

    Raises
    ------
    UnknownModelError
        If there is none; names the nearest.
    OptionError
        If it is one of others, and these will not do.
    WeightsError
        If its file cannot be read, or is not a model of napari-genrecon.
    """
    wanted = os.fspath(name)
    # Bundled models first: no file can take their names, nor become the default of a task.
    for card in _bundled():
        if task in (None, card.task) and wanted in (card.name, *(["auto"] if task else [])):
            return card
    # The models folder counts before a file of this name in the working directory.
    for path in (_own_file(wanted), Path(wanted)):
        if path is not None and path.is_file():
            card = _with_sha256(_named_as_file(path) if path.parent == models_folder() else _card_at(path))
            if task in (None, card.task):
                return card if others else _ours(card)
    known = [card.name for card in list_models(task)]
    close = get_close_matches(wanted, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    kind = f"{task!r} model" if task else "model"
    raise UnknownModelError(f"no {kind} named {wanted[:200]!r}; {hint}Known: {', '.join(known) or 'none'}")


def _ours(card: ModelCard) -> ModelCard:
    if card.scaling:
        raise OptionError(
            f"the model {card.name!r} was made by others, and serves the task {card.task!r} only: it cannot be told "
            "what this task needs; choose 'auto'"
        )
    return card


def weights_path(card: ModelCard) -> Path:
    """Return the file that holds the weights of a model."""
    return Path(card.path) if card.path else WEIGHTS / f"{card.name}{ENDING}"


def export_model(name: str | os.PathLike[str], path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Copy a model into one file, for another computer.

    Raises
    ------
    UnknownModelError, OutputError
        If there is no such model, or the file exists or cannot be written.
    """
    source, path = weights_path(find_model(name)), Path(path)
    # The model is named as a source, so that it cannot be written over itself.
    with publishing(path, overwrite=overwrite, sources=[source], expected_bytes=source.stat().st_size) as part:
        shutil.copyfile(source, part)


def import_model(path: str | os.PathLike[str], *, name: str | None = None) -> ModelCard:
    """Check a model file and copy it into the models folder; never over another.

    Parameters
    ----------
    path : path-like
        Model file, or weights of others (safetensors, or tensors that ``torch.save`` wrote), of which nothing is run;
        all of it is checked before anything is written.
    name : str, optional
        Name to give it, instead of the one on its card.

    Returns
    -------
    ModelCard
        Card of the model in the models folder.

    Raises
    ------
    WeightsError
        If the file is no model, may run code, is damaged, or belongs to no known network.
    MissingPackageError
        If a package is needed to tell the network of others.
    OutputError
        If there is a model of this name already, or it cannot be written.
    """
    return finish(import_steps(path, name=name))


def import_steps(path: str | os.PathLike[str], *, name: str | None = None) -> Generator[Progress, None, ModelCard]:
    """Run `import_model` step by step: how a network of others can be cut into tiles is measured."""
    # Imported late, as these load torch.
    from napari_genrecon.models.runtime import read_weights
    from napari_genrecon.models.zoo.arrival import arrive

    path = Path(path)
    # A file with a damaged card is refused as ours, and never measured as weights of others.
    if holds_card(path):
        card = _card_at(path)
        weights = read_weights(card)
    else:
        card, weights = yield from arrive(path)
    card = dataclasses.replace(card, name=check_name(card.name if name is None else name))
    return save_own(card, {key: tensor.numpy() for key, tensor in weights.items()})


def remove_model(name: str) -> None:
    """Delete one of the user's models; bundled ones cannot be deleted.

    Raises
    ------
    UnknownModelError
        If the user has none of this name.
    """
    # The check also keeps names such as "../other" from leaving the folder.
    path = models_folder() / f"{check_name(name)}{ENDING}"
    if not path.is_file():
        kept = "it is bundled and cannot be removed" if name in BUNDLED else "nothing was removed"
        raise UnknownModelError(f"no model named {name!r} in {models_folder()}: {kept}")
    remove(path)


def _known() -> Iterator[ModelCard]:
    yield from _bundled()
    folder = models_folder()
    for path in sorted(folder.glob(f"*{ENDING}"), key=lambda path: path.stem) if folder.is_dir() else []:
        # It could not be found by its name, see `find_model`.
        if path.stem in BUNDLED:
            continue
        try:
            yield _named_as_file(path)
        except WeightsError:
            continue


def _bundled() -> Iterator[ModelCard]:
    yield from MODELS
    for name, sha256 in CARDED.items():
        with suppress(WeightsError):  # a damaged installation can still do the rest
            yield dataclasses.replace(read_card(WEIGHTS / f"{name}{ENDING}"), sha256=sha256)


def _own_file(name: str) -> Path | None:
    """Return the path of the user's model of this name; None if `name` is a path."""
    return models_folder() / f"{name}{ENDING}" if Path(name).name == name else None


def _card_at(path: Path) -> ModelCard:
    return dataclasses.replace(read_card(path), path=str(path))


def _named_as_file(path: Path) -> ModelCard:
    """Return the card with the name of its file, so that a file renamed by hand is found under its new name."""
    card = _card_at(path)
    try:
        # A name that no model can have leaves the one on the card.
        return dataclasses.replace(card, name=check_name(path.stem))
    except WeightsError:
        return card


def _with_sha256(card: ModelCard) -> ModelCard:
    # Of the file as it is found now: loading then notices if it is exchanged meanwhile.
    return dataclasses.replace(card, sha256=hashlib.sha256(weights_path(card).read_bytes()).hexdigest())


def _ensured(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the models folder {folder} cannot be made: {error.strerror}") from error
    return folder
