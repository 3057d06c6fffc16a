"""Files of other programs open with their pixels, sizes, units and names; FORMATS is the only place that knows them."""

import struct
from pathlib import Path

import numpy as np
import pytest

from napari_genrecon.errors import GenReconWarning, ImageError, MissingPackageError, OptionError
from napari_genrecon.io import lazy
from napari_genrecon.io.formats import FORMATS, image_name, read_format, result_ending, written_format
from napari_genrecon.io.reader import open_image

STACK = np.random.default_rng(0).integers(0, 999, (2, 3, 20, 30)).astype("u2")  # C, Z, Y, X


@pytest.fixture(params=[False, True], ids=["eager", "lazy"], autouse=True)
def _eager_or_lazy(request, monkeypatch):
    """Small files are read at once, or as large ones are."""
    if request.param:
        monkeypatch.setattr(lazy, "_ABOVE", 0)
        monkeypatch.setattr(lazy, "available_memory", lambda: 0)


def opens_as(path, pixels, letters, scale=None, unit="micrometer", **options):
    found = open_image(path, **options)
    np.testing.assert_array_equal(np.asarray(found.data), pixels)
    assert found.axes.letters == letters
    assert found.data.dtype.isnative
    region = (0,) * (len(letters) - 2) + (slice(3, 9), slice(5, 9))
    np.testing.assert_array_equal(np.asarray(found.data[region]), pixels[region])
    if scale is not None:
        assert found.scale == pytest.approx(scale, rel=1e-6)
        spatial = [u for letter, u in zip(letters, found.units, strict=True) if letter in "ZYX"]
        assert set(spatial) == {unit}
    return found


# --- pictures and arrays ---


@pytest.mark.parametrize("name", ["camera.png", "astronaut.png", "rocket.jpg", "chessboard_GRAY.png", "horse.png"])
def test_pictures_that_scikit_image_ships_open(name):
    import skimage
    from PIL import Image

    path = Path(skimage.__file__).parent / "data" / name
    pixels = np.asarray(Image.open(path)).astype("u1")
    opens_as(path, pixels, "YXS" if pixels.ndim == 3 else "YX", (1,) * pixels.ndim, "pixel")


@pytest.mark.parametrize("mode", ["palette", "truth", "16 bits", "colours of 16 bits", "printer's inks"])
def test_pictures_keep_what_they_resolve(tmp_path, mode):
    import imagecodecs
    from PIL import Image

    path, grey = tmp_path / "a.png", STACK[0, 0]
    if mode == "palette":
        image = Image.fromarray((grey % 7).astype("u1")).convert("P")
        image.putpalette(np.random.default_rng(1).integers(0, 256, 768).astype("u1").tobytes())
        image.save(path)
        opens_as(path, np.asarray(image.convert("RGB")), "YXS")
    elif mode == "truth":
        Image.fromarray(grey > 500).save(path)
        opens_as(path, (grey > 500).astype("u1"), "YX")
    elif mode == "16 bits":
        Image.fromarray(grey).save(path)
        assert opens_as(path, grey, "YX").data.dtype == "u2"
    elif mode == "colours of 16 bits":
        colours = np.moveaxis(STACK[0] * 60, 0, -1)
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(colours)))
        opens_as(path, colours, "YXS")
    else:
        Image.fromarray(np.zeros((20, 30, 4), "u1"), "CMYK").save(tmp_path / "a.jpg")
        with pytest.raises(ImageError, match=r"a\.jpg holds colours as CMYK: save it as RGB"):
            open_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("dtype", ["u1", ">u2", "f4", "f8", "?"])
def test_numpy_arrays_open(tmp_path, dtype):
    pixels = (STACK[0] % 2).astype(dtype)
    np.save(tmp_path / "a.npy", pixels)
    opens_as(tmp_path / "a.npy", pixels.astype("u1") if dtype == "?" else pixels, "ZYX")
    opens_as(tmp_path / "a.npy", pixels, "CYX", axes="CYX")


