"""Train the bundled spot network on for a minute, with simulated images like the one that is searched.

A network that knows how wide, high and crowded the spots are parts neighbours and finds dim ones that one for all
images cannot. These are found by simulation: those under which the bundled network answers as often, and as surely, as
to the image itself. That simulations alike in camera and density teach such a network: Speiser et al., Nat. Methods 18,
2021. How many of its findings are false is counted in further simulated images.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_genrecon.engine.run import Progress, map_progress
from napari_genrecon.errors import ImageError
from napari_genrecon.models import resolve_device
from napari_genrecon.numerics.blobs.filters import noise_field
from napari_genrecon.numerics.blobs.spot_planes import CHANNELS, spot_planes
from napari_genrecon.numerics.blobs.spot_scene import answers, draw_spots
from napari_genrecon.tasks.detect.finders import Answer, NetFinder
from napari_genrecon.tasks.detect.spot_noise import SpotNoise

__all__ = ["Scenes", "adapt_steps"]

Values = NDArray[np.float32]

_TRAININGS, STEPS = 2, 450  # in all 65 seconds on one core that multiplies bfloat16
_RATE = 2e-3
_SIZE, _SIDE = 8, 96  # scenes of a step, and their side in pixels, as in the network's own training
_SPREAD = 0.15  # of density and height from scene to scene, and of the heights in one, as s.d. of their logarithms
_SMOOTH = 6.0  # s.d. of the background's filter, in those of the spots: they leave little in it
# Spots per pixel, and their height in s.d. of the noise under the best filter, at first; factors of both (of the
# height, their roots) that are tried, over the whole range and then finer, each pair in so many scenes.
_DENSITY, _CLEAR = 3e-3, 5.5
_TURNS = ((1, np.geomspace(1 / 6, 6, 9)), (4, np.geomspace(0.5, 2, 5)))
_TRIED = 256  # pixels a side of these scenes
_BEST = 6  # pairs whose mean is taken
_FEWEST = 20  # spots that their size and number rest on, and false findings that a number in a table does
# By which dips may be deeper than simulated ones: beside cells with soft edges they are by 0.2 to 0.4, beside filaments
# by 1.3, beside sharp edges by 2.7.
_DEEPER = 0.5
_COUNTED = 1 << 20  # pixels of simulated images in which false findings are counted
_EVIDENCE = np.arange(-8.0, 6.5, 0.5)  # at which findings are counted
_CUTS = _EVIDENCE[12::2]  # and candidates: below, there is mostly noise
_NEAR = 1.5  # s.d. of the spots, within which a finding is right


@dataclass(frozen=True, slots=True)
class Scenes:
    """What images of one channel are like.

    Attributes
    ----------
    sigma : float
        S.d. of the spots in pixels.
    density : float
        Spots per pixel.
    height : float
        Height of the spots in noise s.d.
    rho : (float, float)
        Correlation of the noise along y and x.
    backgrounds : sequence of (Y, X) ndarray
        Smooth backgrounds with the level of the image, in noise s.d.
    """

    sigma: float
    density: float
    height: float
    rho: tuple[float, float]
    backgrounds: Sequence[Values]

    def draw(
        self, rng: np.random.Generator, side: int, spread: float = 0.0
    ) -> tuple[Values, NDArray[np.float64], float]:
        """Return a scene (side, side), the places of its spots and their s.d.

        `spread` is by how much density and height differ from scene to scene, as s.d. of their logarithms, and the s.d.
        of the spots by a third of that.
        """
        density, height, sigma = (self.density, self.height, self.sigma) * np.exp(spread * rng.normal(0, (1, 1, 1 / 3)))
        places = rng.uniform(-2, side + 1, (rng.poisson(density * (side + 3) ** 2), 2))
        heights = height * np.exp(rng.normal(0, _SPREAD, len(places)))
        clean = draw_spots(places, np.full(len(places), sigma), heights, side)
        whole = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        wide = np.pad(whole, [(0, max(0, side - n)) for n in whole.shape], mode="symmetric")
        y, x = (int(rng.integers(n - side + 1)) for n in wide.shape)
        noisy = clean + wide[y : y + side, x : x + side] + noise_field((side, side), self.rho, rng)
        return np.asarray(noisy, np.float32), places, float(sigma)

    @classmethod
    def of(cls, sigma: float, density: float, clear: float, finder: NetFinder, planes: Sequence[Values]) -> Scenes:
        """Return scenes on the backgrounds of planes, their spots `clear` noise s.d. high under the best filter."""
        smooth = [np.asarray(ndimage.gaussian_filter(plane, _SMOOTH * sigma), np.float32) for plane in planes]
        rho_y, rho_x = finder.filters.rho
        return cls(float(sigma), float(density), float(clear / math.sqrt(math.pi) / sigma), (rho_y, rho_x), smooth)

    def facts(self) -> dict[str, float]:
        """Return the record's entry."""
        return {"s.d.": round(self.sigma, 3), "density": round(self.density, 6), "height": round(self.height, 3)}


