"""Layers whose channels come last, or whose dimensions mean something else than their labels, in the window."""

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
from napari_genrecon.widgets.layers.snapshot import layer_axes


def test_layer_with_channels_last_gives_its_own_shape_and_says_what_was_assumed():
    noisy = np.random.default_rng(0).poisson([30, 300], (32, 32, 2)).astype("u2")
    viewer = ViewerModel()
    layer = viewer.add_image(noisy, name="cells")
    with pytest.warns(GenReconWarning, match="assumed axes 'YXC' .* set 'ZYX'"):
        found = add_result(viewer, "denoise", layer)
    np.testing.assert_array_equal(found.data, denoise(noisy, axes="YXC"))
    assert found.metadata["genrecon"]["axes"] == {"letters": "YXC", "assumed": True}


def test_axes_that_were_typed_are_those_of_the_result():
    movie = np.random.default_rng(0).normal(50, 5, (3, 64, 64)).astype("f4")
    viewer = ViewerModel()
    layer = viewer.add_image(movie, name="folder", axis_labels=("z", "y", "x"), scale=(2, 0.5, 0.5))
    found = add_result(viewer, "denoise", layer, axes="TYX", frames="none")
    assert tuple(found.axis_labels) == ("t", "y", "x")
    np.testing.assert_array_equal(found.scale, layer.scale)
    assert layer_axes(found).letters == found.metadata["genrecon"]["axes"]["letters"] == "TYX"


def test_labels_of_a_layer_stay_where_no_axes_were_typed():
    stack = np.random.default_rng(0).normal(50, 5, (3, 64, 64)).astype("f4")
    viewer = ViewerModel()
    layer = viewer.add_image(stack, axis_labels=("depth", "row", "column"))
    found = add_result(viewer, "denoise", layer)
    assert tuple(found.axis_labels) == tuple(layer.axis_labels)
