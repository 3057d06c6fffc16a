"""What a noise model comes to, in a sentence for whoever looks at the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .model import NoiseModel
from .report import STRONG, WEAK

__all__ = ["noise_word", "verdict"]

_WORTH = {
    "none": "Denoising leaves the image as it is.",
    "weak": "Denoising will change little.",
    "moderate": "Denoising will help.",
    "strong": "Denoising will help much; the faintest details stay lost.",
}
_ORDER = ("none", "weak", "moderate", "strong")


def noise_word(model: NoiseModel) -> str:
    """Return the strength of the noise, relative to the contrast, in a word; "unknown" without levels."""
    # Sigma is that of the median level: an image that is mostly empty may have noise in its bright parts alone.
    if model.sigma == 0 and (model.levels is None or not math.isfinite(model.snr)):
        return "none"
    if model.levels is None:
        return "unknown"
    if model.snr >= WEAK:
        return "weak" if math.isfinite(model.snr) else "none"
    return "moderate" if model.snr >= STRONG else "strong"


def verdict(noise: NoiseModel | Sequence[NoiseModel], *, denoising: bool = False) -> str:
    """Return the verdict on the noise of an image.

    Parameters
    ----------
    noise : NoiseModel or sequence of NoiseModel
        Noise of the image, or one per channel.
    denoising : bool
        Say whether denoising will help, too.

    Examples
    --------
    >>> verdict(NoiseModel(read_noise=5, levels=(0, 40, 100)), denoising=True)
    'Noise: moderate. Denoising will help.'
    """
    models = [noise] if isinstance(noise, NoiseModel) else list(noise)
    words = [noise_word(model) for model in models]
    said = [f"Noise: {_listed(words)}."]
    # "unknown" is left out: it says nothing about what denoising does.
    worst = max((word for word in words if word in _WORTH), key=_ORDER.index, default="")
    if denoising and worst:
        said.append(_WORTH[worst])
    return " ".join([*said, *_caveats(models, worst)])


def _listed(words: list[str]) -> str:
    if "unknown" in words:
        return "as given"
    if len(set(words)) == 1:
        return words[0]
    return ", ".join(f"{word} in channel {index}" for index, word in enumerate(words))


def _caveats(models: list[NoiseModel], worst: str) -> list[str]:
    # Each once for the image, however many channels it is true of.
    said = []
    if worst != "none" and any(not model.is_white for model in models):
        said.append("It is grainy: neighbouring pixels share it, which is taken into account.")
    if any(model.textured for model in models):
        said.append("Hardly any even patch was found to measure it on: look at the details.")
    if any(model.hot_fraction > 0 for model in models):
        said.append("There are hot or dead pixels, which Inpaint fills.")
    return said
