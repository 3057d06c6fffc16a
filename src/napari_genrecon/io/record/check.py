"""Verify that a result was not changed since it was made, and say in a sentence what it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageFile
from napari_genrecon.io.points import ENDING as POINTS
from napari_genrecon.io.points import verify_points
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.history import LAYER_RECORD, steps_of_run
from napari_genrecon.io.record.methods import DONE
from napari_genrecon.io.record.provenance import RECORD_NAMESPACE, combined, digest_json, digest_pixels, facts
from napari_genrecon.io.record.sidecar import read_sidecar, sidecar_of
from napari_genrecon.io.tiff.ome import note_in, ome_of
from napari_genrecon.io.zarr.places import is_zarr

__all__ = ["choice_text", "find_record", "origin_text", "record_at", "record_of", "records_at", "verify"]

Region = tuple[slice, ...]


def verify(path: str | Path) -> list[str]:
    """Look for changes in a result since it was written.

    Parameters
    ----------
    path : path-like
        A result of napari-genrecon. A sidecar beside it is compared with the record inside, and replaces a lost one.

    Returns
    -------
    list of str
        One sentence for everything that was changed; empty if nothing was.

    Raises
    ------
    ImageError
        If the file cannot be read or holds no sealed record.
    """
    if Path(path).suffix.lower() == POINTS:
        return verify_points(Path(path), record_at(path))
    image = open_image(path)
    # Before the record: an unfinished result has no seal, and that is not a change.
    if image.unfinished:
        return [f"it was not finished: {image.unfinished}"]
    record = record_of(image)
    seal = record.get("seal")
    if not isinstance(seal, dict):
        raise ImageError(f"the record of {path} carries no checksums: only files that were written whole have them")
    changed = _sidecar_problems(image)
    # The seal is of everything else in the record; it cannot hold its own checksum.
    if digest_json({k: v for k, v in record.items() if k != "seal"}) != seal.get("record"):
        changed.append("the record was changed")
    # Only what both name: a format may keep less, and older results recorded less.
    now, then = facts(image.about), record.get("image", {})
    changed += [f"{name} was {then[name]}, is {now[name]}" for name in then if name in now and now[name] != then[name]]
    # Region by region as when it was written: one checksum over the whole would need the whole in memory.
    if combined(_digests(image.data, seal.get("regions", []))) != seal.get("pixels"):
        changed.append("pixels were changed")
    return changed


def record_of(image: ImageFile) -> dict[str, Any]:
    """Return the record of an opened image, from its sidecar if it is not inside.

    Raises
    ------
    ImageError
        If it has none.
    """
    # Some programs drop metadata that they do not know when they save a file.
    record = image.record or read_sidecar(image.path)
    if record is None and (layers := _records_of_layers(image)):
        raise ImageError(
            f"{image.path} holds layers that were saved together, with a record each ({', '.join(layers)}), and none "
            "for all: open it in napari and save each layer as a file of its own"
        )
    if record is None:
        raise ImageError(f"{image.path} holds no record: it was not made by napari-genrecon, or lost it since")
    return record


def _records_of_layers(image: ImageFile) -> dict[str, dict[str, Any]]:
    """Return the records, by the name of the layer, of layers that were saved together as one file."""
    layers = (image.about.layer or {}).get("layers", [])
    return {str(layer.get("name")): layer[LAYER_RECORD] for layer in layers if LAYER_RECORD in layer}


def record_at(path: str | Path) -> dict[str, Any]:
    """Return the record of a result, an image or points, from its path.

    Raises
    ------
    ImageError
        If it has none.
    """
    if Path(path).suffix.lower() != POINTS:
        return record_of(open_image(path))
    record = read_sidecar(Path(path))
    if record is None:
        raise ImageError(f"there is no {sidecar_of(Path(path)).name} beside {path}, which holds the record of points")
    return record


def records_at(path: Path) -> dict[Any, dict[str, Any]]:
    """Return the records of layers that were saved together, by their names; of other results the one, by None.

    Raises
    ------
    ImageError
        If there is none.
    """
    if path.suffix.lower() == POINTS:
        return {None: record_at(path)}
    image = open_image(path)
    if image.record is None and (layers := _records_of_layers(image)):
        return layers
    return {None: record_of(image)}


def find_record(path: Path) -> dict[str, Any] | None:
    """Return the record inside a file or beside it, without reading pixels; None if there is none to be read."""
    for read in (_stored_record, read_sidecar):
        with suppress(
            Exception
        ):  # a damaged file makes tifffile raise nearly anything; it is reported when it is opened
            record = read(path)
            if record is not None:
                return record
    return None


def _stored_record(path: Path) -> dict[str, Any] | None:
    if path.is_dir():
        # A folder of planes would be opened file by file, and holds no record of its own.
        return open_image(path).record if is_zarr(path) else None
    import tifffile

    # Only the XML, not `open_image`: this is asked for every file of a batch.
    with tifffile.TiffFile(path) as tif:
        ome = ome_of(tif)
        return None if ome is None else note_in(ome, RECORD_NAMESPACE)


def _sidecar_problems(image: ImageFile) -> list[str]:
    beside, name = read_sidecar(image.path), sidecar_of(image.path).name
    if beside is None or beside == image.record:
        return []
    return [f"the record inside was lost, that of {name} is used" if image.record is None else f"{name} was changed"]


def _digests(data: ImageArray, regions: list[int]) -> Iterator[str]:
    for region in _regions(tuple(data.shape), regions):
        yield digest_pixels(as_numpy(data[region]))


def _regions(shape: tuple[int, ...], sizes: list[int]) -> Iterator[Region]:
    sizes = ([1] * len(shape) + [max(1, int(n)) for n in sizes])[-len(shape) :]  # readers drop leading ones
    for index in np.ndindex(*(-(-n // size) for n, size in zip(shape, sizes, strict=True))):
        yield tuple(slice(i * s, min((i + 1) * s, n)) for i, s, n in zip(index, sizes, shape, strict=True))


def origin_text(name: str, record: dict[str, Any]) -> str:
    """Describe in one sentence how an image was made, for a user who opens it; the most important words come first."""
    nature = str(record.get("nature"))
    if nature == "synthetic":
        return f"Synthetic, not measured: '{name}' was generated by napari-genrecon."
    # Of several steps in a row only the first has read a file.
    source = (steps_of_run(record)[0].get("input") or {}).get("path")
    model = (record.get("model") or {}).get("name")
    origin = f" from {Path(str(source)).name}" if source else ""
    by = f" with the model {model}" if model else ""
    day = f" on {record['utc'][:10]}" if isinstance(record.get("utc"), str) else ""
    done = DONE.get(nature, "processed").capitalize()
    return f"{done}, not raw: '{name}' was made{origin} by napari-genrecon{by}{day}."


def choice_text(record: dict[str, Any]) -> str:
    """Say which model a run chose by itself, and why; empty if the user chose it."""
    model = record.get("model") or {}
    asked = (record.get("options") or {}).get("model")
    return f"{model['name']}, because {model['chosen']}" if asked == "auto" and model.get("chosen") else ""
