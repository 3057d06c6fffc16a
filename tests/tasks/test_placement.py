import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_genrecon import upscaled_transform
from napari_genrecon.cli import main
from napari_genrecon.errors import OptionError
from napari_genrecon.io.layers import read_layers, write_tiff_layers, write_zarr_layers
from napari_genrecon.tasks.transforms import plane_spacing

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


def test_planes_are_compared_with_pixels_whatever_the_units():
    same = plane_spacing("ZYX", (0.5, 0.1, 0.1), ("micrometer",) * 3)
    assert plane_spacing("ZYX", (500.0, 0.1, 1e-4), ("nanometer", "micrometer", "millimeter")) == pytest.approx(same)
    for unit in ("pixel", "second"):
        assert plane_spacing("ZYX", (0.5, 0.1, 0.1), (unit, "micrometer", "micrometer")) is None


def test_lengths_that_differ_get_a_sentence():
    with pytest.raises(OptionError, match=r"scale \(3,\), translate \(3,\), factors \(2,\) .* do not fit"):
        upscaled_transform(SCALE, TRANSLATE, (2, 2))


PLACES = {
    "turned": {"rotate": 20.0, "shear": (0.1, 0.0, 0.2), "scale": (3, 0.2, 0.1), "translate": (1, 5, 6)},
    "affine": {"affine": np.array([[1, 0, 0, 3], [0, 0.9, 0.1, 4], [0, -0.1, 0.9, 5], [0, 0, 0, 1.0]])},
    "channels": {"rotate": 20.0, "translate": (0, 5, 6), "axis_labels": ("c", "y", "x")},
    "planes first": {"rotate": 20.0, "translate": (2, 0, 5, 6), "axis_labels": ("z", "t", "y", "x")},
}


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("task", "corner", "factor"),
    [(["denoise", "--region", "Y=4:20, X=2:14"], (4, 2), 1), (["upscale"], (-0.25, -0.25), 2)],
    ids=["region", "enlarged"],
)
def test_results_of_the_file_of_a_turned_layer_lie_where_it_lies(tmp_path, ending, place, task, corner, factor):
    labels = PLACES[place].get("axis_labels", ("z", "y", "x"))
    shape = [{"y": 24, "x": 18}.get(label, 2) for label in labels]
    noisy = np.random.default_rng(0).poisson(9, shape).astype("u2")
    layer = Image(noisy, **{"axis_labels": labels, **PLACES[place]})
    source, target = str(tmp_path / f"a{ending}"), str(tmp_path / f"b{ending}")
    write = write_zarr_layers if ending == ".ome.zarr" else write_tiff_layers
    write(source, [layer.as_layer_data_tuple()])
    assert main([*task, source, "-o", target]) == 0
    data, meta, _ = read_layers(target)[0]
    added = ViewerModel().add_image(data, **meta)
    found = added[-1] if isinstance(added, list) else added  # of the second channel
    for y, x in [(5, 3), (10, 3), (5, 9)]:
        before = {"t": 1, "z": 1, "c": 1, "y": y, "x": x}
        after = before | {"y": (y - corner[0]) * factor, "x": (x - corner[1]) * factor}
        there = dict(zip(labels, layer.data_to_world([before[label] for label in labels]), strict=True))
        here = found.data_to_world([after[label] for label in found.axis_labels])
        np.testing.assert_allclose(here, [there[label] for label in found.axis_labels])
