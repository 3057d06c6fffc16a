"""Verify that a result was not changed since it was made, and describe in words how it was made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageFile
from napari_genrecon.io.points import ENDING as POINTS
from napari_genrecon.io.points import verify_points
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.provenance import RECORD_NAMESPACE, combined, digest_json, digest_pixels, facts
from napari_genrecon.io.record.sidecar import read_sidecar, sidecar_of
from napari_genrecon.io.tiff.ome import note_in, ome_of
from napari_genrecon.io.zarr.places import is_zarr

__all__ = ["choice_text", "find_record", "methods_text", "origin_text", "record_at", "record_of", "verify"]

Region = tuple[slice, ...]

_DONE = {
    "restored": "denoised",
    "upscaled": "upscaled",
    "deblurred": "deblurred",
    "inpainted": "inpainted",
    "synthetic": "generated",
}  # by the nature of the result


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
    if image.unfinished:
        return [f"it was not finished: {image.unfinished}"]
    record = record_of(image)
    seal = record.get("seal")
    if not isinstance(seal, dict):
        raise ImageError(f"the record of {path} carries no checksums: only files that were written whole have them")
    changed = _sidecar_problems(image)
    if digest_json({k: v for k, v in record.items() if k != "seal"}) != seal.get("record"):
        changed.append("the record was changed")
    now, then = facts(image.about), record.get("image", {})
    changed += [f"{name} was {then[name]}, is {now[name]}" for name in then if name in now and now[name] != then[name]]
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
    record = image.record or read_sidecar(image.path)
    if record is None:
        raise ImageError(f"{image.path} holds no record: it was not made by napari-genrecon, or lost it since")
    return record


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
        return open_image(path).record if is_zarr(path) else None
    import tifffile

    with tifffile.TiffFile(path) as tif:
        ome = ome_of(tif)
        return None if ome is None else note_in(ome, RECORD_NAMESPACE)


def _sidecar_problems(image: ImageFile) -> list[str]:
    beside, name = read_sidecar(image.path), sidecar_of(image.path).name
    if beside is None or beside == image.record:
        return []
    return [f"the record inside was lost, that of {name} is used" if image.record is None else f"{name} was changed"]


def _digests(data: Any, regions: list[int]) -> Iterator[str]:
    for region in _regions(tuple(data.shape), regions):
        yield digest_pixels(np.asarray(data[region]))


def _regions(shape: tuple[int, ...], sizes: list[int]) -> Iterator[Region]:
    sizes = ([1] * len(shape) + [max(1, int(n)) for n in sizes])[-len(shape) :]  # readers drop leading ones
    for index in np.ndindex(*(-(-n // size) for n, size in zip(shape, sizes, strict=True))):
        yield tuple(slice(i * s, min((i + 1) * s, n)) for i, s, n in zip(index, sizes, shape, strict=True))


def methods_text(record: dict[str, Any]) -> str:
    """Return the sentences for the methods section of a paper, from a record."""
    if record.get("nature") == "synthetic":
        return _synthetic_text(record)
    versions = record.get("versions", {})
    model = record.get("model") or {}
    parts = [_opening(record)]
    if model:
        parts.append(f", model {_model_text(model)}")
        if model.get("denoiser"):
            parts.append(f" after {_model_text(model['denoiser'])}")
    options = {
        k: v for k, v in record.get("options", {}).items() if v is not None and k not in ("axes", "tile", "model")
    }
    if options:
        parts.append(", with " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in options.items()))
    text = "".join(parts) + "."
    if isinstance(record.get("psf"), dict):
        text += " " + _psf_text(record["psf"])
    if record.get("noise"):
        text += " " + _noise_text(record["noise"])
    trained = record.get("trained")
    if trained:
        text += " " + _training_text(trained)
    clipped = (record.get("output") or {}).get("clipped")
    if clipped:
        text += f" {clipped} pixels were clipped to the range of {record['output']['dtype']}."
    return text + f" It was computed with {_software(versions)}. The unprocessed image was kept."


def _opening(record: dict[str, Any]) -> str:
    """Say what was done, and with which version."""
    nature, version = str(record.get("nature")), record.get("versions", {}).get("napari-genrecon", "(version unknown)")
    if nature != "detected":
        return f"The image was {_DONE.get(nature, 'processed')} with napari-genrecon {version}"
    found = record.get("found") or {}
    said = f"{record['output']['points']} objects were found in the image with napari-genrecon {version}"
    if not found.get("clicks"):
        return said
    how = {"log": "their height under one filter", "features": "a regression on what is in and around them"}
    return f"{said}, like those under {found['clicks']} clicks, told by {how.get(str(found.get('method')), 'a rule')}"


def _training_text(trained: dict[str, Any]) -> str:
    """Describe the training on the image itself."""
    planes, share = trained["planes"], trained.get("share", 1)
    on = f"for {trained['steps']} steps on {planes} plane{'s' if planes > 1 else ''} of the image itself"
    if not share:
        return f"Training the model further {on} was tried and did not help; its weights are those of the package."
    mixed = f"; its weights are {share:.0%} those and {1 - share:.0%} those of the package" if share < 1 else ""
    return f"The model was trained further {on}{mixed}."


def origin_text(name: str, record: dict[str, Any]) -> str:
    """Describe in one sentence how an image was made, for a user who opens it; the most important words come first."""
    nature = str(record.get("nature"))
    if nature == "synthetic":
        return f"Synthetic, not measured: '{name}' was generated by napari-genrecon."
    source, model = (record.get("input") or {}).get("path"), (record.get("model") or {}).get("name")
    origin = f" from {Path(str(source)).name}" if source else ""
    by = f" with the model {model}" if model else ""
    day = f" on {record['utc'][:10]}" if isinstance(record.get("utc"), str) else ""
    done = _DONE.get(nature, "processed").capitalize()
    return f"{done}, not raw: '{name}' was made{origin} by napari-genrecon{by}{day}."


def choice_text(record: dict[str, Any]) -> str:
    """Say which model a run chose by itself, and why; empty if the user chose it."""
    model = record.get("model") or {}
    asked = (record.get("options") or {}).get("model")
    return f"{model['name']}, because {model['chosen']}" if asked == "auto" and model.get("chosen") else ""


def _model_text(model: dict[str, Any]) -> str:
    return f"{model.get('name')} (sha256 {str(model.get('sha256'))[:12]})"


def _psf_text(psf: dict[str, Any]) -> str:
    """Describe the point spread function."""
    known = psf.get("optics")
    if known:
        step = f", planes {known['z_step']:g} micrometres apart" if known.get("z_step") else ""
        return (
            f"The point spread function was computed for a {known['kind']} microscope of NA {known['na']:g}, "
            f"refractive index {known['refractive_index']:g}, at {known['wavelength']:g} nm, for pixels of "
            f"{known['pixel_size']:g} micrometres{step} (Richards & Wolf 1959)."
        )
    if "gaussian_fwhm_px" in psf:
        return f"The point spread function was a Gaussian of {psf['gaussian_fwhm_px']:g} pixels (FWHM)."
    changed = ""
    if psf.get("resampled"):
        own, image = (
            " x ".join("?" if n is None else f"{n:g}" for n in psf[k]) for k in ("pixel_size", "image_pixel_size")
        )
        changed = f", resampled from pixels of {own} to {image} micrometres"
    shape = " x ".join(map(str, psf["shape"]))
    return f"The point spread function was given as {shape} pixels (sha256 {str(psf.get('sha256'))[:12]}){changed}."


def _noise_text(noise: list[dict[str, Any]]) -> str:
    said = []
    for index, model in enumerate(noise):
        where = f"channel {index}: " if len(noise) > 1 else ""
        said.append(
            f"{where}gain {model['gain']:.4g}, offset {model['offset']:.4g}, read noise {model['read_noise']:.4g} "
            f"(grey values), correlation {model['rho_x']:.2f} along x and {model['rho_y']:.2f} along y"
        )
    return f"The noise model was {'; '.join(said)}."


def _software(versions: dict[str, Any]) -> str:
    names = {"python": "Python", "torch": "PyTorch", "numpy": "NumPy"}
    return ", ".join(f"{title} {versions[name]}" for name, title in names.items() if name in versions)


def _synthetic_text(record: dict[str, Any]) -> str:
    versions, model, options = (record.get(key) or {} for key in ("versions", "model", "options"))
    version = versions.get("napari-genrecon", "(version unknown)")
    crops = (record.get("input") or {}).get("shape", ["(unknown)"])[0]
    return (
        f"{options.get('n')} synthetic images were generated with napari-genrecon {version} by the model "
        f"{model.get('name')} ({str(model.get('kind')).upper()}, sha256 {str(model.get('sha256'))[:12]}), which was "
        f"trained on {crops} image crops (sha256 {str(model.get('trained on'))[:12]}), with seed {options.get('seed')} "
        f"and truncation {options.get('truncation')}. It was computed with {_software(versions)}. They are no "
        "measurements."
    )
