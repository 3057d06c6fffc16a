"""Layers from files and into files: the reader and writer contributions, as napari's tuples; napari is not imported."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes, infer_axes
from napari_genrecon.engine.lazy import as_transposable, is_lazy
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError, OptionError, OutputError
from napari_genrecon.io.formats import FORMATS
from napari_genrecon.io.image_file import UNIT_SYMBOLS, ImageFile, ImageMeta
from napari_genrecon.io.layer_display import (
    channel_display,
    colormaps,
    further_affine,
    hex_color,
    is_of_napari,
    limits,
    placed,
    saved_colours,
    saved_limits,
    with_more,
    without,
    without_deep_colours,
)
from napari_genrecon.io.publish import check_target
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.history import ACQUISITION, LAYER_RECORD
from napari_genrecon.io.saving import PLAIN, Saving

__all__ = [
    "about_layer",
    "axes_of",
    "get_reader",
    "layers_of",
    "read_layers",
    "stacked",
    "write_tiff_layers",
    "write_zarr_layers",
]

LayerData = tuple[Any, dict[str, Any], str]

_LETTERS = set("tczyx")
_DISPLAY = (
    "name", "rotate", "shear", "affine", "colormap", "contrast_limits", "gamma", "opacity", "blending",
    "interpolation2d", "interpolation3d", "rendering", "visible", "iso_threshold", "attenuation",
)  # fmt: skip
_PLACED = ("scale", "translate", "units", "axis_labels")
_SAME = ("scale", "translate", "rotate", "shear", "affine", "rgb")  # what layers must share to be channels of one image


# --- reading ---


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Read any supported format, and folders of TIFF planes (npe2 reader).

    napari checks only names when it offers readers, and asks the user where several fit: a file that was given to this
    one is read, or an error says why it cannot be.
    """
    if not isinstance(path, str):
        return None
    # By name only: to open files here would delay every file that is dropped on napari, and hide why one is damaged.
    return read_layers if any(format_.fits(Path(path)) for format_ in FORMATS) else None


def read_layers(path: str | Path, *, series: int | str | None = None) -> list[LayerData]:
    """Return the layers of one file, of its first image if it holds several and none is chosen."""
    return layers_of(open_image(path, series=series))


def layers_of(image: ImageFile) -> list[LayerData]:
    """Return an opened image as napari layers: as saved if it comes from napari, else one layer per channel."""
    display = image.about.layer
    data, about = _as_saved(image)
    further = further_affine(about) if about.layer and not is_of_napari(about.layer) else None
    # An image that was saved from napari had its colours shown before: it comes back as it was.
    if not is_of_napari(display):
        about = without_deep_colours(about, image.data.dtype, image.data.shape[-1])
    name = image.name + (f" (unfinished: {image.unfinished})" if image.unfinished else "")
    common: dict[str, Any] = {**placed(about), "metadata": {}, "rgb": about.axes.rgb}
    if further is not None:
        common["affine"] = further
    if image.record is not None:
        common["metadata"]["genrecon"] = image.record
    if image.about.acquisition:
        common["metadata"][ACQUISITION] = image.about.acquisition
    multiscale = isinstance(data, list)
    # Limits from the smallest level: they are found with fewer bytes read.
    smallest = data[-1] if multiscale else data
    channels = range(about.axes.n_channels(smallest.shape))
    common |= {"multiscale": multiscale, "contrast_limits": limits(smallest, about, channels)}
    # napari shows RGB as it is: limits would have no effect.
    if about.axes.rgb:
        del common["contrast_limits"]
    # Three origins in turn: several layers saved as channels, one layer saved, and a file of any program.
    if display is not None and "layers" in display:
        return _one_by_one(data, common, about, display["layers"])
    if display is not None and "name" in display:
        return [(data, {"name": name, **common, **_without_axes(display)}, "image")]
    if "C" in about.axes.letters:
        # Limits per channel: with those of all channels together, a dim one would be black.
        each = [limits(smallest, about, [channel]) for channel in channels]
        display = {"contrast_limits": None if None in each else each, **channel_display(about, name, len(each))}
        if further is not None:
            display["affine"] = [_without_channels(further, display["channel_axis"], about)] * len(each)
        # napari cuts the channels out: it would read a whole array that it does not recognise as lazy
        lazy = [as_transposable(level) for level in data] if multiscale else as_transposable(data)
        return [(lazy, {**common, **display}, "image")]
    maps = [] if about.axes.rgb else colormaps(about, 1)
    # As a mapping: napari takes a list for those of several channels.
    display = {"colormap": {"name": f"{name}: colours", "colors": maps[0]}} if maps else {}
    return [(data, {"name": name, **common, **display}, "image")]


