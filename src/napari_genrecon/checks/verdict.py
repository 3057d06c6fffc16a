"""Verdict of a check, in figures and in words: what was compared, what it would have shown, and what it cannot show."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_genrecon.checks.blur import MORE, Blur
from napari_genrecon.checks.expected import Expected
from napari_genrecon.checks.residual import limit_at_one_place
from napari_genrecon.noise.report import CORRELATED

__all__ = ["Place", "Together", "Verdict"]

_LIGHT = 0.02  # share of the light that may be lost or added: what `denoise` may do where few photons arrive
_POWER = 2.2
"""S.d. above the limit from which on 19 of 20 changes are found: 1.6 if only the noise of the result scattered them.

Windows between two of the widths lose up to 6 %, and an erased spot brought shot noise of its own. Measured with
``python tools/benchmark.py trust``."""


@dataclass(frozen=True, slots=True)
class Place:
    """Place where a result is further from the image than noise explains.

    Attributes
    ----------
    plane : tuple of int
        Indices of the plane.
    y, x : int
        Pixel with the largest deviation.
    z : float
        Deviation in standard deviations: positive where something was erased, negative where something was added.
    difference : float
        Image minus result at that pixel, in grey values.
    """

    plane: tuple[int, ...]
    y: int
    x: int
    z: float
    difference: float


@dataclass(frozen=True, slots=True)
class Together:
    """What was removed from all frames of a movie together.

    Attributes
    ----------
    frames : int
        How many they are.
    worst, limit : float
        The largest deviation of the mean of the frames, and the one that noise alone reaches, in standard deviations.
    places : tuple of Place
        The strongest places beyond the limit.
    """

    frames: int
    worst: float
    limit: float
    places: tuple[Place, ...]

    def __str__(self) -> str:
        largest = f"largest deviation {self.worst:.1f} s.d., limit {self.limit:.1f}"
        if not self.places:
            return f"mean of {self.frames} frames: nothing but noise was removed ({largest})"
        first = self.places[0]
        return (
            f"mean of {self.frames} frames: something was {'weakened' if first.z > 0 else 'added'} in most of them, by "
            f"too little to be seen in one ({largest}, at y {first.y}, x {first.x})\n→ Compare the means of both; "
            "neighbouring frames (frames 'T') and less strength weaken faint structure less."
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Figures of all planes together.

    Attributes
    ----------
    erased, added : int
        Places where the result is darker, or brighter, than the image by more than noise explains.
    worst, limit : float
        The largest deviation, and the one that noise alone reaches in 1 % of flawless images of this size, in standard
        deviations of the noise averaged over a window of 1 to 8 pixels.
    variance, variance_chance : float
        Variance of what was removed, over that of the noise: 1 if it was all the noise and nothing else; and how far
        from 1 chance brings it, as three standard deviations.
    correlation, expected : (float, float)
        Correlation of neighbours along x and y in what was removed, and in the noise.
    light, chance : float
        Sum of what was removed, as a share of the light in the image above the camera's offset: 0 if the intensity
        is kept; and how large that share becomes by chance, as three standard deviations.
    places : tuple of Place
        The strongest places.
    blur : Blur or None
        Fine structure in what was removed; None where it was not tested.
    together : Together or None
        All frames of a movie together; None where there are none.
    uncertainty : Expected or None
        Expected error, where there is one. It tells how sure the result is, and finds nothing: no limit is put on it.
    """

    erased: int
    added: int
    worst: float
    limit: float
    variance: float
    variance_chance: float
    correlation: tuple[float, float]
    expected: tuple[float, float]
    light: float
    chance: float
    places: tuple[Place, ...]
    blur: Blur | None = None
    together: Together | None = None
    uncertainty: Expected | None = None

    @property
    def found_from(self) -> float:
        """Deviation from which on 19 of 20 changes are found, wherever they are."""
        return self.limit + _POWER

    @property
    def passed(self) -> bool:
        """Whether nothing was found: no isolated change, no blur, not much more than the noise, the light kept."""
        blurred = self.blur is not None and not self.blur.passed
        weakened = self.together is not None and self.together.places
        return not (self.places or weakened or blurred or self._removes_too_much() or self._changes_light())

    def in_short(self, layer: str) -> str:
        """Return the outcome in a few words; `layer` is the name of the layer of deviations."""
        if self.places:
            return f"{layer} shows what stands out"
        return (
            "nothing was found"
            if self.passed
            else "blur, light, amount or the mean of the frames is not right, see the report"
        )

    def _removes_too_much(self) -> bool:
        # Small images scatter: only what chance does not explain counts.
        return self.variance - self.variance_chance > MORE

    def _changes_light(self) -> bool:
        # Without light above the offset (NaN) there is nothing to keep.
        return math.isfinite(self.light) and abs(self.light) > _LIGHT + self.chance

    def __str__(self) -> str:
        lines = [self._structures(), self._power(), *([] if self.together is None else [str(self.together)])]
        lines += [*self._fine_structure(), self._amount(), *self._pattern()]
        last = [] if self.uncertainty is None else [str(self.uncertainty)]
        return "\n".join([*lines, f"intensity: {self._intensity()}", *last])

    def _structures(self) -> str:
        if not self.places:
            return f"isolated changes: none found (largest deviation {self.worst:.1f} s.d., limit {self.limit:.1f})"
        first = self.places[0]
        where = f"plane {', '.join(map(str, first.plane))}, " if first.plane else ""
        return (
            f"isolated changes: {self.erased} places look erased or weakened, {self.added} added; the strongest at "
            f"{where}y {first.y}, x {first.x}: {first.z:+.0f} s.d. (limit {self.limit:.1f}), {first.difference:+.3g} "
            "grey values\n→ Compare them with the image; if they are structures, lower the strength."
        )

    def _power(self) -> str:
        return (
            f"what can be found: 19 of 20 isolated changes from {self.found_from:.1f} s.d. on, wherever they are in an "
            f"image of this size; at one place that you ask about beforehand, noise alone gets beyond "
            f"{limit_at_one_place():.1f} in at most 1 of 100"
        )

    def _fine_structure(self) -> list[str]:
        if self.blur is None:
            return []
        said = (
            f"sharpness: what was removed holds as much fine structure as a blur of s.d. {self.blur.found:.2f} pixels "
            f"takes away; denoising such an image takes {self.blur.usual:.2f}, and {self.blur.limit:.2f} is the limit"
        )
        return [said] if self.blur.passed else [said, "→ The result is blurred more than denoising has to."]

    def _amount(self) -> str:
        text = f"removed: {self.variance:.2f} times the variance of the noise"
        if MORE * self.variance < 1:
            return f"{text}; some noise is left in"
        return f"{text}; more than the noise" if self._removes_too_much() else text

    def _pattern(self) -> list[str]:
        # Less correlation than that of the noise is no sign of structure.
        beyond = max(found - known for found, known in zip(self.correlation, self.expected, strict=True))
        # What cannot be told from none in one image is no structure either.
        if beyond <= CORRELATED:
            return []
        x, y = self.correlation
        return [
            f"→ What was removed is more correlated ({x:.2f} along x, {y:.2f} along y) than the noise "
            f"({self.expected[0]:.2f}, {self.expected[1]:.2f}): structure may be in it."
        ]

    def _intensity(self) -> str:
        if not math.isfinite(self.light):
            return "there is no light above the darkest level to compare"
        # `light` is the share that was removed, so the change has the other sign.
        change, chance = -100 * self.light, 100 * self.chance
        said = f"the light above the darkest level changed by {change:+.2f} % (noise alone explains {chance:.2f} %)"
        return f"{said}\n→ The intensity was not kept." if self._changes_light() else said
