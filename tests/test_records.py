"""Every result of every task carries the whole record, whatever face of the program made it."""

import json
from pathlib import Path

import dask.array as da
import jsonschema
import numpy as np
import pytest
import tifffile

from napari_genrecon.axes import Axes
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layers import layers_of, write_tiff_layers, write_zarr_layers
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import verify
from napari_genrecon.tasks import TASKS, find_task
from napari_genrecon.tasks.files import about_result, write_steps

SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "record.schema.json").read_text())
NATURES = {"denoise": "restored", "upscale": "upscaled", "deblur": "deblurred", "inpaint": "inpainted"}
MASK = np.zeros((40, 48), "u1")
MASK[10:14, 20:30] = 1
NEEDED = {"deblur": {"psf": 2.0}, "inpaint": {"mask": MASK}}
NAMES = [task.name for task in TASKS if task.name in NATURES]


@pytest.fixture
def noisy():
    return np.random.default_rng(0).poisson(0.5, (40, 48)).astype("f4")


def valid(record):
    jsonschema.validate(record, SCHEMA)
    json.dumps(record)
    return record


def result(name, image, *, lazy, **options):
    task = find_task(name)
    chosen = task.options(**{**NEEDED.get(name, {}), **options})
    return finish(task.steps(da.from_array(image, chunks=20) if lazy else image, chosen))


def test_schema_is_one_and_valid():
    from napari_genrecon.io.record.provenance import NATURES as natures
    from napari_genrecon.io.record.provenance import SCHEMA as version

    jsonschema.validators.validator_for(SCHEMA).check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == version
    assert SCHEMA["properties"]["nature"]["enum"] == list(natures)
    assert set(NATURES.values()) < set(natures)


@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
@pytest.mark.parametrize("name", NAMES)
def test_python_gives_the_whole_record(name, noisy, lazy):
    noisy[3, 4] = np.nan
    record = valid(result(name, noisy, lazy=lazy).record)
    assert (record["task"], record["nature"]) == (name, NATURES[name])
    assert record["output"]["clipped"] == 0
    assert record["output"]["nan"] == (None if lazy else np.isnan(result(name, noisy, lazy=False).data).sum())


@pytest.mark.parametrize("ending", ["tif", "zarr"])
@pytest.mark.parametrize("name", NAMES)
def test_command_line_counts_what_is_not_a_number(tmp_path, name, noisy, ending):
    noisy[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", noisy)
    tifffile.imwrite(tmp_path / "mask.tif", MASK)
    more = {"deblur": ["--psf", "2"], "inpaint": ["--mask", str(tmp_path / "mask.tif")]}.get(name, [])
    target = tmp_path / f"b.ome.{ending}"
    assert main([name, str(tmp_path / "a.tif"), "-o", str(target), *more]) == 0
    found = open_image(target)
    assert valid(found.record)["output"]["nan"] == np.isnan(np.asarray(found.data)).sum() > 0
    assert verify(target) == []


@pytest.mark.parametrize("ending", ["tif", "zarr"])
@pytest.mark.parametrize("name", NAMES)
def test_lazy_results_count_what_is_clipped_while_they_are_written(tmp_path, name, ending):
    """As many as an eager run counts."""
    steep = np.broadcast_to(np.arange(48) // 7 % 2 * 255, (40, 48)).astype("u1")
    task = find_task(name)
    options = task.options(**NEEDED.get(name, {}), keep_dtype=True, noise=4.0)
    eager, lazy = (finish(task.steps(steep, options, lazy=way)) for way in (False, True))
    assert lazy.record["output"]["clipped"] is None
    about = about_result(ImageMeta(axes=Axes("YX")), lazy, lazy.record)
    target = tmp_path / f"b.ome.{ending}"
    finish(write_steps(target, lazy, about))
    record = valid(open_image(target).record)
    assert record["output"]["clipped"] == eager.record["output"]["clipped"] > 0
    assert record["output"]["nan"] == 0
    assert record["warnings"] == eager.record["warnings"]
    np.testing.assert_array_equal(np.asarray(open_image(target).data), eager.data)
    assert verify(target) == []


@pytest.mark.parametrize("write", [write_tiff_layers, write_zarr_layers], ids=["tif", "zarr"])
@pytest.mark.parametrize("name", NAMES)
def test_record_travels_from_layer_to_file_to_layer(tmp_path, name, noisy, write):
    made = result(name, noisy, lazy=False)
    meta = {"name": "a", "scale": [1, 1], "translate": [0, 0], "metadata": {"genrecon": made.record}}
    path = tmp_path / f"a.ome.{'tif' if write is write_tiff_layers else 'zarr'}"
    write(str(path), [(made.data, meta, "image")])
    ((_, found, _),) = layers_of(open_image(path))
    record = valid(found["metadata"]["genrecon"])
    assert {k: v for k, v in record.items() if k not in ("seal", "image")} == made.record


def test_result_of_a_layer_is_made_again_from_its_image_as_a_file(tmp_path, noisy, capsys):
    made = result("denoise", noisy, lazy=False)
    meta = {"name": "a", "scale": [1, 1], "translate": [0, 0], "metadata": {"genrecon": made.record}}
    write_tiff_layers(str(tmp_path / "made.ome.tif"), [(made.data, meta, "image")])
    assert main(["replay", str(tmp_path / "made.ome.tif")]) == 1
    assert "from a layer or an array, and not from a file: save that image, and give it with --input" in (
        capsys.readouterr().err
    )
    write_tiff_layers(str(tmp_path / "raw.ome.tif"), [(noisy, {**meta, "metadata": {}}, "image")])
    assert main(["replay", str(tmp_path / "made.ome.tif"), "--input", str(tmp_path / "raw.ome.tif")]) == 0


@pytest.mark.parametrize("write", [write_tiff_layers, write_zarr_layers], ids=["tif", "zarr"])
def test_what_is_not_known_of_a_live_layer_in_integers_stays_unknown(tmp_path, write):
    dark = np.random.default_rng(0).poisson(0.5, (40, 48)).astype("u2")
    made = result("denoise", dark, lazy=True, keep_dtype=True)
    meta = {"name": "a", "scale": [1, 1], "translate": [0, 0], "metadata": {"genrecon": made.record}}
    path = tmp_path / f"a.ome.{'tif' if write is write_tiff_layers else 'zarr'}"
    write(str(path), [(made.data, meta, "image")])
    assert valid(open_image(path).record)["output"] == {"dtype": "uint16", "clipped": None, "nan": None}


def test_mask_and_psf_of_a_file_reach_the_task(tmp_path, noisy):
    tifffile.imwrite(tmp_path / "a.tif", noisy)
    y, x = np.indices((7, 7)) - 3
    tifffile.imwrite(tmp_path / "psf.tif", np.exp(-(x**2 + y**2) / 2).astype("f4"))
    target = tmp_path / "b.ome.tif"
    command = ["deblur", str(tmp_path / "a.tif"), "-o", str(target), "--psf", str(tmp_path / "psf.tif")]
    assert main(command) == 0
    record = open_image(target).record
    assert record["psf"]["shape"] == [7, 7]
    assert record["arrays"] == {"psf": str(tmp_path / "psf.tif")}
    assert main([*command[:2], "-o", str(tmp_path / "psf.tif"), "--psf", str(tmp_path / "psf.tif"), "--overwrite"]) == 1
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "psf.tif").shape, (7, 7))