def _as_saved(image: ImageFile) -> tuple[Any, ImageMeta]:
    """Return pixels and metadata in the layer's order of dimensions, with those of length 1 that readers drop."""
    about, letters = image.about.filled(), (image.about.layer or {}).get("axes")
    levels = [image.data, *image.levels]
    now = about.axes.letters
    # The layer was saved in another order than the file can have (T, C, Z, Y, X), or with dimensions of length 1 that
    # tifffile drops. Letters that are not in the saved order mean that another program has changed the file.
    if isinstance(letters, str) and letters.replace("S", "C") != now and set(now) <= set(letters.replace("S", "C")):
        dropped = [letter for letter in letters.replace("S", "C") if letter not in now]
        about, now = with_more(about, "".join(dropped)), "".join(dropped) + now
        order = tuple(now.index("C" if letter == "S" else letter) for letter in letters)
        levels = [as_transposable(level)[(None,) * len(dropped)].transpose(order) for level in levels]
        about = about.reordered(order)
    # Zarr has no colour samples: RGB was stored as three channels, and is put back.
    if isinstance(letters, str) and letters.endswith("S") and not about.axes.rgb:
        about = replace(about, axes=Axes(letters))
    return (levels if len(levels) > 1 else levels[0]), about


def _one_by_one(
    data: ImageArray, common: dict[str, Any], about: ImageMeta, displays: list[dict[str, Any]]
) -> list[LayerData]:
    """Return the layers that were saved together as channels."""
    axis = about.axes.letters.index("C")
    where = without(axis, placed(about))
    levels = data if isinstance(data, list) else [data]
    layers = []
    for index, display in enumerate(displays):
        # A view, or lazy: nothing is read to cut the channels apart.
        pixels = [as_transposable(level)[(slice(None),) * axis + (index,)] for level in levels]
        kwargs = {**common, **where, **_without_axes(display)}
        if LAYER_RECORD in display:  # each layer was made in its own way
            kwargs["metadata"] = {**common["metadata"], "genrecon": display[LAYER_RECORD]}
        layers.append((pixels if isinstance(data, list) else pixels[0], kwargs, "image"))
    return layers


def _without_channels(affine: Any, axis: int, about: ImageMeta) -> Any:
    """Return the affine of the layer of each channel; colours that became channels are no dimension of it."""
    if len(affine) <= len(about.axes):
        return affine
    return np.delete(np.delete(affine, axis, 0), axis, 1)


def _without_axes(display: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in display.items() if key not in ("axes", "layers", LAYER_RECORD)}


# --- writing ---


def write_tiff_layers(path: str, layers: list[LayerData], *, saving: Saving = PLAIN) -> list[str]:
    """Write one or several image layers as one OME-TIFF (npe2 writer)."""
    from napari_genrecon.io.tiff.write import write_tiff_steps

    # Before anything is written. Converting by itself would give the user another dtype than the layer has.
    for data, meta, _ in layers:
        if _pixels(data, meta).dtype == np.float16:
            raise OutputError(
                f"OME-TIFF cannot store the 16-bit floats of '{meta.get('name')}': save it as OME-Zarr, or convert it "
                "to float32 first"
            )
    return _written(path, layers, saving, partial(write_tiff_steps, pyramid=saving.pyramid))


def write_zarr_layers(path: str, layers: list[LayerData], *, saving: Saving = PLAIN) -> list[str]:
    """Write one or several image layers as one OME-Zarr (npe2 writer)."""
    from napari_genrecon.io.zarr.write import write_zarr_steps

    return _written(path, layers, saving, write_zarr_steps)


def _written(path: str, layers: list[LayerData], saving: Saving, write_steps: Callable[..., Any]) -> list[str]:
    from napari_genrecon.io.record.sidecar import sidecar_of, write_sidecar

    try:
        data, about = _one_image(layers)
        # Asked before the pixels are written: a sidecar that may not be replaced is found at once, not after minutes.
        if saving.sidecar:
            check_target(sidecar_of(Path(path)), overwrite=saving.overwrite)
        written = finish(write_steps(path, data, about, overwrite=saving.overwrite))
        beside = write_sidecar(written, overwrite=saving.overwrite) if saving.sidecar else None
        return [str(written), *([str(beside)] if beside else [])]
    except (ImageError, OptionError) as error:
        raise OutputError(str(error)) from error  # napari hides a ValueError: the reason would be lost


def _one_image(layers: list[LayerData]) -> tuple[Any, ImageMeta]:
    """Return a single layer as it is, and several as the channels of one image."""
    images = [(_pixels(data, meta), about_layer(meta, _pixels(data, meta).shape)) for data, meta, _ in layers]
    if len(images) == 1:
        return images[0]
    first, about = images[0]
    for (pixels, _), (_, meta, _) in zip(images, layers, strict=True):
        # An affine is an array, so that == would compare it element by element.
        same = all(np.array_equal(np.asarray(meta[k]), np.asarray(layers[0][1][k])) for k in _SAME if k in meta)
        if pixels.shape != first.shape or pixels.dtype != first.dtype or not same:
            raise OptionError(
                f"'{meta['name']}' {pixels.shape} {pixels.dtype} and '{layers[0][1]['name']}' {first.shape} "
                f"{first.dtype} differ in shape, dtype or place: save each alone"
            )
    if about.axes.channel is not None:
        raise OptionError("layers with a channel axis, or RGB, cannot be channels of one image: save each alone")
    return stacked([pixels for pixels, _ in images]), _as_channels(about, layers)


