"""Write the sentences about a result for the methods section of a paper: only what the record knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari_genrecon.io.record.frames import fusion_text
from napari_genrecon.io.record.history import history
from napari_genrecon.plural import number_of

__all__ = ["DONE", "methods_text"]

DONE = {
    "restored": "denoised",
    "upscaled": "upscaled",
    "deblurred": "deblurred",
    "inpainted": "inpainted",
    "predicted": "predicted from another image",
    "detected": "searched",
    "synthetic": "generated",
}
"""What was done, by the nature of the result."""

_PNP = "(plug-and-play: Zhang et al. 2022, doi:10.1109/TPAMI.2021.3088914)"
_BIAS_FREE = "(a bias-free convolutional network: Mohan et al. 2020, doi:10.48550/arXiv.1906.05478)"
_UNCERTAINTY = (
    "The expected error of its pixels was estimated as the posterior variance that the denoiser implies (Manor & "
    "Michaeli 2024, doi:10.48550/arXiv.2309.13598), from four random probes, with a factor found by simulation."
)
_STABILISED = "The noise was stabilised (Makitalo & Foi 2013, doi:10.1109/TIP.2012.2202675)."
_MEASURED = "(Foi et al. 2008, doi:10.1109/TIP.2008.2001399)"
_WOLF = "(Richards & Wolf 1959, doi:10.1098/rspa.1959.0200)"
_RATE = (
    "at a false discovery rate that the measured noise sets (Benjamini & Hochberg 1995, "
    "doi:10.1111/j.2517-6161.1995.tb02031.x)"
)
_HOW = {
    ("denoise", ""): _BIAS_FREE,
    ("upscale", ""): "(a residual network: Lim et al. 2017, doi:10.1109/CVPRW.2017.151)",
    ("upscale_z", ""): "(a network trained on the stack's own planes: Zhao et al. 2021, doi:10.1109/TMI.2020.3037187)",
    ("deblur", "pnp"): _PNP,
    ("deblur", "rl"): "(Richardson-Lucy with total variation: Dey et al. 2006, doi:10.1002/jemt.20294)",
    ("detect", "log"): f"for blobs (Lindeberg 1998, doi:10.1023/A:1008045108935) {_RATE}",
    ("detect", "net"): f"for spots with a network trained on simulated scenes {_RATE}",
    ("detect", "adapted"): "for spots with a network that was trained further on simulated images like this one "
    "(Speiser et al. 2021, doi:10.1038/s41592-021-01236-x), in which its false findings were counted",
    ("inpaint", "pnp"): _PNP,
    ("inpaint", "network"): _BIAS_FREE,
    ("inpaint", "biharmonic"): "(the biharmonic equation: Damelin & Hoang 2018, doi:10.1155/2018/3950312)",
}
"""Paper of each method, by task and method."""

_BESIDE = ("axes", "tile", "model", "device", "keep_dtype", "method", "uncertainty")
"""Options that say nothing about the pixels, or are told elsewhere in the text."""


def methods_text(
    record: Mapping[str, Any],
    defaults_of: Callable[[str], Mapping[str, Any]] = lambda _: {},
    cited: Callable[[str], str] = str,
) -> str:
    """Return the sentences for the methods section of a paper.

    Parameters
    ----------
    record : mapping
        Record of a result.
    defaults_of : callable, optional
        Returns the default values of the options of a task, which are left out.
    cited : callable, optional
        Returns name and paper of a recipe by which a model was trained, see `training.cited`.

    Returns
    -------
    str
        What was done, by which method, with which options that are not the defaults, and with which software; of a
        result that was made from another one, all steps in their order.
    """
    # It has no source image, and so no steps before it.
    if record.get("nature") == "synthetic":
        return _synthetic_text(record, cited)
    steps = history(record)
    acquired = (steps[0].get("input") or {}).get("acquisition")
    # Of the first image only: later steps have no microscope.
    said = [_acquisition_text(acquired)] if acquired else []
    for number, step in enumerate(steps):
        said += _step_sentences(step, "Then it was" if number else "The image was", defaults_of, cited)
    # Versions of the last step; those of earlier ones may differ, and are in the record.
    said.append(f"It was computed with {_software(record.get('versions', {}))}.")
    said.append(_intensity_text({str(step.get("nature")) for step in steps}))
    return " ".join(filter(None, said))


def _intensity_text(natures: set[str]) -> str:
    """Say what must not be measured: filling changes no pixel outside the mask, and finding changes none."""
    if natures - {"inpainted", "detected"}:
        return "Intensities of small objects are not linear in the result; the unprocessed image has them."
    return "Filled pixels are an estimate, not a measurement." if "inpainted" in natures else ""


def _step_sentences(
    record: Mapping[str, Any],
    begin: str,
    defaults_of: Callable[[str], Mapping[str, Any]],
    cited: Callable[[str], str],
) -> list[str]:
    # Every entry may be missing: records of older versions, and of other tasks, hold fewer.
    psf, noise, clipped = record.get("psf"), record.get("noise"), (record.get("output") or {}).get("clipped")
    points = (record.get("output") or {}).get("points")
    options = _options_text(record, defaults_of(str(record.get("task"))))
    return [
        f"{begin} {_what(record, record.get('versions', {}))}{options}.",
        *([_model_training_text(own, cited)] if (own := (record.get("model") or {}).get("training")) else []),
        *([_psf_text(psf)] if isinstance(psf, dict) else []),
        *([_camera_text(record["camera"])] if record.get("camera") else []),
        fusion_text(record),
        _UNCERTAINTY if (record.get("options") or {}).get("uncertainty") else "",
        *([_noise_text(noise, stabilised=_is_stabilised(record))] if noise and not _origin(record) else []),
        *([_training_text(record["trained"])] if record.get("trained") else []),
        *([_found_text(record, points)] if points is not None else []),
        *([_clipped_text(clipped, record["output"]["dtype"])] if clipped else []),
    ]


def _clipped_text(clipped: int, dtype: str) -> str:
    return f"{number_of(clipped, 'pixel was', 'pixels were')} clipped to the range of {dtype}."


def _found_text(record: Mapping[str, Any], points: int) -> str:
    """Say how many objects were found, and of what kind."""
    found, objects = record.get("found") or {}, number_of(points, "object was", "objects were")
    if not found.get("clicks"):
        return f"{objects} found."
    how = {
        "log": "their height under one filter",
        "features": "a regression on what is in and around them",
        "heatmap": "the maxima of a heat map that a network was trained to draw from the clicks (Zhou et al. 2019, "
        "doi:10.48550/arXiv.1904.07850)",
    }
    # A method of a later version must not make the text fail.
    told = how.get(str(found.get("method")), "a rule")
    clicks = number_of(found["clicks"], "click", "clicks")
    return f"{objects} found like those under {clicks}, told by {told}."


def _acquisition_text(acquired: Mapping[str, Any]) -> str:
    """Say how the image was acquired, as its file states it."""
    lens = acquired.get("objective") or {}
    words = {"na": "NA {}", "magnification": "{}x", "immersion": "immersion {}", "model": "{}"}
    objective = ", ".join(text.format(lens[name]) for name, text in words.items() if lens.get(name))
    channels = [
        " ".join(f"{name} {channel[name]}" for name in ("excitation", "emission", "pinhole") if channel.get(name))
        for channel in acquired.get("channels") or []
    ]
    parts = [
        acquired.get("microscope", ""),
        f"objective {objective}" if objective else "",
        f"detector {(acquired.get('detector') or {}).get('model', '')}".removesuffix("detector "),
        "; ".join(filter(None, channels)),
        f"exposure {acquired['exposure']}" if acquired.get("exposure") else "",
    ]
    said = ", ".join(filter(None, parts))
    return f"The file says of the acquisition: {said}." if said else ""


def _what(record: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    done, model = DONE.get(str(record.get("nature")), "processed"), record.get("model") or {}
    text = f"{done} with napari-genrecon {versions.get('napari-genrecon', '(version unknown)')}"
    if model:
        text += f", model {_model_text(model)}"
        # Upscaling may denoise first, with another network: both made the pixels.
        if model.get("denoiser"):
            text += f" after {_model_text(model['denoiser'])} {_BIAS_FREE}"
    # No paper of ours fits a network that others have made.
    if origin := _origin(record):
        return f"{text} ({origin.get('architecture')}, made by others, from the file {origin.get('file')})"
    # A run may have used several methods: each is cited.
    papers = [paper for method in _methods_of(record) if (paper := _HOW.get((str(record.get("task")), method)))]
    return " ".join([text, *papers])


def _origin(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return where a model of others comes from; empty for one of ours. Such a network is not told the noise."""
    return (record.get("model") or {}).get("origin") or {}


