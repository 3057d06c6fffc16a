"""Make one new image from a parent: deform it, change its grey values, and draw its noise."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_genrecon.axes import RGB
from napari_genrecon.engine.intensity import count_nan, to_dtype
from napari_genrecon.engine.run import Progress
from napari_genrecon.io.record.provenance import machine, make_record, versions
from napari_genrecon.numerics.coordinate_map import CoordinateMap, Places, random_map
from napari_genrecon.numerics.symmetries import random_ways, turned, turned_points
from napari_genrecon.tasks.augment.grain import draw_noise
from napari_genrecon.tasks.augment.options import AugmentOptions
from napari_genrecon.tasks.augment.parent import Parent

__all__ = ["Example", "example_steps"]

_CUT = 8  # times that a square of the cutout fits into the shorter side: a cell or two, not a field of them


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A new image, with its labels and points.

    Attributes
    ----------
    image : ndarray
        In the dtype and the dimensions of the parent.
    labels : ndarray or None
        Only values of the parent's labels, and 0 where the deformed image shows what lies outside the parent.
    points : (M, D) ndarray of float64, or None
        Points that lie within the new image, in its pixels.
    kept : (M,) ndarray of int64, or None
        Their rows among the points of the parent.
    parameters : dict
        What was drawn, as JSON values.
    record : dict
        How it was made; its nature is ``synthetic``.
    """

    image: NDArray[Any]
    labels: NDArray[Any] | None
    points: NDArray[np.float64] | None
    kept: NDArray[np.int64] | None
    parameters: dict[str, Any]
    record: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """What happens to one image."""

    way: int  # of the eight symmetries
    map: CoordinateMap
    gamma: tuple[float, ...]  # exponent per channel
    blur: float
    cut: tuple[tuple[slice, slice], ...]
    grain: np.random.Generator  # draws the noise

    def facts(self, moved: dict[str, float], exposure: float) -> dict[str, Any]:
        """Return what was drawn as JSON values."""
        cut = [[part.start for part in square] for square in self.cut]
        side = self.cut[0][0].stop - self.cut[0][0].start if self.cut else 0
        grey = {"gamma": list(self.gamma), "blur": self.blur, "cutout": cut, "cutout side": side}
        return {"turn": self.way % 4 * 90, "mirrored": self.way >= 4, **moved, **grey, "exposure": exposure}


def example_steps(parent: Parent, options: AugmentOptions, index: int) -> Generator[Progress, None, Example]:
    """Make the `index`-th new image of a parent; it depends on nothing but the parent, the options and the index.

    Yields
    ------
    Progress
        After every plane.
    """
    drawn, facts = _draw(parent, options, index)
    source, image = _source_and_result(parent.clean, parent.space, drawn.way, parent.pixels.dtype)
    labels = new_labels = None
    if parent.labels is not None:
        labels, new_labels = _source_and_result(parent.labels, parent.label_space, drawn.way, parent.labels.dtype)
    clipped = 0
    # One plane after the other: the places of a whole stack need several times its memory.
    for z in range(source.shape[-3]) if len(parent.space) == 3 else [None]:
        # Computed once for all channels and frames of the plane; without a deformation pixels are copied, bit for bit.
        places = None if drawn.map.is_identity else drawn.map.places(z or 0)
        at = () if z is None else (z,)
        # The index runs over channels and frames, in the order of `Parent.channel_of`.
        for number, outer in enumerate(np.ndindex(source.shape[: -len(parent.space)])):
            channel = parent.channel_of(number)
            fill = parent.levels[channel].dark
            # A deformed plane reads from the whole stack, as it may be bent along Z.
            plane = source[outer + at] if places is None else places.linear(source[outer], fill)
            image[outer + at], beyond = to_dtype(_regreyed(plane, parent, channel, drawn), image.dtype)
            clipped += beyond
            yield Progress(index, options.n, f"image {index + 1} of {options.n}")
        if labels is not None and new_labels is not None:
            _place_labels(labels, new_labels, len(parent.space), at, places)
    points, kept = _moved_points(parent, drawn)
    whole = _in_order(image, parent.space)
    record = _record(parent, options, index, facts, whole, clipped)
    found = None if new_labels is None else _in_order(new_labels, parent.label_space)
    return Example(whole, found, points, kept, facts, record)


# --- what is drawn ---


def _draw(parent: Parent, options: AugmentOptions, index: int) -> tuple[_Drawn, dict[str, Any]]:
    """Draw the changes; geometry, grey values and noise from streams of their own, so that one option changes one."""
    # SeedSequence takes integers: the sha256 as eight words of 32 bits, in one byte order on every machine.
    words = np.frombuffer(bytes.fromhex(parent.digest), ">u4").tolist()
    streams = np.random.SeedSequence([options.seed, index, *words]).spawn(3)
    shapes, greys, grain = (np.random.default_rng(stream) for stream in streams)
    height, width = (parent.pixels.shape[i] for i in parent.space[-2:])
    # A quarter turn would change the shape of what is not square.
    way = int(random_ways(shapes, 1, square=height == width)[0]) if options.flips else 0
    turned_shape = tuple(parent.pixels.shape[i] for i in parent.space)
    found, moved = random_map(shapes, turned_shape, rotate=options.rotate, scale=options.scale, elastic=options.elastic)
    # Uniform in the logarithm: 1 / 1.2 is drawn as often as 1.2.
    most = np.log1p(options.gamma)
    # Colours share one exponent, so that hues stay; channels get one each.
    exponents = np.exp(greys.uniform(-most, most, 1 if parent.axes.rgb else len(parent.levels)))
    gamma = tuple(map(float, np.resize(exponents, len(parent.levels))))  # one repeats for all colours
    blur = float(greys.uniform(0, options.blur))
    drawn = _Drawn(way, found, gamma, blur, _squares(greys, options.cutout, height, width), grain)
    return drawn, drawn.facts(moved, options.exposure)