def _pixels(data: ImageArray, meta: dict[str, Any]) -> Any:
    # The smaller levels are made again from the full one when the file is written.
    return data[0] if meta.get("multiscale") else data


def stacked(images: list[Any]) -> Any:
    """Stack images of one shape along a new first dimension; lazily if one of them is lazy."""
    if any(is_lazy(image) for image in images):
        import dask.array as da

        return da.stack([as_transposable(image) for image in images])
    return np.stack(images)


def _as_channels(about: ImageMeta, layers: list[LayerData]) -> ImageMeta:
    whole = about.filled()
    displays = [_display_of(meta) for _, meta, _ in layers]
    for display, (_, meta, _) in zip(displays, layers, strict=True):
        if isinstance(record := meta.get("metadata", {}).get("genrecon"), dict):
            display[LAYER_RECORD] = record
    return ImageMeta(
        axes=Axes("C" + about.axes.letters),
        scale=(1.0, *whole.scale),
        units=("pixel", *whole.units),
        translate=(0.0, *whole.translate),
        channel_names=tuple(meta["name"] for _, meta, _ in layers),
        channel_colors=tuple(_color(display) for display in displays),
        layer={"layers": displays},
        acquisition=about.acquisition,
    )


def about_layer(meta: dict[str, Any], shape: tuple[int, ...]) -> ImageMeta:
    """Return the metadata of a layer's pixels, from its keywords.

    Parameters
    ----------
    meta : dict
        Keywords of the layer, from ``layer.as_layer_data_tuple()``.
    shape : tuple of int
        Shape of the pixels, at full resolution.
    """
    axes = axes_of(meta.get("axis_labels", ()), tuple(shape), rgb=bool(meta.get("rgb")))
    # napari gives no scale, unit or place for colour samples; the file needs an entry for every dimension.
    samples = 1 if axes.rgb else 0
    units = tuple(str(unit) for unit in meta.get("units", ())) or ("pixel",) * (len(axes) - samples)
    # napari takes any unit that pint knows, such as miles; OME-TIFF and OME-Zarr have a list.
    for letter, unit in zip(axes.letters, units, strict=False):
        if unit not in UNIT_SYMBOLS:
            raise ImageError(
                f"axis {letter} of '{meta.get('name')}' is in {unit}, which cannot be stored: change its unit"
            )
    record, acquisition = (meta.get("metadata", {}).get(key) for key in ("genrecon", ACQUISITION))
    display, n = _display_of(meta), axes.n_channels(shape)
    return ImageMeta(
        axes=axes,
        scale=(*map(float, meta["scale"]), *(1.0,) * samples),
        units=(*units, *("pixel",) * samples),
        translate=(*map(float, meta["translate"]), *(0.0,) * samples),
        record=record if isinstance(record, dict) else None,
        channel_limits=saved_limits(display, n),
        layer=display,
        acquisition=acquisition if isinstance(acquisition, dict) else None,
        **saved_colours(display, n),
    )


def axes_of(labels: Sequence[Any], shape: tuple[int, ...], *, rgb: bool) -> Axes:
    """Return the axes that a layer names, else those of the rule in `axes`."""
    names = [str(label).lower() for label in labels]
    # napari labels dimensions "-2", "-1" or "axis -2" by itself: such labels mean nothing.
    known = set(names) <= _LETTERS and len(set(names)) == len(names) and names[-2:] == ["y", "x"]
    if known and len(names) + rgb == len(shape):
        return Axes("".join(names).upper() + ("S" if rgb else ""))
    return infer_axes(shape, rgb=rgb)


def _display_of(meta: dict[str, Any]) -> dict[str, Any]:
    """Return the display settings of a layer as JSON values; with its labels, as some are no names of axes."""
    display = {key: _plain(meta[key]) for key in (*_DISPLAY, *_PLACED) if key in meta}
    # They have no effect on RGB.
    if meta.get("rgb"):
        display = {key: value for key, value in display.items() if key not in ("colormap", "contrast_limits", "gamma")}
    return display


def _color(display: dict[str, Any]) -> str:
    """Return the last colour of a colormap; white for one that ends in black, as other programs would show nothing."""
    colormap = display.get("colormap")
    last = hex_color(255 * np.asarray(colormap["colors"][-1][:3])) if isinstance(colormap, dict) else "#000000"
    return "#ffffff" if last == "#000000" else last


def _plain(value: object) -> Any:
    """Return a JSON value: arrays as lists, NumPy numbers as Python's, units and enumerations as text."""
    # Blending, interpolation and the like are enumerations in napari, and json writes none.
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
