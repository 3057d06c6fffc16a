import os
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError, MissingPackageError, OutputError
from napari_genrecon.io.image_file import MICROMETRES, ImageMeta
from napari_genrecon.io.publish import publishing
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import verify
from napari_genrecon.io.tiff.write import write_tiff_steps
from napari_genrecon.io.zarr.write import write_zarr_steps

TIMES = ("second", "millisecond", "microsecond", "nanosecond", "picosecond", "minute", "hour", "day")
RECORD = {"schema": "genrecon-record/1", "task": "denoise", "text": 'a <b> & "c" µ'}


@pytest.mark.parametrize(
    ("letters", "shape"),
    [
        ("YX", (30, 40)),
        ("ZYX", (3, 30, 40)),
        ("CYX", (2, 30, 40)),
        ("TZCYX", (2, 3, 2, 30, 40)),
        ("YXS", (30, 40, 3)),
        ("QTYX", (2, 3, 30, 40)),
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
def test_tiff_round_trip_keeps_everything(tmp_path, letters, shape, dtype, lazy):
    import dask.array as da

    image = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    scale = tuple({"T": 2.0, "Z": 0.5, "Y": 0.1, "X": 0.1}.get(letter, 1.0) for letter in letters)
    units = tuple(
        {"T": "second", "C": "pixel", "S": "pixel", "Q": "pixel"}.get(letter, "micrometer") for letter in letters
    )
    data = da.from_array(image) if lazy else image
    n = 2 if "C" in letters else 0 if "S" in letters else 1
    names, colors = ("DAPI", "GFP")[:n], ("#0000ff", "#00ff00")[:n]
    translate = tuple(0.0 if letter in "CS" else 7.0 for letter in letters)
    about = ImageMeta(
        axes=Axes(letters), scale=scale, units=units, translate=translate, channel_names=names, channel_colors=colors,
        record=RECORD,
    )  # fmt: skip
    found = open_image(finish(write_tiff_steps(tmp_path / "a.ome.tif", data, about)))
    np.testing.assert_array_equal(found.data, image)
    assert found.data.dtype == dtype
    assert (found.axes.letters, found.scale, found.units) == (letters, scale, units)
    assert found.about.translate == translate
    assert (found.channel_names, found.about.channel_colors) == (names, colors)
    assert RECORD.items() <= found.record.items()
    assert verify(tmp_path / "a.ome.tif") == []


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("unit", [*MICROMETRES, *TIMES])
def test_every_unit_that_is_read_is_written(tmp_path, ending, unit):
    units = (unit, "micrometer", "micrometer") if unit in TIMES else ("second", unit, unit)
    about = ImageMeta(axes=Axes("TYX"), scale=(3.0, 2.0, 2.0), units=units, translate=(0.0, 5.0, 6.0))
    write = write_tiff_steps if ending == ".ome.tif" else write_zarr_steps
    found = open_image(finish(write(tmp_path / f"a{ending}", np.zeros((2, 8, 9), "u2"), about)))
    assert (found.scale, found.units, found.about.translate) == (about.scale, units, about.translate)


def test_dimensions_that_ome_has_no_room_for_get_a_sentence(tmp_path):
    about = ImageMeta(axes=Axes("QTCZYX"))  # several fillings of an image of five dimensions
    with pytest.raises(ImageError, match="no room for the dimensions QTCZYX: beside T, C and Z"):
        finish(write_tiff_steps(tmp_path / "a.ome.tif", np.zeros((2, 2, 2, 2, 8, 9), "u2"), about))
    assert list(tmp_path.iterdir()) == []


def test_file_of_a_lazy_result_names_what_its_record_names(tmp_path):
    import dask.array as da

    # Threads of dask compute the pixels, of which the one that writes knows nothing.
    record = {**RECORD, "machines": ["a processor, 1 thread, bfloat16"], "output": {"nan": None, "clipped": 0}}
    about = ImageMeta(axes=Axes("ZYX"), record=record)
    path = finish(write_tiff_steps(tmp_path / "a.ome.tif", da.zeros((3, 8, 9), dtype="f4", chunks=(1, 8, 9)), about))
    assert open_image(path).record["machines"] == record["machines"]


def test_ome_xml_has_times_for_frames_and_lengths_for_pixels_only(tmp_path):
    # No interval is known; and every dimension of a layer may have been given the same unit.
    for unit in ("pixel", "micrometer"):
        about = ImageMeta(axes=Axes("TYX"), units=(unit,) * 3, scale=(1.0, 0.5, 0.5))
        path = finish(write_tiff_steps(tmp_path / f"{unit}.ome.tif", np.zeros((2, 8, 9), "u2"), about))
        with tifffile.TiffFile(path) as tif:
            assert "PhysicalSizeX=" in tif.ome_metadata
            assert "TimeIncrement" not in tif.ome_metadata


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_names_of_another_number_of_channels_are_not_written(tmp_path, ending):
    # Such as those of a file whose dimension of channels the user called planes.
    about = ImageMeta(axes=Axes("ZYX"), channel_names=("DAPI", "GFP"), channel_colors=("#0000ff", "#00ff00"))
    write = write_tiff_steps if ending == ".ome.tif" else write_zarr_steps
    found = open_image(finish(write(tmp_path / f"a{ending}", np.zeros((2, 8, 9), "u2"), about)))
    assert (found.channel_names, found.about.channel_colors) == ((), ())


@pytest.mark.parametrize("link", ["same", "symlink", "hard link", "dotted"])
def test_the_source_is_never_overwritten(tmp_path, link):
    source = tmp_path / "raw.tif"
    source.write_bytes(b"raw data")
    target = {"same": source, "dotted": tmp_path / "." / "x" / ".." / "raw.tif"}.get(link, tmp_path / "link.tif")
    if link == "symlink":
        target.symlink_to(source)
    elif link == "hard link":
        os.link(source, target)
    elif link == "dotted":
        (tmp_path / "x").mkdir()
    with (
        pytest.raises(OutputError, match="is the input itself"),
        publishing(target, overwrite=True, sources=[source]) as part,
    ):
        part.write_bytes(b"result")
    assert source.read_bytes() == b"raw data"


def test_an_existing_file_is_kept_unless_told(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already"), publishing(target) as part:
        part.write_bytes(b"new")
    assert target.read_bytes() == b"old"
    with publishing(target, overwrite=True) as part:
        part.write_bytes(b"new")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failed_write_leaves_nothing(tmp_path, error):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises((error, OutputError)), publishing(target, overwrite=True) as part:  # noqa: PT012
        part.write_bytes(b"half")
        raise error("stop")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert target.read_bytes() == b"old"


def test_cancelling_a_write_leaves_nothing(tmp_path):
    import dask.array as da

    steps = write_tiff_steps(
        tmp_path / "a.ome.tif", da.zeros((5, 20, 20), chunks=(1, 20, 20)), ImageMeta(axes=Axes("ZYX"))
    )
    next(steps), next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


def test_a_name_taken_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(OutputError, match="created by something else"), publishing(tmp_path / "a") as part:  # noqa: PT012
        part.write_bytes(b"mine")
        (tmp_path / "a").write_bytes(b"theirs")
    assert (tmp_path / "a").read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("free", "told"), [(5e10, r"1152921504\.61 GB, 50\.00 GB"), (5e5, r"1152921504\.61 GB, 0\.50 MB")]
)
def test_full_disk_is_told_before_writing(tmp_path, monkeypatch, free, told):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    wanted = f"not enough space for .*: it needs about {told} are free"
    with pytest.raises(OutputError, match=wanted), publishing(tmp_path / "a", expected_bytes=1 << 60):
        raise AssertionError("was written")


def test_imagej_pixel_size_is_read(tmp_path):
    image = np.zeros((3, 20, 20), "u2")
    metadata = {"axes": "ZYX", "spacing": 0.5, "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, resolution=(10, 10), metadata=metadata)
    found = open_image(tmp_path / "a.tif")
    assert found.axes.letters == "ZYX"
    assert found.scale == pytest.approx((0.5, 0.1, 0.1))
    assert set(found.units) == {"micrometer"}


def test_plain_stack_follows_the_rule(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 20, 20), "u2"), photometric="minisblack", metadata=None)
    found = open_image(tmp_path / "a.tif")
    assert (found.axes.letters, found.axes.assumed) == ("ZYX", True)


@pytest.mark.parametrize(
    "content", [b"", b"not a tiff at all", b"II*\x00\xff\xff\xff\xff"], ids=["empty", "text", "cut"]
)
def test_damaged_file_gets_a_sentence(tmp_path, content):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ImageError, match=r"cannot be read as a TIFF file|holds no image"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize("options", [{"imagej": True}, {"compression": "zlib"}, {"metadata": None}], ids=str)
@pytest.mark.parametrize("part", [0.2, 0.5, 0.97])
def test_stack_that_was_cut_short_does_not_pass_for_its_first_planes(tmp_path, options, part):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 99, (12, 64, 64)).astype("u2"), **options)
    assert open_image(path).data.shape == (12, 64, 64)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ImageError, match="was cut short"):
        open_image(path)


