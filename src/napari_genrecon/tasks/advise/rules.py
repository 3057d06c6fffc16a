"""The table of rules: when a task is worth trying on an image, and when it is not.

Their order is the order of the advice: what spoils everything after it comes first. A rule speaks only of tasks that
this installation has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from napari_genrecon.models.card import FACTORS
from napari_genrecon.noise.report import STRIPED, STRONG, WEAK
from napari_genrecon.plural import number_of
from napari_genrecon.recognition.pictures import NEEDED
from napari_genrecon.tasks.advise.situation import Situation
from napari_genrecon.training.data.checks import PLENTY
from napari_genrecon.training.data.dataset import SIZES

__all__ = ["RULES", "Rule"]

FRAMES = 3
"""Frames of a movie from which averaging over time has something to average."""
PLANES = 8
"""Planes from which a stack can be learnt from."""
FEW_IMAGES = 50
"""Labelled images below which augmentation pays; U-Net was trained on 30 of them."""
CROP = min(SIZES)
"""Side in pixels of the smallest crops."""
SECONDS_PER_PIXEL = 1.2e-6
"""Time of one new image: 0.29 seconds for 512 x 512 pixels on one core (``tools/benchmark.py augment``)."""
CROWDED = 1900.0
"""Points per megapixel from which neighbouring spots overlap: 500 in a field of 512 x 512."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Attributes
    ----------
    name : str
        Name of the rule.
    task : str
        The task it is about.
    title : str
        The advice in a few words, verb first.
    source : str
        Evidence for it.
    why : callable
        Returns the reason, or an empty text where the rule does not apply.
    do : bool
        Whether to do it; False is advice against it.
    goals : tuple of str
        Goals of the user for which the rule counts; empty for all.
    options : callable
        Returns options of the task to begin with.
    needs : tuple of str
        Options that the task must have; a rule about an option that does not exist says nothing.
    seconds : callable or None
        Returns the expected time, for tasks that cannot tell it themselves.
    """

    name: str
    task: str
    title: str
    source: str
    why: Callable[[Situation], str]
    do: bool = True
    goals: tuple[str, ...] = ()
    options: Callable[[Situation], dict[str, Any]] = field(default=lambda _: {})
    needs: tuple[str, ...] = ()
    seconds: Callable[[Situation], float] | None = None


def _damage(s: Situation) -> dict[str, str]:
    """Return the kinds of damage that `inpaint` can detect, with what was measured."""
    hot = max(model.hot_fraction for model in s.noise)
    # In noise s.d., as the grey values themselves do not tell whether stripes are seen.
    stripes = max(max(m.row_stripes, m.column_stripes) / m.sigma if m.sigma else 0.0 for m in s.noise)
    found = {
        "hot": f"{100 * hot:.2g} % of the pixels are hot or dead" if hot > 0 else "",
        "stripes": f"rows or columns differ by {stripes:.2g} s.d. of the noise" if stripes > STRIPED else "",
    }
    return {kind: words for kind, words in found.items() if words}


def _damaged(s: Situation) -> str:
    found = _damage(s)
    return f"{', and '.join(found.values())}. That is no noise: other tasks leave it or spread it." if found else ""


def _noisy(s: Situation) -> str:
    # A ratio of 0 is unknown, and no reason to denoise.
    if not 0 < s.snr < WEAK:
        return ""
    said = [
        f"the noise is {'strong' if s.snr < STRONG else 'moderate'}:",
        f"bright structures stand {s.snr:.2g} noise s.d. above the background.",
        "" if s.worst.is_white else "Neighbouring pixels share it, which is taken into account.",
        "It is for seeing: detect objects in the image as it is." if s.goal == "count" else "",
        "" if s.bytes < s.machine.memory / 2 else "The image is larger than the memory: write the result as .ome.zarr.",
    ]
    return " ".join(filter(None, said))


def _movie(s: Situation) -> str:
    if not _noisy(s) or s.length("T") < FRAMES:
        return ""
    return f"{_noisy(s)} What its {s.length('T')} frames agree on can be averaged first."


def _clean(s: Situation) -> str:
    # Unknown noise is no reason against denoising either.
    if s.snr == 0 or s.snr < WEAK:
        return ""
    # Infinite cannot be written into the sentence below.
    if math.isinf(s.snr):
        return "no noise was found."
    return f"bright structures stand {s.snr:.3g} noise s.d. above the background, and {WEAK:g} is plenty."


def _correlated(s: Situation) -> str:
    if s.worst.is_white or not 0 < s.snr < WEAK:
        return ""
    # The stronger of the two, with its sign.
    rho = max((s.worst.rho_x, s.worst.rho_y), key=abs)
    return (
        f"neighbouring pixels share their noise (correlation {rho:.2f}), and such a network predicts a pixel from its "
        "neighbours: it would learn the noise and keep it."
    )


def _flat_voxels(s: Situation) -> str:
    z, x = s.size("Z"), s.size("X")
    # Below 1.5 no whole factor makes voxels even. Without a unit their shape is not known, however the scale was set.
    if z is None or x is None or s.length("Z") < PLANES or round(z / x) < min(FACTORS):
        return ""
    tall = f"voxels are {z / x:.2g} times as tall as wide, so that side views are blocky"
    return f"{tall}; the planes of the stack teach a network how to fill them in."


def _blurred(s: Situation) -> str:
    # Deblurring makes noise stronger: in strong noise it is not worth it.
    if s.size("X") is None or 0 < s.snr < STRONG:
        return ""
    return "the pixel size is known; with the objective's NA and the wavelength, the microscope's blur can be computed."


def _countable(s: Situation) -> str:
    if s.goal != "count" and not s.points:
        return ""
    points = "point" if s.points == 1 else f"{s.points} points"
    marked = f" Compare what it finds with the {points} you marked." if s.points else ""
    raw = " Take the image as it is, not a denoised one."
    return f"it finds objects against the measured noise, at a share of false ones that you choose.{marked}{raw}"


def _crowded(s: Situation) -> str:
    density = s.points / (s.pixels / 1e6)  # per megapixel
    if not s.points or density < CROWDED or not 0 < s.snr < STRONG:
        return ""
    return (
        f"{s.points} points are {density:.0f} in a megapixel, and the image is dim (contrast-to-noise ratio "
        f"{s.snr:.2g}): spots overlap, and the network was trained on scenes like this."
    )


def _one_class(s: Situation) -> str:
    used = sum(count > 0 for count in s.classes)
    if s.goal != "classify" and not s.classes:
        return ""
    # A class without labels is no harm if two others have enough.
    if used >= 2 and min(count for count in s.classes if count) >= 2:
        return ""
    if not s.classes:
        return ""
    # Before anything is labelled, `_few_labels` says how to begin; this is about labels that do not do.
    of = f"of {len(s.classes)} classes"
    return f"{number_of(used, f'{of} has', f'{of} have')} labels: at least two classes with two labels each are needed."


def _few_labels(s: Situation) -> str:
    # One piece of advice about classifying at a time.
    if _one_class(s) or (s.goal != "classify" and not s.classes):
        return ""
    if not s.classes:
        return "begin with five labels a class: fixed features need no training, and show at once what is mixed up."
    # The smallest class limits what can be learnt, however many labels the others have.
    least = min(s.classes)
    if least >= NEEDED:
        return ""
    labels = number_of(least, "label", "labels")
    return f"the smallest class has {labels}: too few to train a network on, and fixed features need no training."


def _many_labels(s: Situation) -> str:
    # The contrary of `_few_labels`: of the two, one speaks.
    if not s.classes or _one_class(s) or min(s.classes) < NEEDED:
        return ""
    return (
        f"every class has {min(s.classes)} labels or more: enough for fixed features, which need no training, "
        "and to try a network beside them."
    )


def _few_images(s: Situation) -> str:
    # For seeing, no model is trained on the images.
    wanted = s.goal in ("train", "classify", "count")
    if not (s.objects or s.points) or s.images >= FEW_IMAGES or not wanted:
        return ""
    objects = number_of(s.objects, "labelled object", "labelled objects")
    what = objects if s.objects else number_of(s.points, "point", "points")
    few = "is little" if (s.objects or s.points) == 1 else "are few"
    several = number_of(s.images, "image", "images")
    return f"{what} in {several} {few} to train a network on: turned, deformed and noisy copies make them more."


def _crops(s: Situation) -> int:
    """Return how many crops there are to train on, side by side or one for each object."""
    # Of a movie or a stack, every frame and slice holds crops.
    return s.objects or s.points or s.images * s.pixels // CROP**2 * s.length("T") * s.length("Z")


def _few_crops(s: Situation) -> str:
    if _crops(s) >= PLENTY:
        return ""
    there = f"there are about {_crops(s)} crops of {CROP} pixels"
    return f"{there}; the discriminator of a GAN learns fewer than {PLENTY} by heart."


def _many_crops(s: Situation) -> str:
    if _crops(s) < PLENTY:
        return ""
    return f"about {_crops(s)} crops of {CROP} pixels are enough to learn what such pictures look like."


_BENCHMARKS = "docs: Benchmarks"

RULES: tuple[Rule, ...] = (
    Rule(
        name="defects first", task="inpaint", title="Fill in defect pixels first", why=_damaged,
        options=lambda s: {"detect": ",".join(_damage(s))},
        source=f"{_BENCHMARKS}, inpaint; Janesick, Photon Transfer, 2007",
    ),
    Rule(
        # Before "noisy": of several rules about one task, the first that applies is kept.
        name="movie", task="denoise", title="Denoise the frames together", why=_movie,
        options=lambda _: {"frames": "T"}, needs=("frames",), source=f"{_BENCHMARKS}, denoise",
    ),
    Rule(
        name="noisy", task="denoise", title="Denoise", why=_noisy,
        source=f"{_BENCHMARKS}, denoise; Rose, JOSA 38, 1948",
    ),
    Rule(
        name="not noisy", task="denoise", do=False, title="Do not denoise", why=_clean,
        source="docs: Which model; the noise report says the same",
    ),
    Rule(
        name="correlated noise", task="denoise", do=False, title="Do not train a blind-spot network (Noise2Void)",
        why=_correlated, source="Broaddus et al., ISBI 2020; Krull et al., CVPR 2019",
    ),
    Rule(
        name="flat voxels", task="upscale_z", title="Make the voxels even", why=_flat_voxels, goals=("any", "see"),
        source=f"{_BENCHMARKS}, upscale along z",
    ),
    Rule(
        name="known optics", task="deblur", title="Deblur, if you know the objective", why=_blurred, goals=("see",),
        source=f"{_BENCHMARKS}, deblur",
    ),
    Rule(
        # Before "count", for the same reason.
        name="crowded and dim", task="detect", title="Detect spots with the network", why=_crowded,
        goals=("any", "count"), options=lambda _: {"method": "net"}, needs=("method",),
        source=f"{_BENCHMARKS}, detect: 500 crowded spots",
    ),
    Rule(
        name="count", task="detect", title="Detect objects", why=_countable, goals=("any", "count"),
        source="tools/benchmark.py detect; Rose, JOSA 38, 1948",
    ),
    Rule(
        name="too few classes", task="classify", do=False, title="Do not classify yet", why=_one_class,
        goals=("any", "classify"), source="a classifier has to see what it should tell apart",
    ),
    Rule(
        name="few labels", task="classify", title="Classify with fixed features", why=_few_labels,
        goals=("any", "classify"), source="tools/benchmark.py classify, 5 and 10 labels a class",
    ),
    Rule(
        name="many labels", task="classify", title="Classify", why=_many_labels,
        goals=("any", "classify"), source="tools/benchmark.py classify, 40 labels a class",
    ),
    Rule(
        name="few labelled images", task="augment", title="Augment the labelled images", why=_few_images,
        source="Ronneberger et al., MICCAI 2015: 30 images, deformed",
        # Eight new images, the default of `augment`.
        seconds=lambda s: 8 * SECONDS_PER_PIXEL * s.pixels * s.length("Z"),
    ),
    Rule(
        name="too few crops", task="train", do=False, title="Do not train a GAN", why=_few_crops, goals=("train",),
        source="Karras et al., NeurIPS 2020 (limited data); Zhao et al., NeurIPS 2020",
    ),
    Rule(
        name="enough crops", task="train", title="Train a generative model", why=_many_crops, goals=("train",),
        source="docs: Train and sample a generative model", seconds=lambda _: 600.0,
    ),
)  # fmt: skip
"""All rules, in the order of the advice."""
