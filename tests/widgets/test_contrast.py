"""Results are seen, whatever the pixels looked like that were replaced."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_genrecon.widgets.layers.add_result import add_result


def damaged(value):
    image = np.random.default_rng(0).normal(500, 20, (64, 64))
    mask = np.zeros(image.shape, bool)
    mask[10::20, 10::20] = True
    image[mask] = value
    return image, mask


@pytest.mark.parametrize("value", [60000.0, -60000.0])
@pytest.mark.parametrize("lazy", [False, True])
def test_contrast_of_replaced_pixels_is_not_taken_over(value, lazy):
    image, mask = damaged(value)
    layer = ViewerModel().add_image(image, name="camera")
    result = add_result(ViewerModel(), "inpaint", layer, lazy=lazy, mask=mask, method="biharmonic")
    known = image[~mask]
    assert result.contrast_limits == pytest.approx([known.min(), known.max()])
    assert value in layer.contrast_limits


def test_contrast_that_somebody_chose_is_kept():
    image, mask = damaged(500.0)
    layer = ViewerModel().add_image(image, contrast_limits=(0, 5000))
    result = add_result(ViewerModel(), "inpaint", layer, mask=mask, method="biharmonic")
    assert result.contrast_limits == [0, 5000]