def _is_stabilised(record: Mapping[str, Any]) -> bool:
    """Return whether the pixels went through a variance-stabilising transform."""
    if (record.get("model") or {}).get("denoiser"):
        return True
    return record.get("task") in ("denoise", "detect") or (
        record.get("task") == "inpaint" and "biharmonic" not in _methods_of(record)
    )


def _methods_of(record: Mapping[str, Any]) -> list[str]:
    """Return the names of the methods that made the pixels; one of no name where a task has one way only."""
    found = record.get("found") or {}
    if found.get("method"):
        return [f"{found['method']} from clicks" if found.get("clicks") else str(found["method"])]
    # What was done counts, not what was asked for: "auto" is no method.
    method = record.get("method") or (record.get("options") or {}).get("method") or ""
    return str(method).split(" and ")


def _options_text(record: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    options = record.get("options") or {}
    chosen = {k: v for k, v in options.items() if v is not None and k not in _BESIDE and v != defaults.get(k)}
    said = [f"{name.replace('_', ' ')} {value}" for name, value in chosen.items()]
    return f", with {', '.join(said)}" if said else ""


def _model_training_text(training: Mapping[str, Any], cited: Callable[[str], str]) -> str:
    """Describe how a model was trained that does not come with the package."""
    return (
        f"The model had been trained ({cited(str(training.get('recipe')))}) for {training.get('steps')} steps on "
        f"{training.get('items')} image crops (sha256 {str(training.get('sha256'))[:12]})."
    )


def _training_text(trained: dict[str, Any]) -> str:
    """Describe the training on the image itself."""
    # `share` is how much of the newly trained weights was taken; 0 means that the trial found no gain.
    planes, share = trained["planes"], trained.get("share", 1)
    on = f"for {trained['steps']} steps on {planes} plane{'s' if planes > 1 else ''} of the image itself"
    if not share:
        return f"Training the model further {on} was tried and did not help; its weights are those of the package."
    mixed = f"; its weights are {share:.0%} those and {1 - share:.0%} those of the package" if share < 1 else ""
    return f"The model was trained further {on}{mixed}."


def _camera_text(camera: Mapping[str, Any]) -> str:
    return (
        "Before, every pixel was corrected by its own offset, gain and read noise (calibration of the camera, sha256 "
        f"{str(camera.get('sha256'))[:12]}; Huang et al. 2013, doi:10.1038/nmeth.2488)."
    )


def _psf_text(psf: dict[str, Any]) -> str:
    """Describe the point spread function."""
    known = psf.get("optics")
    # Of a computed PSF the parameters say all; of a measured one only shape and checksum can be told.
    if known:
        step = f", planes {known['z_step']:g} micrometres apart" if known.get("z_step") else ""
        return (
            f"The point spread function was computed for a {known['kind']} microscope{_pinhole_text(known)} of NA "
            f"{known['na']:g}, refractive index {known['refractive_index']:g}, at {known['wavelength']:g} nm, for "
            f"pixels of {known['pixel_size']:g} micrometres{step} {_WOLF}."
        )
    if "gaussian_fwhm_px" in psf:
        return f"The point spread function was a Gaussian of {psf['gaussian_fwhm_px']:g} pixels (FWHM)."
    pixels = f"{' x '.join(map(str, psf['shape']))} pixels (sha256 {str(psf.get('sha256'))[:12]})"
    # The shape and the checksum are those of the pixels that were used.
    if psf.get("resampled"):
        own, image = (
            " x ".join("?" if n is None else f"{n:g}" for n in psf[k]) for k in ("pixel_size", "image_pixel_size")
        )
        return (
            f"The point spread function was given, and resampled from pixels of {own} to {image} micrometres: {pixels}."
        )
    return f"The point spread function was given as {pixels}."


def _noise_text(noise: list[dict[str, Any]], *, stabilised: bool) -> str:
    if all(model.get("affine", True) and not model["gain"] and not model["read_noise"] for model in noise):
        return "The pixels were taken as free of noise."
    channels = [(f"channel {index}: " if len(noise) > 1 else "") + _channel_text(m) for index, m in enumerate(noise)]
    given = all(model.get("method") == "given" for model in noise)
    source = "given" if given else f"measured from the image {_MEASURED}"
    said = f"The noise model was {source}: {'; '.join(channels)}."
    # Noise of the same strength at every grey value needs no stabilising.
    depends = any(model["gain"] or not model.get("affine", True) for model in noise)
    return f"{said} {_STABILISED}" if depends and stabilised else said


def _channel_text(model: Mapping[str, Any]) -> str:
    """Describe the noise as measured: one image does not tell a camera's offset and read noise from its background."""
    along = f"{model['rho_x']:.2f} along x and {model['rho_y']:.2f} along y"
    return f"{_strength_text(model)}, correlation of neighbours {along}"


def _strength_text(model: Mapping[str, Any]) -> str:
    if not model.get("affine", True):
        # The curve holds variances.
        (low, first), (high, last) = model["curve"][0], model["curve"][-1]
        ends = f"s.d. {first**0.5:.4g} at the grey value {low:.4g} to {last**0.5:.4g} at {high:.4g}"
        return f"{ends}, along a measured curve"
    if not model["gain"]:
        return f"s.d. {model['read_noise']:.4g} grey values at every level"
    return (
        f"s.d. {model['read_noise']:.4g} grey values at the darkest level (grey value {model['offset']:.4g}), the "
        f"variance growing by {model['gain']:.4g} per grey value"
    )


def _pinhole_text(known: Mapping[str, Any]) -> str:
    """Describe pinhole and excitation of a confocal microscope."""
    if known.get("kind") != "confocal":
        return ""
    pinhole = known.get("pinhole")
    size = "a closed pinhole" if pinhole is None else f"a pinhole of {pinhole:g} Airy units"
    excited = known.get("excitation")
    return f" with {size}, excited at {excited:g} nm," if excited else f" with {size}"


def _model_text(model: Mapping[str, Any]) -> str:
    return f"{model.get('name')} (sha256 {str(model.get('sha256'))[:12]})"


def _software(versions: Mapping[str, Any]) -> str:
    names = {"python": "Python", "torch": "PyTorch", "numpy": "NumPy"}
    return ", ".join(f"{title} {versions[name]}" for name, title in names.items() if name in versions)


def _synthetic_text(record: Mapping[str, Any], cited: Callable[[str], str]) -> str:
    versions, model, options = (record.get(key) or {} for key in ("versions", "model", "options"))
    version = versions.get("napari-genrecon", "(version unknown)")
    if record.get("task") == "augment":
        return _augmented_text(record, version)
    # The input of a generated image is the training set: its first dimension counts the crops.
    crops = (record.get("input") or {}).get("shape", ["(unknown)"])[0]
    recipe = (model.get("training") or {}).get("recipe") or model.get("kind")  # older records have the kind alone
    return (
        f"{options.get('n')} synthetic images were generated with napari-genrecon {version} by the model "
        f"{model.get('name')} ({cited(str(recipe))}; sha256 {str(model.get('sha256'))[:12]}), which was "
        f"trained on {crops} image crops (sha256 {str(model.get('trained on'))[:12]}), with seed {options.get('seed')} "
        f"and truncation {options.get('truncation')}. It was computed with {_software(versions)}. They are no "
        "measurements."
    )


def _augmented_text(record: Mapping[str, Any], version: str) -> str:
    # What was drawn as "no change" is not a change: angle 0, factor 1, no flip.
    drawn = {k: v for k, v in (record.get("parameters") or {}).items() if v not in (0, 0.0, 1.0, False, [])}
    said = ", ".join(f"{name} {_plain(value)}" for name, value in drawn.items())
    again = f" {_noise_text(record['noise'], stabilised=True)}" if record.get("noise") else ""
    return (
        f"This training image was made with napari-genrecon {version} from another one (sha256 "
        f"{str((record.get('input') or {}).get('fingerprint'))[:12]}) by random changes: {said}; seed "
        f"{record.get('seed')}.{again} It is no measurement."
    )


def _plain(value: object) -> str:
    if isinstance(value, list):
        return "(" + ", ".join(map(_plain, value)) + ")"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
