"""The record of how a result was made, as JSON: kept with the layer and in the file, and sealed by checksums."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes, assumption
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.plural import number_of

__all__ = [
    "LAYER_NAMESPACE",
    "NATURES",
    "RECORD_NAMESPACE",
    "SCHEMA",
    "Stored",
    "clipping_note",
    "combined",
    "counted",
    "digest_json",
    "digest_pixels",
    "facts",
    "fingerprint",
    "is_same_run",
    "machine",
    "make_record",
    "device_noted",
    "note_device",
    "run_digest",
    "sealed",
    "versions",
]

SCHEMA = "genrecon-record/1"
NATURES = ("restored", "upscaled", "deblurred", "inpainted", "predicted", "detected", "synthetic")
RECORD_NAMESPACE = "napari-genrecon/record"
"""Namespace of the OME annotation that holds the record in a file."""
LAYER_NAMESPACE = "napari-genrecon/layer"
"""Namespace of the OME annotation that holds the display settings of the layer."""

_DIFFERS_BETWEEN_RUNS = ("utc", "seconds", "seal", "image", "machines")


def make_record(task: str, nature: str, **facts: Any) -> dict[str, Any]:
    """Return the record of one run.

    Parameters
    ----------
    task : str
        The task's name, such as ``"denoise"``.
    nature : str
        Kind of data that the result is: one of `NATURES`.
    **facts
        Further entries, JSON values only: options, model, noise, axes, input, output, warnings. A sentence about
        assumed axes is added to the warnings.

    Returns
    -------
    dict
        Ready for `json.dumps`.
    """
    assert nature in NATURES
    # First among the warnings: every number of the result depends on what the dimensions mean.
    if facts.get("warnings") is not None and "axes" in facts:
        facts["warnings"] = [*_assumed(facts["axes"], facts["input"]), *facts["warnings"]]
    return {
        "schema": SCHEMA,
        "task": task,
        "nature": nature,
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "machines": [machine()],
        **facts,
    }


def _assumed(axes: dict[str, Any], image: dict[str, Any]) -> list[str]:
    shape = image["shape"]
    letters = Axes(axes["letters"][-len(shape) :], axes["assumed"])  # a result may have one more dimension in front
    said = assumption(letters, shape, eight_bit=image["dtype"] == "uint8")
    return [said] if said else []


def versions(*, network: bool = True) -> Mapping[str, str]:
    """Return the versions of the software that computed the result; torch only if it was loaded for a network."""
    names = ["napari-genrecon", "numpy", "scipy", *(["torch"] if network and "torch" in sys.modules else [])]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


_USED = threading.local()  # the device that this thread has computed on last


def note_device(words: str) -> None:
    """Note the device on which this thread has just run a network, for `machine`; empty for the CPU."""
    _USED.words = words


def device_noted() -> str:
    """Return the words of `note_device` in this thread; empty if there were none."""
    return getattr(_USED, "words", "")


def machine(device: str | None = None, *, network: bool = True) -> str:
    """Describe processor, threads and device: they set the order in which numbers are added up, and so the last digits.

    Parameters
    ----------
    device : str, optional
        Words for the device; by default those of the last network that ran in this thread.
    network : bool
        Whether a network made the result; else threads and device do not count.
    """
    used = device_noted() if device is None else device
    return ", ".join(filter(None, [_cpu(network=network), used if network else ""]))


def _cpu(*, network: bool) -> str:
    # Only if it is loaded already: a result without a network does not load it.
    torch = sys.modules.get("torch")
    if torch is None or not network:
        return _processor()
    # A user can forbid vector instructions: the same processor then adds in another order.
    most = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA")
    capability = torch.backends.cpu.get_cpu_capability() + (f", oneDNN {most}" if most else "")
    threads = torch.get_num_threads()
    return f"{_processor()} ({capability}), {threads} thread{'s' if threads > 1 else ''}"


@lru_cache
def _processor() -> str:
    """Return the name of the processor, or its family where the system does not give the name."""
    # `platform.processor()` is empty or "x86_64" on Linux.
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


# --- what is counted ---


class Stored(NamedTuple):
    """Facts about a region after it was written.

    Attributes
    ----------
    digest : str
        Checksum of its pixels, see `digest_pixels`.
    nan : int or None
        Number of pixels that were NaN when they were computed; None where only rounded pixels were available.
    clipped : int or None
        Number of pixels that did not fit into the dtype (also NaN in an integer image); None where it cannot be known.
    machine : str
        Machine that computed it, see `machine`; empty where that is not known.
    """

    digest: str
    nan: int | None = None
    clipped: int | None = None
    machine: str = ""


def counted(record: Mapping[str, Any], dtype: np.dtype[Any], regions: Iterable[Stored]) -> dict[str, Any]:
    """Add to the record of a lazy result what could only be counted while it was written.

    A count that the record has already is kept: it was made where the pixels were computed.
    """
    output = record.get("output")
    if not isinstance(output, dict):
        return dict(record)
    parts = list(regions)
    record = _with_machines(record, parts)
    found = {**output, "nan": _first(output.get("nan"), _total(part.nan for part in parts))}
    if output.get("clipped", 0) is not None:
        return {**record, "output": found}
    clipped = _total(part.clipped for part in parts)
    notes = clipping_note(clipped, dtype)
    return {**record, "output": {**found, "clipped": clipped}, "warnings": [*record.get("warnings", []), *notes]}


def _with_machines(record: Mapping[str, Any], parts: Iterable[Stored]) -> Mapping[str, Any]:
    """Add the machines that computed the pixels, if that happened while they were written (NaN not yet counted)."""
    machines = sorted({part.machine for part in parts if part.machine})
    # A record with a seal is that of a finished file that is saved again: nothing was computed now.
    if "seal" in record or record["output"].get("nan") is not None or not machines:
        return record
    notes = [] if len(machines) == 1 else [_several_machines(machines, record)]
    return {**record, "machines": machines, "warnings": [*record.get("warnings", []), *notes]}


def _several_machines(machines: list[str], record: Mapping[str, Any]) -> str:
    from napari_genrecon.noise.same import bound_of

    bound = f"{bound_of(record):g} noise s.d."
    return f"computed by {' and '.join(machines)}: their parts are the same within {bound}, not bit for bit"


def _total(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    # One unknown count makes the total unknown, and not smaller.
    return None if None in known else sum(n for n in known if n is not None)


def _first(count: int | None, other: int | None) -> int | None:
    return other if count is None else count


def clipping_note(clipped: int | None, dtype: np.dtype[Any]) -> list[str]:
    """Return a sentence about pixels that did not fit into the dtype of the result, if there were any."""
    if not clipped:
        return []
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    fit = f"did not fit into {dtype} ({limits.min} to {limits.max}) and"
    return [number_of(clipped, f"pixel {fit} was clipped", f"pixels {fit} were clipped")]


# --- checksums ---


def digest_json(value: object) -> str:
    """Return the sha256 of a JSON value, whatever the order of its keys."""
    # Sorted and without blanks: the same value must give the same text after it went through a file.
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def run_digest(record: Mapping[str, Any]) -> str:
    """Return the sha256 of a record without what changes when the same run is repeated: time, duration and seal."""
    return digest_json(_of_any_run(record))


def is_same_run(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether two records are of one run, perhaps on two machines: measured values may differ slightly."""
    from napari_genrecon.noise.same import alike

    # Without the warnings: their texts hold measured numbers, which cannot be compared with a tolerance.
    a, b = _without_warnings(then), _without_warnings(now)
    # Options are chosen and must be equal; measured numbers may differ in their last digits.
    return a["options"] == b["options"] and alike(a, b)


