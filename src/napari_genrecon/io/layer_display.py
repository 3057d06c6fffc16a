"""Display settings of an image that was opened, as keywords of ``add_image``; does not import napari."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import sample_crops
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.io.image_file import ImageMeta

__all__ = [
    "channel_display", "colormaps", "further_affine", "hex_color", "is_of_napari", "limits", "lut_display", "placed",
    "saved_colours", "saved_limits", "stated", "stored_display", "with_more", "without", "without_deep_colours",
]  # fmt: skip

# Settings of a layer that hold the display limits and the colours of all channels where a format has no room for them.
_LIMITS, _LUTS = "channel_limits", "channel_luts"
_SHADES = 256  # of a lookup table that is made of a colormap

_COLOURS = {"red": "#ff0000", "green": "#00ff00", "blue": "#0000ff", "alpha": "#ffffff"}


def without_deep_colours(about: ImageMeta, dtype: np.dtype[Any], n: int) -> ImageMeta:
    """Turn colours of other than 8 bits into channels: napari shows those of a camera as black, floats as white."""
    if not about.axes.rgb or dtype == np.uint8:
        return about
    axes = Axes(about.axes.letters.replace("S", "C"), about.axes.assumed)
    return replace(about, axes=axes, channel_names=tuple(_COLOURS)[:n], channel_colors=tuple(_COLOURS.values())[:n])


def with_more(about: ImageMeta, letters: str) -> ImageMeta:
    """Add dimensions in front, with what the settings of the saved layer say of their size, unit and place."""
    scale, units, translate = (stated(about.layer or {}, name) for name in ("scale", "units", "translate"))
    return replace(
        about,
        axes=Axes(letters + about.axes.letters),
        scale=(*(float(scale.get(letter, 1)) for letter in letters), *about.scale),
        units=(*(str(units.get(letter, "pixel")) for letter in letters), *about.units),
        translate=(*(float(translate.get(letter, 0)) for letter in letters), *about.translate),
    )


def stated(layer: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what the settings of a saved layer say of its dimensions, such as its scale, by letter."""
    letters, values = str(layer.get("axes", "")).replace("S", ""), layer.get(name)
    # Another number of values: another program has changed the file.
    return dict(zip(letters, values, strict=True)) if isinstance(values, list) and len(values) == len(letters) else {}


def placed(about: ImageMeta) -> dict[str, Any]:
    """Return scale, place, units and labels of the dimensions that napari shows."""
    # napari counts no colour samples as a dimension: an RGB layer has one scale less than its array has axes.
    shown = [i for i, letter in enumerate(about.axes.letters) if letter != "S"]
    return {
        "scale": [about.scale[i] for i in shown],
        "translate": [about.translate[i] for i in shown],
        "units": [about.units[i] for i in shown],
        "axis_labels": [about.axes.letters[i].lower() for i in shown],
    }


def is_of_napari(layer: Mapping[str, Any] | None) -> bool:
    """Return whether the settings in a file are those of layers that napari saved, and not of a result alone."""
    return bool({"name", "layers"} & set(layer or {}))


