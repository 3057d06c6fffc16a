"""Images with smaller copies of themselves in TIFF files: read level by level, written on request."""

import pickle
import struct
from contextlib import suppress

import numpy as np
import pytest
import tifffile

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError
from napari_genrecon.io import lazy
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layers import layers_of
from napari_genrecon.io.lazy import Regions
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import verify
from napari_genrecon.io.tiff import write as writer
from napari_genrecon.io.tiff.write import write_tiff_steps

RECORD = {"schema": "genrecon-record/1", "task": "denoise", "nature": "restored", "options": {}}
TILES = {"tile": (64, 64), "compression": "zlib"}


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 4000, (2, 1030, 1100)).astype("u2")


def subifds(path, stack, factors=(2, 4), **more):
    """As OME-TIFF wants it: the smaller copies of a plane hang on its directory."""
    with tifffile.TiffWriter(path, ome=True) as tif:
        options = {**TILES, "photometric": "minisblack"}
        tif.write(stack, subifds=len(factors), metadata={"axes": "ZYX", **more}, **options)
        for factor in factors:
            tif.write(stack[:, ::factor, ::factor], subfiletype=1, metadata=None, **options)
    return path


def pages(path, plane, factors=(2, 4)):
    """As other writers do: the smaller copies are pages that follow."""
    with tifffile.TiffWriter(path) as tif:
        for factor in (1, *factors):
            tif.write(plane[::factor, ::factor], subfiletype=int(factor > 1), metadata=None, **TILES)
    return path


def test_levels_of_an_ome_tiff_are_read_one_by_one(tmp_path, stack):
    found = open_image(subifds(tmp_path / "a.ome.tif", stack, PhysicalSizeX=0.1, PhysicalSizeXUnit="µm"))
    assert isinstance(found.data, Regions)
    assert [level.shape for level in found.levels] == [(2, 515, 550), (2, 258, 275)]
    for factor, level in zip((1, 2, 4), (found.data, *found.levels), strict=True):
        np.testing.assert_array_equal(level[1, :50, 7:60], stack[:, ::factor, ::factor][1, :50, 7:60])
        np.testing.assert_array_equal(np.asarray(level), stack[:, ::factor, ::factor])
    assert (found.axes.letters, found.scale) == ("ZYX", (1.0, 0.1, 0.1))


