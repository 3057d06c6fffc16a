"""Copies are found, and what is new is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_genrecon.checks.memorisation import COPIES_WARNED, check_memorisation, nearest, rank_test
from napari_genrecon.errors import ImageError


def _cells(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return gaussian_filter(rng.normal(size=(n, 32, 32)), (0, 3, 3)).astype(np.float32)


TRAINING, HELD_OUT = _cells(400, 0), _cells(100, 1)


def test_model_that_returns_training_crops_is_caught() -> None:
    found = check_memorisation(TRAINING[:50], TRAINING, HELD_OUT)
    assert found.copies == 1
    assert "copies its training data" in found.warning
    assert (found.nearest == np.arange(50)).all()


def test_copies_are_found_when_turned_mirrored_brighter_and_noisy() -> None:
    turned = np.rot90(TRAINING[:50], 1, (1, 2))[..., ::-1]
    noisy = 3 * turned + 7 + np.random.default_rng(2).normal(0, 0.05, turned.shape)
    found = check_memorisation(noisy, TRAINING, HELD_OUT)
    assert found.copies > 0.9
    assert (found.nearest == np.arange(50)).mean() > 0.9


def test_a_few_copies_among_new_pictures_are_caught() -> None:
    found = check_memorisation(np.concatenate([TRAINING[:10], _cells(90, 3)]), TRAINING, HELD_OUT)
    assert 0.08 < found.copies < 0.16
    assert found.warning


def test_held_out_data_are_not_taken_for_copies() -> None:
    found = check_memorisation(_cells(200, 4), TRAINING, HELD_OUT)
    assert not found.warning
    assert found.copies < 0.04
    assert 0.9 < np.median(found.ratio) < 1.1


@pytest.mark.parametrize("held_out", [20, 50, 100, 400])
def test_false_warnings_are_rare_however_few_crops_were_held_out(held_out: int) -> None:
    rng = np.random.default_rng(held_out)
    chances = [rank_test(rng.normal(size=200), rng.normal(size=held_out))[1:] for _ in range(1000)]
    assert np.mean([copies >= COPIES_WARNED and chance <= 0.01 for copies, chance in chances]) <= 0.02


def test_copies_are_not_taken_for_chance() -> None:
    rng = np.random.default_rng(0)
    distance, usual = rng.normal(5, 1, 200), rng.normal(5, 1, 100)
    distance[:30] = 0.1
    assert rank_test(distance, usual)[2] < 1e-5


def test_too_few_held_out_crops_are_refused() -> None:
    with pytest.raises(ImageError, match="at least 20 are needed"):
        check_memorisation(TRAINING, TRAINING, HELD_OUT[:5])


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ImageError, match="pictures of one shape"):
        check_memorisation(TRAINING[:, :16, :16], TRAINING, HELD_OUT)


def test_constant_picture_is_far_from_everything() -> None:
    _, distance = nearest(np.ones((1, 32, 32)), TRAINING)
    assert distance[0] == pytest.approx(np.sqrt(2))
