from pathlib import Path

import pytest

from napari_genrecon.errors import ExistsError, OptionError
from napari_genrecon.widgets.layers.targets import plan_targets


def test_every_image_gets_a_file_of_its_own(tmp_path):
    given = tmp_path / "{name}_clean.ome.zarr"
    assert plan_targets(given, ["a", "b"], "denoise") == [tmp_path / "a_clean.ome.zarr", tmp_path / "b_clean.ome.zarr"]


def test_results_in_a_folder_are_called_as_those_of_the_command_line(tmp_path):
    assert plan_targets(tmp_path, ["a", "b"], "deblur") == [tmp_path / f"{name}_deblur.ome.tif" for name in "ab"]


def test_nothing_given_keeps_results_in_memory_and_one_image_needs_no_pattern(tmp_path):
    assert plan_targets(None, ["a", "b"], "denoise") == [None, None]
    assert plan_targets(tmp_path / "x.ome.tif", ["a"], "denoise") == [tmp_path / "x.ome.tif"]


def test_one_file_for_several_images_is_refused(tmp_path):
    with pytest.raises(
        OptionError, match=r"2 images need a file each, and 'write to' names one, x\.ome\.tif: put \{name\}"
    ):
        plan_targets(tmp_path / "x.ome.tif", ["a", "b"], "denoise")


@pytest.mark.parametrize("names", [("cells", "Cells"), ("a/b", "a:b"), ("é", "e\N{COMBINING ACUTE ACCENT}")])
def test_names_that_are_one_file_on_some_system_are_refused(tmp_path, names):
    with pytest.raises(OptionError, match="would both be written to"):
        plan_targets(tmp_path, names, "denoise")


@pytest.mark.parametrize("name", ["a/b", "..", "a\\b", "nul\0", "a:b", ""])
def test_names_of_layers_stay_within_the_folder(tmp_path, name):
    (target,) = plan_targets(tmp_path, [name], "denoise")
    assert target.parent == tmp_path
    assert Path(target.name).name == target.name


def test_a_result_that_exists_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "b_denoise.ome.tif").touch()
    with pytest.raises(ExistsError, match=r"b_denoise\.ome\.tif exists already"):
        plan_targets(tmp_path, ["a", "b"], "denoise")
