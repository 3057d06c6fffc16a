"""A noise model in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .strength import SURE

if TYPE_CHECKING:
    from .model import NoiseModel

__all__ = ["CORRELATED", "STRIPED", "STRONG", "WEAK", "describe", "describe_channels"]

CORRELATED = 0.1
"""Lag-1 correlation below which noise cannot be told from white noise in one image."""
WEAK = 50
"""Contrast-to-noise ratio from which denoising changes little."""
STRONG = 10
"""Ratio below which details of half the contrast are at the limit of 5 s.d. of Rose, JOSA 38, 1948."""
STRIPED = 0.3
"""Stripes, in noise s.d., from which they are seen."""

_COARSE = 0.04  # correlation 5 pixels away; grains that are 2.5 pixels wide give 0.001
_COUNTS = (0.002, 300.0)
"""Electrons per grey value of detectors that count: from an EMCCD's gain of 500 to a full well of 75,000 in 8 bits.

Outside, the grey values were scaled since, or are means of many images."""


def describe(model: NoiseModel) -> str:
    """Return one line for each finding, then advice, each beginning with an arrow.

    Parameters
    ----------
    model : NoiseModel
        Noise of one channel.

    Returns
    -------
    str
        Lines separated by newlines. Never empty.
    """
    return "\n".join([*_findings(model), *_arrows(_advice(model))])


def describe_channels(models: Sequence[NoiseModel]) -> str:
    """Return the findings of every channel, then the advice: once for all channels, or with those that it is for."""
    lines = [line for i, model in enumerate(models) for line in (f"channel {i}", *_findings(model))]
    channels: dict[str, list[int]] = {}
    for i, model in enumerate(models):
        for advice in _advice(model):
            channels.setdefault(advice, []).append(i)
    return "\n".join([*lines, *_arrows(_for_channels(*each, len(models)) for each in channels.items())])


def _findings(model: NoiseModel) -> list[str]:
    return [_strength(model), *_camera(model), _correlation(model), *_defects(model)]


def _arrows(advice: Iterable[str]) -> list[str]:
    return [f"→ {each}" for each in advice]


def _for_channels(advice: str, channels: list[int], count: int) -> str:
    """Name the channels that an advice is for, unless it is for all."""
    if len(channels) == count:
        return advice
    names = ", ".join(map(str, channels))
    return f"{'Channel' if len(channels) == 1 else 'Channels'} {names}: {advice}"


def _strength(model: NoiseModel) -> str:
    if model.levels is None:
        return f"noise s.d.: {_number(model.sigma)} DN at the offset level"
    dark, median, bright = model.levels
    if model.affine and model.gain == 0:
        return f"noise s.d.: {_number(model.sigma)} DN at every grey level; contrast-to-noise ratio {_contrast(model)}"
    at_ends = f"{_number(float(model.sigma_at(dark)))} to {_number(float(model.sigma_at(bright)))} DN"
    return (
        f"noise s.d.: {_number(model.sigma)} DN at the median level, grey value {_number(median)} "
        f"({at_ends} from dark to bright); contrast-to-noise ratio {_contrast(model)}"
    )


def _contrast(model: NoiseModel) -> str:
    return _number(model.snr) if math.isfinite(model.snr) else "not limited by noise"


def _camera(model: NoiseModel) -> list[str]:
    if not model.affine:
        return [
            "signal dependence: not a camera's (no gain can be given); the noise measured at each grey level is used"
        ]
    if model.gain == 0:
        return [f"signal dependence: {_no_dependence(model)}"]
    growth = f"the variance grows by {_number(model.gain)} DN² per DN"
    dark = f"noise at the darkest level, grey value {_number(model.offset)}: {_number(model.read_noise)} DN"
    if not _COUNTS[0] <= 1 / model.gain <= _COUNTS[1]:
        scaled = (
            f"gain: {growth}; that is no detector's count, as after scaling or averaging, so electrons are not given"
        )
        return [scaled, dark]
    # Read noise in DN by DN per electron.
    electrons = (
        f", {_number(model.read_noise / model.gain)} e- (read noise, and shot noise if the background is not dark)"
    )
    # Multiplication doubles the variance of shot noise (the excess noise factor of an EMCCD), and so the slope.
    multiplied = "twice that if electrons are multiplied (EMCCD), which the noise cannot tell"
    return [f"gain: {_number(1 / model.gain)} e-/DN (photon transfer curve: {growth}; {multiplied})", dark + electrons]


def _no_dependence(model: NoiseModel) -> str:
    """Say why there is no gain: the noise is the same everywhere, or there are too few grey levels to see."""
    if model.method == "given" or model.levels is None:
        return "none, the noise is as strong in the dark as in the bright"
    dark, _, bright = model.levels
    # In 4 x 4 means noise alone reaches less, at any correlation.
    if bright - dark < SURE * model.sigma:
        return "cannot be told, as the image is too even: its bright and dark levels are too near each other"
    return "none, the noise is as strong in the dark as in the bright"


def _correlation(model: NoiseModel) -> str:
    if model.textured:
        return "correlation between neighbours: could not be measured, taken as none"
    values = f"x {model.rho_x:+.2f}, y {model.rho_y:+.2f}"
    if model.is_white:
        return f"correlation between neighbours: none ({values})"
    reach = max(_reach(model.rho_x), _reach(model.rho_y))
    grains = f"noise grains about {reach:.1f} pixels wide{', with a coarse part' if _has_coarse_part(model) else ''}"
    return f"correlation between neighbours: {_word(model)} ({values}), {grains}"


def _has_coarse_part(model: NoiseModel) -> bool:
    """Return whether noise is still correlated at 5 pixels, the largest distance, where grains of usual width end."""
    # Slices, as both are empty where nothing was measured.
    return max([*model.far_x[-1:], *model.far_y[-1:]], default=0.0) >= _COARSE


def _word(model: NoiseModel) -> str:
    strongest = max(abs(model.rho_x), abs(model.rho_y))
    return "weak" if strongest < 0.3 else "clear" if strongest < 0.5 else "strong"


def _reach(rho: float) -> float:
    """Return the width at half height, in pixels, of a Gaussian autocorrelation with this lag-1 value; 1 if white."""
    # exp(-r**2 / (2 s**2)) is rho at r = 1, and falls to a half at r = s sqrt(2 ln 2): the width is twice that.
    return 1.0 if rho <= CORRELATED else max(1.0, 2 * math.sqrt(math.log(2) / -math.log(rho)))


def _defects(model: NoiseModel) -> list[str]:
    found = []
    for name, strength in (("row", model.row_stripes), ("column", model.column_stripes)):
        if strength > 0:
            found.append(f"{name} stripes: s.d. {_number(strength)} DN")
    if model.saturated_fraction > 0 and model.saturation_level is not None:
        level = f"at grey value {_number(model.saturation_level)}"
        found.append(f"saturated: {_percent(model.saturated_fraction)} of the pixels, {level}")
    if model.missing_levels:
        # Grey values as they are stored: 65535 must not become 6.55e+04.
        levels = " and ".join(f"{level:.10g}" for level in model.missing_levels)
        found.append(
            f"missing: {_percent(model.missing_fraction)} of the pixels, in constant regions of {levels}, far outside "
            "the rest"
        )
    if model.hot_fraction > 0:
        found.append(f"hot or dead pixels: {_percent(model.hot_fraction)}")
    return found


def _advice(model: NoiseModel) -> list[str]:
    advice = []
    if not model.is_white:
        advice.append(
            "Noise is correlated between neighbours (an interpolated, binned, scanned or filtered image): "
            "tools that expect white noise remove less of it. It is taken into account here."
        )
    if model.textured:
        # Where most of the image is dark, structure cannot be everywhere: the background itself must be grainy.
        why = (
            "The background is not even: it holds smooth grain several pixels wide, as after a filter, an enlargement "
            "or lossy compression, which looks the same as fine structure"
            if _is_mostly_dark(model)
            else "There is fine structure nearly everywhere and hardly any empty or even patch"
        )
        advice.append(
            f"{why}, so the noise was read from the finest "
            "detail alone. If grain stays, neighbouring pixels share their noise: take it from an image of the same "
            "microscope with empty background (option 'noise'). If fine structure fades, denoise with less strength."
        )
    if not model.affine:
        advice.append(
            "A camera's noise variance rises in a straight line with the signal; here it does not, as after a gamma, "
            "a logarithm or an automatic contrast. It is taken into account here, but denoise (and measure) the "
            "original data if you have them."
        )
    if model.snr > WEAK:
        advice.append(f"The contrast-to-noise ratio is above {WEAK:g}: denoising will change little.")
    if model.saturated_fraction > 0.001:
        advice.append(
            "Saturated pixels have lost their true value, and no denoiser brings it back: lower the exposure."
        )
    if model.hot_fraction > 0:
        advice.append(
            "Hot and dead pixels are no noise, and denoising leaves them as they are: inpaint them (detect hot and "
            "dead pixels)."
        )
    # 0 stands for unknown.
    if 0 < model.snr <= WEAK:
        advice.append(
            "Measure intensities on the raw image: of small objects of few photons, denoising keeps part of the light."
        )
    if max(model.row_stripes, model.column_stripes) > STRIPED * model.sigma:
        advice.append("Line stripes are correlated over the whole width and may partly remain.")
    return advice


def _is_mostly_dark(model: NoiseModel) -> bool:
    """Return whether half of the image is hardly brighter than its darkest parts, as where specimens are few."""
    if model.levels is None:
        return False
    dark, median, _ = model.levels
    return median - dark < SURE * model.sigma


def _number(value: float) -> str:
    """Write three significant digits, without an exponent where people would not write one."""
    # The format .3g alone would write 1234 as 1.23e+03.
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        digits = 0 if abs(value) >= 100 else 3 - max(1, math.floor(math.log10(abs(value))) + 1) if value else 0
        text = f"{value:.{max(digits, 0)}f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"
        return text
    return f"{value:.3g}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2g} %"