@pytest.mark.parametrize("side", [1100, 800])
def test_levels_in_pages_of_other_writers_are_read(tmp_path, stack, side):
    found = open_image(pages(tmp_path / "a.tif", stack[0, :, :side]))
    assert [level.shape for level in found.levels] == [(515, side // 2), (258, side // 4)]
    np.testing.assert_array_equal(np.asarray(found.levels[1]), stack[0, ::4, :side:4])


def test_pyramid_becomes_one_multiscale_layer(tmp_path, stack):
    ((data, keywords, _),) = layers_of(open_image(subifds(tmp_path / "a.ome.tif", stack)))
    assert keywords["multiscale"]
    assert [level.shape for level in data] == [(2, 1030, 1100), (2, 515, 550), (2, 258, 275)]


def test_colour_pyramid_becomes_one_rgb_layer(tmp_path):
    slide = np.random.default_rng(0).integers(0, 255, (1030, 1100, 3)).astype("u1")
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for factor in (1, 2, 4):
            options = {**TILES, "photometric": "rgb", "subfiletype": int(factor > 1)}
            tif.write(slide[::factor, ::factor], metadata=None, **options)
    ((data, keywords, _),) = layers_of(open_image(tmp_path / "a.tif"))
    assert keywords["rgb"]
    assert [level.shape for level in data] == [(1030, 1100, 3), (515, 550, 3), (258, 275, 3)]
    np.testing.assert_array_equal(np.asarray(data[0]), slide)


def test_channels_of_a_pyramid_are_cut_out_without_reading_them(tmp_path, stack, monkeypatch):
    from napari.layers.utils.stack_utils import split_channels

    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(stack, subifds=1, metadata={"axes": "CYX"}, photometric="minisblack", **TILES)
        tif.write(stack[:, ::2, ::2], subfiletype=1, metadata=None, photometric="minisblack", **TILES)
    ((data, keywords, _),) = layers_of(open_image(tmp_path / "a.ome.tif"))
    monkeypatch.setattr(Regions, "__getitem__", lambda *_: pytest.fail("was read"))
    layers = split_channels(data, **{k: v for k, v in keywords.items() if k != "rgb"})
    assert [[level.shape for level in found] for found, _, _ in layers] == 2 * [[(1030, 1100), (515, 550)]]
    assert all(len(look["contrast_limits"]) == 2 for _, look, _ in layers)


RAGGED = {
    "larger": lambda plane: np.tile(plane, (2, 2)),
    "other proportions": lambda plane: plane[::2, ::5],
    "label": lambda plane: plane[:40, :30],
    "other dtype": lambda plane: plane[::2, ::2].astype("u1"),
    "colours": lambda plane: np.stack([plane[::2, ::2]] * 3, axis=-1),
}


@pytest.mark.parametrize("kind", RAGGED)
def test_what_is_no_smaller_copy_is_no_level(tmp_path, stack, kind):
    plane = stack[0]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(plane, subifds=1, metadata=None, **TILES)
        other = RAGGED[kind](plane)
        photometric = "rgb" if other.ndim == 3 else "minisblack"
        tif.write(other, subfiletype=1, metadata=None, photometric=photometric, **TILES)
    found = open_image(tmp_path / "a.tif")
    assert found.levels == ()
    np.testing.assert_array_equal(np.asarray(found.data), plane)


def directory(content, offset):
    """Tag code -> (place of its entry, type, count) of one directory of a classic little-endian TIFF."""
    (count,) = struct.unpack_from("<H", content, offset)
    entries = (offset + 2 + 12 * i for i in range(count))
    return {struct.unpack_from("<H", content, at)[0]: at for at in entries}


def edited_level(content, tag, value):
    """A file whose first smaller level says something else."""
    changed = bytearray(content)
    (first,) = struct.unpack_from("<I", changed, 4)
    at = directory(changed, first)[330]
    (n,) = struct.unpack_from("<I", changed, at + 4)
    (level,) = struct.unpack_from("<I", changed, at + 8)
    if n > 1:
        (level,) = struct.unpack_from("<I", changed, level)
    entry = directory(changed, level)[tag]
    kind, count = struct.unpack_from("<HI", changed, entry + 2)
    size = {3: 2, 4: 4}.get(kind, 4)
    place = entry + 8 if count * size <= 4 else struct.unpack_from("<I", changed, entry + 8)[0]
    struct.pack_into("<H" if kind == 3 else "<I", changed, place, value & (0xFFFF if kind == 3 else 0xFFFFFFFF))
    return bytes(changed)


@pytest.mark.parametrize("ome", [False, True], ids=["plain", "OME"])
@pytest.mark.parametrize("tag", [256, 257, 322, 323, 324, 325])
@pytest.mark.parametrize("value", [0, 0xFFFFFFF0], ids=["zero", "enormous"])
def test_levels_that_lie_about_their_size_get_a_sentence_or_are_left_out(tmp_path, stack, ome, tag, value):
    path = tmp_path / ("a.ome.tif" if ome else "a.tif")
    if ome:
        subifds(path, stack[:1], (2,))
    else:
        with tifffile.TiffWriter(path) as tif:
            tif.write(stack[0], subifds=1, metadata=None, **TILES)
            tif.write(stack[0, ::2, ::2], subfiletype=1, metadata=None, **TILES)
    path.write_bytes(edited_level(path.read_bytes(), tag, value))
    with suppress(ImageError):
        found = open_image(path)
        np.testing.assert_array_equal(np.asarray(found.data).squeeze(), stack[0])
        for level in found.levels:
            np.testing.assert_array_equal(np.asarray(level).squeeze(), stack[0, ::2, ::2])


def test_missing_planes_are_not_read_as_zeros(tmp_path, stack):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    path.write_bytes(path.read_bytes().replace(b'SizeZ="2"', b'SizeZ="7"'))
    with pytest.raises(ImageError, match="missing and would be read as zeros"):
        open_image(path)


@pytest.mark.parametrize("name", ["../other.tif", "/etc/passwd", "c:\\other.tif", "..\\other.tif"])
def test_ome_xml_cannot_lead_to_other_folders(tmp_path, stack, name):
    uuid = f'UUID FileName="{name}">urn:uuid:0</UUID'
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels DimensionOrder="XYZCT" ID="Pixels:0" SizeC="1" SizeT="1" SizeX="9" SizeY="8" SizeZ="1" Type="uint8">'
        f'<TiffData IFD="0" PlaneCount="1"><{uuid}></TiffData></Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((8, 9), "u1"), description=xml, metadata=None)
    with pytest.raises(ImageError, match="only files beside it are read"):
        open_image(tmp_path / "a.ome.tif")


def test_ome_xml_is_looked_at_before_anything_else_parses_it(tmp_path, monkeypatch):
    xml = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><OME xmlns="http://x/OME"><Image Name="&a;"/></OME>'
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((8, 9), "u1"), description=xml, metadata=None)
    monkeypatch.setattr(tifffile.TiffFile, "series", property(lambda _: pytest.fail("was parsed")))
    with pytest.raises(ImageError, match="declares entities"):
        open_image(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.slow
def test_large_files_are_read_by_region_also_in_other_processes(tmp_path, stack, monkeypatch, compression, byteorder):
    monkeypatch.setattr(lazy, "_ABOVE", 1000)
    monkeypatch.setattr(lazy, "available_memory", lambda: 1000)
    tifffile.imwrite(
        tmp_path / "a.tif", stack, compression=compression, byteorder=byteorder, photometric="minisblack", metadata=None
    )
    data = open_image(tmp_path / "a.tif").data
    sent = pickle.dumps(data)
    assert len(sent) < 2000
    for found in (data, pickle.loads(sent)):
        assert found.dtype == "u2"
        assert found.dtype.isnative
        np.testing.assert_array_equal(found[1, 5:20, ::3], stack[1, 5:20, ::3])


def test_file_that_was_changed_since_it_was_opened_gets_a_sentence(tmp_path, stack):
    path = subifds(tmp_path / "a.ome.tif", stack)
    data = open_image(path).data
    subifds(path, stack[:1])
    with pytest.raises(ImageError, match="changed since it was opened"):
        data[0]
    path.unlink()
    with pytest.raises(ImageError, match="no longer there"):
        data[0]


# --- writing ---


@pytest.mark.parametrize(
    ("letters", "shape"),
    [("YX", (1030, 1100)), ("CYX", (2, 600, 700)), ("YXS", (1030, 1100, 3)), ("PZYX", (2, 2, 600, 520))],
)
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
def test_written_pyramid_holds_means_and_comes_back(tmp_path, letters, shape, dtype, lazy):
    import dask.array as da

    image = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    data = da.from_array(image) if lazy else image
    about = ImageMeta(axes=Axes(letters), record=RECORD)
    path = finish(write_tiff_steps(tmp_path / "a.ome.tif", data, about, pyramid=True))
    found = open_image(path)
    np.testing.assert_array_equal(np.asarray(found.data), image)
    y = letters.index("Y")
    assert [level.shape[y] for level in found.levels] == [
        shape[y] // 2,
        *([shape[y] // 4 + 1] if shape[y] > 1024 else []),
    ]
    four = np.moveaxis(image, (y, y + 1), (0, 1)).astype(float)[:8, :8]
    means = four.reshape(4, 2, 4, 2, *four.shape[2:]).mean(axis=(1, 3))
    half = np.moveaxis(np.asarray(found.levels[0]), (y, y + 1), (0, 1))[:4, :4]
    np.testing.assert_array_equal(half, np.rint(means) if dtype != "f4" else means.astype("f4"))
    assert half.dtype == dtype
    assert verify(path) == []


@pytest.mark.parametrize("pyramid", [False, True])
@pytest.mark.parametrize("shape", [(300, 310), (40, 50), (3, 30, 2000)])
def test_files_are_tiled_and_compressed(tmp_path, shape, pyramid):
    image = np.zeros(shape, "u2")
    about = ImageMeta(axes=Axes("ZYX"[-len(shape) :]), record=RECORD)
    path = finish(write_tiff_steps(tmp_path / "a.ome.tif", image, about, pyramid=pyramid))
    with tifffile.TiffFile(path) as tif:
        assert not tif.is_bigtiff
        assert all(page.is_tiled and page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE for page in tif.pages)
    assert path.stat().st_size < image.nbytes


@pytest.mark.parametrize("pyramid", [False, True])
def test_large_files_are_bigtiff(tmp_path, monkeypatch, stack, pyramid):
    monkeypatch.setattr(writer, "_CLASSIC_LIMIT", stack.nbytes - 1)
    about = ImageMeta(axes=Axes("ZYX"), record=RECORD)
    path = finish(write_tiff_steps(tmp_path / "a.ome.tif", stack, about, pyramid=pyramid))
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff
    np.testing.assert_array_equal(np.asarray(open_image(path).data), stack)
    assert verify(path) == []


def test_other_programs_read_what_was_written(tmp_path, stack):
    """The smaller copies do not show as more planes, and the OME-XML is valid to tifffile."""
    about = ImageMeta(axes=Axes("ZYX"), scale=(2.0, 0.1, 0.1), units=("micrometer",) * 3, record=RECORD)
    path = finish(write_tiff_steps(tmp_path / "a.ome.tif", stack, about, pyramid=True))
    np.testing.assert_array_equal(tifffile.imread(path), stack)
    with tifffile.TiffFile(path) as tif:
        assert (len(tif.pages), len(tif.series), tif.series[0].axes) == (2, 1, "ZYX")
        assert 'PhysicalSizeX="0.1"' in tif.ome_metadata


def test_smaller_copies_of_what_is_not_a_number_are_not_numbers_there_only(tmp_path):
    image = np.ones((600, 600), "f4")
    image[10, 10] = np.nan
    path = finish(write_tiff_steps(tmp_path / "a.ome.tif", image, ImageMeta(axes=Axes("YX")), pyramid=True))
    level = np.asarray(open_image(path).levels[0])
    assert np.argwhere(np.isnan(level)).tolist() == [[5, 5]]