def _without_warnings(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in _of_any_run(record).items() if k != "warnings"}


def _of_any_run(record: Mapping[str, Any]) -> dict[str, Any]:
    options = {k: v for k, v in record.get("options", {}).items() if k != "tile"}  # tiles have an entry of their own
    found = {k: v for k, v in record.items() if k not in _DIFFERS_BETWEEN_RUNS} | {"options": options}
    before = (record.get("input") or {}).get("record")
    return found if before is None else found | {"input": {**record["input"], "record": _without_warnings(before)}}


def facts(about: ImageMeta) -> dict[str, Any]:
    """Return the metadata that every format we write keeps, so that a change can be found."""
    whole = about.filled()
    places = zip(about.axes.letters, whole.scale, whole.units, whole.translate, strict=True)
    # Sizes without a unit are not kept by every format.
    found = {letter: [s, unit, t] for letter, s, unit, t in places if letter in "TZYX" and unit != "pixel"}
    sizes = {f"{letter} (size, unit, place)": value for letter, value in found.items() if letter != "T"}
    # OME-TIFF stores no place in time.
    times = {f"{letter} (size, unit)": value[:2] for letter, value in found.items() if letter == "T"}
    return {**sizes, **times} | ({"channel names": list(about.channel_names)} if about.channel_names else {})


def sealed(record: Mapping[str, Any], about: ImageMeta, regions: Iterable[int], pixels: str) -> dict[str, Any]:
    """Add checksums of the pixels and of the record, by which `check.verify` finds what was changed.

    Parameters
    ----------
    record : mapping
        Record from `make_record`.
    about : ImageMeta
        Metadata that are written beside it.
    regions : iterable of int
        Shape of the regions (the last ones along a dimension may be smaller).
    pixels : str
        `combined` digest of all regions in C order.
    """
    plain = {k: v for k, v in record.items() if k != "seal"} | {"image": facts(about)}
    return {**plain, "seal": {"regions": list(regions), "pixels": pixels, "record": digest_json(plain)}}


def digest_pixels(block: NDArray[Any]) -> str:
    """Return the sha256 of the pixels of a block in C order, little-endian."""
    # Fixed order of dimensions and bytes: the digest is the same on every machine and for every view.
    plain = np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("<"))
    return hashlib.sha256(plain.reshape(-1).view(np.uint8).data).hexdigest()


def combined(digests: Iterable[str]) -> str:
    """Return the sha256 of the digests of all regions of an image, in the order of the regions."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def fingerprint(shape: tuple[int, ...], dtype: np.dtype[Any], crops: Iterable[NDArray[Any]]) -> str:
    """Return the sha256 of an image's shape, dtype and sampled crops: finds another image, not every changed pixel.

    Parameters
    ----------
    shape, dtype
        Shape and type of the image.
    crops : iterable of ndarray
        Crops from `engine.intensity.sample_crops`, the same at every call; of a small image, all of it.
    """
    facts = [str(tuple(shape)), np.dtype(dtype).newbyteorder("<").str]
    return combined([*facts, *(digest_pixels(crop) for crop in crops)])
