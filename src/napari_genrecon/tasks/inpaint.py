"""Inpaint: fill in masked pixels, and nothing else.

The masked pixels of every plane are filled by a network that corrects a smooth fill, by plug-and-play with the bundled
denoiser (see `tasks.fill`) or by scikit-image's biharmonic equation; a plane of a stack that is masked as a whole is
mixed from its neighbours. All constants are found once per channel, on a crop.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

import numpy as np

from napari_genrecon.axes import resolve_axes
from napari_genrecon.engine.lazy import is_lazy, lazy_stack, lazy_tiles
from napari_genrecon.engine.memory import allocate, check_tile
from napari_genrecon.engine.run import Progress, Tiled, finish, run_tiles
from napari_genrecon.errors import OptionError
from napari_genrecon.models import load_denoiser, load_filler
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.damage import parse_kinds
from napari_genrecon.tasks.fill import STEPS
from napari_genrecon.tasks.inpaint_plan import Plan, chosen_method, find_spec, make_grid, plan_inpaint
from napari_genrecon.tasks.inpaint_planes import TURNS
from napari_genrecon.tasks.measure import Noise, as_source
from napari_genrecon.tasks.plan import tell_planes
from napari_genrecon.tasks.result import Result
from napari_genrecon.tasks.shared_options import AxesOption, DeviceOption, KeepDtypeOption, TileOption

__all__ = ["InpaintOptions", "expected_seconds", "inpaint", "inpaint_steps"]

Method = Literal["auto", "network", "pnp", "biharmonic"]

_FIRST_FILL_SECONDS = 6e-6  # per pixel
_BIHARMONIC_SECONDS = 2e-5  # per pixel, where every second one is missing
_REHEARSAL_PIXELS = 2 * 160**2  # two runs of all steps over a crop


@dataclass(frozen=True, slots=True, kw_only=True)
class InpaintOptions:
    """What can be chosen.

    Attributes
    ----------
    mask : array_like or None
        Of the image's shape (that of the colours may be left out), or of its YX plane: anything but 0 is filled in.
    method, detect, n, seed, noise, model, axes, tile, device, keep_dtype
        See `inpaint`.
    """

    mask: Annotated[
        Any,
        {
            "array": "mask",
            "tooltip": "What to fill in: an image or labels of the same size (or of one plane), anything but 0",
        },
    ] = None
    method: Annotated[
        str,
        {
            "choices": get_args(Method),
            "tooltip": "'network' was trained to fill in, 'pnp' takes the denoiser for what images look like and can "
            "draw several fillings, 'biharmonic' is a smooth classical interpolation; 'auto' takes the better of the "
            "first two, by filling known pixels that it hides",
        },
    ] = "auto"
    detect: Annotated[
        str,
        {
            "tooltip": "Damage to find and fill besides the mask, separated by commas: hot (also dead) pixels, "
            "saturated pixels, lines (dead rows and columns), frames (dropped frames or slices)"
        },
    ] = ""
    n: Annotated[
        int,
        {
            "min": 1,
            "max": 64,
            "tooltip": "1 gives the best estimate; more gives so many plausible fillings along a new first dimension, "
            "whose spread shows what the image does not tell",
        },
    ] = 1
    seed: Annotated[int, {"min": 0, "advanced": True, "tooltip": "Another seed, other plausible fillings"}] = 0
    noise: Annotated[
        Noise | float | None,
        {
            "form": False,
            "tooltip": "Noise s.d. in grey values, or a noise report "
            "saved as JSON; measured from the known pixels if not given",
        },
    ] = None
    model: Annotated[str, {"choices": "models", "tooltip": "The network; 'auto' takes the default"}] = "auto"
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    keep_dtype: KeepDtypeOption = False

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise OptionError(f"method must be one of {', '.join(get_args(Method))}; got {self.method!r}")
        if not 1 <= self.n <= 64:
            raise OptionError(f"n must lie between 1 and 64, got {self.n}")
        if self.n > 1 and self.method not in ("auto", "pnp"):
            raise OptionError(f"method {self.method!r} gives one filling, and n is {self.n}: choose 'auto' or 'pnp'")
        if self.seed < 0:
            raise OptionError(f"seed must be 0 or more, got {self.seed}")
        if self.tile is not None:
            check_tile(self.tile, 1)
        if isinstance(self.noise, int | float):
            NoiseModel.white(float(self.noise))
        parse_kinds(self.detect)
        if self.mask is not None and np.ndim(self.mask) == 0:
            raise OptionError(
                f"mask must be an array, anything but 0 in it is filled in; got {self.mask!r} (a file is opened first)"
            )


def inpaint(
    image: Any,
    mask: Any = None,
    *,
    method: str = "auto",
    detect: str = "",
    n: int = 1,
    seed: int = 0,
    noise: Noise | float | None = None,
    model: str = "auto",
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    keep_dtype: bool = False,
) -> Any:
    """Fill in what is missing, and leave every other pixel as it is.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like
        Any real dtype. NaN and infinite pixels outside the mask stay where they are and are not taken for known. The
        alpha channel of an RGBA image is copied.
    mask : array_like
        Of the image's shape, of the same without its colours (S), or of the shape of its YX plane (then it holds for
        all planes); what is not 0 is filled in. It is held in memory, a byte per pixel. A plane that is masked as a
        whole is mixed from the nearest planes along T, else Z, of which at least a tenth is known; moving structure
        then shows twice, faintly. Where there is one on one side only, it is filled from that.
    method : {"auto", "network", "pnp", "biharmonic"}
        A network that was trained to fill in, plug-and-play with the denoiser as the prior, or scikit-image's
        biharmonic equation. ``"auto"`` takes the better of the first two, by known pixels that are hidden on a crop of
        each channel, and plug-and-play where `n` is more than 1; the record says which.
    detect : str
        Kinds of damage to find and fill besides the mask, separated by commas; see `detect_damage`. The whole image is
        read for it.
    n : int
        1 gives the best estimate. More gives so many plausible fillings, which differ inside the mask and nowhere else;
        ``result.std(axis=0)`` is their spread. (Planes missing as a whole are the same in all.)
    seed : int
        Of the fillings, where `n` is more than 1.
    noise : NoiseModel, tuple of NoiseModel, float or None
        Noise of the known pixels: a model (or one per channel), or the s.d. of white noise in grey values. None
        measures it. What is filled in is without noise.
    model : str
        A name that ``list_models("inpaint")`` lists (plug-and-play: ``list_models("denoise")``), or ``"auto"``.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).
    tile : int, optional
        Side of a tile in pixels; chosen from the free memory if not given. A tile without a masked pixel is copied.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    keep_dtype : bool
        Round and clip the filled pixels to the input's dtype; a `GenReconWarning` tells how many were clipped (64-bit
        integers: not counted).

    Returns
    -------
    ndarray or dask.array.Array
        Of the input's shape (behind a first dimension of length `n` if that is more than 1), in its grey values,
        float32 unless `keep_dtype`; float64 for float64 and 32-bit integers, and 64-bit integers as they are, as no
        float holds them. Pixels outside the mask are those of the input bit by bit.
        A NumPy image (memmap included) gives a NumPy array; any other gives a lazy dask array.

    Raises
    ------
    ImageError
        If the image or the mask does not fit, or nothing is known to fill from.
    OptionError, UnknownModelError
        If an option cannot work.
    WeightsError, MissingPackageError
        If the model cannot be loaded.

    Notes
    -----
    Steps and sampling follow Zhang et al. (IEEE TPAMI 2021) and Kadkhodaie & Simoncelli (NeurIPS 2021); see
    `tasks.fill` for what is different here.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.indices((64, 64))
    >>> clean = 100 + 20 * np.sin(x / 5) * np.cos(y / 7)
    >>> mask = np.random.default_rng(0).random(clean.shape) < 0.3
    >>> filled = inpaint(np.where(mask, 0, clean), mask, noise=0.1)
    >>> bool(np.abs(filled - clean).max() < 5)
    True
    """
    options = InpaintOptions(
        mask=mask,
        method=method,
        detect=detect,
        n=n,
        seed=seed,
        noise=noise,
        model=model,
        axes=axes,
        tile=tile,
        device=device,
        keep_dtype=keep_dtype,
    )
    result = finish(inpaint_steps(image, options))
    result.warn()
    return result.data


def inpaint_steps(
    image: Any, options: InpaintOptions, *, lazy: bool | None = None
) -> Generator[Progress, None, Result]:
    """The same as `inpaint`, step by step.

    Parameters
    ----------
    image, options
        As for `inpaint`.
    lazy : bool, optional
        Whether to return a dask array of which nothing has been computed, rather than compute it now. By default
        only for images that are not NumPy arrays.

    Yields
    ------
    Progress
        While the constants are found, and after every run of the network.

    Returns
    -------
    Result
        The pixels and the record of how they were made.
    """
    started = time.perf_counter()
    yield Progress(0, 0, "preparing")
    plan = yield from plan_inpaint(as_source(image), options)
    if is_lazy(plan.source) if lazy is None else lazy:
        unrounded = _lazy_samples(plan, None) if plan.counts and plan.dtype.kind in "iu" else None
        return Result(_lazy_samples(plan, plan.dtype), plan.out_axes, plan.record(), unrounded=unrounded)
    tiled = yield from _compute(plan)
    companions = {"filled pixels": plan.filled}
    if options.n > 1:
        companions["spread"] = tiled.array.std(axis=0, dtype=np.float32)
    return Result(tiled.array, plan.out_axes, plan.record(tiled, time.perf_counter() - started), companions)


def _lazy_samples(plan: Plan, dtype: np.dtype[Any] | None) -> Any:
    samples = [lazy_tiles(kernel, plan.source, plan.grid, dtype) for kernel in plan.kernels]
    return samples[0] if len(samples) == 1 else lazy_stack(samples)


def _compute(plan: Plan) -> Generator[Progress, None, Tiled]:
    """All samples, one after the other, in one array, and the tile size in the end."""
    steps = {"network": TURNS + 2, "biharmonic": 2}.get(plan.method, STEPS + 1)
    if len(plan.kernels) == 1:
        run = run_tiles(plan.kernels[0], plan.source, plan.grid, plan.dtype, steps=steps)
        return (yield from tell_planes(run, plan.n_planes))
    out, clipped, nan = allocate((len(plan.kernels), *plan.source.shape), plan.dtype), 0, 0
    for index, kernel in enumerate(plan.kernels):
        run = run_tiles(kernel, plan.source, plan.grid, plan.dtype, steps=steps)
        tiled = yield from _tell_samples(run, index, len(plan.kernels))
        out[index], clipped, nan = tiled.array, clipped + tiled.clipped, nan + tiled.nan
    return Tiled(out, clipped, tiled.tile, nan)


def _tell_samples(steps: Any, index: int, count: int) -> Generator[Progress, None, Any]:
    """Count the steps of all samples as one run."""
    try:
        while True:
            progress = next(steps)
            note = f"sample {index + 1} of {count}"
            done, total = index * progress.total + progress.done, count * progress.total
            yield Progress(done, total, f"{note}; {progress.note}" if progress.note else note)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


def expected_seconds(image: Any, options: InpaintOptions) -> float:
    """How long `inpaint` will take for this image on this machine, if all planes have masked pixels everywhere.

    The first call loads the network and takes about a second.
    """
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    spec = find_spec(options)
    if spec is None:
        return float(source.size * _BIHARMONIC_SECONDS)
    grid = make_grid(source.shape, axes, replace(options, mask=None), spec)
    if chosen_method(options) == "network":
        seconds = _FIRST_FILL_SECONDS + TURNS * load_filler(spec, options.device).seconds_per_pixel()
        return float(source.size * grid.read_share * seconds)
    rehearsals = _REHEARSAL_PIXELS * axes.n_channels(source.shape)
    pixels = source.size * grid.read_share * options.n + rehearsals
    return float(STEPS * pixels * load_denoiser(spec, options.device).seconds_per_pixel())
