"""Write layers of napari to files and open them again: equal, or refused with a sentence."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image

from napari_genrecon.errors import GenReconError
from napari_genrecon.io.layers import read_layers, write_tiff_layers, write_zarr_layers
from napari_genrecon.io.saving import Saving

PLACED = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (10.0, 20.0, 30.0),
    "units": ("micrometer",) * 3,
    "axis_labels": ("z", "y", "x"),
}
RECORD = {"schema": "genrecon-record/1", "task": "denoise", "nature": "restored", "options": {"note": 'µ <"&>'}}
LOOKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "placed": PLACED,
    "turned": {**PLACED, "rotate": 20.0, "shear": (0.1, 0.0, 0.2)},
    "turned about an axis": {**PLACED, "rotate": (10.0, 20.0, 30.0)},
    "affine": {"affine": np.array([[1, 0, 0, 3], [0, 0.9, 0.1, 4], [0, -0.1, 0.9, 5], [0, 0, 0, 1.0]])},
    "mirrored": {"scale": (1.0, -0.5, 0.25)},
    "coloured": {**PLACED, "colormap": "magma", "contrast_limits": (3.0, 77.0), "gamma": 0.7, "blending": "additive"},
    "own colours": {"colormap": {"name": "mine", "colors": np.array([[0, 0, 0, 1], [0.5, 0.2, 0, 1]])}},
    "time": {"axis_labels": ("t", "y", "x"), "units": ("second", "micrometer", "micrometer"), "scale": (3, 1, 1)},
    "nanometres": {**PLACED, "units": ("nanometer",) * 3, "scale": (300.0, 65.0, 65.0)},
    "inches": {**PLACED, "units": ("inch",) * 3},
    "mixed units": {**PLACED, "units": ("micrometer", "nanometer", "nanometer")},
    "channels": {"axis_labels": ("c", "y", "x"), "scale": (1.0, 0.2, 0.2)},
    "other letters": {"axis_labels": ("phase", "row", "column")},
    "depth last": {"axis_labels": ("y", "x", "z")},
    "recorded": {**PLACED, "metadata": {"genrecon": RECORD}},
    "hidden": {"visible": False, "opacity": 0.3, "interpolation2d": "cubic", "rendering": "iso", "iso_threshold": 5.0},
    "name": {"name": "µ 細胞 / <a&b> \\ \"quoted\" 'name'"},
}
DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">f4", "?"]  # napari shows no others
SHAPES = {
    "plane": (40, 50),
    "one plane": (1, 40, 50),
    "row": (1, 50),
    "5D": (2, 1, 2, 20, 30),
    "6D": (1, 2, 1, 2, 20, 30),
}
SAME = (
    "name", "scale", "translate", "rotate", "shear", "axis_labels", "units", "gamma", "opacity", "blending", "visible",
    "interpolation2d", "interpolation3d", "rendering", "contrast_limits", "iso_threshold", "rgb",
)  # fmt: skip


def cases(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of a case and the differences found."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    ways = list(itertools.product((".ome.tif", ".ome.zarr"), (False, True)))
    for number, ((name, layers), (ending, pyramid)) in enumerate(itertools.product(_layers(), ways)):
        if pyramid and ending == ".ome.zarr":
            continue  # it always has one
        path = folder / f"{number} {ending}"
        yield f"{name}{ending}{' with levels' if pyramid else ''}", _problems(path, layers, pyramid=pyramid)


def _layers() -> Iterator[tuple[str, list[Image]]]:
    for look, keywords in LOOKS.items():
        yield look, [Image(_pixels("u2"), **{"name": "cells", **keywords})]
    for dtype in DTYPES:
        yield dtype, [Image(_pixels(dtype), name="cells", **PLACED)]
    for shape, sizes in SHAPES.items():
        yield shape, [Image(_pixels("f4", sizes), name="cells", metadata={"genrecon": RECORD})]
    for samples in (3, 4):
        yield f"RGB {samples}", [Image(_pixels("u1", (40, 50, samples)), rgb=True, scale=(0.5, 0.5), name="slide")]
        yield f"RGB {samples} stack", [Image(_pixels("u1", (2, 600, 520, samples)), rgb=True, name="slide")]
    large = _pixels("u2", (2, 600, 520))
    yield "large", [Image(large, name="cells", **PLACED)]
    yield "multiscale", [Image([large, large[:, ::2, ::2]], name="cells", multiscale=True)]
    yield from (("lazy", [Image(_lazy(large), name="cells", **PLACED)]), ("two", _several(2)), ("three", _several(3)))
    yield "unlike", [Image(_pixels("u2"), name="a"), Image(_pixels("u2", (3, 40, 60)), name="b")]
    yield "nearly alike", [Image(_pixels("u2"), name="a"), Image(_pixels("u2"), name="b", rotate=5)]
    yield "RGB and grey", [Image(_pixels("u1", (40, 50, 3)), rgb=True), Image(_pixels("u1", (40, 50)), name="b")]


def _several(n: int) -> list[Image]:
    colors = ("blue", "green", "bop orange")
    return [Image(_pixels("u2") + i, name=f"channel {i}", colormap=colors[i], **PLACED) for i in range(n)]


def _pixels(dtype: str, shape: tuple[int, ...] = (3, 40, 50)) -> np.ndarray:
    numbers = np.random.default_rng(0).integers(0, 100, shape)
    return (numbers > 50) if dtype == "?" else numbers.astype(dtype)


def _lazy(array: np.ndarray) -> Any:
    import dask.array as da

    return da.from_array(array, chunks=(1, 300, 300))


def _problems(path: Path, layers: list[Image], *, pyramid: bool) -> list[str]:
    write = write_zarr_layers if path.name.endswith(".zarr") else write_tiff_layers
    try:
        write(str(path), [layer.as_layer_data_tuple() for layer in layers], saving=Saving(pyramid=pyramid))
    except GenReconError as error:
        left = path.exists() or path.with_name(path.name + ".part").exists()
        return (
            ["refused, and something was left"] if left else [] if len(str(error)) > 20 else [f"no sentence: {error}"]
        )
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    try:
        found = [_opened(data, keywords) for data, keywords, _ in read_layers(str(path))]
    except Exception as error:
        return [f"written, but not to be opened: {type(error).__name__}: {error}"]
    if len(found) != len(layers):
        return [f"{len(layers)} layers became {len(found)}"]
    return [problem for a, b in zip(found, layers, strict=True) for problem in _differences(a, b)]


def _opened(data: Any, keywords: dict[str, Any]) -> Image:
    assert "channel_axis" not in keywords, "channels came back as other layers"
    return Image(data, **keywords)


def _differences(found: Image, layer: Image) -> Iterator[str]:
    data, whole = (a.data[0] if a.multiscale else a.data for a in (found, layer))
    if data.dtype.newbyteorder("=") != whole.dtype.newbyteorder("="):
        yield f"dtype {whole.dtype} became {data.dtype}"
    if not np.array_equal(np.asarray(data), np.asarray(whole)):
        yield "other pixels"
    for name in SAME:
        a, b = getattr(found, name), getattr(layer, name)
        same = np.allclose(a, b) if isinstance(a, np.ndarray | list | float) else a == b
        if not same and not (layer.rgb and name in ("contrast_limits", "gamma")):
            yield f"{name} {b} became {a}"
    if not np.allclose(found.affine.affine_matrix, layer.affine.affine_matrix):
        yield "another affine"
    if not layer.rgb and not np.allclose(found.colormap.colors, layer.colormap.colors, atol=1e-6):
        yield "other colours"
    record = layer.metadata.get("genrecon", {})
    if not record.items() <= found.metadata.get("genrecon", {}).items():
        yield "another record"
