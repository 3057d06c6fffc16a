"""The network that fuses frames: its means, its half resolution, and what it keeps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter
from torch.nn import functional as F

from napari_genrecon.models import find_model, load_network
from napari_genrecon.models.networks.frame_gate import FrameGate, _box


@pytest.mark.parametrize("side", [1, 3, 5, 7])
@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_local_means_are_those_of_squares_with_the_edge_repeated(side, height, width, seed):
    image = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    means = _box(torch.from_numpy(image)[None, None], side)[0, 0].numpy()
    np.testing.assert_allclose(means, uniform_filter(image, side, mode="nearest"), atol=1e-5)


def test_half_resolution_has_every_pixel_once():
    planes = torch.randn(2, 6, 8, 10)
    assert torch.equal(F.conv2d(planes, FrameGate().picks, stride=2), F.pixel_unshuffle(planes, 2))


def test_what_stays_is_kept_and_what_changes_is_not():
    rng = np.random.default_rng(0)
    clean = np.zeros((32, 32), np.float32)
    changed = clean.copy()
    changed[:, 16:] = 20
    state = np.concatenate([[clean, np.full_like(clean, 0.1), clean], np.zeros((6, 32, 32), np.float32)])
    frame = (changed + rng.normal(0, 1, clean.shape)).astype(np.float32)
    gate = load_network(find_model("auto", "fuse"), "cpu")
    share = gate(np.concatenate([[frame, changed], state]), (0.0, 0.0))[9]
    assert share[:, :12].min() > 0.5
    assert share[:, 20:].max() < 0.1