@pytest.mark.parametrize("content", [np.array([{}]), np.zeros((9, 9), complex)], ids=["objects", "complex"])
def test_numpy_arrays_that_are_no_images_get_a_sentence(tmp_path, content):
    np.save(tmp_path / "a.npy", content, allow_pickle=True)
    with pytest.raises(ImageError, match=r"a\.npy (cannot be read as a NumPy file|holds complex128)"):
        open_image(tmp_path / "a.npy")


# --- microscopes ---


def test_czi_opens_scene_by_scene(tmp_path):
    from pylibCZIrw import czi

    path, scenes = tmp_path / "a.czi", [STACK, STACK + 1000]
    with czi.create_czi(str(path)) as document:
        for s, pixels in enumerate(scenes):
            for c, z in np.ndindex(2, 3):
                document.write(pixels[c, z], plane={"C": c, "Z": z, "T": 0}, scene=s, location=(100 * s, 0))
        names = {0: "DAPI", 1: "GFP"}
        document.write_metadata("a", channel_names=names, scale_x=1e-7, scale_y=1e-7, scale_z=5e-7)
    for s, pixels in enumerate(scenes):
        found = opens_as(path, pixels, "CZYX", (1, 0.5, 0.1, 0.1), series=s)
        assert found.channel_names == ("DAPI", "GFP")
    with pytest.warns(GenReconWarning, match=r"a\.czi holds 2 images .*; the first was opened: .*--series"):
        np.testing.assert_array_equal(np.asarray(open_image(path).data), STACK)


def test_czi_with_colours_is_rgb(tmp_path):
    from pylibCZIrw import czi

    colours = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype("u1")
    with czi.create_czi(str(tmp_path / "a.czi")) as document:
        document.write(colours[..., ::-1].copy(), plane={"C": 0})  # blue first
    opens_as(tmp_path / "a.czi", colours, "YXS")


