"""Say where an image is unlike the images that a model was trained on. Importing this loads no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_genrecon.models import ModelCard
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.pixel_size import micrometres

__all__ = ["note_on_pixels", "notes_on_model"]

# Wider than repeated measurements of one microscope scatter, narrower than the steps of binning and of exposure.
_BRIGHTNESS = 2.0  # times brighter or darker, in noise s.d.
_CORRELATION = 0.2  # by which an image may lie outside the model's range
_PIXEL = 1.3  # times larger or smaller


def notes_on_model(card: ModelCard, noise: Sequence[NoiseModel], pixel_size: float | None) -> list[str]:
    """Return what the user should know about using a model that was trained on images of one kind.

    Parameters
    ----------
    card : ModelCard
        The model; there is nothing to say about a bundled one.
    noise : sequence of NoiseModel
        Noise of every channel of the image.
    pixel_size : float or None
        Side of its pixels in micrometres, if known.
    """
    # Bundled models hold nothing here, a file of others may hold anything.
    data = card.calibration.get("data")
    if not isinstance(data, dict):
        return []
    found = [_on_brightness(data.get("snr"), noise), _on_correlation(data.get("rho"), noise)]
    found += [note_on_pixels(card, pixel_size), _on_channels(data.get("channels"), len(noise))]
    unlike = [each for each in found if each]
    said = f"the image is unlike those that {card.name!r} was trained on ({'; '.join(unlike)}): compare with 'auto'"
    return [*card.warnings, *([said] if unlike else [])]


def _on_brightness(known: object, noise: Sequence[NoiseModel]) -> str:
    # A channel without noise has an infinite ratio, one of unknown levels a ratio of 0.
    levels = [model.snr for model in noise if model.snr > 0 and math.isfinite(model.snr)]
    span = _range(known)
    if span is None or not levels:
        return ""
    low, high = span
    # One channel that is off is reason enough, so the first is named.
    off = next((level for level in levels if not low / _BRIGHTNESS <= level <= high * _BRIGHTNESS), None)
    return "" if off is None else f"its signal is {off:.3g} times its noise, theirs {_words(low, high)} times"


def _on_correlation(known: object, noise: Sequence[NoiseModel]) -> str:
    span = _range(known)
    if span is None:
        return ""
    low, high = span
    levels = [max(model.rho_x, model.rho_y) for model in noise]
    off = next((level for level in levels if not low - _CORRELATION <= level <= high + _CORRELATION), None)
    if off is None:
        return ""
    return f"the noise of neighbouring pixels has a correlation of {off:.2f}, theirs had {_words(low, high)}"


def note_on_pixels(card: ModelCard, pixel_size: float | None) -> str:
    """Return in words that pixels are larger or smaller than those of the training; empty if they are not."""
    # Along X; None if the pixel size of the training images was unknown.
    trained = micrometres(card.pixel_size[-1], card.units[-1])
    if pixel_size is None or trained is None or 1 / _PIXEL <= pixel_size / trained <= _PIXEL:
        return ""
    return f"its pixels have {pixel_size:.3g} micrometres, theirs {trained:.3g}"


def _on_channels(known: object, channels: int) -> str:
    if not isinstance(known, int) or channels == known:
        return ""
    return f"it has {channels} channel{'s' if channels > 1 else ''}, they had {known}"


def _range(known: object) -> tuple[float, float] | None:
    """Return the two numbers that a card of any origin should hold, or None."""
    if not isinstance(known, list | tuple) or len(known) != 2 or not all(isinstance(v, int | float) for v in known):
        return None
    return float(known[0]), float(known[1])


def _words(low: float, high: float) -> str:
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
