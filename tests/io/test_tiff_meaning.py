"""What a TIFF says about its pixels: sizes, colours, limits, names, and which of several images it is."""

import struct

import numpy as np
import pytest
import tifffile
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_genrecon.errors import GenReconWarning, ImageError
from napari_genrecon.io import lazy
from napari_genrecon.io.image_file import in_unit, unit_name
from napari_genrecon.io.layers import read_layers
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.tiff.sizes import _PRINTED

STACK = np.random.default_rng(0).integers(0, 200, (4, 24, 32)).astype("u2")


def imagej(path, text, unit=1, per_unit=10):
    description = "ImageJ=1.54f\nimages=4\nslices=4\n" + text
    options = {"metadata": None, "photometric": "minisblack", "resolution": (per_unit, per_unit)}
    tifffile.imwrite(path, STACK, description=description, resolutionunit=unit, **options)
    return open_image(path)


@pytest.mark.parametrize(
    ("text", "unit", "scale", "named"),
    [
        ("unit=um\nspacing=0.5\n", 1, (0.5, 0.1, 0.1), "micrometer"),
        ("unit=cm\nspacing=0.5\n", 3, (5000, 1000, 1000), "micrometer"),
        ("unit=inch\nspacing=0.5\n", 2, (12700, 2540, 2540), "micrometer"),
        ("unit=um\nyunit=um\nzunit=nm\nspacing=300\n", 1, (0.3, 0.1, 0.1), "micrometer"),
        ("unit=um\nyunit=nm\nspacing=0.5\n", 1, (0.5, 0.1, 0.0001), "micrometer"),
        ("unit=nm\nzunit=um\nspacing=0.3\n", 1, (300, 0.1, 0.1), "nanometer"),
        ("unit=um\n", 1, (1, 0.1, 0.1), "micrometer"),
        ("unit=micrometres\nspacing=unknown\n", 1, (1, 0.1, 0.1), "micrometer"),
        ("unit=Microns\nspacing=-0.5\n", 1, (0.5, 0.1, 0.1), "micrometer"),
        ("unit=\\u00B5m\nspacing=0.5\n", 1, (0.5, 0.1, 0.1), "micrometer"),
        ("unit=pixel\nspacing=3\n", 1, (3, 1, 1), "pixel"),
        ("", 1, (1, 1, 1), "pixel"),
    ],
    ids=repr,
)  # fmt: skip
def test_imagej_voxels_are_in_the_units_that_it_says(tmp_path, text, unit, scale, named):
    found = imagej(tmp_path / "a.tif", text, unit)
    z, y, x = scale
    assert found.scale == pytest.approx((z, x, y) if "yunit=nm" in text else scale)
    assert set(found.units) == {named}


@pytest.mark.parametrize("dots", [72, 95.9866, 96, 150, 300, 600, 1200])
@pytest.mark.parametrize("unit", ["inch", "cm", "rounded cm", "imagej"])
def test_resolutions_of_screens_and_printers_are_no_pixel_size(tmp_path, dots, unit):
    per = dots if unit in ("inch", "imagej") else dots / 2.54
    per = round(per) if unit == "rounded cm" and dots <= 600 else per
    if unit == "imagej":
        found = imagej(tmp_path / "a.tif", "unit=inch\n", 2, per)
    else:
        options = {"resolution": (per, per), "resolutionunit": 2 if unit == "inch" else 3, "metadata": None}
        tifffile.imwrite(tmp_path / "a.tif", STACK[0], **options)
        found = open_image(tmp_path / "a.tif")
    assert set(found.scale) == {1}
    assert set(found.units) == {"pixel"}


@settings(max_examples=25)
@given(size=st.floats(0.02, 9.0))
def test_pixel_sizes_of_microscopes_in_centimetres_are_kept(tmp_path_factory, size):
    assume(all(abs(25_400 / size / dots - 1) > 0.01 for dots in _PRINTED))
    path = tmp_path_factory.mktemp("a") / "a.tif"
    tifffile.imwrite(path, STACK[0], resolution=(1e4 / size, 1e4 / size), resolutionunit=3, metadata=None)
    assert open_image(path).scale == pytest.approx((size, size), rel=1e-4)


