"""Cut crops from images, and choose which are held out.

Held out are the crops of whole source images or, for a single image, of a block in a corner with a gap of one crop's
side around it. Single crops are never held out: their neighbours show the same cells, and a model that copied those
would score well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import RGB_NAMES, Axes
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.models.networks import NETWORKS
from napari_genrecon.plural import number_of
from napari_genrecon.training.data.checks import (
    NEEDED,
    PLENTY,
    covered,
    grey_range,
    notes_on_area,
    require_enough,
    usable,
)
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.training.data.places import (
    Places,
    grid_count,
    grid_places,
    label_places,
    point_places,
    random_places,
    whole_places,
)
from napari_genrecon.training.data.source import CropSource, read_crops
from napari_genrecon.training.data.split import LEFT, split_by_block, split_by_order, split_by_source

__all__ = ["NEEDED", "cut_crops", "open_targets"]

MAX_CHANNELS = max(
    int(n) for network in NETWORKS.values() if "size" in network.shape for n in network.shape["channels"]
)  # of the crops: generative networks, which are those that take crops of fixed sizes, take no more
_MOST = 20_000  # crops: 80 MB for 32 pixels a side in float32
_MOST_PIXELS = 64 << 20  # of all blocks: with targets, and both on the scale of the network, they take 1 GB of memory
_COVER = 4  # times that random crops cover the images: fewer leave parts unseen


def cut_crops(
    images: Any,
    options: CropOptions | None = None,
    *,
    axes: str | Axes | Sequence[str | Axes | None] | None = None,
    labels: Any = None,
    points: Any = None,
    groups: Any = None,
    pixel_size: tuple[float, float] | None = None,
    units: tuple[str, str] | None = None,
    channel_names: Sequence[str] = (),
    targets: Any = None,
    target_axes: str | Axes | Sequence[str | Axes | None] | None = None,
    needed: int = NEEDED,
) -> Dataset:
    """Cut crops from one image or several.

    Parameters
    ----------
    images : (..., Y, X) array_like or sequence of them
        Any real dtype; NumPy, memmap, dask or Zarr: what is large is read by region. A list is several images, which
        may differ in size but not in dtype or number of channels.
    options : CropOptions
        Options of the crops.
    axes : str, or one per image
        Meaning of the dimensions; see `napari_genrecon.axes`. Channels (C, or S but for alpha) become channels.
    labels : (..., Y, X) int array_like, or one per image
        Objects, numbered from 1, in an array of the image's dimensions but for the channels. An object that lies on
        several planes (Z) gives the crop of the plane on which it is largest.
    points : (N, D) array_like, or one per image
        Centres in pixels, one column per dimension of the image but for the channels.
    groups : (N,) int array_like
        For ready crops (mode ``"whole"``) in one stack: which image each comes from, if that is known. Otherwise the
        last ones are held out together.
    pixel_size, units : (float, float), (str, str)
        Pixel size and its units along Y and X.
    channel_names : sequence of str
        Names of the channels, one each.
    targets : (..., Y, X) array_like, or one per image
        Images that a network should produce, pixel by pixel; cut at the same places. Their channels may differ.
    target_axes : str, or one per image
        Meaning of their dimensions; that of the images if not given, where they have as many.
    needed : int
        Least number of training crops; a preview needs fewer than a training.

    Returns
    -------
    Dataset

    Raises
    ------
    ImageError
        If there are too few crops, all of them are constant, or shapes, dtypes or channels do not fit.
    OptionError
        If an option cannot work.

    Examples
    --------
    >>> image = np.random.default_rng(0).poisson(20, (512, 512))
    >>> crops = cut_crops(image, CropOptions(size=32))
    >>> crops.x.shape, int(crops.held_out.sum())
    ((865, 1, 32, 32), 100)
    """
    options = options or CropOptions()
    sources = _sources(images, axes)
    mode = _mode(sources, options, labels is not None or points is not None)
    rng = np.random.default_rng(options.seed)
    found = _places(sources, mode, options, labels, points, rng)
    source = np.repeat(np.arange(len(sources)), [len(p.place) for p in found])
    place, label = np.concatenate([p.place for p in found]), np.concatenate([p.label for p in found])
    notes = (
        *_notes_on_size(sources, options.size),
        *_notes_on_objects(found, options.size),
        *_notes_on_grid(sources, mode, options),
    )
    origin = _origin(source, groups, mode)
    # Before the thinning, so that a crop near a held-out one is left out whether that is kept or not.
    verdict = _split(sources, origin, place, mode, options, rng)
    # Thinned before they are read: pixels are what takes memory.
    kept = _thinned(np.flatnonzero(verdict != LEFT), _most(options), rng)
    x = read_crops(sources, source[kept], place[kept], options.size, options.depth)
    good, more = usable(x)
    kept, x = kept[good], x[good]
    held = verdict[kept] == 1
    require_enough(int((~held).sum()), len(source), notes, mode, options, needed)
    # Of the training crops alone: those held out do not help to learn.
    area = covered(sources, source[kept][~held], place[kept][~held], options.size)
    more = (*more, *notes_on_area(area, int((~held).sum()), mode, options, needed))
    # Measured without the held-out crops, which must stay unknown to the training.
    low, high = grey_range(x[~held])
    wanted = None
    if targets is not None:
        # Last, at the places that are left: nothing about the targets decides where crops are cut.
        pairs = open_targets(sources, targets, target_axes)
        _check_shapes(sources, pairs)
        wanted = read_crops(pairs, source[kept], place[kept], options.size, options.depth)
    return Dataset(
        x=x, targets=wanted, source=origin[kept], place=place[kept], held_out=held, label=label[kept],
        pixel_size=pixel_size or (1.0, 1.0), units=units or ("pixel", "pixel"),
        channel_names=_names(channel_names or _colours(sources), x.shape[1]), low=low, high=high,
        options=asdict(options) | {"mode": mode}, notes=(*notes, *more),
    )  # fmt: skip


# --- the images ---


def _sources(images: Any, axes: Any) -> list[CropSource]:
    # An array of several images is one stack; only a list or tuple holds images of their own.
    several = list(images) if isinstance(images, list | tuple) else [images]
    if not several:
        raise ImageError("no image was given to cut crops from")
    letters = _per_image(axes, len(several), "axes")
    sources = [CropSource(image, found) for image, found in zip(several, letters, strict=True)]
    # One network takes one number of channels, and one range of grey values is measured over all images.
    for what in ("channels", "dtype"):
        values = {str(getattr(source, what)) for source in sources}
        if len(values) > 1:
            name = "numbers of channels" if what == "channels" else "dtypes"
            raise ImageError(f"the images have different {name} ({', '.join(sorted(values))}): train on images alike")
    if sources[0].channels > MAX_CHANNELS:
        raise ImageError(
            f"the image has {sources[0].channels} channels, at most {MAX_CHANNELS} can be trained on: choose some, "
            "or say what its dimensions mean (axes)"
        )
    return sources


def open_targets(sources: list[CropSource], targets: Any, axes: Any) -> list[CropSource]:
    """Return the targets, whose axes are those of their images where nobody said others and they fit.

    Raises
    ------
    OptionError
        If there is not one for each image.
    """
    several = list(targets) if isinstance(targets, list | tuple) else [targets]
    if len(several) != len(sources):
        raise OptionError(
            f"{len(sources)} images and {len(several)} targets were given: give one target for each image"
        )
    given = _per_image(axes, len(several), "axes")
    letters = [_as_image(*each) for each in zip(sources, several, given, strict=True)]
    return _sources(several, letters)


def _check_shapes(sources: list[CropSource], found: list[CropSource]) -> None:
    if [(s.outer, s.height, s.width) for s in found] != [(s.outer, s.height, s.width) for s in sources]:
        shapes = " and ".join(", ".join(str(tuple(s.data.shape)) for s in each) for each in (sources, found))
        raise ImageError(f"images and targets have the shapes {shapes}: they must match pixel by pixel")


def _as_image(source: CropSource, target: Any, axes: Any) -> Any:
    """Return the axes of a target: those of its image where nobody said others and they fit, but for its channels."""
    own, shape, letters = np.shape(target), tuple(source.data.shape), source.axes.letters
    if own == shape:
        return source.axes
    # Letters that were only assumed from the shape give way to those of the image.
    if not (axes is None or getattr(axes, "assumed", False)):
        return axes
    # Without channels, a target may have some of its own: none, as the first dimension, or as the last.
    bare = [(n, letter) for n, letter in zip(shape, letters, strict=True) if letter not in "CS"]
    sizes, plain = tuple(n for n, _ in bare), "".join(letter for _, letter in bare)
    like = {own: axes, own[1:]: f"C{plain}", own[:-1]: f"{plain}C"}
    if own == sizes:
        return plain
    return source.axes if len(own) == len(letters) else like.get(sizes, axes)


def _per_image(value: object, n: int, what: str) -> list[Any]:
    if isinstance(value, list | tuple):
        if len(value) != n:
            raise OptionError(f"{len(value)} {what} were given for {n} images: give one for each")
        return list(value)
    # Letters hold for all images alike; an array of labels or points cannot.
    if n > 1 and value is not None and what != "axes":
        raise OptionError(f"one array of {what} was given for {n} images: give a list with one for each")
    return [value] * n


def _mode(sources: list[CropSource], options: CropOptions, objects: bool) -> str:
    ready = all((s.height, s.width) == (options.size,) * 2 for s in sources)
    mode = ("objects" if objects else "whole" if ready else "grid") if options.mode == "auto" else options.mode
    if mode == "objects" and not objects:
        raise OptionError("crops of objects need a labels image or points that say where the objects are")
    if mode != "objects" and objects:
        raise OptionError(f"labels and points are for crops of objects, not for the mode {mode!r}")
    return mode


# --- places ---


def _places(
    sources: list[CropSource], mode: str, options: CropOptions, labels: Any, points: Any, rng: np.random.Generator
) -> list[Places]:
    size, depth = options.size, options.depth
    if depth is not None:
        _check_depth(sources, depth)
    if mode == "objects":
        if labels is not None and points is not None:
            raise OptionError("labels and points were both given: give one of them")
        given = _per_image(points if labels is None else labels, len(sources), "points" if labels is None else "labels")
        cut = point_places if labels is None else label_places
        return [cut(source, where, size, depth) for source, where in zip(sources, given, strict=True)]
    if mode == "random":
        return [
            random_places(source, size, n, rng, depth)
            for source, n in zip(sources, _shares(sources, options), strict=True)
        ]
    if mode == "whole":
        return [whole_places(source, size, depth) for source in sources]
    stride = _stride(sources, options)
    return [grid_places(source, size, stride, depth) for source in sources]


def _check_depth(sources: list[CropSource], depth: int) -> None:
    deepest = max(source.planes_along_z for source in sources)
    if deepest < depth:
        raise ImageError(
            f"blocks of {depth} planes were asked for, and the stacks have {deepest} along Z: choose a smaller depth"
        )


def _most(options: CropOptions) -> int:
    """Return the largest number of items; blocks are so large that their memory limits it, too."""
    most = options.n or _MOST
    return most if options.depth is None else min(most, max(1, _MOST_PIXELS // (options.size**2 * options.depth)))


def _stride(sources: list[CropSource], options: CropOptions) -> int:
    """Return the stride of the options; else the side of a crop, halved until there are enough crops."""
    stride = size = options.size
    if options.stride:
        return options.stride
    # An eighth of the side is the end: crops that are still closer show little that is new.
    while stride > max(size // 8, 1) and _grid_count(sources, options, stride) < PLENTY:
        stride //= 2
    return stride


def _grid_count(sources: list[CropSource], options: CropOptions, stride: int) -> int:
    return sum(grid_count(source, options.size, stride, options.depth) for source in sources)


def _shares(sources: list[CropSource], options: CropOptions) -> list[int]:
    """Return the number of random crops of each image, in proportion to its area."""
    areas = np.array([source.n_planes * source.height * source.width for source in sources], float)
    volume = options.size**2 * (options.depth or 1)
    wanted = options.n or min(_MOST, max(PLENTY, _COVER * areas.sum() / volume))
    # At least one crop, so that no image is passed over.
    return [max(1, round(wanted * area / areas.sum())) for area in areas]


def _notes_on_size(sources: list[CropSource], size: int) -> tuple[str, ...]:
    small = sum(min(source.height, source.width) < size for source in sources)
    words = number_of(small, f"of {len(sources)} images is", f"of {len(sources)} images are")
    return (f"{words} smaller than a crop of {size} pixels and left out",) if small else ()


def _notes_on_objects(found: list[Places], size: int) -> tuple[str, ...]:
    edge, large = sum(p.edge for p in found), sum(p.large for p in found)
    notes = []
    if edge:
        objects = number_of(edge, "object is", "objects are")
        notes.append(f"{objects} too close to the border for a crop of {size} pixels and left out")
    if large:
        objects = number_of(large, "object is", "objects are")
        notes.append(f"{objects} larger than a crop of {size} pixels and cut off: choose a larger size")
    return tuple(notes)


def _notes_on_grid(sources: list[CropSource], mode: str, options: CropOptions) -> tuple[str, ...]:
    size, stride = options.size, _stride(sources, options)
    if mode != "grid" or stride >= size:
        return ()
    n = _grid_count(sources, options, size)
    # Rounded up: so many strides begin within one crop, along Y and along X.
    share = (-(-size // stride)) ** 2
    return (
        f"the crops are cut every {stride} px and overlap: a pixel lies in up to {share} of them, and side by side "
        f"there would be {n}",
    )


def _origin(source: NDArray[np.int64], groups: Any, mode: str) -> NDArray[np.int64]:
    if groups is None:
        return source.astype(np.int64)
    found = np.asarray(groups)
    # In all other modes crops know their image already.
    if mode != "whole" or found.shape != source.shape or found.dtype.kind not in "iu" or source.any():
        raise OptionError(
            f"groups have the shape {found.shape} and dtype {found.dtype}: they say for one stack of {len(source)} "
            "ready crops (mode 'whole') which image each comes from, as integers"
        )
    return found.astype(np.int64)


def _split(
    sources: list[CropSource],
    origin: NDArray[np.int64],
    place: NDArray[np.int64],
    mode: str,
    options: CropOptions,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    if options.held_out == 0 or len(origin) == 0:
        return np.zeros(len(origin), np.int64)
    # The order of preference: whole images tell most about new images, a block of one image least.
    if len(np.unique(origin)) > 1:
        return split_by_source(origin, options.held_out, rng)
    if mode == "whole":
        return split_by_order(len(origin), options.held_out)
    only = sources[int(origin[0])]
    return split_by_block(place, options.size, only.height, only.width, options.held_out)


def _thinned(indices: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return indices if len(indices) <= n else np.sort(rng.choice(indices, n, replace=False))


def _colours(sources: list[CropSource]) -> tuple[str, ...]:
    return RGB_NAMES if all(source.axes.rgb for source in sources) else ()


def _names(names: Sequence[str], channels: int) -> tuple[str, ...]:
    if names and len(names) != channels:
        raise OptionError(f"{len(names)} channel names were given for {channels} channels: give one for each, or none")
    return tuple(names) or ("",) * channels