def adapt_steps(finder: NetFinder, planes: Sequence[Values], name: str) -> Generator[Progress, None, NetFinder]:
    """Return a finder for planes like these: one whose network was trained on.

    Parameters
    ----------
    finder : NetFinder
        The bundled network, for this channel.
    planes : sequence of (Y, X) ndarray
        Planes of a channel, or parts of them, with noise of s.d. 1.
    name : str
        What they are, in messages.

    Yields
    ------
    Progress
        After every step of the training.

    Returns
    -------
    NetFinder
        With its weights, and how often it is wrong in images like these.

    Raises
    ------
    ImageError
        If no simulated images are like these.
    """
    pairs = [len(factors) ** 2 for _, factors in _TURNS]
    total = sum(pairs) + _TRAININGS * (STEPS + pairs[-1]) + _COUNTED // _TRIED**2
    count = itertools.count(1)
    steps = _adapted(finder, planes, name)
    return (yield from map_progress(steps, lambda note: Progress(next(count), total, note)))


def _adapted(finder: NetFinder, planes: Sequence[Values], name: str) -> Generator[str, None, NetFinder]:
    """Train the network, and tell what is done."""
    from napari_genrecon.training.adapt.spots import train_on_scenes

    scenes, trained = (yield from _matched(finder, planes, name)), finder
    done = itertools.count(1)
    for turn in range(_TRAININGS):
        losses = train_on_scenes(
            partial(_batch, scenes, turn), finder.card, resolve_device(finder.device), trained.weights, STEPS, _RATE
        )
        weights = yield from map_progress(
            losses, lambda _: f"training on simulated images like {name}: {next(done)} of {_TRAININGS * STEPS} steps"
        )
        trained = replace(finder, weights=weights)
        # How crowded the spots are, the trained network tells better.
        scenes = yield from _nearer(scenes, trained, planes, _Seen.of(trained, planes), *_TURNS[-1])
    return replace(trained, simulated=scenes.facts(), noise=(yield from _false_findings(trained, scenes)))


def _batch(scenes: Scenes, turn: int, step: int) -> Any:
    from napari_genrecon.training.adapt.spots import SpotBatch

    rng = np.random.default_rng([turn, step])
    drawn = [scenes.draw(rng, _SIDE, _SPREAD) for _ in range(_SIZE)]
    targets = [answers(places, np.full(len(places), sigma), _SIDE) for _, places, sigma in drawn]
    return SpotBatch(
        np.stack([spot_planes(image, scenes.rho) for image, _, _ in drawn]),
        np.tile(np.array(scenes.rho[::-1], np.float32), (_SIZE, 1)),
        *(np.stack([each[i] for each in targets])[:, None] for i in (0, 1)),
    )


# --- simulated images like the one that is searched ---


def _matched(finder: NetFinder, planes: Sequence[Values], name: str) -> Generator[str, None, Scenes]:
    """Return the scenes to which the network answers as to these planes."""
    seen = _Seen.of(finder, planes)
    if seen.likely < _FEWEST:
        raise ImageError(
            f"method 'adapted' learns how wide, high and crowded the spots are from {_FEWEST} clear ones, and {name} "
            f"has {seen.likely}: take method 'net', which needs none"
        )
    scenes = Scenes.of(seen.sigma, _DENSITY, _CLEAR, finder, planes)
    for turn in _TURNS:
        scenes = yield from _nearer(scenes, finder, planes, seen, *turn)
    _check_likeness(planes, scenes, name)
    return scenes


