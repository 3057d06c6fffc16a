import numpy as np
import pytest

from napari_genrecon import upscaled_transform
from napari_genrecon.errors import OptionError

FACTORS = (1, 2, 4)
SCALE = np.array([2.0, 0.5, 0.3])
TRANSLATE = np.array([7.0, -3.0, 100.0])
SHEAR = np.array([[1.0, 0.3, 0.0], [0.0, 0.9, -0.4], [0.0, 0.4, 0.9]])


@pytest.mark.parametrize("linear", [None, SHEAR], ids=["straight", "turned"])
def test_corners_of_the_field_stay_where_they_are(linear):
    turn = np.eye(3) if linear is None else linear
    scale, translate = upscaled_transform(SCALE, TRANSLATE, FACTORS, linear=linear)
    for corner in (np.zeros(3), np.array([5.0, 40.0, 60.0])):  # of pixels: half a pixel outside the centres
        before = turn @ (SCALE * (corner - 0.5)) + TRANSLATE
        after = turn @ (scale * (corner * FACTORS - 0.5)) + translate
        np.testing.assert_allclose(after, before)


def test_factor_one_changes_nothing():
    scale, translate = upscaled_transform(SCALE, TRANSLATE, (1, 1, 1), linear=SHEAR)
    np.testing.assert_array_equal(scale, SCALE)
    np.testing.assert_array_equal(translate, TRANSLATE)


def test_lengths_that_differ_get_a_sentence():
    with pytest.raises(OptionError, match=r"scale \(3,\), translate \(3,\), factors \(2,\) .* do not fit"):
        upscaled_transform(SCALE, TRANSLATE, (2, 2))