def further_affine(about: ImageMeta) -> NDArray[np.float64] | None:
    """Return the place of a saved layer beyond scale and translate: rotation, shear and affine as one affine.

    It also fits images of the same place with other pixels, as it acts on what their scale and translate give.

    Parameters
    ----------
    about : ImageMeta
        Metadata of the file, with the settings of the layer.

    Returns
    -------
    (N + 1, N + 1) ndarray or None
        For the dimensions of `about` without colours; None if there is no more than scale and translate.
    """
    saved = about.layer or {}
    # Layers that were saved as channels of one image share their place, which has no dimension of channels.
    display = saved["layers"][0] if saved.get("layers") else saved
    letters = str(saved.get("axes") or about.axes.letters).replace("S", "")
    letters = letters.replace("C", "") if "layers" in saved else letters
    n = len(letters)
    turn, own, back = np.eye(n + 1), np.eye(n + 1), np.eye(n + 1)
    try:
        turn[:n, :n] = np.asarray(display.get("rotate", np.eye(n)), float) @ _sheared(display.get("shear", ()), n)
        own[:] = display.get("affine", own)
    except (TypeError, ValueError):  # of another number of dimensions: another program has changed the file
        return None
    # The layer is turned before it is moved to its place, and here after it.
    whole = about.filled()
    places = dict(zip(whole.axes.letters, whole.translate, strict=True))
    back[:n, n] = [-places.get(letter, 0.0) for letter in letters]
    one = own @ np.linalg.inv(back) @ turn @ back
    if np.allclose(one, np.eye(n + 1)):
        return None
    # In the order of the file. What it has no dimension for is left out, and what is new is not turned.
    wanted = about.axes.letters.replace("S", "")
    kept = [letter for letter in wanted if letter in letters]
    rows, columns = [*map(wanted.index, kept), len(wanted)], [*map(letters.index, kept), n]
    found = np.eye(len(wanted) + 1)
    found[np.ix_(rows, rows)] = one[np.ix_(columns, columns)]
    return found


def _sheared(shear: Any, n: int) -> NDArray[np.float64]:
    """Return a shear as a matrix (n, n); napari writes one, or its numbers above the diagonal."""
    given = np.asarray(shear, float)
    if given.ndim == 2:
        return given
    found = np.eye(n)
    found[np.triu_indices(n, 1)] = given if given.size else 0
    return found


def limits(data: ImageArray, about: ImageMeta, channels: Sequence[int]) -> list[float] | None:
    """Return display limits of these channels: those of the file; else, of a lazy image, from a few crops of it.

    napari would read all of a lazy image for them.
    """
    if about.channel_limits and len(about.channel_limits) == about.axes.n_channels(data.shape):
        lows, highs = zip(*(about.channel_limits[channel] for channel in channels), strict=True)
        # One layer shows several channels (RGB, or before it is cut): its limits must hold for all of them.
        return [min(lows), max(highs)]
    # None: napari takes the exact extremes of an array in memory by itself.
    if not is_lazy(data):
        return None
    crops = [crop for channel in channels for crop in sample_crops(data, about.axes, channel)]
    # NaN would make both limits NaN, and the layer black.
    values = np.concatenate([crop[np.isfinite(crop)] for crop in crops])
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    # napari refuses limits that are equal, as those of a constant image would be.
    return [low, high if high > low else low + 1.0]


def saved_limits(layer: Mapping[str, Any], n: int) -> tuple[tuple[float, float], ...]:
    """Return the display limits of `n` channels from the settings of the layer in a file; empty if these have none."""
    apart, one = layer.get("layers"), layer.get("contrast_limits")
    stated = layer.get(_LIMITS) if one is None else [one] * n
    if isinstance(apart, list):  # layers that were saved as channels
        stated = [each.get("contrast_limits") for each in apart if isinstance(each, dict)]
    try:
        # (N, 2). Another program may have changed the file.
        found = np.asarray(stated, float)
    except (TypeError, ValueError):
        return ()
    if found.shape != (n, 2) or not np.isfinite(found).all() or not (found[:, 0] < found[:, 1]).all():
        return ()
    return tuple((float(low), float(high)) for low, high in found)


