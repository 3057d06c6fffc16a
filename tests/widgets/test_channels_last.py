"""Layers whose channels come last, in the window."""

import os
import sys

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from napari.components import ViewerModel

from napari_genrecon import denoise
from napari_genrecon.errors import GenReconWarning
from napari_genrecon.widgets.layers.add_result import add_result


def test_layer_with_channels_last_gives_its_own_shape_and_says_what_was_assumed():
    noisy = np.random.default_rng(0).poisson([30, 300], (32, 32, 2)).astype("u2")
    viewer = ViewerModel()
    layer = viewer.add_image(noisy, name="cells")
    with pytest.warns(GenReconWarning, match="assumed axes 'YXC' .* set axes to 'ZYX'"):
        found = add_result(viewer, "denoise", layer)
    np.testing.assert_array_equal(found.data, denoise(noisy, axes="YXC"))
    assert found.metadata["genrecon"]["axes"] == {"letters": "YXC", "assumed": True}