def test_imagej_stack_in_one_page_does_not_pass_for_its_first_plane(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((1, 64, 64), "u2"), imagej=True, metadata={"axes": "ZYX"})
    told = path.read_bytes().replace(b"ImageJ=1.11a\nimages=1\n", b"ImageJ=1.5\nslices=400\n")
    assert b"slices=400" in told
    path.write_bytes(told)  # as ImageJ writes what is over 4 GB, but without what follows the first plane
    with pytest.raises(ImageError, match="declares 400 planes but holds 1"):
        open_image(path)


@pytest.fixture(params=[False, True], ids=["eager", "lazy"])
def eager_or_lazy(request, monkeypatch):
    """Small files are read at once, or by region as large ones are."""
    if request.param:
        monkeypatch.setattr("napari_genrecon.io.lazy._ABOVE", 0)
        monkeypatch.setattr("napari_genrecon.io.lazy.available_memory", lambda: 0)


@pytest.mark.usefixtures("eager_or_lazy")
def test_colours_stored_one_after_the_other_are_rgb(tmp_path):
    image = np.random.default_rng(0).integers(0, 200, (30, 40, 3)).astype("u1")
    planes = np.moveaxis(image, -1, 0)
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", planes, photometric="rgb", planarconfig="separate")
    found = open_image(tmp_path / "a.tif")
    assert found.axes.letters == "YXS"
    np.testing.assert_array_equal(np.asarray(found.data), image)
    assert open_image(tmp_path / "a.tif", axes="CYX").data.shape == (3, 30, 40)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path).data), [image, image])


