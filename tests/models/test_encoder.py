"""The bundled encoder: features of pictures that do not depend on how they lie."""

import numpy as np
import pytest

from napari_genrecon.errors import WeightsError
from napari_genrecon.models import encode, encoder, find_model

CARD = find_model("auto", "denoise")


def pictures(n=2, channels=1):
    return np.random.default_rng(0).random((n, channels, 16, 24)).astype(np.float32)


def test_turned_and_mirrored_pictures_have_the_same_features():
    x = pictures()
    for turned in (np.rot90(x, 1, (2, 3)), x[..., ::-1], x[..., ::-1, :]):
        np.testing.assert_allclose(encode(x, CARD, "cpu"), encode(turned, CARD, "cpu"), atol=1e-5)


def test_channels_are_described_one_by_one():
    x = pictures(channels=3)
    single = [encode(x[:, [channel]], CARD, "cpu") for channel in range(3)]
    np.testing.assert_allclose(encode(x, CARD, "cpu"), np.concatenate(single, axis=1), atol=1e-6)


def test_network_without_feature_maps_is_refused():
    with pytest.raises(WeightsError, match="its network has no feature maps"):
        encode(pictures(), find_model("upscale-2d"), "cpu")


def test_bfloat16_changes_features_by_a_small_part_of_their_spread(monkeypatch):
    x = pictures(n=12)
    found = []
    for native in (True, False):
        monkeypatch.setattr(encoder, "bfloat16_is_native", lambda _, native=native: native)
        found.append(encode(x, CARD, "cpu"))
    spread = found[1].std(axis=0)
    apart = np.abs(found[0] - found[1]).mean(axis=0)
    assert apart.any()
    assert np.median(apart[spread > 0] / spread[spread > 0]) < 0.05
