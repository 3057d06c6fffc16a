"""Layers from files and into files: the reader and writer contributions. Knows napari's tuples, not napari."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.axes import Axes, infer_axes
from napari_genrecon.engine.intensity import sample_crops
from napari_genrecon.engine.lazy import as_transposable, is_lazy
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError, OptionError, OutputError
from napari_genrecon.io.image_file import UNIT_SYMBOLS, About, ImageFile
from napari_genrecon.io.omezarr import is_zarr
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.tiff import is_tiff, planes_in, tells_more_than_pixels

__all__ = ["about_layer", "axes_of", "get_reader", "layers_of", "read_layers", "stacked", "write_tiff_layers", "write_zarr_layers"]

LayerData = tuple[Any, dict[str, Any], str]

_LETTERS = set("tczyx")
_LOOK = (
    "name", "rotate", "shear", "affine", "colormap", "contrast_limits", "gamma", "opacity", "blending",
    "interpolation2d", "interpolation3d", "rendering", "visible", "iso_threshold", "attenuation",
)  # fmt: skip
_PLACED = ("scale", "translate", "units", "axis_labels")
_SAME = ("scale", "translate", "rotate", "shear", "affine", "rgb")  # what layers must share to be channels of one image


# --- reading ---


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """npe2 reader: for OME-Zarr, folders of TIFF planes, and TIFFs that say what their pixels mean."""
    if not isinstance(path, str):
        return None
    found = Path(path)
    if found.is_dir():
        return read_layers if is_zarr(found) or len(planes_in(found)) > 1 else None
    return read_layers if is_tiff(found) and tells_more_than_pixels(found) else None


def read_layers(path: str) -> list[LayerData]:
    """The layers of one file."""
    return layers_of(open_image(path))


def layers_of(image: ImageFile) -> list[LayerData]:
    """An opened image as napari layers: as it was, if it was saved from napari; else one layer per channel."""
    look = image.about.layer
    data, about = _as_saved(image)
    name = image.name + (f" (unfinished: {image.unfinished})" if image.unfinished else "")
    common: dict[str, Any] = {**_placed(about), "metadata": {}, "rgb": about.axes.rgb}
    if image.record is not None:
        common["metadata"]["genrecon"] = image.record
    multiscale = isinstance(data, list)
    common |= {"multiscale": multiscale, "contrast_limits": _limits(data[-1] if multiscale else data, about)}
    if about.axes.rgb:
        del common["contrast_limits"]
    if look is not None and "layers" in look:
        return _one_by_one(data, common, about, look["layers"])
    if look is not None and "name" in look:
        return [(data, {"name": name, **common, **_without_axes(look)}, "image")]
    if "C" in about.axes.letters:
        return [(data, {**common, **_channel_look(about, name, data)}, "image")]
    return [(data, {"name": name, **common}, "image")]


def _as_saved(image: ImageFile) -> tuple[Any, About]:
    """Pixels and meaning in the order of dimensions the layer had."""
    about, letters = image.about.filled(), (image.about.layer or {}).get("axes")
    levels = [image.data, *image.levels]
    now = about.axes.letters
    if isinstance(letters, str) and letters.replace("S", "C") != now and set(letters.replace("S", "C")) == set(now):
        order = tuple(now.index("C" if letter == "S" else letter) for letter in letters)
        levels = [as_transposable(level).transpose(order) for level in levels]
        about = about.reordered(order)
    if isinstance(letters, str) and letters.endswith("S") and not about.axes.rgb:
        about = replace(about, axes=Axes(letters))
    return (levels if len(levels) > 1 else levels[0]), about


def _placed(about: About) -> dict[str, Any]:
    """Scale, place, units and labels of the dimensions that napari shows."""
    shown = [i for i, letter in enumerate(about.axes.letters) if letter != "S"]
    return {
        "scale": [about.scale[i] for i in shown],
        "translate": [about.translate[i] for i in shown],
        "units": [about.units[i] for i in shown],
        "axis_labels": [about.axes.letters[i].lower() for i in shown],
    }


def _limits(data: Any, about: About) -> list[float] | None:
    """Display limits from a few crops: napari would read all of a lazy image for them."""
    if not is_lazy(data):
        return None
    crops = [crop for c in range(about.axes.n_channels(data.shape)) for crop in sample_crops(data, about.axes, c)]
    values = np.concatenate([crop[np.isfinite(crop)] for crop in crops])
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    return [low, high if high > low else low + 1.0]


def _channel_look(about: About, name: str, data: Any) -> dict[str, Any]:
    """What lets napari split an image into its channels, with their names and colours."""
    axis = about.axes.letters.index("C")
    n = (data[0] if isinstance(data, list) else data).shape[axis]
    names = about.channel_names if len(about.channel_names) == n else tuple(f"channel {i}" for i in range(n))
    look = _without(axis, _placed(about)) | {"channel_axis": axis, "name": [f"{name} {label}" for label in names]}
    if len(about.channel_colors) == n:
        look["colormap"] = [["#000000", color] for color in about.channel_colors]
        look["blending"] = "additive"
    return look


def _without(axis: int, placed: dict[str, Any]) -> dict[str, Any]:
    return {key: [*values[:axis], *values[axis + 1 :]] for key, values in placed.items()}


def _one_by_one(data: Any, common: dict[str, Any], about: About, looks: list[dict[str, Any]]) -> list[LayerData]:
    """The layers that were saved together as channels."""
    axis = about.axes.letters.index("C")
    placed = _without(axis, _placed(about))
    levels = data if isinstance(data, list) else [data]
    layers = []
    for index, look in enumerate(looks):
        pixels = [as_transposable(level)[(slice(None),) * axis + (index,)] for level in levels]
        kwargs = {**common, **placed, **_without_axes(look)}
        layers.append((pixels if isinstance(data, list) else pixels[0], kwargs, "image"))
    return layers


def _without_axes(look: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in look.items() if key not in ("axes", "layers")}


# --- writing ---


def write_tiff_layers(path: str, layers: list[LayerData]) -> list[str]:
    """npe2 writer: one or several image layers as one OME-TIFF."""
    from napari_genrecon.io.writer import write_tiff_steps

    return _written(path, layers, write_tiff_steps)


def write_zarr_layers(path: str, layers: list[LayerData]) -> list[str]:
    """npe2 writer: one or several image layers as one OME-Zarr."""
    from napari_genrecon.io.zarr_run import write_zarr_steps

    return _written(path, layers, write_zarr_steps)


def _written(path: str, layers: list[LayerData], write_steps: Callable[..., Any]) -> list[str]:
    try:
        data, about = _one_image(layers)
        return [str(finish(write_steps(path, data, about)))]
    except (ImageError, OptionError) as error:
        raise OutputError(str(error)) from error  # napari swallows a ValueError and says nothing about the reason


def _one_image(layers: list[LayerData]) -> tuple[Any, About]:
    """One layer as it is; several as the channels of one image."""
    images = [(_pixels(data, meta), about_layer(meta, _pixels(data, meta).shape)) for data, meta, _ in layers]
    if len(images) == 1:
        return images[0]
    first, about = images[0]
    for (pixels, _), (_, meta, _) in zip(images, layers, strict=True):
        same = all(np.array_equal(np.asarray(meta[k]), np.asarray(layers[0][1][k])) for k in _SAME if k in meta)
        if pixels.shape != first.shape or pixels.dtype != first.dtype or not same:
            raise OptionError(
                f"'{meta['name']}' {pixels.shape} {pixels.dtype} and '{layers[0][1]['name']}' {first.shape} "
                f"{first.dtype} differ in shape, dtype or place: save each alone"
            )
    if about.axes.channel is not None:
        raise OptionError("layers with a channel axis, or RGB, cannot be channels of one image: save each alone")
    return stacked([pixels for pixels, _ in images]), _as_channels(about, layers)


def _pixels(data: Any, meta: dict[str, Any]) -> Any:
    return data[0] if meta.get("multiscale") else data


def stacked(images: list[Any]) -> Any:
    """Images of one shape along a new first dimension; lazy if one of them is."""
    if any(is_lazy(image) for image in images):
        import dask.array as da

        return da.stack([as_transposable(image) for image in images])
    return np.stack(images)


def _as_channels(about: About, layers: list[LayerData]) -> About:
    whole = about.filled()
    looks = [_look(meta) for _, meta, _ in layers]
    return About(
        axes=Axes("C" + about.axes.letters),
        scale=(1.0, *whole.scale),
        units=("pixel", *whole.units),
        translate=(0.0, *whole.translate),
        channel_names=tuple(meta["name"] for _, meta, _ in layers),
        channel_colors=tuple(_color(look) for look in looks),
        layer={"layers": looks},
    )


def about_layer(meta: dict[str, Any], shape: tuple[int, ...]) -> About:
    """What the pixels of a layer mean, from its keywords.

    Parameters
    ----------
    meta : dict
        Of ``layer.as_layer_data_tuple()``.
    shape : tuple of int
        Of the pixels, at full resolution.
    """
    axes = axes_of(meta.get("axis_labels", ()), tuple(shape), rgb=bool(meta.get("rgb")))
    samples = 1 if axes.rgb else 0
    units = tuple(str(unit) for unit in meta.get("units", ())) or ("pixel",) * (len(axes) - samples)
    for letter, unit in zip(axes.letters, units, strict=False):
        if unit not in UNIT_SYMBOLS:
            raise ImageError(
                f"axis {letter} of '{meta.get('name')}' is in {unit}, which cannot be stored: change its unit"
            )
    record = meta.get("metadata", {}).get("genrecon")
    return About(
        axes=axes,
        scale=(*map(float, meta["scale"]), *(1.0,) * samples),
        units=(*units, *("pixel",) * samples),
        translate=(*map(float, meta["translate"]), *(0.0,) * samples),
        record=record if isinstance(record, dict) else None,
        layer=_look(meta),
    )


def axes_of(labels: Sequence[Any], shape: tuple[int, ...], *, rgb: bool) -> Axes:
    """The axes a layer names, else those of the rule in `axes`."""
    names = [str(label).lower() for label in labels]
    known = set(names) <= _LETTERS and len(set(names)) == len(names) and names[-2:] == ["y", "x"]
    if known and len(names) + rgb == len(shape):
        return Axes("".join(names).upper() + ("S" if rgb else ""))
    return infer_axes(shape, rgb=rgb)


def _look(meta: dict[str, Any]) -> dict[str, Any]:
    """How napari showed the layer, as JSON values; the labels too, as not all of them are names of axes."""
    look = {key: _plain(meta[key]) for key in (*_LOOK, *_PLACED) if key in meta}
    if meta.get("rgb"):
        look = {key: value for key, value in look.items() if key not in ("colormap", "contrast_limits", "gamma")}
    if isinstance(look.get("colormap"), dict):
        look["colormap"] = {key: look["colormap"][key] for key in ("name", "colors", "controls")}
    return look


def _color(look: dict[str, Any]) -> str:
    """The brightest colour of a colormap."""
    colormap = look.get("colormap")
    if not isinstance(colormap, dict):
        return "#ffffff"
    red, green, blue = (round(255 * float(v)) for v in colormap["colors"][-1][:3])
    return f"#{red:02x}{green:02x}{blue:02x}"


def _plain(value: Any) -> Any:
    """A JSON value: arrays as lists, NumPy numbers as Python's, units and enumerations as text."""
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