def _nearer(
    scenes: Scenes, finder: NetFinder, planes: Sequence[Values], wanted: _Seen, count: int, factors: NDArray[np.float64]
) -> Generator[str, None, Scenes]:
    """Return scenes to which the network answers more like to these planes; `count` images of each are tried."""
    tried = []
    for one, other in itertools.product(factors, factors):
        yield "looking for simulated images like the image"
        other_scenes = replace(scenes, density=scenes.density * one, height=scenes.height * other**0.5)
        rng = np.random.default_rng(5)
        seen = _Seen.of(finder, [other_scenes.draw(rng, _TRIED)[0] for _ in range(count)])
        # Roots of counts scatter alike, however large the counts are.
        away = count * _TRIED**2 * float(((seen.roots - wanted.roots) ** 2).sum())
        tried.append((away, other_scenes.density, other_scenes.height * scenes.sigma, seen.sigma))
    rows = np.array(sorted(tried)[:_BEST])
    weights = np.exp((rows[0, 0] - rows[:, 0]) / 4)
    density, light, sigma = np.exp(weights @ np.log(rows[:, 1:]) / weights.sum())
    # The network takes narrow spots for wider, and wide ones for narrower.
    sigma = scenes.sigma * wanted.sigma / sigma
    return Scenes.of(sigma, density, light * math.sqrt(math.pi), finder, planes)


def _check_likeness(planes: Sequence[Values], scenes: Scenes, name: str) -> None:
    """Refuse planes with more than spots on a smooth background: edges and texture make dips, which spots do not."""
    rng = np.random.default_rng(3)
    simulated = [scenes.draw(rng, _TRIED)[0] for _ in range(_TURNS[-1][0])]
    given, made = (_dips(each, scenes.rho) for each in (planes, simulated))
    if np.any(given < made - _DEEPER * (1 + np.abs(made))):
        raise ImageError(
            f"{name} holds more than spots on a smooth background, such as edges, filaments or texture, which "
            "method 'adapted' cannot simulate and would take for spots: take method 'net', which knows them"
        )


def _dips(planes: Sequence[Values], rho: tuple[float, float]) -> NDArray[np.float64]:
    """Return the depth of the deepest thousandth under every filter of the network."""
    maps = np.concatenate([spot_planes(plane, rho)[1:].reshape(CHANNELS - 1, -1) for plane in planes], axis=1)
    return np.asarray(np.quantile(maps, 1e-3, axis=1), np.float64)


class _Seen(NamedTuple):
    """What the network answers to images."""

    roots: NDArray[np.float64]  # of the numbers of candidates per pixel with more evidence than `_CUTS`
    sigma: float  # median s.d. of the likely ones
    likely: int  # number of these

    @classmethod
    def of(cls, finder: NetFinder, images: Sequence[Values]) -> _Seen:
        found = [finder.answer(image) for image in images]
        evidence, sizes = (np.concatenate([getattr(each, key) for each in found]) for key in ("evidence", "sigma"))
        counts = (evidence[:, None] > _CUTS).sum(axis=0)
        likely = sizes[evidence > 0]
        pixels = sum(image.size for image in images)
        return cls(np.sqrt(counts / pixels), float(np.median(likely if len(likely) else [1.0])), len(likely))


def _false_findings(finder: NetFinder, scenes: Scenes) -> Generator[str, None, SpotNoise]:
    """Return how many findings per pixel lie on no spot of simulated scenes, by evidence."""
    rng, false, side = np.random.default_rng(11), [], _TRIED
    for _ in range(_COUNTED // side**2):
        yield "counting false findings in simulated images"
        image, places, sigma = scenes.draw(rng, side)
        answer = finder.answer(image)
        false.append(answer.evidence[~_right(answer, places, _NEAR * sigma)])
    every = np.sort(np.concatenate(false))
    above = len(every) - np.searchsorted(every, _EVIDENCE)
    rows = max(2, int((above >= _FEWEST).sum()))
    logs = np.log(np.maximum(above[:rows], 1) / _COUNTED)
    return SpotNoise(tuple(_EVIDENCE[:rows]), tuple(logs), among=(1.0, 1.0))


def _right(answer: Answer, places: NDArray[np.float64], near: float) -> NDArray[np.bool_]:
    """Return which findings have a spot of their own within reach; the surest choose first."""
    right, free = np.zeros(len(answer.where), bool), np.ones(len(places), bool)
    if not len(places):
        return right
    reached = cKDTree(places).query_ball_point(answer.where, near)
    for i in np.argsort(-answer.evidence, kind="stable"):
        own = [j for j in reached[i] if free[j]]
        if own:
            gaps = np.linalg.norm(places[own] - answer.where[i], axis=1)
            free[own[int(gaps.argmin())]], right[i] = False, True
    return right