def lif(images):
    """A LIF file of version 2: XML, then a block of memory per image."""
    elements, blocks = "", b""
    for name, pixels in images.items():
        sizes = {"X": 1, "Y": 2, "Z": 3, "T": 4}
        letters = {2: "YX", 3: "ZYX", 4: "CZYX"}[pixels.ndim]
        strides = dict(zip(letters, pixels.strides, strict=True))
        dimensions = "".join(
            f'<DimensionDescription DimID="{sizes[x]}" NumberOfElements="{n}" Origin="0" Length="{(n - 1) * 2e-7}" '
            f'Unit="m" BytesInc="{strides[x]}" BitInc="0"/>'
            for x, n in reversed(list(zip(letters, pixels.shape, strict=True)))
            if x in sizes
        )
        channels = "".join(
            '<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" Max="1" '
            f'Unit="" LUTName="{lut}" IsLUTInverted="0" BytesInc="{i * strides.get("C", 0)}" BitInc="0"/>'
            for i, lut in enumerate(("Green", "Red")[: pixels.shape[0] if pixels.ndim == 4 else 1])
        )
        described = (
            f"<ImageDescription><Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription>"
        )
        memory = f'<Memory Size="{pixels.nbytes}" MemoryBlockID="Mem{name}"/>'
        lens = 'ObjectiveName="Plan" NumericalAperture="1.4" Immersion="OIL" MicroscopeModel="Stand 7"'
        attached = f"<Attachment><ATLConfocalSettingDefinition {lens}/></Attachment>"
        elements += f'<Element Name="{name}"><Data><Image>{described}{attached}</Image></Data>{memory}</Element>'
        label = f"Mem{name}".encode("utf-16-le")
        head = struct.pack("<BQBI", 0x2A, pixels.nbytes, 0x2A, len(label) // 2) + label
        blocks += struct.pack("<II", 0x70, len(head)) + head + pixels.tobytes()
    root = f'<Element Name="p"><Children>{elements}</Children></Element>'
    text = f'<LMSDataContainerHeader Version="2">{root}</LMSDataContainerHeader>'.encode("utf-16-le")
    return struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(text) // 2) + text + blocks


def test_lif_opens_image_by_image(tmp_path):
    pytest.importorskip("liffile", minversion="2026.2.15")
    (tmp_path / "a.lif").write_bytes(lif({"first": STACK[0], "second": STACK}))
    opens_as(tmp_path / "a.lif", STACK[0], "ZYX", (0.2, 0.2, 0.2), series=0)
    found = opens_as(tmp_path / "a.lif", STACK, "CZYX", (1, 0.2, 0.2, 0.2), series=1)
    assert found.about.channel_colors == ("#00ff00", "#ff0000")
    assert found.name == "a second"
    objective = {"model": "Plan", "na": "1.4", "immersion": "OIL"}
    assert found.about.acquisition == {"microscope": "Stand 7", "objective": objective}
    with pytest.raises(ImageError, match=r"a\.lif has no image 'third': it holds 0: 'first' 3 x 20 x 30, 1: 'second'"):
        open_image(tmp_path / "a.lif", series="third")


def test_oif_opens_with_the_files_beside_it(tmp_path):
    import tifffile

    path = tmp_path / "a.oif"
    (tmp_path / "a.oif.files").mkdir()
    for c, z in np.ndindex(2, 3):
        tifffile.imwrite(tmp_path / "a.oif.files" / f"s_C{c + 1:03}Z{z + 1:03}.tif", STACK[c, z])
    text = ["[ProfileSaveInfo]", 'Name="a"', 'Version="1"', "[Axis Parameter Common]", 'AxisOrder="XYCZ"']
    ends = {0: ("X", 30, 0, 3, "um"), 1: ("Y", 20, 0, 2, "um"), 2: ("C", 2, 0, 0, "nm"), 3: ("Z", 3, 0, 1000, "nm")}
    for i, (letter, n, first, last, unit) in ends.items():
        text += [f"[Axis {i} Parameters Common]", f'AxisCode="{letter}"', f"MaxSize={n}", f"StartPosition={first}"]
        text += [f"EndPosition={last}", f'UnitName="{unit}"']
    for i, name in enumerate(("DAPI", "GFP")):
        text += [f"[Channel {i + 1} Parameters]", f'DyeName="{name}"']
    path.write_text("\r\n".join(text) + "\r\n", encoding="utf-16")
    found = opens_as(path, STACK, "CZYX", (1, 0.5, 0.1, 0.1))
    assert found.channel_names == ("DAPI", "GFP")


def test_deltavision_opens(tmp_path):
    import mrc

    path = tmp_path / "a.dv"
    mrc.imsave(str(path), STACK.astype("u2"), ifExists="overwrite", zAxisOrder="wz", hdr=None)
    with path.open("r+b") as file:  # size of a pixel along X, Y and Z, in micrometres
        file.seek(40)
        file.write(struct.pack("<3f", 0.1, 0.1, 0.5))
    found = open_image(path)
    assert sorted(zip(found.axes.letters, found.scale, strict=True))[1:] == [
        ("X", pytest.approx(0.1)), ("Y", pytest.approx(0.1)), ("Z", pytest.approx(0.5)),
    ]  # fmt: skip
    order = ["CZYX".index(letter) for letter in found.axes.letters]
    np.testing.assert_array_equal(np.asarray(found.data), STACK.transpose(order))


def text(value):
    return np.frombuffer(str(value).encode(), "S1")


def test_imaris_opens_without_the_padding_of_its_blocks(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.ims", "w") as file:
        for c in range(2):
            padded = np.pad(STACK[c], ((0, 1), (0, 12), (0, 2)))
            file[f"DataSet/ResolutionLevel 0/TimePoint 0/Channel {c}/Data"] = padded
            shown = file.create_group(f"DataSetInfo/Channel {c}").attrs
            shown["Name"], shown["Color"] = text("DAPI" if c else "GFP"), text(f"{c}.0 1.0 0.0")
        info = file.create_group("DataSetInfo/Image").attrs
        for letter, n, i, size in (("X", 30, 0, 3.0), ("Y", 20, 1, 2.0), ("Z", 3, 2, 1.5)):
            info[letter], info[f"ExtMin{i}"], info[f"ExtMax{i}"] = text(n), text(1.0), text(1.0 + size)
        info["Unit"] = text("um")
    found = opens_as(tmp_path / "a.ims", STACK, "CZYX", (1, 0.5, 0.1, 0.1))
    assert (found.channel_names, found.about.channel_colors) == (("GFP", "DAPI"), ("#00ff00", "#ffff00"))


def clx(name, value):
    """An entry of the metadata of an ND2 file: type, name, value."""
    label = f"{name}\0".encode("utf-16-le")
    kind = {bool: 1, int: 3, float: 6, str: 8, dict: 11}[type(value)]
    head = struct.pack("<BB", kind, len(label) // 2) + label
    if kind == 11:
        items = b"".join(clx(key, item) for key, item in value.items())
        return head + struct.pack("<IQ", len(value), len(head) + 12 + len(items)) + items + bytes(8 * len(value))
    return head + (
        f"{value}\0".encode("utf-16-le") if kind == 8 else struct.pack({1: "<?", 3: "<I", 6: "<d"}[kind], value)
    )


def nd2_file(positions):
    """An ND2 file of version 3: chunks, with a map of them at the end; positions (P, C, Z, Y, X) of 16 bits."""
    n, channels, planes, height, width = positions.shape
    frames = np.moveaxis(positions, 1, -1).reshape(n * planes, -1)  # the channels of a pixel lie side by side
    size = {"uiWidth": width, "uiWidthBytes": 2 * width * channels, "uiHeight": height, "uiComp": channels}
    size |= {"uiBpcInMemory": 16, "uiBpcSignificant": 16, "uiSequenceCount": len(frames), "eCompression": 2}
    dye = {"pFluorescentProbe": {"m_sName": "a dye"}}
    listed = enumerate(ND2_CHANNELS.items())
    shown = {f"a{i}": {"sDescription": name, "uiColor": color, **dye} for i, (name, color) in listed}
    lens = {"wsObjectiveName": "Plan", "dObjectiveMag": 63.0, "dObjectiveNA": 1.4, "dPinholeRadius": 15.0}
    picture = lens | {
        "sPicturePlanes": {"uiCount": channels, "sPlaneNew": shown},
        "bCalibrated": True,
        "dCalibration": 0.1,
    }
    points = {f"i{i}": {"dPosName": name} for i, name in enumerate(("A1", "B2"))}
    stack = {"eType": 4, "uLoopPars": {"uiCount": planes, "dZStep": 0.5}}
    loops = {"eType": 2, "uLoopPars": {"Points": points}, "ppNextLevelEx": {"i0": stack}}
    chunks = {
        "ImageAttributesLV!": clx("SLxImageAttributes", size),
        "ImageMetadataSeqLV|0!": clx("SLxPictureMetadata", picture),
        "ImageMetadataLV!": clx("SLxExperiment", loops),
        **{f"ImageDataSeq|{i}!": bytes(8) + frame.tobytes() for i, frame in enumerate(frames)},
    }

    def chunk(name, data, reserved):
        return struct.pack("<IIQ", 0x0ABECEDA, reserved, len(data)) + name.encode().ljust(reserved, b"\0") + data

    content, index = chunk("ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), 32), b""
    for name, data in chunks.items():
        index += name.encode() + struct.pack("<QQ", len(content), len(data))
        content += chunk(name, data, 4072 if "Data" in name else 48)  # 4072: pixels begin at a multiple of 4096
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(content))
    return content + chunk("ND2 FILEMAP SIGNATURE NAME 0001!", index + end, 32)


ND2_CHANNELS = {"DAPI": 0x090000, "GFP": 0x09FF00}  # colours as blue, green, red


@pytest.mark.filterwarnings("ignore:Failed to load frame times")
def test_nd2_opens_position_by_position(tmp_path):
    """Written after the layout of version 3: no package writes such files."""
    positions = np.stack([STACK, STACK + 1000])
    (tmp_path / "a.nd2").write_bytes(nd2_file(positions))
    for name, pixels in zip(("A1", "B2"), positions, strict=True):
        found = opens_as(tmp_path / "a.nd2", pixels.swapaxes(0, 1), "ZCYX", (0.5, 1, 0.1, 0.1), series=name)
        assert (found.channel_names, found.about.channel_colors) == (("DAPI", "GFP"), ("#000009", "#00ff09"))
    assert found.about.acquisition == {
        "objective": {"model": "Plan", "na": "1.4", "magnification": "63"},
        "channels": [{"name": n, "pinhole": "30 µm"} for n in ("DAPI", "GFP")],
    }


@pytest.mark.parametrize("part", [0.3, 0.9, 0.99])
def test_nd2_that_was_cut_short_gets_a_sentence(tmp_path, part):
    whole = nd2_file(STACK[None])
    (tmp_path / "a.nd2").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ImageError, match=r"a\.nd2 cannot be read as a Nikon ND2 file, it may be damaged"):
        open_image(tmp_path / "a.nd2")


# --- volumes ---


def test_mrc_opens(tmp_path):
    import mrcfile

    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(STACK[0].astype("f4"))
        file.voxel_size = (1.0, 1.0, 5.0)
        file.set_volume()
    opens_as(tmp_path / "a.mrc", STACK[0].astype("f4"), "ZYX", (5, 1, 1), "angstrom")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_nrrd_opens(tmp_path, encoding):
    import nrrd

    header = {"encoding": encoding, "spacings": [0.1, 0.1, 0.5], "units": ["um"] * 3}
    nrrd.write(str(tmp_path / "a.nrrd"), STACK[0], header, index_order="C")
    opens_as(tmp_path / "a.nrrd", STACK[0], "ZYX", (0.5, 0.1, 0.1))


def test_nrrd_that_names_a_file_elsewhere_is_not_followed(tmp_path):
    (tmp_path / "a.nhdr").write_text(
        "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 9 9\nencoding: raw\ndata file: ../secret.raw\n"
    )
    with pytest.raises(ImageError, match=r"names another file '\.\./secret\.raw'"):
        open_image(tmp_path / "a.nhdr")


@pytest.mark.parametrize("name", ["anatomical.nii", "functional.nii", "example4d.nii.gz", "example_nifti2.nii.gz"])
def test_nifti_files_that_nibabel_ships_open(name):
    import nibabel

    path = Path(nibabel.__file__).parent / "tests" / "data" / name
    image = nibabel.load(path)
    zooms = image.header.get_zooms()[::-1]
    opens_as(path, np.asarray(image.dataobj).T, "TZYX"[-len(zooms) :], zooms, "millimeter")


def test_hdf5_opens_dataset_by_dataset(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t0/raw"], file["t0/labels"], file["t0/table"] = STACK[0], STACK[1], np.arange(5)
        file["t0/raw"].attrs["element_size_um"] = [0.5, 0.1, 0.1]
        file["elsewhere"] = h5py.ExternalLink("b.h5", "/x")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = STACK[0]
    found = opens_as(tmp_path / "a.h5", STACK[0], "ZYX", (0.5, 0.1, 0.1), series="t0/raw")
    assert [one.name for one in found.series] == ["t0/labels", "t0/raw"]
    opens_as(tmp_path / "b.h5", STACK[0], "ZYX")


# --- the registry ---


def test_manifest_offers_the_reader_and_writers_for_what_is_read_and_written():
    from npe2 import PluginManifest

    import napari_genrecon

    manifest = PluginManifest.from_file(Path(napari_genrecon.__file__).with_name("napari.yaml"))
    (reader,) = manifest.contributions.readers
    assert sorted(reader.filename_patterns) == sorted(f"*{ending}" for f in FORMATS for ending in f.endings)
    writers = {writer.display_name: writer.filename_extensions for writer in manifest.contributions.writers}
    for written in (f for f in FORMATS if f.write):
        offered = [ending for ending in written.written if ending.startswith(".ome")]
        assert writers.pop(f"OME-{written.name.removeprefix('OME-')}") == offered
    assert not writers


@pytest.mark.parametrize("found", FORMATS, ids=lambda f: f.name)
def test_every_format_names_functions_that_exist(found):
    from napari_genrecon.io.formats import _resolve

    assert all(callable(_resolve(target)) for target in (found.open, found.write, found.folder_test) if target)
    assert all(ending == ending.lower() and ending.startswith(".") for ending in (*found.endings, *found.written))


def test_names_lose_the_ending_of_their_format():
    names = ["a.tif", "a.OME.TIFF", "a.nii.gz", "a.ome.zarr", "a.zarr.zip", "a.czi", "a.ome.btf"]
    assert {image_name(Path(name)) for name in names} == {"a"}
    assert image_name(Path("a.b.dat")) == "a.b.dat"


def test_results_are_written_as_their_name_or_their_source_says():
    assert written_format(Path("a.OME.ZARR")).by_region
    assert result_ending(Path("a.zarr.zip")) == ".ome.zarr"
    assert result_ending(Path("a.czi")) == ".ome.tif"
    with pytest.raises(OptionError, match=r"names no format that is written: end it in \.ome\.zarr or \.ome\.tif"):
        written_format(Path("a.png"))


@pytest.mark.parametrize("name", ["a.dat", "a.tif", "a"])
def test_content_says_more_than_the_name(tmp_path, name):
    import tifffile
    from PIL import Image

    Image.fromarray(STACK[0, 0].astype("u1")).save(tmp_path / name, format="png")
    assert read_format(tmp_path / name).name == "PNG or JPEG"
    tifffile.imwrite(tmp_path / "b.dat", STACK[0], photometric="minisblack")
    opens_as(tmp_path / "b.dat", STACK[0], "ZYX")


@pytest.mark.parametrize(("name", "known"), [("a.oir", "Olympus OIR"), ("a.zvi", "Zeiss ZVI")])
def test_formats_that_are_not_read_are_told_with_a_way_out(tmp_path, name, known):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(ImageError, match=rf"{name} is a {known} file.*save it as OME-TIFF in Fiji"):
        open_image(tmp_path / name)
    (tmp_path / "a.xyz").write_bytes(b"something")
    with pytest.raises(ImageError, match=r"a\.xyz is not an image that can be opened here.*OME-TIFF in Fiji"):
        open_image(tmp_path / "a.xyz")


@pytest.mark.parametrize("ending", [e for f in FORMATS for e in f.endings if e != ".zarr"])
def test_damaged_files_get_a_sentence(tmp_path, ending):
    (tmp_path / f"a{ending}").write_bytes(b"nothing that any of them would read" * 100)
    with pytest.raises(ImageError, match=r"a\."):
        open_image(tmp_path / f"a{ending}")


def test_reader_that_is_not_installed_names_the_package(tmp_path, monkeypatch):
    import sys

    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE")
    monkeypatch.setitem(sys.modules, "pylibCZIrw", None)
    with pytest.raises(MissingPackageError, match=r"pip install pylibCZIrw, or .*napari-genrecon\[formats\]'"):
        open_image(tmp_path / "a.czi")


@pytest.mark.parametrize("ending", [".tif", ".nd2", ".npy"])
def test_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch, ending):
    (tmp_path / f"a{ending}").write_bytes(b"x")

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageError, match=r"may not be read \(Permission denied\)"):
        open_image(tmp_path / f"a{ending}")


def test_folders_stay_small_and_names_do_not_repeat_them():
    import napari_genrecon.io

    root = Path(napari_genrecon.io.__file__).parent
    for folder in (root, *(path for path in root.iterdir() if path.is_dir() and path.name != "__pycache__")):
        names = [path.stem for path in folder.glob("*.py")]
        assert len(names) <= 16
        assert not [name for name in names if folder.name in name or (name != "__init__" and name.startswith("_"))]
