"""The inpainting network's training data, first fill and recipe."""

import numpy as np
import pytest
from bundled import inpainter
from bundled.fills import draw_fills
from bundled.masks import KINDS, draw_mask
from bundled.patches import Sources
from bundled.phases import constant_rate, falling_rate

from napari_genrecon.models import find_model
from napari_genrecon.models.registry import weights_path
from napari_genrecon.models.tensors import read_tensors
from napari_genrecon.numerics.inpaint_inputs import fill_planes


@pytest.fixture(scope="module")
def sources():
    rng = np.random.default_rng(0)
    grey = [np.asarray(rng.random((96, 96)), np.float16)]
    return Sources(
        [rng.integers(0, 256, (160, 160, 3), np.uint8)], grey, grey, [rng.integers(0, 256, (96, 96), "u1")], grey
    )


def test_batch_depends_on_seed_and_step_alone(sources):
    first, again, other = (draw_fills(sources, 3, step, size=2, patch=32) for step in (5, 5, 6))
    np.testing.assert_array_equal(first.planes, again.planes)
    assert not np.array_equal(first.missing, other.missing)


def test_planes_tell_what_is_missing(sources):
    fills = draw_fills(sources, 0, 1, size=4, patch=32)
    assert fills.planes.shape == (4, 4, 32, 32)
    assert fills.clean.shape == fills.missing.shape == (4, 1, 32, 32)
    np.testing.assert_array_equal(fills.planes[:, 2:3][fills.missing == 0], 0)


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS], ids=lambda kind: kind.__name__)
def test_every_kind_of_mask_marks_some_pixels_and_not_all(kind):
    means = [kind(np.random.default_rng(seed), 64).mean() for seed in range(12)]
    assert 0.001 < np.mean(means) < 0.9


def test_masks_leave_something_to_fill_and_something_to_see():
    assert all(0 < draw_mask(np.random.default_rng(seed), 48).mean() < 1 for seed in range(30))


def test_first_fill_follows_gain_and_keeps_known_pixels():
    rng = np.random.default_rng(0)
    values, unknown = rng.normal(size=(48, 56)).astype("f4"), rng.random((48, 56)) < 0.5
    planes = fill_planes(values, unknown, 0.1)
    np.testing.assert_array_equal(planes[0][~unknown], values[~unknown])
    np.testing.assert_allclose(fill_planes(50 * values, unknown, 5.0), 50 * planes, rtol=1e-3, atol=1e-2)


def test_what_stands_at_unknown_pixels_does_not_matter():
    rng = np.random.default_rng(0)
    values, unknown = rng.normal(size=(40, 40)).astype("f4"), rng.random((40, 40)) < 0.7
    np.testing.assert_array_equal(
        fill_planes(np.where(unknown, 9, values).astype("f4"), unknown, 0.0), fill_planes(values, unknown, 0.0)
    )


def test_training_starts_from_the_packaged_denoiser():
    state = inpainter.new_state(inpainter.InpainterRecipe())
    packaged = read_tensors(weights_path(find_model("auto", "denoise")))
    np.testing.assert_array_equal(state.net.tail.weight.detach(), packaged["tail.weight"])
    np.testing.assert_array_equal(state.net.head.weight.detach()[:, :8], packaged["head.weight"][:, :8])
    assert not state.net.head.weight.detach()[:, 8:].any()


@pytest.mark.slow
def test_stable_and_decay_phase_train_and_publish(sources, tmp_path):
    recipe = inpainter.InpainterRecipe(size=1, patch=32)
    state = inpainter.new_state(recipe)
    loss = inpainter.loss_of(recipe, sources, tmp_path)
    steps = constant_rate(state, recipe, loss, tmp_path, 0.02)
    assert all(np.isfinite(step.loss) for step in steps)
    list(falling_rate(state, recipe, loss, tmp_path, 0.02))
    assert set(read_tensors(tmp_path / "final.safetensors")) == set(state.net.state_dict())