@pytest.mark.parametrize("known", ["X", "Y"])
def test_pixels_are_square_where_one_side_is_told(tmp_path, known):
    metadata = {"axes": "ZYX", f"PhysicalSize{known}": 0.1, f"PhysicalSize{known}Unit": "µm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=metadata)
    found = open_image(tmp_path / "a.ome.tif")
    assert (found.scale[1:], found.units[1:]) == ((0.1, 0.1), ("micrometer", "micrometer"))


def test_units_have_many_names():
    for text in ("um", "µm", "\u03bcm", "Micron", "microns", "MICROMETERS", "micrometre", "micrometres"):
        assert unit_name(text) == "micrometer"
    assert [unit_name(text) for text in ("m", "min", "Å", "inches", "px", "", "furlong", "s", "sec")] == [
        "meter", "minute", "angstrom", "inch", "pixel", "pixel", "pixel", "second", "second",
    ]  # fmt: skip
    assert in_unit(5.0, "nanometer", "micrometer") == (pytest.approx(0.005), "micrometer")
    assert in_unit(5.0, "second", "micrometer") == (5.0, "second")


# --- colours ---


def ramp(*rgb):
    return np.stack([np.arange(256) * part for part in rgb]).astype("u1")


def test_colours_limits_and_names_of_an_imagej_composite_reach_the_layers(tmp_path):
    fire = np.random.default_rng(1).integers(0, 255, (3, 256)).astype("u1")
    metadata = {"axes": "CYX", "mode": "composite", "LUTs": [ramp(0, 0, 1), fire], "Ranges": (10.0, 90.0, 20.0, 80.0)}
    metadata["Labels"] = ["c:1/2 - DAPI", "c:2/2 - GFP\nmore"]
    tifffile.imwrite(tmp_path / "a.tif", STACK[:2], imagej=True, metadata=metadata)
    ((_, look, _),) = read_layers(str(tmp_path / "a.tif"))
    assert look["name"] == ["a DAPI", "a GFP"]
    assert look["contrast_limits"] == [[10, 90], [20, 80]]
    assert (look["colormap"][0][-1], len(look["colormap"][1])) == ("#0000ff", 256)


def test_grey_values_stay_under_the_colours_of_imagej(tmp_path):
    metadata = {"axes": "YX", "LUTs": [ramp(1, 0, 0)], "min": 5.0, "max": 60.0}
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], imagej=True, metadata=metadata)
    ((data, look, _),) = read_layers(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(data, STACK[0])
    assert (look["colormap"]["colors"][-1], look["contrast_limits"]) == ("#ff0000", [5, 60])


@pytest.mark.parametrize("labels", [["x.tif", "x.tif"], ["a"], ["a", ""]], ids=repr)
def test_labels_that_name_no_channels_are_left_alone(tmp_path, labels):
    metadata = {"axes": "CYX", "Labels": labels}
    tifffile.imwrite(tmp_path / "a.tif", STACK[:2], imagej=True, metadata=metadata)
    assert open_image(tmp_path / "a.tif").channel_names == ()


GREY = STACK[0].astype("u1")
RANDOM = np.random.default_rng(2).integers(0, 65535, (3, 256)).astype("u2")


@pytest.fixture(params=[False, True], ids=["eager", "lazy"])
def _eager_or_lazy(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(lazy, "_ABOVE", 0)
        monkeypatch.setattr(lazy, "available_memory", lambda: 0)


@pytest.mark.usefixtures("_eager_or_lazy")
@pytest.mark.parametrize(
    ("data", "options", "wanted", "letters"),
    [
        (GREY, {"photometric": "palette", "colormap": RANDOM}, (RANDOM.T[GREY] >> 8).astype("u1"), "YXS"),
        (GREY, {"photometric": "palette", "colormap": ramp(0, 1, 0).astype("u2") * 257}, GREY, "YX"),
        (GREY, {"photometric": "miniswhite"}, 255 - GREY, "YX"),
        (STACK[0], {"photometric": "miniswhite"}, 65535 - STACK[0], "YX"),
        (GREY > 99, {"photometric": "miniswhite", "software": "scanner"}, (GREY <= 99).astype("u1"), "YX"),
        (GREY > 99, {}, (GREY > 99).astype("u1"), "YX"),
        (GREY > 99, {"photometric": "minisblack"}, (GREY > 99).astype("u1"), "YX"),
    ],
    ids=["palette", "green palette", "white 8 bits", "white 16 bits", "white 1 bit", "booleans of tifffile", "1 bit"],
)
def test_samples_become_grey_values_or_rgb(tmp_path, data, options, wanted, letters):
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", data, metadata=None, **options)
    found = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.asarray(found.data), wanted)
    assert (found.axes.letters, found.data.dtype) == (letters, wanted.dtype)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path).data), [wanted, wanted])


