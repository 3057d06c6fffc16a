"""Give a model away as a package of bioimage.io, with what a task does around it inside."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import OptionError
from napari_genrecon.models import ModelCard, find_model
from napari_genrecon.models.card import FACTORS
from napari_genrecon.noise import NoiseModel, is_low_light, stabiliser
from napari_genrecon.noise.stabilise import TANGENT_BELOW
from napari_genrecon.tasks.denoise.planes import FARTHEST
from napari_genrecon.tasks.measure import Noise

__all__ = ["export_package", "export_steps"]


def export_package(
    name: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    noise: Noise | float | None = None,
    factor: int = 2,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write a denoiser or an upscaler as a package of bioimage.io, which other programs read.

    One tensor goes in and one comes out, in grey values: the transform of the noise, the network and the way back are
    one graph, as TorchScript, and as ONNX with sizes of any multiple if the package onnx is installed.

    Parameters
    ----------
    name : str or path-like
        A name that `list_models` lists, or a model file.
    path : path-like
        The zip file to write.
    noise : NoiseModel or float
        What a denoiser removes: the noise of one camera setting, as `measure_noise` returns it, or its s.d. in grey
        values. Unlike in `denoise` it cannot be measured anew from every image.
    factor : {2, 3, 4}
        How many times an upscaler enlarges.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    tuple of str
        The kinds of weights that were written, ``("torchscript", "onnx")``.

    Raises
    ------
    OptionError
        If the model cannot be packed, or the noise is missing or cannot be part of a graph.
    UnknownModelError, WeightsError, OutputError
        If there is no such model, or a file cannot be read or written.
    """
    return finish(export_steps(name, path, noise=noise, factor=factor, overwrite=overwrite))


def export_steps(
    name: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    noise: Noise | float | None = None,
    factor: int = 2,
    overwrite: bool = False,
) -> Generator[Progress, None, tuple[str, ...]]:
    """Run `export_package` step by step."""
    card = find_model(name)
    _check_model(card)
    # Before torch is loaded for the graph.
    if factor not in FACTORS:
        raise OptionError(f"factor must be 2, 3 or 4, got {factor}")
    from napari_genrecon.models.zoo.graph import Transform
    from napari_genrecon.models.zoo.package import write_package

    transform = None
    if card.task == "denoise":
        model = _one_noise(noise, card)
        # The transform that `denoise` uses, as numbers for the graph.
        made = stabiliser(model)
        transform = Transform(
            offset=made.offset,
            gain=made.gain,
            k=made.k,
            below=made.below,
            tangent_below=TANGENT_BELOW,
            correction=made.correction,
            rho=model.correlations,
            farthest=FARTHEST,
        )
    return (
        yield from write_package(
            card, Path(path), transform=transform, factor=1 if transform else factor, overwrite=overwrite
        )
    )


def _check_model(card: ModelCard) -> None:
    """Refuse what is more than one tensor in and one out, or not ours to give away."""
    # Only cards of models of others have a scaling.
    if card.scaling:
        raise OptionError(f"the model {card.name!r} was made by others: pass on its file, {card.origin.get('file')}")
    if card.task not in ("denoise", "upscale"):
        raise OptionError(
            f"the model {card.name!r} is for {card.task!r}: packages are written of denoisers and upscalers, which "
            "take one image and give one"
        )
    # An upscaler for noisy images: two networks, and a package holds one.
    if card.denoiser:
        raise OptionError(
            f"the model {card.name!r} denoises with {card.denoiser!r} first: export that one, and an upscaler without"
        )


def _one_noise(noise: Noise | float | None, card: ModelCard) -> NoiseModel:
    if noise is None:
        raise OptionError(
            f"noise is needed to export {card.name!r}: a package holds the noise of one camera setting; give its s.d. "
            "in grey values, or a report that 'genrecon noise --json IMAGE' prints"
        )
    if isinstance(noise, tuple):
        if len(noise) != 1:
            raise OptionError(f"noise holds {len(noise)} channels, and a package has one: choose one of them")
        noise = noise[0]
    model = noise if isinstance(noise, NoiseModel) else NoiseModel.white(float(noise))
    # Only noise of a gain and a read noise has a transform in a closed formula, which a graph can hold.
    if not model.affine:
        raise OptionError("noise that follows a measured curve cannot be part of a package: give a gain or an s.d.")
    if is_low_light(model):
        raise OptionError(
            "noise of so few photons cannot be part of a package: what keeps the light is measured from every image"
        )
    return model