def saved_colours(layer: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Return the colours of `n` channels from the settings of the layer in a file, as fields of `ImageMeta`."""
    apart = layer.get("layers")
    # A layer has one colormap, which tells no channels apart.
    maps = [each.get("colormap") for each in apart] if isinstance(apart, list) else [layer.get("colormap")]
    try:
        luts = [_read_lut(lut) for lut in layer[_LUTS]] if _LUTS in layer else [_lut_of(one or {}) for one in maps]
        return lut_display(luts) if len(luts) == n else {}
    except (KeyError, TypeError, ValueError):  # none, or another program has changed the file
        return {}


def stored_display(about: ImageMeta, *names: str) -> dict[str, Any]:
    """Return the limits or colours of the channels as settings of a layer; those of a saved layer are there already."""
    rest = {} if is_of_napari(about.layer) else {name: getattr(about, name) for name in names}
    return {name: [list(each) for each in value] for name, value in rest.items() if value}


def lut_display(luts: Sequence[NDArray[Any]]) -> dict[str, Any]:
    """Return the colours of lookup tables: one per channel where all go from black to it, else all of them."""
    # Palettes of TIFF have 16 bits (65535 = 257 * 255), those of ImageJ 8.
    tables = [np.asarray(lut, np.float64) / (257 if np.max(lut) > 255 else 1) for lut in luts]
    colors = tuple(hex_color(table[:, -1]) for table in tables)
    # White for all channels is the table of a grey image, which says nothing about colours.
    if all(_is_ramp(table) for table in tables):
        return {"channel_colors": colors} if set(colors) != {"#ffffff"} else {}
    return {"channel_luts": tuple(tuple(hex_color(shade) for shade in table.T) for table in tables)}


def hex_color(color: Any) -> str:
    """Return a colour of three numbers from 0 to 255 as text."""
    red, green, blue = (round(float(part)) for part in color)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _is_ramp(table: NDArray[np.float64]) -> bool:
    # (3, N): from black to the last colour in even steps. Tables are rounded, so they may differ by less than 2.
    straight = table[:, -1:] * np.linspace(0, 1, table.shape[1])
    return bool(np.abs(table - straight).max() < 2) and bool(table[:, -1].any())


def _lut_of(colormap: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return a colormap, as napari saves it, as a lookup table (3, N) of 8 bits."""
    colors, controls = np.asarray(colormap["colors"], float)[:, :3].T * 255, np.asarray(colormap["controls"], float)
    shades = np.linspace(0, 1, _SHADES)
    if len(controls) > colors.shape[1]:  # in steps: each colour reaches from its control to the next
        return np.asarray(colors[:, np.searchsorted(controls[1:-1], shades, "right")])
    return np.stack([np.interp(shades, controls, part) for part in colors])


def _read_lut(lut: Sequence[str]) -> NDArray[np.float64]:
    """Return colours that were written as text as a lookup table (3, N) of 8 bits."""
    return np.array([[int(shade[i : i + 2], 16) for shade in lut] for i in (1, 3, 5)], float)


def channel_display(about: ImageMeta, name: str, n: int) -> dict[str, Any]:
    """Return the keywords by which napari splits an image into its channels, with their names and colours."""
    axis = about.axes.letters.index("C")
    names = about.channel_names if len(about.channel_names) == n else tuple(f"channel {i}" for i in range(n))
    # `add_image` with `channel_axis` wants scale and labels of what is left after it has cut the channels out.
    display = without(axis, placed(about)) | {"channel_axis": axis, "name": [f"{name} {label}" for label in names]}
    maps = colormaps(about, n)
    # Without colours of the file, napari chooses a colormap for each channel, and additive blending, by itself.
    return display | ({"colormap": maps, "blending": "additive"} if maps else {})


def colormaps(about: ImageMeta, n: int) -> list[list[str]]:
    """Return the colours of `n` channels from dark to bright; empty if they are not known."""
    if len(about.channel_luts) == n:
        return [list(lut) for lut in about.channel_luts]
    # A channel shown from black to black would be invisible.
    known = len(about.channel_colors) == n and not {"#000000", ""} & set(about.channel_colors)
    return [["#000000", color] for color in about.channel_colors] if known else []


def without(axis: int, where: dict[str, Any]) -> dict[str, Any]:
    """Remove one dimension from the result of `placed`."""
    return {key: [*values[:axis], *values[axis + 1 :]] for key, values in where.items()}