@pytest.mark.parametrize(
    ("shape", "dtype", "photometric", "told"),
    [
        ((24, 32, 4), "u1", "separated", "printing inks"),
        ((24, 32, 3), "u1", "cielab", "L\\*a\\*b"),
        ((24, 32), "f4", "miniswhite", "0 is white"),
    ],
)
def test_samples_that_are_neither_get_a_sentence(tmp_path, shape, dtype, photometric, told):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, dtype), photometric=photometric, metadata=None)
    with pytest.raises(ImageError, match=rf"a\.tif .*{told}.*: save it") as caught:
        open_image(tmp_path / "a.tif")
    assert "damaged" not in str(caught.value)


# --- compression and other names ---


@pytest.mark.parametrize("compression", ["lzw", "zstd", "packbits", "lzma", "zlib"])
def test_compressed_files_open(tmp_path, compression):
    tifffile.imwrite(tmp_path / "a.tif", STACK, compression=compression, photometric="minisblack")
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").data, STACK)


def test_jpeg_in_tiff_opens(tmp_path):
    import skimage.data

    colours = skimage.data.astronaut()
    tifffile.imwrite(tmp_path / "a.tif", colours, compression="jpeg", compressionargs={"level": 95}, tile=(128, 128))
    found = open_image(tmp_path / "a.tif")
    assert found.axes.letters == "YXS"
    assert np.abs(found.data.astype(int) - colours).mean() < 5


def test_tiff_with_a_fax_opens(tmp_path):
    """A page of CCITT group 4 that Pillow wrote."""
    pytest.importorskip("imagecodecs", minversion="2026.3.6")
    pytest.importorskip("tifffile", minversion="2026.3.3")
    from PIL import Image

    drawn = np.kron(np.eye(4), np.ones((16, 16))) > 0
    Image.fromarray(drawn).save(tmp_path / "a.tif", compression="group4")
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").data, drawn)


def test_constant_image_is_not_called_damaged(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4096, 4096), "u2"), compression="zstd")
    assert open_image(tmp_path / "a.tif").data.shape == (4096, 4096)


