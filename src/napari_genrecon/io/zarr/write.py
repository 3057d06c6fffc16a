"""Write a result as OME-Zarr 0.5, region by region, in bounded memory, and continue it after a kill."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import RGB_NAMES, Axes
from napari_genrecon.engine.intensity import count_nan, to_dtype
from napari_genrecon.engine.lazy import computed
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError, InferenceError, OutputError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layer_display import stored_display
from napari_genrecon.io.levels import CHUNK
from napari_genrecon.io.publish import check_target, rename, require_space, sentence
from napari_genrecon.io.record.provenance import (
    Stored,
    combined,
    counted,
    device_noted,
    digest_pixels,
    is_same_run,
    machine,
    note_device,
    run_digest,
    sealed,
)
from napari_genrecon.io.zarr import journal
from napari_genrecon.io.zarr.places import METADATA
from napari_genrecon.io.zarr.store import create_store, level_array, make_levels, publish_store
from napari_genrecon.noise.same import bound_of, compare

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["write_zarr_steps"]

_ORDER = "TCZYX"  # OME-Zarr wants time, then channels, then space
_DEVICES: dict[str, str] = {}  # words for the device on which this process computed regions, by run
_LARGEST_NUMBER = 8  # bytes; longer floats are not portable

Index = tuple[int, ...]
Region = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """Plan of a run: everything that is decided before the first region is computed."""

    target: Path
    part: Path
    data: Any  # dask, its blocks are the regions
    dtype: np.dtype[Any]
    counts: bool  # whether NaN and clipped pixels can still be counted
    about: ImageMeta
    header: journal.Header


def write_zarr_steps(
    path: str | Path,
    data: ImageArray,
    about: ImageMeta,
    *,
    dtype: DTypeLike | None = None,
    overwrite: bool = False,
    sources: Iterable[Path] = (),
    resume: bool = False,
    client: Client | None = None,
) -> Generator[Progress, None, Path]:
    """Compute an image region by region into an OME-Zarr store.

    Parameters
    ----------
    path : path-like
        Path of the store; ``.ome.zarr`` is the usual ending. While unfinished, the folder has ``.part`` after its name,
        and stays there when the run ends early, so that it can be continued.
    data : array_like
        NumPy or dask; of a dask array the blocks are computed one by one, or by the workers of the `client`.
    about : ImageMeta
        Metadata of the pixels.
    dtype : dtype, optional
        Type of the stored pixels, if not that of the data; integers are rounded and clipped, the record says how many.
    overwrite, sources
        See `publish.publishing`.
    resume : bool
        Continue what an earlier run of the same job left; regions whose pixels are stored are not computed again, but
        for one, where they came from another machine or number of threads: both must be the same (`noise.same`).
    client : distributed.Client, optional
        Workers that read and write their own regions; they must see the same files.

    Yields
    ------
    Progress
        After every region.

    Returns
    -------
    Path
        Path of the finished store.

    Raises
    ------
    OutputError
        If the store cannot be written; what is done so far stays in the folder with ``.part``.
    ImageError
        If the dimensions cannot be stored.
    """
    path = Path(path)
    check_target(path, overwrite=overwrite, sources=sources, folder=True)
    job = _plan(path, data, about, dtype)
    try:
        # Locked before it is looked at: what another run is writing is nothing to be continued, or deleted.
        with journal.locked(job.part):
            _start_or_continue(job, resume=resume)
            with _kept_if_it_can_be_continued(job):
                yield from _fill(job, client)
                for level in make_levels(job.part):
                    yield Progress(0, 0, f"level {level} written")
                publish_store(job.part, job.target, _ours(job), overwrite=overwrite)
        # After the rename: until then the journal is what makes the run one that can be continued.
        journal.forget(job.target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        kept = f"; what is done so far is kept in {job.part.name}: continue it with --resume"
        raise OutputError(sentence(path, error) + (kept if job.part.exists() else "")) from error
    return path


def _plan(path: Path, data: ImageArray, about: ImageMeta, dtype: DTypeLike | None) -> _Job:
    kind = np.dtype(data.dtype if dtype is None else dtype)
    check_room(about.axes, kind)
    kind = np.dtype(kind.str)  # NumPy has two types of 64-bit integers, and zarr knows one of them
    ordered, about = _in_ome_order(data, about.filled())
    counts = dtype is not None or kind.kind == "f"  # in integer data, NaN and clipped pixels are lost already
    # An image without a record gets one here, so that its journal has a header like any other.
    record = dict(about.record or {"schema": None})
    # The shape counts too: the record of an image without one says nothing about it.
    header = journal.Header(run_digest({**record, "shape": list(ordered.shape)}), record, tuple(ordered.numblocks))
    return _Job(path, journal.part_of(path), ordered, kind, counts, about, header)


def check_room(axes: Axes, dtype: np.dtype[Any]) -> None:
    """Refuse dimensions and numbers that OME-Zarr does not store.

    Raises
    ------
    ImageError
        If one of them is of that kind.
    """
    letters = axes.letters.replace("S", "C")
    if set(letters) - set(_ORDER) or len(set(letters)) < len(letters):
        raise ImageError(f"OME-Zarr stores the axes T, C, Z, Y and X, not {axes}: save it as OME-TIFF")
    if dtype.kind not in "iuf" or dtype.itemsize > _LARGEST_NUMBER:
        raise ImageError(f"{dtype} is not stored as OME-Zarr: real numbers are needed; convert the image first")


def _in_ome_order(data: ImageArray, about: ImageMeta) -> tuple[Any, ImageMeta]:
    """Return the dimensions in the order of OME-Zarr, RGB as three channels; the layer metadata keep the old order."""
    letters = about.axes.letters.replace("S", "C")
    order = tuple(sorted(range(len(letters)), key=lambda i: _ORDER.index(letters[i])))
    more = about.reordered(order)
    axes = Axes(more.axes.letters.replace("S", "C"))
    # The old order goes into the file, so that the layer comes back as it was saved; so do lookup tables of channels,
    # which have no more than one colour in the format.
    layer = {**(about.layer or {}), "axes": about.axes.letters, **stored_display(about, "channel_luts")}
    if about.axes.rgb:
        names, colors = (*RGB_NAMES, "alpha"), ("#ff0000", "#00ff00", "#0000ff", "#ffffff")
        n = data.shape[-1]
        more = replace(more, channel_names=names[:n], channel_colors=colors[:n])
    return _as_dask(data, about.axes).transpose(order), replace(more, axes=axes, layer=layer)


def _as_dask(data: ImageArray, axes: Axes) -> Any:
    import dask.array as da

    if hasattr(data, "dask"):
        return data
    # One plane thick, as viewers show planes; a plane in pieces that fit into memory several times.
    chunks = tuple(min(n, CHUNK) if i in (axes.y, axes.x) else 1 for i, n in enumerate(data.shape))
    # With a name of its own choice, dask would hash all pixels to find it.
    return da.from_array(data, chunks=chunks, name=False)


@contextmanager
def _kept_if_it_can_be_continued(job: _Job) -> Iterator[None]:
    """Remove the unfinished store after an error if it has no record, as it could not be matched with a later run."""
    try:
        yield
    except BaseException:
        if job.about.record is None and not (job.part / METADATA).exists():
            shutil.rmtree(job.part, ignore_errors=True)
        raise


# --- start, or go on where an earlier run was ended ---


def _start_or_continue(job: _Job, *, resume: bool) -> None:
    if not job.part.exists():
        # Without compression: an upper limit. A run that is continued has written part of it already, and is not asked.
        require_space(job.target, int(job.data.size) * job.dtype.itemsize)
        _start(job)
        return
    if not resume:
        raise OutputError(
            f"{job.part.name} is what an earlier run left unfinished: continue it with --resume, or delete it"
        )
    header, _ = journal.read(job.part)
    # Asked before "another run" is: this has a remedy of its own.
    precisions = [str(record.get("precision")) for record in (header.record, job.header.record)]
    if precisions[0] != precisions[1]:
        raise OutputError(
            f"{job.part.name} was begun in {precisions[0]}, and would be continued in {precisions[1]} here: continue "
            "it on a machine like the first, or delete it"
        )
    # On another machine measured values differ in their last digits, and with them the digest.
    same = header.run == job.header.run or is_same_run(header.record, job.header.record)
    if not same or header.regions != job.header.regions:
        raise OutputError(
            f"{job.part.name} was made with another input, other options or another version: delete it, or repeat the "
            "command as it was"
        )


def _start(job: _Job) -> None:
    """Create the unfinished store under another name and rename it: a store that is only begun cannot be continued."""
    fresh = job.part.with_name(f"{job.part.name}.{os.getpid()}")
    try:
        create_store(fresh, job.data.chunks, job.dtype, job.about, job.target.name.split(".")[0])
        journal.begin(fresh, job.header)
        rename(fresh, job.part)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


# --- the regions ---


def _fill(job: _Job, client: Client | None) -> Generator[Progress, None, None]:
    _, stored = journal.read(job.part)
    # The chunks are read back: the journal may have reached the disk, and a chunk not.
    done = {index: region for index, region in stored.items() if _is_stored(job, index, region.digest)}
    yield from _checked(job, done, client)
    indices = list(np.ndindex(job.header.regions))
    missing = [index for index in indices if index not in done]
    total = len(indices)
    yield Progress(total - len(missing), total, f"{total - len(missing)} of {total} regions are there")
    finished = _on_workers(job, missing, client) if client is not None else _here(job, missing)
    # On a cancel, this ends the generator at once, which takes back what the workers have not begun.
    with closing(finished):
        for count, (index, region) in enumerate(finished, start=total - len(missing) + 1):
            # Only this process writes the journal, also where workers write the pixels.
            journal.append(job.part, index, region)
            yield Progress(count, total, f"{count} of {total} regions done")


def _is_stored(job: _Job, index: Index, digest: str) -> bool:
    try:
        return digest_pixels(level_array(job.part, 0)[_region(job.data.chunks, index)]) == digest
    except Exception:  # a chunk that was cut short fails in its codec in many ways: it is computed again
        return False


def _checked(job: _Job, done: dict[Index, Stored], client: Client | None) -> Generator[Progress, None, None]:
    """Compute one of the stored regions again if another machine made it, and refuse to mix results that differ.

    The machine of a cluster's workers is only known once they have computed something: always compare there.
    """
    elsewhere = [index for index, region in done.items() if client is not None or region.machine != machine()]
    if not elsewhere:
        return
    yield Progress(0, 0, "comparing with what another machine has computed")
    # One region shows whether the two agree; more would delay every run that is continued.
    index = elsewhere[0]
    block = job.data.to_delayed()[index]
    made = computed(block) if client is None else client.compute(block).result()
    stored = level_array(job.part, 0)[_region(job.data.chunks, index)]
    found = compare(
        # As it would be stored: rounding is part of the result.
        to_dtype(np.asarray(made), job.dtype)[0],
        stored,
        job.header.record.get("noise", ()),
        bound_of(job.header.record),
    )
    if not found.same:
        there = done[index].machine or "another machine"
        raise OutputError(
            f"{job.part.name} was begun by {there}, and what is computed here differs from it by up to {found}, at "
            f"most {found.bound:g} is allowed: continue it there, or delete it"
        )


def _here(job: _Job, missing: list[Index]) -> Generator[tuple[Index, Stored], None, None]:
    for index, delayed in _delayed(job, missing):
        yield index, computed(delayed)


def _on_workers(job: _Job, missing: list[Index], client: Client) -> Generator[tuple[Index, Stored], None, None]:
    import dask
    from distributed import as_completed
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    # After an error, such as a short loss of a network drive, as often as after the loss of a worker: 3 by default.
    again = dask.config.get("distributed.scheduler.allowed-failures")
    # All at once: the scheduler decides which worker takes which region, and in which order.
    futures = {client.compute(delayed, retries=again): index for index, delayed in _delayed(job, missing)}
    try:
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except (KilledWorker, FutureCancelledError) as error:
                raise InferenceError(
                    f"the workers were lost while computing region {futures[future]} ({error}): give them more memory, "
                    "or continue with --resume"
                ) from error
    finally:
        # Also after an error: the workers must not go on writing into a folder that nobody watches.
        client.cancel(list(futures))


def _delayed(job: _Job, missing: list[Index]) -> Iterator[tuple[Index, Any]]:
    import dask

    blocks = job.data.to_delayed()
    # Impure: it must be run for what it does, not for what it returns.
    store = dask.delayed(_store, pure=False)
    # A text and not an open array, as this is sent to the workers.
    path = str((job.part / "0").absolute())
    for index in missing:
        yield index, store(blocks[index], path, _region(job.data.chunks, index), job.counts, job.header.run)


def _store(block: NDArray[Any], path: str, region: Region, counts: bool, run: str) -> Stored:
    """Write one region; runs where the region was computed."""
    import zarr

    array = zarr.open_array(path, mode="r+")
    pixels, clipped = to_dtype(np.asarray(block), array.dtype)
    array[region] = pixels
    # Counted before rounding: an integer has no NaN.
    known = (count_nan(block), clipped) if counts else (None, None)
    # A worker may compute several regions before it stores the first: all of one run used the same device.
    words = _DEVICES[run] = device_noted() or _DEVICES.get(run, "")
    computed_by = machine(words)
    note_device("")  # the next run may need no network
    return Stored(digest_pixels(pixels), known[0], known[1], computed_by)


def _region(chunks: tuple[tuple[int, ...], ...], index: Index) -> Region:
    # Regions may have several sizes along a dimension, as dask allows.
    starts = (sum(sizes[:i]) for sizes, i in zip(chunks, index, strict=True))
    return tuple(slice(a, a + sizes[i]) for a, sizes, i in zip(starts, chunks, index, strict=True))


def _ours(job: _Job) -> dict[str, Any]:
    """Return the sealed record and the display settings of the layer."""
    header, stored = journal.read(job.part)
    if job.about.record is None:
        return {"record": None, "layer": job.about.layer}
    # In C order, whatever the order in which they were finished: the digest of the image depends on it.
    ordered = [stored[index] for index in np.ndindex(header.regions)]
    sizes = [sizes[0] for sizes in job.data.chunks]
    record = counted(header.record, job.dtype, ordered)
    digest = combined(region.digest for region in ordered)
    return {"record": sealed(record, job.about, sizes, digest), "layer": job.about.layer}
