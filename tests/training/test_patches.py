from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundled.patches import Batch, Sources, draw_batch, held_back, load_sources
from PIL import Image


def _sources() -> Sources:
    rng = np.random.default_rng(0)
    photographs = [rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)]
    planes = [rng.random((80, 80)).astype(np.float16)]
    return Sources(photographs, planes, planes, [rng.integers(0, 256, (20, 90), dtype=np.uint8)], planes)


def _arrays(batch: Batch) -> tuple[np.ndarray, ...]:
    return batch.noisy, batch.clean, batch.sigma, batch.rho


def test_batch_is_a_function_of_seed_and_step() -> None:
    first, again = (draw_batch(_sources(), seed=5, step=7, size=6, patch=32) for _ in range(2))
    for a, b in zip(_arrays(first), _arrays(again), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == np.float32


@pytest.mark.parametrize(("seed", "step"), [(5, 8), (6, 7)], ids=["other step", "other seed"])
def test_another_step_or_seed_gives_another_batch(seed: int, step: int) -> None:
    first = draw_batch(_sources(), seed=5, step=7, size=4, patch=32)
    other = draw_batch(_sources(), seed=seed, step=step, size=4, patch=32)
    assert not np.array_equal(first.noisy, other.noisy)


def test_sigma_is_the_standard_deviation_of_the_noise() -> None:
    sources = _sources()
    ratios = []
    for step in range(12):
        batch = draw_batch(sources, 1, step, size=8, patch=64)
        spread = np.sqrt(np.mean((batch.noisy - batch.clean) ** 2, axis=(1, 2, 3)))
        ratios.append(spread[batch.sigma > 1e-3] / batch.sigma[batch.sigma > 1e-3])
    assert np.median(np.concatenate(ratios)) == pytest.approx(1.0, abs=0.02)


def test_half_of_the_noise_is_white() -> None:
    rho = np.concatenate([draw_batch(_sources(), 2, step, size=16, patch=16).rho for step in range(20)])
    assert np.mean(np.all(rho == 0, axis=1)) == pytest.approx(0.5, abs=0.1)


def test_what_is_told_is_the_correlation_of_the_noise() -> None:
    told, found = [], []
    for step in range(40):
        batch = draw_batch(_sources(), 3, step, size=8, patch=96)
        noise = (batch.noisy - batch.clean)[:, 0] / batch.sigma[:, None, None]
        found.append(np.mean(noise[:, :, 2:] * noise[:, :, :-2], axis=(1, 2)))  # lag 2 along x
        told.append(batch.rho[:, 1])
    error = np.concatenate(found) - np.concatenate(told)
    assert abs(np.median(error)) < 0.01
    assert np.quantile(np.abs(error), 0.8) < 0.1  # at times only lag 1 is told, and the rest assumed


def test_held_back_nuclei_are_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "nuclei").mkdir()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "photos" / "a.png")
    images = {f"n{index:03d}": np.full((16, 16), index, np.uint8) for index in range(40)}
    np.savez(tmp_path / "nuclei" / "fluorescence_half.npz", **images)
    sources = load_sources(tmp_path, tmp_path / "pool", pool=1)
    loaded = {int(image[0, 0]) for image in sources.nuclei}
    assert loaded == {index for index in range(40) if not held_back(index)}
    assert len(loaded) == 36


def test_simulated_images_are_read_back_from_the_cache(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "nuclei").mkdir()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "photos" / "a.png")
    np.savez(tmp_path / "nuclei" / "fluorescence_half.npz", n000=np.zeros((16, 16), np.uint8))
    first, again = (load_sources(tmp_path, tmp_path / "pool", pool=1) for _ in range(2))
    np.testing.assert_array_equal(first.dead_leaves, again.dead_leaves)
    np.testing.assert_array_equal(first.scenes, again.scenes)
    np.testing.assert_array_equal(first.gratings, again.gratings)
    assert sorted(path.suffix for path in (tmp_path / "pool").iterdir()) == [".npy"] * 3