@pytest.mark.parametrize("ending", [".btf", ".tf8", ".lsm", ".stk", ".qptiff", ".svs"])
def test_tiffs_under_other_names_open(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    tifffile.imwrite(path, STACK, photometric="minisblack", bigtiff=ending in (".btf", ".tf8"), metadata=None)
    found = open_image(path)
    np.testing.assert_array_equal(found.data, STACK)
    assert found.name == "a"


def test_z_steps_of_a_metamorph_stack_are_read(tmp_path):
    """One page, behind which all planes lie, and private tags that tell of them."""
    path, planes = tmp_path / "a.stk", len(STACK)
    steps = struct.pack("<6I", 5, 10, 0, 0, 0, 0) * planes  # 5/10 of a micrometre, and no dates
    tags = [(33628, 4, 4, (0, 1, 3, 0), True), (33629, 5, planes, (0, 1) * planes, True)]
    with tifffile.TiffWriter(path, byteorder="<") as tif:
        tif.write(STACK[0], metadata=None, extratags=tags, photometric="minisblack")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        found = {code: tif.pages[0].tags[code] for code in (273, 33628, 33629)}
    struct.pack_into("<I", content, found[33628].offset + 4, 2)  # pairs
    struct.pack_into("<I", content, found[33629].offset + 8, len(content) + STACK.nbytes)
    struct.pack_into("<I", content, found[273].valueoffset, len(content))
    path.write_bytes(bytes(content) + STACK.tobytes() + steps)
    image = open_image(path)
    np.testing.assert_array_equal(np.asarray(image.data), STACK)
    assert (image.axes.letters, image.scale[0], image.units[0]) == ("ZYX", 0.5, "micrometer")


def test_lsm_opens_with_sizes_and_channels_and_without_its_thumbnails(tmp_path):
    """A page with all channels for each plane, a thumbnail behind each, and a private tag that tells of them."""
    path, channels = tmp_path / "a.lsm", np.random.default_rng(0).integers(0, 999, (3, 4, 24, 32)).astype("u2")
    info = struct.pack(
        "<Ii8i6d2H5Id", 67127628, 136, 32, 24, 4, 3, 1, 2, 8, 8, 1e-7, 1e-7, 5e-7, 0, 0, 0, *[0] * 7, 2.0
    ) + bytes(512 - 136)
    with tifffile.TiffWriter(path, byteorder="<") as tif:
        for z in range(4):
            tags = [(34412, 1, len(info), info, True)] if z == 0 else []
            options = {"photometric": "minisblack", "planarconfig": "separate", "metadata": None}
            tif.write(channels[:, z], extratags=tags, **options)
            tif.write(np.zeros((8, 8, 3), "u1"), subfiletype=1, photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[0].tags[34412].valueoffset + 108  # of the offset of the channels' colours and names
    names = b"".join(struct.pack("<I", len(name) + 1) + name + b"\0" for name in (b"Ch1", b"Ch2", b"Ch3"))
    colours = (
        struct.pack("<6I", 36 + len(names), 3, 3, 24, 36, 0) + bytes([255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0]) + names
    )
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, place, len(content))
    path.write_bytes(bytes(content) + colours)
    found = open_image(path)
    assert found.axes.letters == "ZCYX"
    np.testing.assert_array_equal(np.asarray(found.data), channels.swapaxes(0, 1))
    assert found.scale == pytest.approx((0.5, 1.0, 0.1, 0.1))
    assert (found.channel_names, found.about.channel_colors) == (
        ("Ch1", "Ch2", "Ch3"),
        ("#ff0000", "#00ff00", "#0000ff"),
    )
    assert not found.series


def test_pixel_size_of_a_slide_is_read(tmp_path):
    description = "Aperio Image Library v1\n32x24 |AppMag = 20|MPP = 0.4990"
    tifffile.imwrite(tmp_path / "a.svs", GREY, description=description, metadata=None)
    assert open_image(tmp_path / "a.svs").scale == pytest.approx((0.499, 0.499))


# --- several images ---


@pytest.fixture
def several(tmp_path):
    path = tmp_path / "t.tif"
    with tifffile.TiffWriter(path) as tif:
        for size in (32, 64, 256):
            tif.write(np.full((size, size), size, "u2"), metadata=None)
    return path


def test_first_of_several_images_is_taken_and_said_so(several):
    with pytest.warns(GenReconWarning, match=r"holds 3 images \(0: 32 x 32, 1: 64 x 64, .*first was opened.*series"):
        found = open_image(several)
    assert (found.data.shape, found.name, len(found.series)) == ((32, 32), "t", 3)


@pytest.mark.usefixtures("_eager_or_lazy")
@pytest.mark.parametrize("index", [0, 1, 2])
def test_image_of_several_is_chosen_by_its_number(several, index):
    found = open_image(several, series=index)
    size = (32, 64, 256)[index]
    np.testing.assert_array_equal(np.asarray(found.data), np.full((size, size), size))
    assert np.asarray(found.data[3:5, :2]).tolist() == [[size] * 2] * 2


@pytest.mark.parametrize("wanted", [3, -1, "x"])
def test_image_that_is_not_there_gets_a_sentence(several, wanted):
    with pytest.raises(ImageError, match=rf"t\.tif has no image {wanted!r}: it holds 0: 32 x 32, 1: 64 x 64, 2:"):
        open_image(several, series=wanted)


def test_images_of_an_ome_tiff_have_their_own_names_and_sizes(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for name, size in (("first", 0.1), ("second", 0.2)):
            meta = {"axes": "ZYX", "Name": name, "PhysicalSizeX": size, "PhysicalSizeY": size}
            tif.write(STACK[: 2 if name == "first" else 4], metadata=meta, photometric="minisblack")
    found = open_image(path, series="second")
    assert (found.data.shape, found.scale[1:], found.name) == ((4, 24, 32), (0.2, 0.2), "a second")


def test_results_of_one_image_of_several_can_be_made_again(several, capsys):
    from napari_genrecon.cli import main

    assert main(["denoise", str(several), "--series", "2", "--noise", "5"]) == 0
    result = several.with_name("t_2_denoise.ome.tif")
    assert open_image(result).record["input"]["series"] == 2
    assert main(["replay", str(result)]) == 0
    assert main(["noise", str(several)]) == 0
    said = capsys.readouterr()
    assert "every pixel agrees" in said.out
    assert "genrecon: t.tif holds 3 images" in said.err