def test_three_planes_of_16_bits_are_channels(tmp_path):
    image = np.random.default_rng(0).integers(0, 2000, (3, 30, 40)).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", planarconfig="separate")
    found = open_image(tmp_path / "a.tif")
    assert found.axes.letters == "CYX"
    np.testing.assert_array_equal(np.asarray(found.data), image)


@pytest.mark.usefixtures("eager_or_lazy")
@pytest.mark.parametrize("stored", ["separate", "contig"])
@pytest.mark.parametrize("count", [2, 5])
def test_samples_that_are_no_colours_are_channels(tmp_path, stored, count):
    channels = np.random.default_rng(0).integers(0, 200, (count, 30, 40)).astype("u2")
    pixels = channels if stored == "separate" else np.moveaxis(channels, 0, -1)
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="minisblack", planarconfig=stored)
    found = open_image(tmp_path / "a.tif")
    assert found.axes.letters == "CYX"
    np.testing.assert_array_equal(np.asarray(found.data), channels)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path).data), [channels, channels])


def test_compression_that_nothing_installed_can_unpack_names_the_package(tmp_path, monkeypatch):
    image = np.zeros((30, 40), "u2")
    tifffile.imwrite(tmp_path / "a.tif", image, compression="zlib")
    monkeypatch.setattr(type(tifffile.TIFF.DECOMPRESSORS), "__getitem__", lambda _self, key: {}[key])
    with pytest.raises(MissingPackageError, match=r"ADOBE_DEFLATE.*pip install imagecodecs"):
        open_image(tmp_path / "a.tif")


def test_missing_file_gets_a_sentence(tmp_path):
    with pytest.raises(ImageError, match="there is no file"):
        open_image(tmp_path / "nowhere.tif")


WRONG = {
    "size of text": ('PhysicalSizeX="0.1"', 'PhysicalSizeX="0,1"'),
    "infinite size": ('PhysicalSizeX="0.1"', 'PhysicalSizeX="inf"'),
    "size that is not a number": ('PhysicalSizeX="0.1"', 'PhysicalSizeX="nan"'),
    "negative size": ('PhysicalSizeX="0.1"', 'PhysicalSizeX="-.1"'),
    "unknown unit": ('PhysicalSizeXUnit="mm"', 'PhysicalSizeXUnit="zz"'),
    "place of text": ('PositionX="5.0"', 'PositionX="far"'),
    "colour of text": ('Color="255"', 'Color="red"'),
    "broken note": ("odd", 'o"d'),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_words_in_ome_xml_cost_only_themselves(tmp_path, what):
    """The pixels are there, and napari can show them."""
    image = np.random.default_rng(0).integers(0, 9, (2, 30, 40)).astype("u2")
    about = ImageMeta(
        axes=Axes("CYX"), scale=(1.0, 0.1, 0.1), units=("pixel", "millimeter", "millimeter"), translate=(0.0, 4.0, 5.0),
        channel_names=("a", "b"), channel_colors=("#000000", "#000000"), layer={"odd": 1},
    )  # fmt: skip
    path = finish(write_tiff_steps(tmp_path / "a.ome.tif", image, about))
    content, (right, wrong) = path.read_bytes(), WRONG[what]
    assert right.encode() in content
    path.write_bytes(content.replace(right.encode(), wrong.encode()))
    found = open_image(path)
    np.testing.assert_array_equal(found.data, image)
    assert all(0 < size < 1e9 for size in found.scale)
    assert set(found.units) <= {"pixel", "millimeter"}
