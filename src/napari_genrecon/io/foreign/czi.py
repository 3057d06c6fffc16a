"""Zeiss CZI, through pylibCZIrw: plane by plane, a scene at a time."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.io.foreign.metadata import CHANNELS, child_texts, parsed_xml, stated
from napari_genrecon.io.image_file import (
    MICROMETRE,
    ImageFile,
    ImageMeta,
    Series,
    Sizes,
    about_with,
    chosen_series,
    resolved_axes,
)  # fmt: skip
from napari_genrecon.io.lazy import from_planes
from napari_genrecon.io.tiff.acquisition import LIGHT

__all__ = ["about_czi", "open_czi"]

_DTYPES = {"Gray8": "u1", "Gray16": "u2", "Gray32Float": "f4", "Bgr24": "u1", "Bgr48": "u2"}  # kinds of pixels read
_OBJECTIVE = {
    "LensNA": "na",
    "NominalMagnification": "magnification",
    "Immersion": "immersion",
    "ImmersionRefractiveIndex": "refractive_index",
}
_ORDER = "BHVRITCZ"  # order of the dimensions outside a plane


def open_czi(path: Path, axes: str | None, series: int | str | None = None) -> ImageFile:
    """Open a scene of a CZI file; tiles of a mosaic are put together."""
    from pylibCZIrw import czi

    with czi.open_czi(str(path)) as document:
        # Dimensions and sizes without reading a pixel; the document is opened again for each plane.
        bounds, scenes = document.total_bounding_box, document.scenes_bounding_rectangle
        kinds, meta = set(document.pixel_types.values()), parsed_xml(document.raw_metadata, f"the XML of {path.name}")
    if len(kinds) != 1 or not kinds <= set(_DTYPES):
        raise ImageError(f"{path.name} holds pixels of {sorted(kinds)}; one of {', '.join(_DTYPES)} is read")
    (kind,) = kinds
    # A file without scenes has one image, which covers the whole bounding box.
    listed = _scenes(meta, scenes) or [Series("", tuple(bounds[letter][1] - bounds[letter][0] for letter in "YX"))]
    chosen = chosen_series(path, listed, series)
    # Dimensions of length 1 are left out. `bounds` gives (start, stop), and start need not be 0.
    outer = {letter: bounds[letter] for letter in _ORDER if letter in bounds and np.diff(bounds[letter])[0] > 1}
    first = tuple((letter, start) for letter, (start, _) in outer.items())
    read = partial(_plane, str(path), list(scenes)[chosen] if scenes else None, first)
    colours = kind.startswith("Bgr")
    shape = tuple(stop - start for start, stop in outer.values())
    # (Y, X) of grey values, (Y, X, 3) of colours.
    data = from_planes(read, shape, (*listed[chosen].shape, 3)[: 2 + colours], np.dtype(_DTYPES[kind]))
    found = resolved_axes(axes, "".join(outer) + "YXS"[: 2 + colours], tuple(data.shape))
    about = about_czi(found, meta, dict(zip(outer, shape, strict=True)).get("C", 1))
    several = tuple(listed) if len(listed) > 1 else ()
    return ImageFile(data=data, about=about, name="", path=path, series=several, chosen=chosen)


def _scenes(meta: Element, boxes: dict[int, Any]) -> list[Series]:
    """Return names and sizes of the scenes; empty names where there are none."""
    names = [one.get("Name", "") for one in meta.iterfind(".//{*}Image/{*}Dimensions/{*}S/{*}Scenes/{*}Scene")]
    # The XML may name fewer scenes than there are.
    names += [""] * (len(boxes) - len(names))
    return [Series(name, (box.h, box.w)) for name, box in zip(names, boxes.values(), strict=False)]


def _plane(path: str, scene: int | None, first: tuple[tuple[str, int], ...], index: tuple[int, ...]) -> NDArray[Any]:
    from pylibCZIrw import czi

    place = {letter: start + i for (letter, start), i in zip(first, index, strict=True)}
    with czi.open_czi(path) as document:
        found: NDArray[Any] = document.read(plane=place, scene=scene)
    return found[..., ::-1] if found.shape[-1] == 3 else found[..., 0]  # blue comes first


def about_czi(axes: Any, meta: Element, n: int) -> ImageMeta:
    """Return what the XML states of an image of `n` channels."""
    sizes: Sizes = {}
    for distance in meta.iterfind(".//{*}Scaling/{*}Items/{*}Distance"):
        value = distance.findtext("{*}Value")
        if distance.get("Id") in ("X", "Y", "Z") and value:
            sizes[str(distance.get("Id"))] = (float(value) * 1e6, MICROMETRE)  # metres
    interval = meta.findtext(".//{*}Dimensions/{*}T/{*}Positions/{*}Interval/{*}Increment")
    if interval:
        sizes["T"] = (float(interval), "second")
    names = tuple(one.get("Name", "") for one in meta.iterfind(".//{*}Image/{*}Dimensions/{*}Channels/{*}Channel"))
    shown = meta.iterfind(".//{*}DisplaySetting/{*}Channels/{*}Channel")
    # Stored as "#AARRGGBB": the last six digits are the colour.
    colors = tuple(f"#{(one.findtext('{*}Color') or '')[-6:].lower()}" for one in shown)
    known = len(colors) == n and all(len(color) == 7 for color in colors)
    return about_with(
        axes,
        sizes,
        channel_names=names if len(names) == n and any(names) else (),
        channel_colors=colors if known else (),
        acquisition=_acquisition(meta) or None,
    )


def _acquisition(meta: Element) -> dict[str, Any]:
    """Return what the file states of instrument and channels; see `io.tiff.acquisition` for the names."""
    image = meta.find(".//{*}Information/{*}Image")
    if image is None:
        return {}
    lens = _referred(meta, "Objective", image.find("{*}ObjectiveSettings/{*}ObjectiveRef"))
    channels = image.findall("{*}Dimensions/{*}Channels/{*}Channel")[:CHANNELS]
    detector = _referred(meta, "Detector", channels[0].find(".//{*}Detector") if channels else None)
    listed = [_channel(channel) for channel in channels]
    # An exposure time is stated only if all channels have the same.
    times = {channel.findtext("{*}ExposureTime") for channel in channels} - {None}
    return stated(
        {
            "date": image.findtext("{*}AcquisitionDateAndTime"),
            "microscope": (stand.get("Name") if (stand := meta.find(".//{*}Microscope")) is not None else None),
            "objective": _named(lens) | child_texts(lens, _OBJECTIVE),
            "detector": _named(detector) | child_texts(detector, {"Type": "type"}),
            "exposure": f"{float(times.pop() or 0) / 1e9:g} s" if len(times) == 1 else None,  # nanoseconds
            "channels": listed if any(set(channel) - {"name"} for channel in listed) else [],
        }
    )


def _referred(meta: Element, kind: str, reference: Element | None) -> Element | None:
    """Return the part of the instrument that is referred to; the only one where none is."""
    parts = meta.findall(f".//{{*}}Information/{{*}}Instrument/{{*}}{kind}s/{{*}}{kind}")
    if reference is None:
        return parts[0] if len(parts) == 1 else None
    return next((part for part in parts if part.get("Id") == reference.get("Id")), None)


def _named(part: Element | None) -> dict[str, Any]:
    return {} if part is None else stated({"model": part.get("Name")})


def _channel(channel: Element) -> dict[str, Any]:
    found = stated({"name": channel.get("Name")}) | child_texts(channel, LIGHT)
    return {name: f"{value} nm" if name in ("excitation", "emission") else value for name, value in found.items()}
