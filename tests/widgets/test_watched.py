"""A result that is being written is shown as it grows, and goes when it is done."""

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_genrecon.axes import Axes
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.zarr.write import write_zarr_steps
from napari_genrecon.widgets.layers.snapshot import is_no_image
from napari_genrecon.widgets.layers.watched import Watched


@pytest.mark.parametrize(("letters", "layers"), [("ZYX", 1), ("CYX", 2)])
def test_what_is_written_so_far_is_shown_and_taken_away(tmp_path, letters, layers):
    viewer = ViewerModel()
    other = viewer.add_image(np.zeros((9, 9)), name="other")
    watched = Watched(viewer)
    data = da.from_array(np.ones((2, 40, 50), "u2"), chunks=(1, 40, 50))
    record = {"schema": "genrecon-record/1", "options": {}}
    watched.start(tmp_path / "a.ome.zarr")
    for _ in write_zarr_steps(tmp_path / "a.ome.zarr", data, ImageMeta(axes=Axes(letters), record=record)):
        watched.refresh()
    assert len(viewer.layers) == 1 + layers
    assert [is_no_image(layer) for layer in viewer.layers] == [False, *[True] * layers]  # it is not there to be chosen
    watched.stop()
    assert list(viewer.layers) == [other]
