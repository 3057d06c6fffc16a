"""The models that exist, one line each, and how to get one. Importing this loads no torch."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from napari_genrecon.errors import MissingPackageError, UnknownModelError
from napari_genrecon.models.spec import ModelSpec

if TYPE_CHECKING:
    from napari_genrecon.models._runtime import Denoiser, Filler, RowsUpscaler, Upscaler

__all__ = [
    "MODELS",
    "ModelSpec",
    "available_devices",
    "find_model",
    "list_models",
    "load_denoiser",
    "load_filler",
    "load_rows_upscaler",
    "load_upscaler",
    "resolve_device",
]

MODELS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="denoise-2d",
        task="denoise",
        target=".unet:DenoiseUNet",
        weights="denoise-2d.safetensors",
        sha256="eeceed9f2df54c7a3ac5061cb8aa95f86ccf95e5d25462879cde9b38feac10aa",
        halo=96,
        stride=8,
        bytes_per_pixel=500,
        summary="Gaussian noise of any strength and correlation, plane by plane; trained on photographs, simulated "
        "fluorescence and nuclei",
        licence="BSD-3-Clause",
    ),
    ModelSpec(
        name="upscale-2d",
        task="upscale",
        target=".srnet:UpscaleNets",
        weights="upscale-2d.safetensors",
        sha256="84e8fb0071d6f84803b824fbfb0f270f9f679979da0653a513e8c2142eefeaf0",
        halo=17,
        stride=1,
        bytes_per_pixel=900,
        work=0.65,
        tile_pixels=100_000,
        summary="2, 3 or 4 times larger, plane by plane; for sharp images with little noise, which it leaves in; "
        "trained mostly on photographs",
        licence="BSD-3-Clause",
    ),
    ModelSpec(
        name="upscale-2d-microscope",
        task="upscale",
        target=".srnet:UpscaleNet",
        weights="upscale-2d-microscope.safetensors",
        sha256="055363d7581d64025bec22c9b726ceb4c87bf56389fee596e2d122140f5a1839",
        halo=17,
        stride=1,
        bytes_per_pixel=900,
        work=0.65,
        denoiser="denoise-2d",
        summary="2, 3 or 4 times larger, plane by plane; for noisy images, which it denoises first",
        licence="BSD-3-Clause",
    ),
    ModelSpec(
        name="inpaint-2d",
        task="inpaint",
        target=".fillnet:FillUNet",
        weights="inpaint-2d.safetensors",
        sha256="7e78652bc40ee508f976b4557c4fe119a0e91621c479df0f5dce4104333cd704",
        halo=96,
        stride=8,
        bytes_per_pixel=500,
        summary="Missing pixels of any pattern, plane by plane; trained on photographs, simulated fluorescence and "
        "nuclei",
        licence="BSD-3-Clause",
    ),
)


def list_models(task: str | None = None) -> tuple[ModelSpec, ...]:
    """The models there are, the default of each task first.

    Parameters
    ----------
    task : str, optional
        Only those for one task, such as ``"denoise"``.
    """
    return tuple(spec for spec in MODELS if task in (None, spec.task))


def find_model(name: str, task: str) -> ModelSpec:
    """The model of this name for this task; ``"auto"`` is the task's default.

    Raises
    ------
    UnknownModelError
        If there is none; names the nearest.
    """
    specs = list_models(task)
    for spec in specs:
        if name in (spec.name, "auto"):
            return spec
    known = [spec.name for spec in specs]
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UnknownModelError(f"no {task!r} model named {name!r}; {hint}Known: {', '.join(known) or 'none'}")


def load_denoiser(spec: ModelSpec, device: str = "auto") -> Denoiser:
    """A denoiser ready to run; kept for the next call with the same arguments.

    Raises
    ------
    MissingPackageError
        If torch cannot be loaded.
    WeightsError
        If the weight file is missing or damaged.
    OptionError
        If the device does not exist here.
    """
    return _torch_side().load_denoiser(spec, resolve_device(device))


def load_filler(spec: ModelSpec, device: str = "auto") -> Filler:
    """An inpainting network ready to run; kept for the next call with the same arguments. Raises as `load_denoiser`."""
    return _torch_side().load_filler(spec, resolve_device(device))


def load_upscaler(spec: ModelSpec, device: str = "auto", weights: bytes | None = None) -> Upscaler:
    """An upscaler ready to run; kept for the next call with the same arguments. Raises as `load_denoiser`.

    With `weights`, as safetensors, it is one that was trained further for an image.
    """
    return _torch_side().load_upscaler(spec, resolve_device(device), weights)


def load_rows_upscaler(weights: bytes, factor: int, device: str) -> RowsUpscaler:
    """The upscaler that was trained for one stack, ready to run. Raises as `load_denoiser`."""
    return _torch_side().load_rows_upscaler(weights, factor, resolve_device(device))


def resolve_device(device: str) -> str:
    """The device that ``"auto"`` stands for here, or the one asked for if it exists.

    Raises
    ------
    OptionError
        If a device was asked for that does not exist here; it is never exchanged for another.
    """
    return _torch_side().resolve_device(device)


def available_devices() -> tuple[str, ...]:
    """The devices that can be used here, best first."""
    return _torch_side().available_devices()


def _torch_side() -> Any:
    try:
        from napari_genrecon.models import _runtime
    except (ImportError, OSError) as error:
        # On Windows, torch's libraries fail to load when Qt's came first (WinError 1114 or 126).
        raise MissingPackageError(
            f"PyTorch cannot be loaded: {error}. If this happens on Windows with napari open, start Python with "
            "'import torch' before 'import napari', or run the same job with the genrecon command"
        ) from error
    return _runtime