def _squares(rng: np.random.Generator, n: int, height: int, width: int) -> tuple[tuple[slice, slice], ...]:
    side = max(1, min(height, width) // _CUT)
    firsts = np.stack([rng.integers(0, height - side + 1, n), rng.integers(0, width - side + 1, n)], axis=1)
    return tuple((slice(int(y), int(y) + side), slice(int(x), int(x) + side)) for y, x in firsts)


# --- pixels ---


def _source_and_result(
    pixels: NDArray[Any], space: tuple[int, ...], way: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the turned pixels with the dimensions of space last, and an array for the result."""
    # A view of the parent's pixels: mirrors and right angles copy nothing.
    source = turned(np.moveaxis(pixels, space, range(-len(space), 0)), way)
    return source, np.empty(source.shape, dtype)


def _in_order(moved: NDArray[Any], space: tuple[int, ...]) -> NDArray[Any]:
    # moveaxis leaves strides in another order, and files are written in C order.
    return np.ascontiguousarray(np.moveaxis(moved, range(-len(space), 0), space))


def _place_labels(
    labels: NDArray[Any], result: NDArray[Any], n_space: int, at: tuple[int, ...], places: Places | None
) -> None:
    for outer in np.ndindex(labels.shape[:-n_space]):
        # The nearest label, as the mean of two numbers would be a third object.
        result[outer + at] = labels[outer + at] if places is None else places.nearest(labels[outer])


def _regreyed(plane: NDArray[Any], parent: Parent, channel: int, drawn: _Drawn) -> NDArray[Any]:
    """Change the grey values of a plane: contrast, blur, hidden squares, noise; unchanged where none is asked for."""
    dark, low, high = parent.levels[channel]
    # Transparency is no grey value.
    alpha = parent.axes.rgb and channel >= RGB
    exponent = drawn.gamma[channel]
    if exponent != 1 and high > low and not alpha:
        # Rounding may leave the range, and a negative number has no such power.
        share = np.clip((_as_float(plane) - low) / (high - low), 0, 1)
        plane = low + (high - low) * share**exponent
    if drawn.blur > 0:
        plane = ndimage.gaussian_filter(_as_float(plane), drawn.blur)
    if drawn.cut and not alpha:
        # The plane may still be a view of the parent's pixels.
        plane = plane.copy()
        for square in drawn.cut:
            plane[square] = np.rint(dark) if plane.dtype.kind in "iu" else dark
    # Noise comes last, as a camera adds it: it is neither blurred nor hidden under a square.
    if channel < len(parent.noise):
        plane = parent.within(draw_noise(drawn.grain, plane, parent.noise[channel]), channel)
    return plane


def _as_float(plane: NDArray[Any]) -> NDArray[np.floating[Any]]:
    # float32 holds all integers of 16 bits, and half the memory of float64.
    narrow = plane.dtype.itemsize <= 2 or plane.dtype == np.float32
    return plane.astype(np.float32 if narrow else np.float64, copy=False)


# --- points and record ---


def _moved_points(parent: Parent, drawn: _Drawn) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None]:
    """Return the points that lie within the new image, and their rows."""
    if parent.points is None:
        return None, None
    columns, shape = list(parent.label_space), np.array([parent.pixels.shape[i] for i in parent.space])
    found = parent.points.copy()
    # In the order of the pixels: turned first, then deformed.
    found[:, columns[-2:]] = turned_points(found[:, columns[-2:]], drawn.way, (int(shape[-2]), int(shape[-1])))
    if not drawn.map.is_identity:
        # Pixels are looked up backwards, in the source; points move forwards, with the objects.
        found[:, columns] = drawn.map.forward(found[:, columns])
    # Up to the outer edge of the pixels at the border.
    kept = np.flatnonzero(np.all((found >= -0.5) & (found <= parent.label_shape - 0.5), axis=1))
    return found[kept], kept


def _record(
    parent: Parent, options: AugmentOptions, index: int, facts: dict[str, Any], image: NDArray[Any], clipped: int
) -> dict[str, Any]:
    """Return the record. It has no time of day: the same seed gives the same bytes."""
    shape = list(parent.pixels.shape)
    record = make_record(
        "augment",
        "synthetic",
        options={**asdict(options), "axes": parent.axes.letters},
        parameters={"index": index, **facts},
        model=parent.model,
        noise=[model.to_dict() for model in parent.noise],
        axes={"letters": parent.axes.letters, "assumed": parent.axes.assumed},
        input={"shape": shape, "dtype": str(parent.pixels.dtype), "fingerprint": parent.digest},
        output={"shape": shape, "dtype": str(image.dtype), "clipped": clipped, "nan": count_nan(image)},
        tile={"size": shape, "halo": [0] * len(shape)},
        device="cpu",
        seed=options.seed,
        warnings=list(parent.notes),
    )
    network = parent.model is not None  # torch may be loaded for something else, and did nothing here
    by = {"versions": versions(network=network), "machines": [machine(network=network)]}
    return {key: value for key, value in (record | by).items() if key != "utc"}
